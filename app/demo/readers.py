"""Playing the recipients: people with mail programs and browsers, machines that come along, servers that bounce."""

import asyncio
import smtplib
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urljoin

import httpx2

from app.bounces.report import failure_report
from app.demo.caught_mail import Caught, Message, first_form, open_message
from app.demo.errors import TooFewMessages, UnexpectedAnswer
from app.demo.screen import Bar

MAIL_PROGRAMS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
)
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
)
SECURITY_SCANNER = "Mozilla/5.0 (compatible; BarracudaCentral/1.0; link protection)"
MAIL_PRIVACY_PROXY = "Mozilla/5.0"  # all that Apple's proxies say of themselves

_AT_ONCE = 20  # requests
_HOST = "mx.mottaker.example"
_GONE = "550 5.1.1 <{address}>: Recipient address rejected: User unknown"


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays what; nobody plays two parts, but clickers and those who unsubscribe open the message first."""

    openers: Sequence[Message]
    again: int  # of the openers, how many open a second time
    clickers: Sequence[Message]
    twice: int  # of the clickers, how many follow a second link
    one_click: Sequence[Message]
    by_page: Sequence[Message]
    scanned: Sequence[Message]
    prefetched: Sequence[Message]
    bounced: Sequence[Caught]


PARTS = {"openers": 60, "clickers": 45, "one_click": 5, "by_page": 4, "scanned": 1, "prefetched": 12, "bounced": 3}
AGAIN, TWICE = 15, 10


def cast_from(caught: Sequence[Caught], *, public_url: str) -> Cast:
    """Hand out the parts to recipients spread over the mailing; raises TooFewMessages and MessageUnusable."""
    needed = sum(PARTS.values())
    if len(caught) < needed:
        raise TooFewMessages(caught=len(caught), needed=needed)
    spread = iter(caught[:: len(caught) // needed])
    taken = {part: list(islice(spread, number)) for part, number in PARTS.items()}
    read = {
        part: [open_message(one, public_url=public_url) for one in taken[part]] for part in PARTS if part != "bounced"
    }
    return Cast(**read, again=AGAIN, twice=TWICE, bounced=taken["bounced"])


@dataclass(slots=True)
class Played:
    """What was done, as it was done: the statistics have to say the same."""

    opens: Counter[str] = field(default_factory=Counter)  # by human, machine
    clicks: Counter[str] = field(default_factory=Counter)
    openers: set[str] = field(default_factory=set)  # addresses of people
    clickers: set[str] = field(default_factory=set)
    unsubscribed: set[str] = field(default_factory=set)
    bounced: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)  # where clicks led


class _Readers:
    """The HTTP side of it, with at most _AT_ONCE requests on their way."""

    def __init__(self, http: httpx2.AsyncClient, played: Played, shown: Bar) -> None:
        self._http = http
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._played = played
        self._shown = shown

    async def human(self, number: int, message: Message, *, opens: int = 1, links: int = 0) -> None:
        """Open the message in a mail program, then follow links in a browser."""
        for _ in range(opens):
            await self._open(message, MAIL_PROGRAMS[number % len(MAIL_PROGRAMS)], by="human")
        self._played.openers.add(message.caught.recipient)
        for offset in range(links):
            link = message.links[(number + offset) % len(message.links)]
            await self._click("GET", link, BROWSERS[number % len(BROWSERS)], by="human")
            self._played.clickers.add(message.caught.recipient)
        self._shown.advance()

    async def unsubscribe_by_one_click(self, number: int, message: Message) -> None:
        """Open the message, then press the mail program's own unsubscribe button (RFC 8058 §3.2)."""
        await self.human(number, message)
        posted = {"List-Unsubscribe": "One-Click"}
        answer = await self._ask("POST", message.one_click, MAIL_PROGRAMS[number % len(MAIL_PROGRAMS)], data=posted)
        _expect(answer, "A one-click unsubscription", good=answer.is_success, expected="2xx")
        self._played.unsubscribed.add(message.caught.recipient)

    async def unsubscribe_on_page(self, number: int, message: Message) -> None:
        """Open the message, follow its unsubscribe link, and press the button on the page."""
        await self.human(number, message)
        browser = BROWSERS[number % len(BROWSERS)]
        page = await self._ask("GET", message.unsubscribe_page, browser)
        form = first_form(page.text) if page.is_success else None
        if form is None:
            raise UnexpectedAnswer("The unsubscribe page", status=page.status_code, expected="a page with a form")
        action = urljoin(message.unsubscribe_page, form.action)
        answer = await self._ask("POST", action, browser, data=form.fields)
        _expect(answer, "The unsubscribe form", good=not answer.is_error, expected="2xx or 3xx")
        self._played.unsubscribed.add(message.caught.recipient)

    async def scanner(self, message: Message) -> None:
        """Load the images, and follow every link at once, first with HEAD, then with GET; it unsubscribes nobody."""
        requests = [self._open(message, SECURITY_SCANNER, by="machine")]
        for link in message.links:
            requests += [self._click(method, link, SECURITY_SCANNER, by="machine") for method in ("HEAD", "GET")]
        requests += [self._look(page) for page in message.pages]
        await asyncio.gather(*requests)
        self._shown.advance()

    async def prefetch(self, message: Message) -> None:
        """Load the images as Apple's mail privacy protection does: for everyone, read or not."""
        await self._open(message, MAIL_PRIVACY_PROXY, by="machine")
        self._shown.advance()

    async def _look(self, page: str) -> None:
        answer = await self._ask("GET", page, SECURITY_SCANNER)
        _expect(answer, "A page of the message", good=answer.is_success, expected="200")

    async def _open(self, message: Message, user_agent: str, *, by: str) -> None:
        answer = await self._ask("GET", message.pixel, user_agent)
        is_image = answer.headers.get("content-type") == "image/gif"
        _expect(answer, "The pixel", good=answer.status_code == 200 and is_image, expected="200 with an image")
        self._played.opens[by] += 1

    async def _click(self, method: str, link: str, user_agent: str, *, by: str) -> None:
        answer = await self._ask(method, link, user_agent)
        _expect(answer, "A tracked link", good=answer.status_code == 302, expected="302 to its target")
        self._played.targets.add(answer.headers["location"])
        self._played.clicks[by] += 1

    async def _ask(self, method: str, url: str, user_agent: str, **request: Any) -> httpx2.Response:
        async with self._places:
            return await self._http.request(method, url, headers={"User-Agent": user_agent}, **request)


