"""Whether the addresses of links and images can lead anywhere, by how they are written: no network is asked (D26)."""

import ipaddress
import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import unquote

from app.content.html_part import SCRIPT_SCHEMES
from app.content.links import scheme, shape
from app.content.merge_tags import Hole, Parts, unparse

LinkCode = Literal["dead_anchor", "empty_link", "malformed_link", "private_link"]

_WEB_URL = re.compile(
    r"https?://(?:[^\s/?#@\\]*@)?(?:[^\s/?#@:\[\]\\]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE
)
_OTHER = re.compile(
    r"mailto:(?:[^@]+@[^@]+|\?.+|x+)|tel:[+0-9x].*|(?!mailto:|tel:)[a-z][a-z0-9+.\-]*:.+", re.IGNORECASE
)
_LOOKS_LIKE_HOST = re.compile(r"(?:[\w\-]+\.)+[A-Za-z]{2,}(?:[/?#:]|$)")
_HOST = re.compile(r"https?://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)(?::\d*)?", re.IGNORECASE)

# RFC 6761, RFC 6762, RFC 8375 and ICANN's .internal. Not .example: that is what people write who try this out.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".invalid", ".test", ".home.arpa")


def link_fault(target: Parts, *, anchors: Collection[str]) -> tuple[LinkCode, str] | None:
    """Return what is wrong with a link's target, or None; `anchors` are the places in the message for `#…` targets.

    Addresses that run as a script are not its affair: see `script_links`.
    """
    seen, name = shape(target), scheme(target)
    if seen in ("", "#"):
        return "empty_link", "the link leads nowhere"
    if name in SCRIPT_SCHEMES or isinstance(target[0], Hole):
        return None
    if seen.startswith("#"):
        return _anchor_fault(target, anchors)
    if not (_WEB_URL if name in ("http", "https") else _OTHER).fullmatch(seen):
        hint = "it has no https:// in front" if _LOOKS_LIKE_HOST.match(seen) else "it is not a complete address"
        return "malformed_link", f"{unparse(target)[:200]}: {hint}"
    if is_private(target):
        return "private_link", f"{unparse(target)[:200]}: recipients cannot reach this host, only your own network can"
    return None


def image_fault(target: Parts) -> str | None:
    """Return why an image cannot be shown, or None."""
    seen, name = shape(target), scheme(target)
    if not seen:
        return "the image has no address"
    if name == "cid" or isinstance(target[0], Hole):
        return None
    if name == "data":
        return "mail programs do not show data: images; attach the image and refer to it by cid:"
    if name not in ("http", "https") or not _WEB_URL.fullmatch(seen):
        return (
            f"{unparse(target)[:200]}: mail programs show images with a complete address only, or attached ones (cid:)"
        )
    return f"{unparse(target)[:200]}: only your own network can reach this host" if is_private(target) else None


def is_private(target: Parts) -> bool:
    """Tell whether an http target's host exists in private networks only; one that a merge tag decides does not."""
    first = target[0] if isinstance(target[0], str) else ""
    found = _HOST.match(first)
    if found is None or (found.end() == len(first) and len(target) > 1):
        return False
    host = found[1].strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)
    return not address.is_global


def _anchor_fault(target: Parts, anchors: Collection[str]) -> tuple[LinkCode, str] | None:
    anchor = shape(target)[1:]
    if len(target) > 1 or anchor.lower() == "top" or anchor in anchors or unquote(anchor) in anchors:
        return None
    return "dead_anchor", f"#{anchor[:200]}: nothing in the message has this id"
