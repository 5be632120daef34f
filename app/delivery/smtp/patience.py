"""How long one connection waits for its server: one timer that looks now and then, and none per message."""

import asyncio
from collections.abc import Callable
from typing import Final

from app.delivery.smtp.account import Timeouts

# What a reply is awaited for.
MAIL, RCPT, DATA, DOT, LONE_DOT, RSET, QUIT = range(7)
ENVELOPE: Final = (MAIL, RCPT, DATA)


class Patience:
    """The deadline of what is awaited now; calls `expire` once it has passed, until `stop`."""

    __slots__ = (
        "_body_left",
        "_body_size",
        "_deadline",
        "_exact",
        "_expire",
        "_loop",
        "_pulse",
        "_timeouts",
        "_timer",
        "_transport",
        "_waits",
    )

    def __init__(
        self, transport: asyncio.Transport, timeouts: Timeouts, expire: Callable[[], None], *, pipelined: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._timeouts = timeouts
        self._expire = expire
        command, data, dot = timeouts.command, timeouts.data, timeouts.dot
        if pipelined:  # nothing is lost by giving up early: its envelope is out, and nothing is started
            command, data = min(command, timeouts.pipelined), min(data, timeouts.pipelined)
        self._waits = (command, command, data, dot, dot, command, timeouts.quit)
        self._pulse = min(1.0, min(*self._waits, timeouts.body, timeouts.idle) / 4)
        self._body_size = 0  # octets of the last body with what was written behind it
        self._body_left = 0  # of them, what our own buffer still held when last looked at
        # A TLS transport counts only what it has not encrypted yet: there, nobody can tell what reached the kernel.
        self._exact = transport.get_extra_info("sslcontext") is None
        self.rest()
        self._timer = self._loop.call_later(self._pulse, self._look)

    def await_reply(self, what: int) -> None:
        """Wait for the reply to MAIL, RCPT and so on, from now."""
        self._deadline = self._loop.time() + self._waits[what]

    def await_body(self, size: int) -> None:
        """Wait for the server to take a body of `size` octets that was just written, then for its reply."""
        self._body_size = size
        self._body_left = self._transport.get_write_buffer_size()
        if self._body_left:
            self._deadline = self._loop.time() + self._timeouts.body

    def body_answered(self) -> None:
        """Forget the body: its reply has come."""
        self._body_left = 0

    def rest(self) -> None:
        """Wait for something to send."""
        self._deadline = self._loop.time() + self._timeouts.idle

    def is_body_held(self) -> bool:
        """Tell whether no octet of the last body was handed to the kernel; False where that cannot be known."""
        return self._exact and self._body_left > 0 and self._transport.get_write_buffer_size() >= self._body_size

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._pulse, self._look)
        now = self._loop.time()
        if self._body_left:
            left = self._transport.get_write_buffer_size()
            if left < self._body_left:  # the server reads: the next block, or the reply, gets its whole time
                self._body_left = left
                self._deadline = now + (self._timeouts.body if left else self._timeouts.dot)
        if now >= self._deadline:
            self._expire()
