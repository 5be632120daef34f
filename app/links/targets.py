"""What a link of the library may lead to (D37): told by how it is written, without asking any network.

Schemes are on a list, since what a scheme can do is for the reader's programs to say: `javascript:` and `data:` run
scripts, `file:` and `ms-msdt:` reach into the reader's machine, and the next one is not invented yet.
"""

import re
import unicodedata
from collections.abc import Collection

from app.content.address_checks import link_fault
from app.content.links import is_web, scheme
from app.content.merge_tags import Hole, MergeTagError, Parts, parse

TRACKED_SCHEMES = ("http", "https")
UNTRACKED_SCHEMES = (
    "mailto", "tel", "sms", "sip", "sips", "xmpp", "geo", "webcal", "facetime", "facetime-audio", "msteams", "skype",
    "tg", "viber", "whatsapp",
)  # fmt: skip
"""What else a reader may be led to. It is not tracked: mail programs open it themselves, without a browser."""

_ALLOWED = frozenset({*TRACKED_SCHEMES, *UNTRACKED_SCHEMES})
_LISTED = ", ".join((*TRACKED_SCHEMES, *UNTRACKED_SCHEMES))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class TargetError(ValueError):
    """A target that no link can have; the message says what is wrong and what would be right."""


def read_library_target(target: str, *, extra_tags: Collection[str] | None) -> Parts:
    """Return the parts of a target that a link of the library may have. Raises TargetError.

    `extra_tags` are the tags of extra fields that exist; None accepts any.
    """
    try:
        parts = parse(target, where="target", extra_tags=extra_tags).parts
    except MergeTagError as error:
        first = error.faults[0]
        raise TargetError(f"Line {first.line}, column {first.column}: {first.message}") from error
    _check_scheme(parts)
    if any(_is_hidden(character) for part in parts if isinstance(part, str) for character in part):
        raise TargetError(
            "A target has no white space, control or invisible characters; in an address a space is written %20."
        )
    for part in parts:
        if isinstance(part, Hole) and part.tag.startswith("link."):
            raise TargetError(f"[[{part.tag}]] is a link itself; a target is an address with tags of data in it.")
    if (fault := link_fault(parts, anchors=())) and fault[0] != "private_link":
        raise TargetError(f"This is no address that a link can lead to: {fault[1]}.")
    return parts


def _check_scheme(parts: Parts) -> None:
    """Look at the scheme as a mail program or browser would, once it has taken out what hides it."""
    first = parts[0] if parts else ""
    if isinstance(first, Hole):
        raise TargetError(
            "A target begins with its scheme, such as https://, in plain letters: a merge tag in front of it could "
            "lead anywhere."
        )
    plain = "".join(character for character in first if not _is_hidden(character))
    found = _SCHEME.match(plain)
    if found is None:
        raise TargetError("A target is a complete address: it begins with https:// or another scheme.")
    name = scheme((plain,)) or ""
    if name not in _ALLOWED:
        raise TargetError(f"Links to {name[:40]}: are refused. These schemes are allowed: {_LISTED}.")


def _is_hidden(character: str) -> bool:
    """Tell whether readers do not see a character: programs leave some of these out before they read a scheme."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Cs")


def can_be_tracked(parts: Parts) -> bool:
    """Tell whether clicks on a target are counted: only the web's can be (D36)."""
    return is_web(parts)
