"""A real SMTP server on loopback that does exactly the faults a script asks for, and keeps a ledger of what it took.

    async with SmtpServer("rcpt 2: 450 4.7.1 Greylisted\\ndot 3: 250 ok; close") as server:
        ... connect to server.host, server.port ...
        assert [entry.recipient for entry in server.ledger] == [...]

The ledger is written before the 250 leaves, so it is never behind what a client may know.

The script has one rule per line; "#" begins a comment line; the first rule that fits is used:

    PLACE WHICH: STEP; STEP; ...

PLACE   connect ehlo starttls auth mail rcpt data body dot rset quit
        (body: when the first line of a message has come; dot: when all of it has)
WHICH   3        the third message of the server, counted by MAIL commands (for the first four and quit: connection)
        3+       the third and all later ones
        *        every one
        2%       two in a hundred, by the server's seed
        a@b.no   every message to that recipient (from rcpt on)
STEP    250 ok             a reply; several lines are joined by "|": 250-one|250 two
        bytewise 250 ok    the reply, one byte per packet
        lf 250 ok          the reply, ended by LF alone
        raw BYTES          bytes as they are, with Python escapes (\\r \\n \\x00)
        endless            a line without end, for as long as the client listens
        usual              what the server would do without the rule
        accept             put the message into the ledger and say nothing
        wait 0.1           seconds
        close              end the connection (FIN)
        reset              end it rudely (RST)
        stall              say nothing any more
        deaf               read nothing any more from here on; further steps still speak
        drop               throw away what the client has written ahead of the next reply
        ahead STEP         the step, if the client has written ahead

After the steps the server goes on as its last reply demands: a 354 is followed by a message, a refused RCPT counts as
refused, and so on. A 2xx at dot puts the message into the ledger.
"""

import asyncio
import base64
import hmac
import random
import re
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

USUAL_KEYWORDS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")
PLACES = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "rset", "quit")
_OF_CONNECTION = ("connect", "ehlo", "starttls", "auth", "quit")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(r"<([^<>]*)>(.*)")


@dataclass(frozen=True, slots=True)
class Taken:
    """One message the server took, as it came: dots unstuffed, without the final dot."""

    sender: str
    recipient: str
    message_id: str
    content: bytes = field(repr=False)
    connection: int
    options: str  # what followed MAIL's path


@dataclass(frozen=True, slots=True)
class Rule:
    place: str
    which: str
    steps: tuple[str, ...]

    def fits(self, place: str, number: int, recipient: str, dice: random.Random) -> bool:
        if place != self.place:
            return False
        if self.which.endswith("%"):
            return dice.random() * 100 < float(self.which[:-1])
        if self.which.endswith("+"):
            return number >= int(self.which[:-1])
        return self.which in ("*", recipient, str(number))


def parse_script(script: str) -> list[Rule]:
    rules = []
    for line in filter(None, map(str.strip, script.splitlines())):
        if line.startswith("#"):
            continue
        head, colon, tail = line.partition(":")
        place, _, which = head.partition(" ")
        if not colon or place not in PLACES or not which.strip():
            raise ValueError(f"not a rule: {line!r}")
        rules.append(Rule(place, which.strip(), tuple(step.strip() for step in tail.split(";"))))
    return rules


