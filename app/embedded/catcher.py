"""The mail catcher: an SMTP server that delivers nothing and keeps every message in a Maildir.

Runs as a process of its own: `python -m app.embedded.catcher --maildir DIR --port N`. A caught file is the envelope as
`X-Catcher-From` (`<>` for the null sender) and one `X-Catcher-Rcpt` per recipient, then the message byte for byte as it
came (with CRLF).
"""

import argparse
import asyncio
import itertools
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.embedded.errors import DataDirectoryUnusableError
from app.embedded.ports import free_port, listening
from app.embedded.process import Child, Server, Service, log_file, start

SIZE_LIMIT = 50 * 1024 * 1024  # bytes of one message
_CHUNK_LIMIT = 256 * 1024  # bytes of the stream's buffer
_CONTROLS = dict.fromkeys((*range(32), 127), "?")


def start_catcher(data_dir: Path, *, port: int = 0) -> Server:
    """Start a catcher that fills `<data>/mail`, and return when it listens; its `url` is `smtp://127.0.0.1:port`."""
    service = prepare_catcher(data_dir, port=port)
    return start(service, log=log_file(data_dir, service.child.name))


def prepare_catcher(data_dir: Path, *, port: int = 0) -> Service:
    """Make the Maildir and return how to start the catcher; `port` 0 takes a free one."""
    maildir = data_dir.resolve() / "mail"
    try:
        make_maildir(maildir)
    except OSError as error:
        raise DataDirectoryUnusableError(data_dir, cause=error) from error
    port = port or free_port()
    # The package's parent, so that the module is found wherever we were started.
    source = Path(__file__).resolve().parents[2]
    argv = [sys.executable, "-m", "app.embedded.catcher", "--maildir", str(maildir), "--port", str(port)]
    child = Child(name="catcher", argv=argv, cwd=source, ready=lambda: listening(port), ready_within=15.0)
    return Service(f"smtp://127.0.0.1:{port}", child)


def make_maildir(maildir: Path) -> None:
    """Make the three directories of a Maildir where they are missing."""
    for part in ("tmp", "new", "cur"):
        (maildir / part).mkdir(mode=0o700, parents=True, exist_ok=True)


class MaildirHandler:
    """What aiosmtpd calls: adds PIPELINING to the EHLO answer, keeps each message as a file."""

    def __init__(self, maildir: Path) -> None:
        self._tmp = maildir / "tmp"
        self._new = maildir / "new"
        self._numbers = itertools.count()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING (RFC 2920): commands are read from a stream, one after the other, none is discarded."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message; in `new` it is always whole."""
        name = f"{time.time_ns():019}.{os.getpid()}_{next(self._numbers)}.catcher"
        lines = [f"X-Catcher-From: {_line(envelope.mail_from)}\r\n"]
        lines += [f"X-Catcher-Rcpt: {_line(recipient)}\r\n" for recipient in envelope.rcpt_tos]
        head = "".join(lines).encode("utf-8", "surrogateescape")
        content = envelope.content
        part = self._tmp / name
        # Not awaited aside: writing 30 KB to the page cache takes less than handing it to a thread. No fsync: caught
        # mail is worth less than that.
        with part.open("xb") as file:
            file.writelines((head, content if isinstance(content, bytes) else b""))
        part.rename(self._new / name)
        return f"250 2.0.0 kept as {name}"


class CatcherSMTP(SMTP):
    """aiosmtpd's server, reading message data in large pieces instead of line by line (four times as fast)."""

    # aiosmtpd makes its StreamReader with this limit; it bounds a piece, not a line: the catcher takes lines of any
    # length, so that a sender's mistake can be looked at.
    line_length_limit = _CHUNK_LIMIT

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """Take the message data (RFC 5321 §4.1.1.4) and hand them to the handler."""
        if await self.check_helo_needed():
            return
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._message_data()
        if content is None:
            await self.push("552 5.3.4 Error: Too much mail data")
        else:
            envelope.content = envelope.original_content = content
            await self.push(await self._call_handler_hook("DATA"))
        self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd leaves it untyped

    async def _message_data(self) -> bytes | None:
        """Return the data without the final dot and the dots that hide dots (RFC 5321 §4.5.2); None if too much."""
        data = bytearray()
        too_much = False
        while True:
            try:
                data += await self._reader.readuntil(b".\r\n")
            except asyncio.LimitOverrunError as overrun:
                data += await self._reader.readexactly(overrun.consumed)
            if data == b".\r\n" or data.endswith(b"\r\n.\r\n"):
                break
            if len(data) > SIZE_LIMIT:
                too_much = True
                del data[:-4]  # enough to recognise the end
        if too_much or len(data) - 3 > SIZE_LIMIT:
            return None
        body = bytes(data[:-3])
        return (body[1:] if body.startswith(b".") else body).replace(b"\r\n.", b"\r\n")


def _line(address: str | None) -> str:
    """Return an envelope address that cannot end its header line."""
    return (address or "").translate(_CONTROLS)


async def catch(maildir: Path, *, port: int) -> None:
    """Catch mail on 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    handler = MaildirHandler(maildir)

    def serve() -> Any:
        return CatcherSMTP(
            handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Budstikke mail catcher: nothing is delivered",
            loop=loop,
        )

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = await loop.create_server(serve, "127.0.0.1", port, backlog=1024)
    await stopping.wait()
    server.close()


def main() -> None:
    """Read the command line and catch mail."""
    parser = argparse.ArgumentParser(prog="python -m app.embedded.catcher", description="Catch mail in a Maildir.")
    parser.add_argument("--maildir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    # aiosmtpd's INFO lines quote addresses; no personal data in logs.
    logging.basicConfig(level=logging.ERROR)
    make_maildir(arguments.maildir)
    uvloop.run(catch(arguments.maildir, port=arguments.port))


if __name__ == "__main__":
    main()