def _expect(answer: httpx2.Response, what: str, *, good: bool, expected: str) -> None:
    if not good:
        raise UnexpectedAnswer(what, status=answer.status_code, expected=expected)


def parts_in(cast: Cast) -> int:
    """Return how many recipients play on the web: the length of the progress bar."""
    people = len(cast.openers) + len(cast.clickers) + len(cast.one_click) + len(cast.by_page)
    return people + len(cast.scanned) + len(cast.prefetched)


async def play(cast: Cast, *, people_from: datetime, played: Played, shown: Bar) -> None:
    """Play machines at once, and people from that moment on: whoever clicks sooner is taken for a machine (D45).

    Raises UnexpectedAnswer.
    """
    async with httpx2.AsyncClient(timeout=30.0) as http:
        readers = _Readers(http, played, shown)
        await _together([readers.scanner(message) for message in cast.scanned])
        await _together([readers.prefetch(message) for message in cast.prefetched])
        await asyncio.sleep(max(timedelta(0), people_from - datetime.now(UTC)).total_seconds())
        await _together(
            [
                *(readers.human(n, each, opens=1 + (n < cast.again)) for n, each in enumerate(cast.openers)),
                *(readers.human(n, each, links=1 + (n < cast.twice)) for n, each in enumerate(cast.clickers)),
                *(readers.unsubscribe_by_one_click(n, each) for n, each in enumerate(cast.one_click)),
                *(readers.unsubscribe_on_page(n, each) for n, each in enumerate(cast.by_page)),
            ]
        )


async def _together(parts: Sequence[Coroutine[Any, Any, None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures  # the others fail for the same reason


def bounce(undelivered: Sequence[Caught], *, host: str, port: int, played: Played) -> None:
    """Report messages as undeliverable to their return paths, as the recipient's mail server would (RFC 3464).

    Raises smtplib.SMTPException and OSError when the reports are not taken.
    """
    with smtplib.SMTP(host, port, local_hostname=_HOST, timeout=30.0) as server:
        for caught in undelivered:
            report = failure_report(
                return_path=caught.return_path,
                recipient=caught.recipient,
                status="5.1.1",
                diagnostic=_GONE.format(address=caught.recipient),
                reporting_host=_HOST,
                returned=caught.file.read_bytes(),
            )
            server.sendmail("", [caught.return_path], report)
            played.bounced.add(caught.recipient)
