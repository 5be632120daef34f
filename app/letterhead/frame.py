"""Turning templates into pages: octets and headers, in the reader's language and the sender's looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from babel.dates import format_date
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.letterhead.catalogues import CATALOGUES, mark
from app.letterhead.languages import LANGUAGES
from app.letterhead.looks import Look

_OWN = Path(__file__).parent / "templates"

HEADERS: Mapping[str, str] = {
    "Referrer-Policy": "no-referrer",  # the address is the recipient's key
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every page; its Content-Security-Policy comes with the look, whose one style it allows."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is sent: UTF-8 octets, and headers with Content-Type and Content-Language."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI has them, with Content-Length."""
        named = {**self.headers, "Content-Length": str(len(self.body))}
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in named.items()]


class Notice(NamedTuple):
    """A page that only says something; both texts are marked for translation."""

    title: str
    text: str


NOT_FOUND = Notice(
    mark("This link leads nowhere"),
    mark("It may have been cut off on its way. Open the message again and follow the link from there."),
)
AWAY = Notice(
    mark("Just a moment"),
    mark("We cannot take this in right now, and nothing has changed. Please try again in a minute."),
)
TARGET_AWAY = Notice(
    mark("Just a moment"),
    mark("Your link is good, but we cannot look up where it leads right now. Please try again in a minute."),
)
UNCLEAR = Notice(
    mark("We did not understand that"),
    mark("Nothing has changed. Please go back and choose one of the buttons."),
)
NOT_ALLOWED = Notice(
    mark("That does not work here"),
    mark("This address can be opened, but nothing can be sent to it. Nothing has changed."),
)
TOO_MANY = Notice(
    mark("One at a time, please"),
    mark("A great many requests came from your network just now. Please try again in a minute."),
)


def long_date(language: str, day: date) -> str:
    """Return a date as the language writes it: 1. mars 2026."""
    return format_date(day, format="long", locale=language)


class Templates:
    """The templates of a slice, over the frame that all pages share: `{% extends "frame.html" %}`.

    In templates, `_("text with %(name)s", name=value)` is the reader's text, with its values escaped; `|long_date`
    writes a date as the language does. A name that is not given is an error, not an empty place.
    """

    def __init__(self, directory: Path) -> None:
        self._environments = {language: _environment(directory, language) for language in LANGUAGES}

    def page(self, name: str, *, language: str, look: Look, sender: str = "", **values: Any) -> Page:
        """Return a page. `sender` is whom the message is from: it shows where the branding has no name of its own."""
        style = Markup(look.style)  # noqa: S704 - ours
        sender = look.name or sender
        text = self.text(name, language=language, look=look, style=style, sender=sender, **values)
        return _page(text, language, look)

    def text(self, name: str, *, language: str, **values: Any) -> str:
        """Return what a template makes of the values, as it is."""
        return self._environments[language].get_template(name).render(language=language, **values)


def notice_page(notice: Notice, *, language: str, look: Look, sender: str = "") -> Page:
    """Return a page that says one thing, translated."""
    catalogue = CATALOGUES[language]
    return written_page(
        title=catalogue.gettext(notice.title), text=catalogue.gettext(notice.text), language=language, look=look,
        sender=sender,
    )  # fmt: skip


def written_page(*, title: str, text: str, language: str, look: Look, sender: str = "") -> Page:
    """Return a page of words that are shown as they are; blank lines part paragraphs. Neither may hold markup."""
    paragraphs = [part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
    return _NOTICES.page(
        "notice.html", language=language, look=look, sender=sender, title=title, paragraphs=paragraphs
    )  # fmt: skip


def _page(text: str, language: str, look: Look) -> Page:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": language,
        "Content-Security-Policy": look.policy,
        **HEADERS,
    }
    return Page(text.encode("utf-8"), headers)


def _environment(directory: Path, language: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(directory), FileSystemLoader(_OWN)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(CATALOGUES[language], newstyle=True)  # type: ignore[attr-defined]
    environment.filters["long_date"] = partial(long_date, language)
    return environment


_NOTICES = Templates(_OWN)
