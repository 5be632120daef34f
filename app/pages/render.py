"""Turning a page's template into octets and headers."""

import base64
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.pages.languages import CATALOGUES

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

HEADERS: Mapping[str, str] = {
    # Nothing but the one style that is part of the page, and forms that post to where they came from.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address is the recipient's key
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}

MESSAGE_HEADERS: Mapping[str, str] = {
    # A message is written by the CRM's users: its looks and images may show, nothing in it may run or post.
    "Content-Security-Policy": (
        "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups "
        "allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
    ),
}


def render(template: str, *, language: str, **values: Any) -> str:
    """Return a page. In templates, `t("key", name=value)` is the catalogue's text with its values filled in."""
    catalogue = CATALOGUES[language]

    def translate(key: str, **filling: str) -> str:
        return catalogue[key].format_map(filling)

    return _ENVIRONMENT.get_template(template).render(t=translate, language=language, style=Markup(_STYLE), **values)  # noqa: S704 - our own file


def mask(email: str) -> str:
    """Return an address that its owner recognises and nobody else can use: `k•••@example.com`."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}•••{at}{domain}" if at else "•••"