class SmtpServer:
    """An asynchronous context manager. `users` maps names to passwords; `tls` offers STARTTLS, or TLS at once."""

    def __init__(
        self,
        script: str = "",
        *,
        keywords: tuple[str, ...] = USUAL_KEYWORDS,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        users: dict[str, str] | None = None,
        mechanisms: str = "PLAIN LOGIN",
        latency: float = 0,
        ledger_file: Path | None = None,
        keep_content: bool = True,
        seed: int = 0,
    ) -> None:
        self.rules = parse_script(script)
        self.keywords = keywords
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.users = users or {}
        self.mechanisms = mechanisms
        self.latency = latency
        self.keep_content = keep_content
        self.dice = random.Random(seed)
        self.host = "127.0.0.1"
        self.port = 0
        self.ledger: list[Taken] = []
        self.commands: list[str] = []  # every command line, in order of arrival
        self.connections = 0
        self.messages = 0
        self._ledger_file = ledger_file.open("ab", buffering=0) if ledger_file else None
        self._sessions: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def listen(self, port: int = 0) -> None:
        context = self.tls if self.implicit_tls else None
        self._server = await asyncio.start_server(self._serve, self.host, port, ssl=context, limit=2**26)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Stop listening and drop every connection, as a killed server would."""
        if self._server is not None:
            self._server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        if self._ledger_file is not None:
            self._ledger_file.close()

    def record(self, taken: Taken) -> None:
        self.ledger.append(taken)
        if self._ledger_file is not None:
            self._ledger_file.write(f"{taken.recipient}\t{taken.message_id}\n".encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        session = _Session(self, reader, writer, self.connections)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, _Over, ssl.SSLError):
                await session.run()
        finally:
            self._sessions.discard(task)
            session.writer.transport.abort()


class _Over(Exception):  # noqa: N818 - not an error: the script or the client ended the connection
    pass


class _Session:
    def __init__(
        self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.number = number
        self.message = 0
        self.sender: str | None = None
        self.options = ""
        self.recipient = ""
        self.accepted_recipient = False
        self.content = b""
        self.taken = False
        self.encrypted = server.implicit_tls

    async def run(self) -> None:
        await self.answer("connect", "220 scripted ESMTP")
        while True:
            line = (await self.reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")
            self.server.commands.append(line)
            verb, _, rest = line.partition(" ")
            command = getattr(self, f"on_{verb.lower()}", None)
            if command is None:
                await self.send("500 5.5.1 what?")
            else:
                await command(rest)

    async def on_ehlo(self, _: str) -> None:
        keywords = list(self.server.keywords)
        if self.server.tls is not None and not self.encrypted:
            keywords.append("STARTTLS")
        if self.server.users:
            keywords.append(f"AUTH {self.server.mechanisms}")
        lines = ["scripted", *keywords]
        reply = "|".join(f"250{'-' if i + 1 < len(lines) else ' '}{text}" for i, text in enumerate(lines))
        await self.answer("ehlo", reply)

    async def on_helo(self, _: str) -> None:
        await self.answer("ehlo", "250 scripted")

    async def on_starttls(self, _: str) -> None:
        assert self.server.tls is not None
        if await self.answer("starttls", "220 go ahead") == 220:
            await self.writer.start_tls(self.server.tls)
            self.encrypted = True

    async def on_auth(self, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        if mechanism.upper() not in self.server.mechanisms.split():
            await self.answer("auth", "504 5.5.4 mechanism not known")
            return
        match mechanism.upper():
            case "PLAIN":
                _, name, password = base64.b64decode(first).decode().split("\0")
                known = self.server.users.get(name) == password
            case "LOGIN":
                name = base64.b64decode(first or await self.ask("VXNlcm5hbWU6")).decode()
                known = self.server.users.get(name) == base64.b64decode(await self.ask("UGFzc3dvcmQ6")).decode()
            case "CRAM-MD5":
                challenge = b"<1896.697170952@scripted>"
                answer = base64.b64decode(await self.ask(base64.b64encode(challenge).decode())).decode()
                name, _, digest = answer.rpartition(" ")
                key = self.server.users.get(name, "").encode()
                known = bool(key) and digest == hmac.new(key, challenge, "md5").hexdigest()
            case _:
                found = re.fullmatch(r"user=(.*)\x01auth=Bearer (.*)\x01\x01", base64.b64decode(first).decode())
                known = found is not None and self.server.users.get(found[1]) == found[2]
                if not known:  # its reason comes as a challenge, and the refusal after an empty answer to it
                    await self.ask(base64.b64encode(b'{"status":"400"}').decode())
        await self.answer("auth", "235 2.7.0 welcome" if known else "535 5.7.8 credentials invalid")

    async def ask(self, question: str) -> str:
        await self.send(f"334 {question}")
        return (await self.reader.readuntil(b"\r\n")).decode().strip()

    async def on_mail(self, rest: str) -> None:
        self.server.messages += 1
        self.message = self.server.messages
        found = _PATH.search(rest)
        if self.sender is not None or found is None:
            await self.answer("mail", "503 5.5.1 nested MAIL" if found else "501 5.1.7 no path")
            return
        if 200 <= await self.answer("mail", "250 2.1.0 ok") < 300:
            self.sender, self.options = found[1], found[2].strip()

    async def on_rcpt(self, rest: str) -> None:
        found = _PATH.search(rest)
        self.recipient = found[1] if found else ""
        usual = "250 2.1.5 ok" if self.sender is not None else "503 5.5.1 MAIL first"
        self.accepted_recipient = 200 <= await self.answer("rcpt", usual) < 300

    async def on_data(self, _: str) -> None:
        nobody = "554 5.5.1 no valid recipients"
        if await self.answer("data", "354 go on" if self.accepted_recipient else nobody) != 354:
            return
        stuffed = await self.reader.readuntil(b"\n")
        await self.answer("body", "")
        while stuffed != b".\r\n" and not stuffed.endswith(b"\r\n.\r\n"):
            stuffed += await self.reader.readuntil(b".\r\n")
        self.content = stuffed[:-3].removeprefix(b".").replace(b"\r\n.", b"\r\n")
        self.taken = False
        await self.answer("dot", "250 2.0.0 taken" if self.accepted_recipient else nobody)
        self.forget()

    async def on_rset(self, _: str) -> None:
        self.forget()
        await self.answer("rset", "250 2.0.0 ok")

    async def on_noop(self, _: str) -> None:
        await self.send("250 2.0.0 ok")

    async def on_quit(self, _: str) -> None:
        await self.answer("quit", "221 2.0.0 bye")
        raise _Over

    def forget(self) -> None:
        self.sender, self.recipient, self.accepted_recipient, self.options = None, "", False, ""

    async def answer(self, place: str, usual: str) -> int:
        """Do what the script says at this place, or the usual; return the last reply's code, 0 if there was none."""
        number = self.number if place in _OF_CONNECTION else self.message
        for rule in self.server.rules:
            if rule.fits(place, number, self.recipient, self.server.dice):
                code = 0
                for step in rule.steps:
                    code = await self.take(place, step, usual) or code
                return code
        return await self.take(place, usual, usual) if usual else 0

    async def take(self, place: str, step: str, usual: str) -> int:
        word, _, rest = step.partition(" ")
        if word == "usual":
            return await self.take(place, usual, usual) if usual else 0
        if word == "ahead":
            return await self.take(place, rest, usual) if self.reader._buffer else 0
        if word in ("bytewise", "lf") or word[:3].isdigit():
            return await self.reply(place, step)
        await getattr(self, f"do_{word}")(rest)
        return 0

    async def reply(self, place: str, step: str) -> int:
        word, _, rest = step.partition(" ")
        text = rest if word in ("bytewise", "lf") else step
        code = int(text.split("|")[-1][:3])
        if place == "dot" and 200 <= code < 300 and not self.taken:
            await self.do_accept("")
        data = "".join(line + ("\n" if word == "lf" else "\r\n") for line in text.split("|")).encode()
        if word == "bytewise":
            for octet in data:
                self.writer.write(bytes((octet,)))
                await asyncio.sleep(0)
        else:
            await self.send_bytes(data)
        return code

    async def send(self, line: str) -> None:
        await self.send_bytes(f"{line}\r\n".encode())

    async def send_bytes(self, data: bytes) -> None:
        if self.server.latency:
            await asyncio.sleep(self.server.latency)
        self.writer.write(data)
        await self.writer.drain()

    async def do_accept(self, _: str) -> None:
        self.taken = True
        found = _MESSAGE_ID.search(self.content)
        content = self.content if self.server.keep_content else b""
        message_id = found[1].decode("ascii", "replace") if found else ""
        self.server.record(
            Taken(self.sender or "", self.recipient, message_id, content, self.number, self.options),
        )

    async def do_raw(self, rest: str) -> None:
        await self.send_bytes(rest.encode("latin-1").decode("unicode_escape").encode("latin-1"))

    async def do_endless(self, _: str) -> None:
        while True:
            await self.send_bytes(b"2" * 4096)
            await asyncio.sleep(0)

    async def do_wait(self, rest: str) -> None:
        await asyncio.sleep(float(rest))

    async def do_close(self, _: str) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()
        raise _Over

    async def do_reset(self, _: str) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise _Over

    async def do_stall(self, _: str) -> None:
        while await self.reader.read(65536):
            pass
        raise _Over

    async def do_drop(self, _: str) -> None:
        self.reader._buffer.clear()

    async def do_deaf(self, _: str) -> None:
        self.writer.transport.pause_reading()
