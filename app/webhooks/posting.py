"""One POST to a webhook: never to an address inside the operator's network, unless a setting allows it.

The name is resolved here, every address is checked, and the connection goes to the address that was checked: a name
that answers otherwise the second time (DNS rebinding) gains nothing. Redirects are not followed.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import httpx2

TIMEOUT = 15.0  # seconds; the specification asks for 15 to 30
_NETS = ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
_TRANSLATED = tuple(ipaddress.ip_network(net) for net in _NETS)
"""IPv6 that stands for IPv4 addresses, private ones too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a POST: a status, or what kept it from getting one."""

    status: int | None
    error: str | None
    body: bytes = b""
    """As much of it as was asked for."""

    @property
    def is_good(self) -> bool:
        """Whether the event was taken."""
        return self.status is not None and 200 <= self.status < 300


def is_public(address: str) -> bool:
    """Tell whether an address is one of the internet's."""
    found = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if any(found in net for net in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


async def _address_of(host: str, port: int, *, allow_private: bool) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionError(f"{host} has no address.") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise PermissionError(f"{host} leads to an address that is not public.")
    return addresses[0]


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Return whom TLS trusts; made once, since reading all authorities takes some 20 ms."""
    return httpx2.create_ssl_context(trust_env=False)


async def post(
    url: str, *, body: bytes, headers: Mapping[str, str], allow_private: bool, within: float = TIMEOUT, read: int = 0
) -> Answer:
    """Send a body to a webhook and return what came of it; raises nothing that the other side can bring about.

    `within` so many seconds, all in all. At most `read` octets of the answer are read, for it may be endless; an
    answer that is longer has no body.
    """
    target = httpx2.URL(url)
    port = target.port or (443 if target.scheme == "https" else 80)
    got = b""
    try:
        async with asyncio.timeout(within):
            address = await _address_of(target.host, port, allow_private=allow_private)
            async with (
                httpx2.AsyncClient(verify=_trust(), timeout=within, trust_env=False, follow_redirects=False) as client,
                client.stream(
                    "POST", target.copy_with(host=address), content=body,
                    headers={**headers, "host": target.netloc.decode("ascii")},
                    extensions={"sni_hostname": target.host},
                ) as response,
            ):  # fmt: skip
                status = response.status_code
                if read:
                    got = await _first_octets(response, read)
    except TimeoutError:
        return Answer(None, f"No answer within {within:.1f} s.".replace(".0 s", " s"))
    except (PermissionError, ConnectionError) as error:
        return Answer(None, str(error))
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        return Answer(None, f"{type(error).__name__}: {error}"[:300])
    return Answer(status, None if 200 <= status < 300 else f"Answered {status}.", got)


async def _first_octets(response: httpx2.Response, most: int) -> bytes:
    got = b""
    async for piece in response.aiter_raw():  # not decoded: a few octets may be packed gigabytes
        got += piece
        if len(got) > most:
            return b""
    return got
