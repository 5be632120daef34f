"""The SMTP server for what comes back: reports at return paths (D57), unsubscribes by mail (D47), and nothing else.

It takes a message when it is stored, with the job that reads it, and says 250 only then. Whatever stands in the way of
storing is answered 451, so that the other server keeps the message and tries again.
"""

import asyncio
import email.policy
import logging
from email.parser import BytesHeaderParser
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from app.bounces.service import keep_message
from app.platform.db import Database
from app.platform.outbox import Job, enqueue
from app.platform.settings import Settings
from app.platform.telemetry import log
from app.platform.tokens import InvalidToken, Purpose, TokenKey

SIZE_LIMIT: Final = 2 * 1024 * 1024  # octets; mail servers return at most some 50 kB of what they could not deliver
RECIPIENT_LIMIT: Final = 100  # of one message (RFC 5321 §4.5.3.1.8); a report has one
CONNECTION_LIMIT: Final = 100  # with the size limit, 200 MB of messages on their way in
STORE_SECONDS: Final = 30.0  # the client waits 10 minutes for the reply after its dot (RFC 5321 §4.5.3.2.6)

_NOT_OURS: Final = "550 5.1.1 No such address: only reports to return paths and unsubscribes are taken"
_NOT_NAMED: Final = "550 5.7.1 To unsubscribe, the subject must be the one that List-Unsubscribe names"
_TOO_MANY: Final = "452 4.5.3 Too many recipients: send the others in another message"
_TRY_LATER: Final = "451 4.3.0 The message cannot be stored for now: try again later"
_BUSY: Final = b"421 4.3.2 Too many connections: try again later\r\n"

# aiosmtpd logs envelope addresses at INFO and commands at WARNING; personal data stay out of logs.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)


async def serve(
    settings: Settings,
    database: Database,
    tokens: TokenKey,
    *,
    started: asyncio.Future[tuple[str, int]] | None = None,
) -> None:
    """Take mail for return paths at `inbound_host` and `inbound_port` until cancelled; raises OSError if it cannot.

    `started` gets host and port as soon as it listens; port 0 in the settings takes a free one. When it is cancelled,
    messages that have no reply yet are left to the other server, which sends them again.
    """
    connections: set[SMTP] = set()
    intake = _Intake(settings, database, tokens)
    loop = asyncio.get_running_loop()

    def answer() -> asyncio.BaseProtocol:
        if len(connections) >= CONNECTION_LIMIT:
            return _Busy()
        return _Connection(intake, connections, hostname=settings.return_domain, loop=loop)

    server = await loop.create_server(answer, settings.inbound_host, settings.inbound_port)
    host, port = server.sockets[0].getsockname()[:2]
    log.info("inbound.started", host=host, port=port)
    if started:
        started.set_result((host, port))
    try:
        await server.serve_forever()
    finally:
        server.close()
        for connection in list(connections):
            if connection.transport:
                connection.transport.close()
        log.info("inbound.ended")


class _Busy(asyncio.Protocol):
    """Sends a client away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.write(_BUSY)
        transport.close()


class _Connection(SMTP):
    """aiosmtpd's side of one connection, known to the server while it lasts."""

    # Also the size of aiosmtpd's buffer. Returned messages may have lines over RFC 5321's 1000 octets; refusing their
    # report would lose it.
    line_length_limit = 64 * 1024

    def __init__(
        self, intake: "_Intake", connections: set[SMTP], *, hostname: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            intake,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,  # reports on messages that were sent with it need it as well (RFC 6533)
            hostname=hostname,
            ident="ESMTP budstikke",
            loop=loop,
        )
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)


class _Intake:
    """What aiosmtpd calls: judges recipients, stores messages."""

    def __init__(self, settings: Settings, database: Database, tokens: TokenKey) -> None:
        self._domain = settings.return_domain.lower()
        self._unsubscribe_email = settings.unsubscribe_email.lower()
        self._database = database
        self._tokens = tokens

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a return path with a true token, in any case of its letters, and the address of unsubscribes."""
        local_part, _, domain = address.rpartition("@")
        is_report = domain.lower() == self._domain and self._recipient_of(local_part) is not None
        if not is_report and address.lower() != self._unsubscribe_email:
            return _NOT_OURS
        if len(envelope.rcpt_tos) >= RECIPIENT_LIMIT:
            return _TOO_MANY
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the message for each return path, with its job, before the 250."""
        found = [self._recipient_of(address.rpartition("@")[0]) for address in envelope.rcpt_tos]
        recipient_ids = [recipient_id for recipient_id in found if recipient_id is not None]
        content = envelope.content
        octets = content if isinstance(content, bytes) else b""
        leaving = None
        if any(address.lower() == self._unsubscribe_email for address in envelope.rcpt_tos):
            leaving = self._recipient_in_subject(octets)
            if leaving is None:
                return _NOT_NAMED
        try:
            async with asyncio.timeout(STORE_SECONDS), self._database.begin() as session:
                new = await keep_message(session, recipient_ids=recipient_ids, octets=octets)
                if leaving is not None:
                    await enqueue(session, Job.RECIPIENT_UNSUBSCRIBE, recipient=leaving)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other server must keep the message
            log.warning("inbound.not_stored", kind=type(error).__name__)
            return _TRY_LATER
        log.info("inbound.stored", recipient_ids=recipient_ids, octets=len(octets), new=new)
        return "250 2.0.0 Stored"

    async def handle_exception(self, error: Exception) -> str:
        """Answer what nobody foresaw without quoting it: the library's own answer tells the exception's text."""
        log.error("inbound.failed", kind=type(error).__name__)
        return "451 4.3.0 Something went wrong here: try again later"

    def _recipient_in_subject(self, octets: bytes) -> int | None:
        subject = str(BytesHeaderParser(policy=email.policy.default).parsebytes(octets)["Subject"] or "")
        for word in subject.split():  # mail clients and people may put words before it
            try:
                recipient_id, _ = self._tokens.read(Purpose.UNSUBSCRIBE, word)
            except InvalidToken:
                continue
            return recipient_id or None
        return None

    def _recipient_of(self, local_part: str) -> int | None:
        if not local_part.isascii():
            return None
        try:
            return self._tokens.read_return_path(local_part)
        except InvalidToken:
            return None
