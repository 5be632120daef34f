"""Reading what came out: the messages of the mailing, as mail programs would read them."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

from app.demo.errors import MessageUnusable

TEST_HEADER = "X-Budstikke-Test"


@dataclass(frozen=True, slots=True)
class Caught:
    """A caught message by its envelope. `return_path` is the address that bounces go to (VERP)."""

    file: Path
    recipient: str
    return_path: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Message:
    """What a mail program finds in a message.

    `links` are the tracked links of the HTML, each once; `pages` the unsubscribe, preferences and web version
    addresses. `one_click` is where RFC 8058 says to post.
    """

    caught: Caught
    subject: str
    links: tuple[str, ...]
    pixel: str
    unsubscribe_page: str
    pages: tuple[str, ...]
    one_click: str


def read_maildir(maildir: Path) -> list[Caught]:
    """Return every caught message in the order of arrival, from its header fields alone."""
    return [_envelope(file) for file in sorted((maildir / "new").iterdir())]


def _envelope(file: Path) -> Caught:
    with file.open("rb") as opened:
        head = BytesHeaderParser().parse(opened)
    return Caught(
        file=file,
        recipient=str(head["X-Catcher-Rcpt"]).strip(),
        return_path=str(head["X-Catcher-From"]).strip(),
        is_test=TEST_HEADER in head,
    )


def open_message(caught: Caught, *, public_url: str) -> Message:
    """Read a message as a mail program does; raises MessageUnusable when it lacks what every message must have."""
    with caught.file.open("rb") as opened:
        parsed = BytesParser(policy=default).parse(opened)
    if not isinstance(parsed, EmailMessage) or (part := parsed.get_body(("html",))) is None:
        raise MessageUnusable(file=caught.file.name, lacks="HTML part")
    targets = _targets(part.get_content())
    by_kind = {kind: tuple(url for url in targets if url.startswith(f"{public_url}/{kind}/")) for kind in "couvp"}
    if not (by_kind["c"] and by_kind["o"] and by_kind["u"]):
        raise MessageUnusable(file=caught.file.name, lacks="tracked link, open pixel or unsubscribe link")
    return Message(
        caught=caught,
        subject=str(parsed["Subject"]),
        links=by_kind["c"],
        pixel=by_kind["o"][0],
        unsubscribe_page=by_kind["u"][0],
        pages=by_kind["u"] + by_kind["v"] + by_kind["p"],
        one_click=_one_click(parsed, caught.file),
    )


def _one_click(message: EmailMessage, file: Path) -> str:
    """Return where to post, as RFC 8058 §3.1 tells: the https address, if the second header is there as well."""
    addresses = [each.strip().strip("<>") for each in str(message["List-Unsubscribe"]).split(",")]
    web = [address for address in addresses if address.startswith("http")]
    if not web or message["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
        raise MessageUnusable(file=file.name, lacks="List-Unsubscribe for one click (RFC 8058)")
    return web[0]


class _Targets(HTMLParser):
    """Collects where links and images point."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of a link or image, each once, in their order."""
        wanted = {"a": "href", "img": "src"}.get(tag)
        for name, value in attrs:
            if name == wanted and value:
                self.found[value] = None


def _targets(html: str) -> tuple[str, ...]:
    reader = _Targets()
    reader.feed(html)
    return tuple(reader.found)


@dataclass(frozen=True, slots=True)
class Form:
    """A form on a page: where it posts to and what its first button sends."""

    action: str
    fields: dict[str, str]


class _Forms(HTMLParser):
    """Finds the first form that posts."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = self._has_button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in the form and what it would send."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None and given.get("method", "").lower() == "post":
            self.action, self._inside = given.get("action", ""), True
        elif self._inside and (tag == "button" or (tag == "input" and given.get("type") == "submit")):
            if not self._has_button and given.get("name"):
                self.fields[given["name"]] = given.get("value", "")
            self._has_button = True
        elif self._inside and tag == "input" and given.get("name") and _is_sent(given):
            self.fields[given["name"]] = given.get("value", "on")

    def handle_endtag(self, tag: str) -> None:
        """Leave the form."""
        self._inside = self._inside and tag != "form"


def _is_sent(field: dict[str, str]) -> bool:
    return field.get("type") not in ("checkbox", "radio") or "checked" in field


def first_form(html: str) -> Form | None:
    """Return the page's first form that posts, filled in as it came; None when there is none."""
    reader = _Forms()
    reader.feed(html)
    return None if reader.action is None else Form(reader.action, reader.fields)
