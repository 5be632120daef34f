"""Small stand-ins for Postfix's and wrk's programs, so that the suite needs neither; far too slow to measure with."""

import asyncio
import smtplib
import time
from pathlib import Path

from app.embedded.process import Service
from app.tracking.answers import PIXEL
from tests.bench.tools import Clicked, SmtpTools

_USER_AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"


def smtp_tools(sink: Service, *, through: int | None = None) -> SmtpTools:
    """Return a source for the sink that sends one message after another."""
    host, _, port = sink.url.rpartition("/")[2].rpartition(":")

    def send_all(messages: int, octets: int) -> None:
        message = b"Subject: stand-in\r\n\r\n" + b"a line of the stand-in\r\n" * (octets // 24)
        with smtplib.SMTP(host, through or int(port), timeout=10) as server:
            for number in range(messages):
                server.sendmail("stand-in@example.com", f"{number}@example.com", message)

    return SmtpTools(sink=sink, source=lambda messages, octets: asyncio.to_thread(send_all, messages, octets))


async def click(port: int, *, paths: Path, connections: int, seconds: float) -> Clicked:
    """Click until the time is over, and wait for every answer: what was answered is what was sent."""
    waiting = iter((await asyncio.to_thread(paths.read_text, encoding="ascii")).split())
    times: list[float] = []
    failed = 0

    async def reader_clicks() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < ends and (path := next(waiting, None)):
            began = time.monotonic()
            writer.write(b"GET %s HTTP/1.1\r\nHost: click\r\nUser-Agent: %s\r\n\r\n" % (path.encode(), _USER_AGENT))
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer.startswith(b"HTTP/1.1 200 "):
                await reader.readexactly(len(PIXEL))
            times.append((time.monotonic() - began) * 1000)
            failed += not answer.startswith((b"HTTP/1.1 302 ", b"HTTP/1.1 200 "))
        writer.close()
        await writer.wait_closed()

    began = time.monotonic()
    ends = began + seconds
    await asyncio.gather(*(reader_clicks() for _ in range(connections)))
    times.sort()
    p50, p99 = (times[int(share * len(times))] for share in (0.5, 0.99))
    return Clicked(len(times), failed, seconds=time.monotonic() - began, p50_ms=p50, p99_ms=p99)
