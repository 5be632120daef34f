"""Opening a connection: aiosmtplib does TCP, TLS, EHLO and AUTH; then its transport is handed to our dialogue."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import aiosmtplib

from app.delivery.replies import Outcome, SendResult, Stage, classify, decided_here
from app.delivery.smtp.account import AuthMethod, Pipelining, Security, SmtpAccount
from app.delivery.smtp.dialogue import SmtpConnection
from app.delivery.smtp.feed import Feed
from app.delivery.smtp.login import log_in, without_secrets
from app.delivery.smtp.wire import Offer

_NO_SIZE_LIMIT: Final = 0  # RFC 1870 §4: "SIZE" or "SIZE 0" announces no limit
_FAILURES: Final = (aiosmtplib.SMTPException, OSError, TimeoutError)


@dataclass(slots=True)
class Probe:
    """What was seen of a server; `failure` is None where the account works.

    `address` is the one connected to, or the first one tried.
    """

    failure: SendResult | None = None
    words: str = ""
    address: str | None = None
    encrypted: str | None = None
    logged_in_by: AuthMethod | None = None
    capabilities: list[str] = field(default_factory=list)
    pipelining: Pipelining | None = None
    max_size: int | None = None

    def look_at(self, info: Callable[[str], Any]) -> None:
        """Note whom the connection leads to and how it is encrypted."""
        peer, cipher = info("peername"), info("cipher")
        self.address = peer[0] if peer else None
        self.encrypted = f"{cipher[1]}, {cipher[0]}" if cipher else None


async def open_connection(account: SmtpAccount, feed: Feed) -> SmtpConnection | SendResult:
    """Open a connection that starts sending at once; await its `closed` for the `ConnectionEnd`.

    A server that cannot be reached or does not let us in gives a SendResult instead: `deferred` where another try may
    help (no route, no answer, 4xx), `sender_fault` where somebody must act first (5xx, credentials, certificate, TLS
    or AUTH not offered). The feed is not asked for anything before the connection is ready.
    """
    try:
        client = await _enter(account)
    except _FAILURES as error:
        return _failure(account, error)
    return _hand_over(client, account, feed)


async def probe(account: SmtpAccount) -> Probe:
    """Open a connection, look at what the server offers, and say goodbye; nothing is sent.

    Takes at most twice the account's `connect` timeout.
    """
    seen = Probe()
    try:
        async with asyncio.timeout(account.timeouts.connect):
            found = await asyncio.get_running_loop().getaddrinfo(account.host, account.port, type=socket.SOCK_STREAM)
        seen.address = str(found[0][4][0])
    except (OSError, UnicodeError):  # TimeoutError, too; a label of 64 octets is the codec's error
        seen.failure = decided_here(Outcome.DEFERRED, f"no address is known for {account.host}", Stage.CONNECT)
        return seen
    try:
        client = await _enter(account, seen)
    except _FAILURES as error:
        seen.failure = _failure(account, error)
        return seen
    offer = _offer_of(client)
    seen.pipelining = (account.pipelining or Pipelining.FULL) if offer.pipelining else Pipelining.OFF
    seen.max_size = offer.size or None
    seen.capabilities = sorted(f"{name} {value}".strip().upper() for name, value in client.esmtp_extensions.items())
    with suppress(*_FAILURES):
        async with asyncio.timeout(account.timeouts.quit):
            await client.quit()
    client.close()
    return seen


async def _enter(account: SmtpAccount, seen: Probe | None = None) -> aiosmtplib.SMTP:
    """Connect, encrypt, greet and log in within `connect` seconds; raises one of `_FAILURES`."""
    client = aiosmtplib.SMTP(
        hostname=account.host,
        port=account.port,
        local_hostname=account.local_hostname,
        timeout=account.timeouts.connect,
        use_tls=account.security is Security.TLS,
        start_tls=account.security is Security.STARTTLS,
        tls_context=await _tls_context(account),
    )
    try:
        async with asyncio.timeout(account.timeouts.connect):
            await client.connect()
            if seen is not None:
                seen.look_at(client.get_transport_info)
            await _greet(client)
            if seen is not None and client.last_ehlo_response is not None:
                seen.words = f"{client.last_ehlo_response.code} {client.last_ehlo_response.message}".partition("\n")[0]
            if account.username is not None:
                method = await log_in(client, account)
                if seen is not None:
                    seen.logged_in_by = method
    except BaseException:
        client.close()
        raise
    return client


async def _greet(client: aiosmtplib.SMTP) -> None:
    """Say EHLO where connecting did not need it, or HELO to a server that knows nothing newer."""
    try:
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code not in (500, 502, 504):  # RFC 5321 §4.1.4: the command is not known
            raise
        await client.helo()


def _hand_over(client: aiosmtplib.SMTP, account: SmtpAccount, feed: Feed) -> SmtpConnection | SendResult:
    """Take the transport from aiosmtplib and let our protocol speak on it.

    `SMTP.transport`, `SMTP.protocol` and the protocol's `_buffer` are undocumented; they are touched here only, and
    tests/delivery/test_handover.py fails when a new version changes them. The buffer holds what the server said
    beyond its last reply: a server out of step before the first message is not one to send to.
    """
    transport, protocol = cast("asyncio.Transport | None", client.transport), client.protocol
    if transport is None or protocol is None or transport.is_closing():
        return decided_here(Outcome.DEFERRED, "the server closed before the first message", Stage.CONNECT)
    if protocol._buffer:  # noqa: SLF001 - the one place
        transport.abort()
        return decided_here(Outcome.DEFERRED, "the server spoke out of turn before the first message", Stage.CONNECT)
    connection = SmtpConnection(transport, feed, account, _offer_of(client))
    transport.set_protocol(connection)
    connection.wake()
    return connection


def _offer_of(client: aiosmtplib.SMTP) -> Offer:
    return Offer(
        pipelining=client.supports_extension("pipelining"),
        size=_announced_size(client),
        smtputf8=client.supports_extension("smtputf8"),
        eight_bit=client.supports_extension("8bitmime"),
        dsn=client.supports_extension("dsn"),
    )


def _announced_size(client: aiosmtplib.SMTP) -> int | None:
    if not client.supports_extension("size"):
        return None
    limit = client.esmtp_extensions["size"].strip()
    return int(limit) if limit.isascii() and limit.isdigit() else _NO_SIZE_LIMIT


async def _tls_context(account: SmtpAccount) -> ssl.SSLContext | None:
    if account.security is Security.NONE:
        return None
    return await asyncio.to_thread(_load_tls_context, account.ca_file, account.verify)


@cache
def _load_tls_context(ca_file: Path | None, verify: bool) -> ssl.SSLContext:  # noqa: FBT001 - a cache key
    """Load trusted certificates, once per set: reading the system's takes 10-20 ms, too long for every connection."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failure(account: SmtpAccount, error: Exception) -> SendResult:
    """Translate what aiosmtplib raised before the first message."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        stage = Stage.AUTH if isinstance(error, aiosmtplib.SMTPAuthenticationError) else Stage.CONNECT
        if 400 <= error.code < 600:
            return classify(stage, error.code, without_secrets(account, error.message))
        return decided_here(Outcome.DEFERRED, "the server did not answer as an SMTP server does", stage)
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return decided_here(Outcome.SENDER_FAULT, "the server's certificate is not valid for its name", Stage.TLS)
    if isinstance(error, TimeoutError):
        return decided_here(Outcome.DEFERRED, "the server did not answer in time", Stage.CONNECT)
    if isinstance(error, OSError):  # SMTPConnectError and SMTPServerDisconnected are ones too
        return decided_here(Outcome.DEFERRED, str(error), Stage.CONNECT)
    # What is left says that the server lacks something the account asks for: STARTTLS, AUTH, a usable mechanism.
    return decided_here(Outcome.SENDER_FAULT, str(error), Stage.AUTH)
