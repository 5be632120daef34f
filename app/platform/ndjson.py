"""Newline-delimited JSON, read and answered while it comes: memory does not grow with the number of lines."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, Self

from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

MEDIA_TYPE = "application/x-ndjson"
LINE_LIMIT = 1 << 20  # octets; the largest item that the schemas take has some 800 000
BATCH_LINES = 1000
BATCH_OCTETS = 4 << 20  # of long lines there are fewer in a batch
_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a line that is no JSON; `detail` says why and what would be right."""

    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in a row: `numbers` (from 1) of those that are not empty, and what each holds."""

    numbers: Sequence[int]
    items: Sequence[Any]


class Disconnected(Exception):  # noqa: N818 - what happened, and no error of ours
    """The client went away before the end of its lines."""


def parse(line: bytes) -> Any:
    """Return what a line holds, or Unreadable."""
    try:
        return from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        return Unreadable(f"This line is no JSON: {error}. Write one object per line, in UTF-8.")


async def batches(receive: Receive) -> AsyncIterator[Batch]:
    """Yield the lines of a request's body as they come; raises Disconnected.

    Lines end with LF or CRLF; empty ones are left out, but count. One over LINE_LIMIT is skipped without being held.
    """
    reader = _Reader()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        for batch in reader.take(message.get("body", b"")):
            yield batch
    for batch in reader.end():
        yield batch


class _Reader:
    """Cuts pieces into lines, and lines into batches."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_octets = 0
        self._number = 0
        self._numbers: list[int] = []
        self._items: list[Any] = []
        self._octets = 0

    def take(self, piece: bytes) -> list[Batch]:
        """Return the batches that the piece completes."""
        *lines, rest = piece.split(b"\n")
        full = []
        for line in lines:
            if self._rest:
                self._hold(line)
                line = b"".join(self._rest)  # noqa: PLW2901 - the line, with what came of it before
            self._add(line)
            if len(self._numbers) >= BATCH_LINES or self._octets >= BATCH_OCTETS:
                full.append(self._cut())
        if rest:
            self._hold(rest)
        return full

    def end(self) -> list[Batch]:
        """Return what is left when nothing more comes."""
        if self._rest:
            self._add(b"".join(self._rest))
        return [self._cut()] if self._numbers else []

    def _hold(self, piece: bytes) -> None:
        self._rest_octets += len(piece)
        if self._rest_octets <= LINE_LIMIT:
            self._rest.append(piece)
        else:
            self._rest = [b" "]  # not empty, so that what follows is seen as the same line

    def _add(self, line: bytes) -> None:
        too_long = max(self._rest_octets, len(line)) > LINE_LIMIT
        self._rest, self._rest_octets = [], 0
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if too_long:
            item: Any = Unreadable(f"This line is too long: at most {LINE_LIMIT >> 20} MiB are taken.")
        elif line.isspace() or not line:
            return
        else:
            item = parse(line)
        self._numbers.append(self._number)
        self._items.append(item)
        self._octets += len(line)

    def _cut(self) -> Batch:
        batch = Batch(self._numbers, self._items)
        self._numbers, self._items, self._octets = [], [], 0
        return batch


def line_of(value: Mapping[str, Any]) -> bytes:
    """Return a line of the answer."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class Exchange(Response):
    """Answers lines with lines, both at once.

    `converse(receive, say)` reads the body and says what is to be answered. What was said waits in a file, so that a
    client which sends everything before it reads anything gets its answer too, however long it is.
    """

    media_type = MEDIA_TYPE

    def __init__(self, converse: Callable[[Receive, Callable[[bytes], None]], Awaitable[None]]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._converse = converse

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with _Said() as said:
            writing = asyncio.create_task(self._write(said, send))
            try:
                await self._converse(receive, said.add)
                said.close()
                await writing
            except Disconnected:
                pass  # nobody is there to be answered
            finally:
                writing.cancel()

    async def _write(self, said: "_Said", send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        async for piece in said:
            if start:
                await send(start)
                start = {}
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Said:
    """A file that is written at its end and read from its beginning."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._read = self._written = 0
        self._closed = False
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, piece: bytes) -> None:
        self._file.seek(self._written)
        self._file.write(piece)
        self._written += len(piece)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._read < self._written:
                self._file.seek(self._read)
                piece = self._file.read(min(_PIECE, self._written - self._read))
                self._read += len(piece)
                yield piece
            elif self._closed:
                return
            else:
                self._news.clear()
                await self._news.wait()
