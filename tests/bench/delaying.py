"""`python -m tests.bench.delaying PORT TARGET_PORT SECONDS`: a far-away server, made of a near one.

What the server says reaches the client `SECONDS` later, in order; what the client says goes on at once. So a client
that waits for every reply gets one answer in that time, whatever the CPU could do.
"""

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop

HOST = "127.0.0.1"


class _Server(asyncio.Protocol):
    """The connection to the near server: what it says waits its time."""

    def __init__(self, client: asyncio.Transport, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._later(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._later(b"")

    def _later(self, data: bytes) -> None:
        due = self._loop.time() + self._seconds
        self._waiting.append((due, data))
        if len(self._waiting) == 1:
            self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            _, data = self._waiting.popleft()
            if data:
                self._client.write(data)
            else:
                self._client.close()
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._deliver)


class _Client(asyncio.Protocol):
    """The connection of a client: what it says goes on at once."""

    def __init__(self, target: int, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._early: list[bytes] = []
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport by class.
        self._connecting = asyncio.create_task(self._connect(cast("asyncio.Transport", transport)))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._server, _ = await loop.create_connection(lambda: _Server(client, self._seconds), HOST, self._target)
        self._server.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._server is not None:
            self._server.close()


async def serve(port: int, target: int, seconds: float) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(target, seconds), HOST, port, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
