"""A DNS server on loopback, UDP and TCP on one port, that answers and fails as it is told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 60


class Fault(Enum):
    """What a server may do instead of answering."""

    SERVFAIL = "servfail"
    SILENCE = "silence"
    TRUNCATED = "truncated"  # over UDP; TCP has the answer
    GARBAGE = "garbage"


def quoted(text: str) -> str:
    """A TXT record's text in the strings it takes, as a zone file has them."""
    octets = text.encode()
    parts = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
    escape = "".maketrans({'"': '\\"', "\\": "\\\\"})
    return " ".join(f'"{part.decode().translate(escape)}"' for part in parts)


class ScriptedDns:
    """Records by name and kind; a name that has none at all is NXDOMAIN. `asked` counts the questions."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, list[str]]] = {}
        self.faults: dict[tuple[str, str], Fault] = {}
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self.lazy: set[str] = set()
        """Names whose CNAMEs are answered without what they lead to."""
        self.port = 0

    def put(self, name: str, kind: str, *values: str) -> None:
        self.records.setdefault(name, {})[kind] = [quoted(value) if kind == "TXT" else value for value in values]

    def answer(self, wire: bytes, *, way: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind, way] += 1
        response = dns.message.make_response(query, recursion_available=True)
        fault = self.faults.get((name, kind))
        if fault is Fault.SILENCE:
            return None
        if fault is Fault.GARBAGE:
            return wire[:2] + b"\xff" * 20
        if fault is Fault.SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif fault is Fault.TRUNCATED and way == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        octets = response.to_wire(max_size=65_535)
        if way == "udp" and len(octets) > 1232:
            response.answer.clear()
            response.flags |= dns.flags.TC
            octets = response.to_wire()
        return octets

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(20):
            known = self.records.get(name)
            if known is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            if alias := known.get("CNAME"):
                response.answer.append(_rrset(name, "CNAME", alias))
                if name in self.lazy:
                    return
                name = alias[0].rstrip(".")
                continue
            if values := known.get(kind):
                response.answer.append(_rrset(name, kind, values))
            return

    @property
    def setting(self) -> str:
        """The value of BUDSTIKKE_DNS_SERVERS."""
        return f"127.0.0.1:{self.port}"


def _rrset(name: str, kind: str, values: list[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text(dns.name.from_text(name), TTL, dns.rdataclass.IN, dns.rdatatype.from_text(kind), *values)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: ScriptedDns) -> None:
        self.server = server

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address) -> None:
        if (octets := self.server.answer(data, way="udp")) is not None:
            self.transport.sendto(octets, address)


@asynccontextmanager
async def running_dns() -> AsyncIterator[ScriptedDns]:
    """Run a server until the block is left."""
    server = ScriptedDns()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            if (octets := server.answer(wire, way="tcp")) is not None:
                writer.write(len(octets).to_bytes(2, "big") + octets)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    tcp = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = tcp.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", server.port))
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()
