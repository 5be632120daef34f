"""The SMTP dialogue of one connection: a state machine that runs inside `data_received`.

There is no await and no task per message. At most two messages are in hand: the one whose body is out and whose reply
is awaited (`_current`), and the one whose envelope is being negotiated (`_next`). With full pipelining the second's
envelope leaves in the same write as the first's body (RFC 2920 §3.1: DATA is last in its group, the body first in the
next). What each event means for the two is a table of its own: tests/delivery/test_faults.py has it line by line.
"""

import asyncio
from collections import deque
from typing import Final

from app.delivery.replies import Outcome, SendResult, Stage, decided_here
from app.delivery.smtp import wire
from app.delivery.smtp.account import Pipelining, SmtpAccount
from app.delivery.smtp.feed import ConnectionEnd, EndReason, Envelope, Feed
from app.delivery.smtp.patience import DOT, ENVELOPE, LONE_DOT, QUIT, RSET, Patience


class SmtpConnection(asyncio.Protocol):
    """One connection that sends what its feed gives until it ends; see `open_connection`."""

    def __init__(self, transport: asyncio.Transport, feed: Feed, account: SmtpAccount, offer: wire.Offer) -> None:
        self.closed: asyncio.Future[ConnectionEnd] = asyncio.get_running_loop().create_future()
        self.offer = offer
        self.pipelining = (account.pipelining or Pipelining.FULL) if offer.pipelining else Pipelining.OFF
        self._full = self.pipelining is Pipelining.FULL
        self._transport = transport
        self._feed = feed
        self._reader = wire.ReplyReader()

        self._current: Envelope | None = None  # its body is out
        self._next: Envelope | None = None  # its envelope is out, or about to be
        self._after: Envelope | None = None  # taken from the feed for the write that is being made
        self._prepared: tuple[bytes, ...] = ()  # the body of `_next`
        self._after_prepared: tuple[bytes, ...] = ()  # that of `_after`
        self._refusal: SendResult | None = None  # of `_next`, not yet settled
        self._go_ahead = False  # the 354 for `_next` has come
        self._reset_due = False  # the server holds a transaction that nobody wants
        self._expected: deque[int] = deque()  # replies on their way
        self._unwritten: deque[tuple[bytes, int]] = deque()  # commands that wait for their turn

        self._busy = False
        self._paused = False
        self._draining = False
        self._quitting: EndReason | None = None
        self._ending = False
        self._end_value: ConnectionEnd | None = None
        self._started = 0
        self._accepted = 0
        self._max_messages = account.max_messages

        pipelined = self.pipelining is not Pipelining.OFF
        self._patience = Patience(transport, account.timeouts, self._expire, pipelined=pipelined)

    # What the pipeline may ask

    def wake(self) -> None:
        """Look for messages, at first and again when the feed has some after it had said None."""
        if not self._busy:
            self._run(b"")

    def drain(self) -> None:
        """Start nothing more, let the message in flight finish, then say QUIT and end (SIGTERM)."""
        self._draining = True
        if not self._busy:
            self._run(b"")

    def abort(self) -> None:
        """End at once; a message whose body is out becomes unknown."""
        self._end(EndReason.ABORTED, "the connection was aborted here")

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        """Take the server's bytes and do all that follows from them."""
        self._run(data)

    def eof_received(self) -> bool:
        """Let the transport close: `connection_lost` settles."""
        return False

    def pause_writing(self) -> None:
        """Hold the next body back while the server does not take the last bytes."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write what was held back."""
        self._paused = False
        if not self._busy:
            self._run(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what is in hand and tell how the connection ended."""
        if self._quitting is not None:
            self._end(self._quitting, "said goodbye")
        else:
            self._end(EndReason.CLOSED_BY_SERVER, "the server closed the connection" if exc is None else str(exc))
        if not self.closed.done() and self._end_value is not None:
            self.closed.set_result(self._end_value)

    # The machine

    def _run(self, data: bytes) -> None:
        """Consume what came, then write what may be written; a feed that raises ends the connection."""
        if self._ending:
            return
        self._busy = True
        try:
            if data:
                self._consume(data)
            if not self._ending:
                self._advance()
        except Exception as error:  # noqa: BLE001 - handed on as the connection's end, after settling
            self._end(EndReason.FEED_FAILED, f"{type(error).__name__} in the feed", error=error)
        finally:
            self._busy = False

    def _consume(self, data: bytes) -> None:
        expected = self._expected
        replies = self._reader.feed(data)
        for code, words in replies:
            if not expected:
                self._unasked(code, words)
            else:
                self._TAKE[expected.popleft()](self, code, words)
            if self._ending:
                return
        if self._reader.garbled:
            self._out_of_step("the server sent something that is no SMTP reply")
        elif expected:
            if replies:  # bytes that complete no reply buy a server no time
                self._patience.await_reply(expected[0])
        elif self._reader.halfway:
            self._out_of_step("the server began a reply that nothing asked for")

    def _take_mail(self, code: int, words: bytes) -> None:
        if code >= 400:
            result = wire.result_of(Stage.MAIL, code, words)
            if code == 421:
                self._settle_next(result)
                self._farewell(result)
            else:
                self._refused(result)
        elif code >= 300:
            self._out_of_step(f"{code} as the reply to MAIL")

    def _take_rcpt(self, code: int, words: bytes) -> None:
        if code >= 400:
            self._reset_due = self._reset_due or self._refusal is None
            result = wire.result_of(Stage.RCPT, code, words)
            if code == 421:
                self._settle_next(self._refusal or result)
                self._farewell(result)
            else:
                self._refused(result)
        elif code >= 300:
            self._out_of_step(f"{code} as the reply to RCPT")
        elif self._refusal is not None:
            self._out_of_step("RCPT accepted after MAIL was refused")

    def _take_data(self, code: int, words: bytes) -> None:
        if code == 354:
            self._go_ahead = True
        elif code < 400:
            self._out_of_step(f"{code} as the reply to DATA")
        else:
            self._reset_due = self._reset_due or self._refusal is None
            result = wire.result_of(Stage.DATA, code, words)
            self._settle_next(self._refusal or result)
            if code == 421:
                self._farewell(result)

    def _take_dot(self, code: int, words: bytes) -> None:
        if 300 <= code < 400:
            self._out_of_step(f"{code} as the reply to the message")
            return
        envelope, self._current = self._current, None
        self._patience.body_answered()
        result = wire.result_of(Stage.DOT, code, words)
        if code < 300:
            self._accepted += 1
        if envelope is not None:
            self._feed.settle(envelope, result)
        if code == 421:
            self._farewell(result)

    def _take_lone_dot(self, code: int, words: bytes) -> None:
        self._reset_due = True  # some servers keep the transaction: Postfix answers 554 and waits for more RCPTs
        if code == 421:
            self._farewell(wire.result_of(Stage.DATA, code, words))
        elif 300 <= code < 400:
            self._out_of_step(f"{code} as the reply to a lone dot")

    def _take_rset(self, code: int, words: bytes) -> None:
        if code == 421:
            self._farewell(wire.result_of(Stage.MAIL, code, words))
        elif code >= 300:
            self._out_of_step(f"{code} as the reply to RSET")

    def _take_quit(self, code: int, words: bytes) -> None:
        del code, words  # whatever it says, it is over
        self._end(self._quitting or EndReason.DRAINED, "said goodbye")

    def _unasked(self, code: int, words: bytes) -> None:
        if code == 421:
            self._farewell(wire.result_of(Stage.MAIL, code, words))
        else:
            self._out_of_step(f"{code} as the reply to nothing")

    def _refused(self, result: SendResult) -> None:
        """Remember the first refusal of an envelope; at one command at a time, DATA is then not asked.

        RCPT is asked even after MAIL was refused: a server that accepts it is one reply behind (out of step).
        """
        if self._refusal is None:
            self._refusal = result
        if not self._expected and result.stage is Stage.RCPT:
            self._unwritten.clear()
            self._settle_next(self._refusal)

    def _advance(self) -> None:
        """Write what the replies so far allow; nothing while some are awaited."""
        if self._draining and self._current is None and self._quitting is None:
            if self._next is not None:
                # Its envelope is out, or its 354 has come: closing is the only way back that cannot send it.
                self._end(EndReason.DRAINED, "the connection was drained before the message started")
            else:
                self._say_quit(EndReason.DRAINED)
        elif self._expected or self._quitting is not None:
            return
        elif self._go_ahead:
            if self._refusal is not None:
                # 354 although nobody is to get it: whatever the server says to nothing, RCPT's word stands.
                self._settle_next(self._refusal)
                self._write((b".\r\n",), (LONE_DOT,))
            elif not self._paused:
                self._send_body()
        elif self._unwritten:
            command, stage = self._unwritten.popleft()
            self._write((command,), (stage,))
        else:
            self._open_envelope()

    def _open_envelope(self) -> None:
        self._next, self._prepared = self._pick(), self._after_prepared
        self._after, self._after_prepared = None, ()
        if self._next is None:
            self._rest()
            return
        commands = deque(zip(wire.envelope_commands(self._next, self._prepared, self.offer), ENVELOPE, strict=True))
        if self._reset_due:
            commands.appendleft((b"RSET\r\n", RSET))
            self._reset_due = False
        if self.pipelining is Pipelining.OFF:
            command, awaited = commands.popleft()
            self._unwritten = commands
            self._write((command,), (awaited,))
        else:
            self._write(tuple(command for command, _ in commands), tuple(awaited for _, awaited in commands))

    def _rest(self) -> None:
        """Nothing to send now: wait for `wake`, or leave if nothing more may be sent."""
        if self._ending:
            return
        if self._is_full():
            self._say_quit(EndReason.FULL_COUNT)
        else:
            self._patience.rest()

    def _is_over(self) -> bool:
        """Whether the connection ended meanwhile: any call of the feed may end it."""
        return self._ending

    def _is_full(self) -> bool:
        return self._max_messages is not None and self._started + self._go_ahead >= self._max_messages

    def _pick(self) -> Envelope | None:
        """Take the next message that may be written, into `_after` too; those that may not are settled on the way.

        Its body is made before its MAIL, so that its size can be declared and judged (RFC 1870 §6).
        """
        while not (self._ending or self._draining or self._is_full()):
            self._after = envelope = self._feed.next()
            if envelope is None:
                return None
            refusal = wire.refuse(envelope, self.offer)
            if refusal is None:
                self._after_prepared = wire.body(self._feed.content(envelope))
                refusal = wire.refuse_content(envelope, self._after_prepared, self.offer)
            if self._is_over():
                break
            if refusal is None:
                return envelope
            self._after, self._after_prepared = None, ()
            self._feed.settle(envelope, refusal)
        if self._after is not None:  # the feed ended the connection while it gave the message out
            envelope, self._after = self._after, None
            self._feed.settle(envelope, decided_here(Outcome.NOT_STARTED, "the connection ended before its start"))
        return None

    def _send_body(self) -> None:
        """Start the message: the body and, pipelined, the next envelope behind it, in one write."""
        envelope = self._next
        if envelope is None or self._transport.is_closing():
            self._end(EndReason.CLOSED_BY_SERVER, "the connection closed before the message started")
            return
        message = self._prepared
        following = self._pick() if self._full else None
        if self._is_over():
            return
        if self._draining:
            self._end(EndReason.DRAINED, "the connection was drained before the message started")
        elif not self._feed.start(envelope):
            self._end(EndReason.LEASE_GONE, "the lease was gone before the message started")
        if self._is_over():
            return
        self._started += 1
        self._go_ahead = False
        self._current, self._next, self._after = envelope, following, None
        self._prepared, self._after_prepared = self._after_prepared, ()
        awaited: tuple[int, ...] = (DOT,)
        if following is not None:
            commands = wire.envelope_commands(following, self._prepared, self.offer)
            message, awaited = (*message, *commands), (DOT, *ENVELOPE)
        self._patience.await_body(self._write(message, awaited))

    def _write(self, buffers: tuple[bytes, ...], awaited: tuple[int, ...]) -> int:
        self._expected.extend(awaited)
        self._patience.await_reply(awaited[0])
        return wire.hand_over(self._transport, buffers)

    def _say_quit(self, reason: EndReason) -> None:
        self._quitting = reason
        self._write((b"QUIT\r\n",), (QUIT,))

    # Ends

    def _expire(self) -> None:
        if self._quitting is not None:
            self._end(self._quitting, "said goodbye")
        elif self._current is None and self._next is None and not self._expected:
            self._say_quit(EndReason.IDLE)
        else:
            stuck = self._go_ahead or (self._current is not None and self._patience.is_body_held())
            text = "the server stopped reading" if stuck else "the server did not reply in time"
            self._end(EndReason.TIMED_OUT, text, stuck=stuck)

    def _settle_next(self, result: SendResult) -> None:
        envelope, self._next, self._refusal, self._prepared = self._next, None, None, ()
        self._go_ahead = False
        if envelope is not None:
            self._feed.settle(envelope, result)

    def _farewell(self, result: SendResult) -> None:
        self._end(EndReason.CLOSED_BY_SERVER, "the server said goodbye", reply=result)

    def _out_of_step(self, text: str) -> None:
        self._refusal = None  # a reply that may belong to another command decides nothing
        self._end(EndReason.OUT_OF_STEP, text)

    def _end(
        self,
        reason: EndReason,
        text: str,
        *,
        reply: SendResult | None = None,
        error: Exception | None = None,
        stuck: bool = False,
    ) -> None:
        """Settle what is in hand, once, and drop the connection with whatever it still wanted to write.

        A body that was out is unknown, or deferred where it is `stuck` here to its first byte. An envelope is not
        started, unless RCPT had refused it: a server that closes after refusing would be asked again for ever.
        """
        if self._ending:
            return
        self._ending = True
        self._patience.stop()
        refusal = self._refusal if self._refusal is not None and self._refusal.stage is Stage.RCPT else None
        waiting = Outcome.DEFERRED if stuck and self._current is None else Outcome.NOT_STARTED
        in_hand = (
            (self._current, decided_here(Outcome.DEFERRED if stuck else Outcome.UNKNOWN, text)),
            (self._next, refusal or decided_here(waiting, text)),
            (self._after, decided_here(Outcome.NOT_STARTED, text)),
        )
        self._current = self._next = self._after = None
        self._transport.abort()
        for envelope, result in in_hand:
            if envelope is None:
                continue
            try:
                self._feed.settle(envelope, result)
            except Exception as failure:  # noqa: BLE001 - the other messages must be settled too
                error, reason = error or failure, EndReason.FEED_FAILED
        pending = len(self._expected)
        self._end_value = ConnectionEnd(reason, text, self._started, self._accepted, pending, reply, error)

    _TAKE: Final = (_take_mail, _take_rcpt, _take_data, _take_dot, _take_lone_dot, _take_rset, _take_quit)
