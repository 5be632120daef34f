"""The languages of the pages (D49), and which of them a reader gets."""

import re

LANGUAGES = ("en", "nb", "sv", "da", "nl", "de")
DEFAULT_LANGUAGE = "en"

_ALSO = {"no": "nb", "nn": "nb"}  # a reader of Nynorsk, or of just "Norwegian", is better served by Bokmål than English
_MAX_HEADER = 500  # characters of Accept-Language that are read; browsers send a tenth
_RANGE = re.compile(r"([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?")


def choose_language(*, person: str | None, accept_language: str | None) -> str:
    """Return the language of a page: the person's, else the one the browser likes best, else English (D49).

    `person` is a BCP 47 tag; `accept_language` is the header (RFC 9110 §12.5.4).
    """
    return _known(person or "") or _preferred(accept_language or "") or DEFAULT_LANGUAGE


def _known(tag: str) -> str | None:
    language = re.split("[-_]", tag.strip().lower())[0]
    language = _ALSO.get(language, language)
    return language if language in LANGUAGES else None


def _preferred(header: str) -> str | None:
    wanted: list[tuple[float, str]] = []
    for item in header[:_MAX_HEADER].split(","):
        match = _RANGE.fullmatch(item.strip())
        language = _known(match[1]) if match else None
        if match and language:
            wanted.append((float(match[2] or 1), language))
    best = max(wanted, key=lambda found: found[0], default=(0.0, ""))  # the first of equals, as written
    return best[1] if best[0] > 0 else None
