"""What kind of file an attachment is (D16): told by its name, held against its first octets.

The type in a message decides what a mail program does with the file, so it is never what a client claims alone.
"""

import re
from pathlib import PurePosixPath

from app.contacts.addresses import clean_text

NAME_LIMIT = 150  # characters; file systems take 255 octets

_OFFICE = "application/vnd.openxmlformats-officedocument"
_ZIP, _OLE = "application/zip", "application/x-ole-storage"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),  # an empty one
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"\x1f\x8b", "application/gzip"),
)

_BY_SUFFIX = {
    ".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
    ".webp": "image/webp", ".svg": "image/svg+xml", ".zip": _ZIP, ".gz": "application/gzip",
    ".docx": f"{_OFFICE}.wordprocessingml.document", ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}.presentationml.presentation", ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
    ".odt": "application/vnd.oasis.opendocument.text", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation", ".epub": "application/epub+zip",
    ".rtf": "application/rtf", ".txt": "text/plain", ".csv": "text/csv", ".md": "text/markdown",
    ".ics": "text/calendar", ".vcf": "text/vcard", ".html": "text/html", ".htm": "text/html", ".xml": "application/xml",
    ".json": "application/json", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".mp4": "video/mp4",
    ".mov": "video/quicktime", ".heic": "image/heic", ".tif": "image/tiff", ".tiff": "image/tiff",
}  # fmt: skip

_CONTAINER = {  # types whose files begin in a known way, and what that is called in _MAGIC
    **dict.fromkeys((kind for kind in _BY_SUFFIX.values() if "opendocument" in kind or kind.startswith(_OFFICE)), _ZIP),
    "application/epub+zip": _ZIP,
    **dict.fromkeys(("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"), _OLE),
    **{kind: kind for kind in ("application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", _ZIP)},
}

INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What mail programs show by `cid:`; SVG is shown by hardly any."""

# What Gmail refuses a message for, and others with it.
_REFUSED = frozenset({
    ".ade", ".adp", ".apk", ".appx", ".appxbundle", ".bat", ".cab", ".chm", ".cmd", ".com", ".cpl", ".dll",
    ".dmg", ".ex", ".ex_", ".exe", ".hta", ".img", ".ins", ".iso", ".isp", ".jar", ".jnlp", ".js", ".jse",
    ".lib", ".lnk", ".mde", ".msc", ".msi", ".msix", ".msp", ".mst", ".nsh", ".pif", ".ps1", ".scr", ".sct",
    ".shb", ".sys", ".vb", ".vbe", ".vbs", ".vhd", ".vxd", ".wsc", ".wsf", ".wsh", ".xll",
})  # fmt: skip
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_MEDIA_TYPE = re.compile(r"(?:application|audio|font|image|text|video)/[a-z0-9][a-z0-9.+\-]{0,80}")
_PDF_WITHIN = 1024  # octets; readers take what has its mark so far into the file


class WrongFileTypeError(ValueError):
    """A file that mail does not carry, or whose octets are not what its name says; its text says which."""


def clean_name(name: str) -> str:
    r"""Return a file's name as readers will see it: no folders, no controls, nothing that turns writing around.

    A name such as `gnp.\u202eexe` would be read with its end in the middle. Never empty; its suffix stays where the
    name is too long.
    """
    shown = clean_text(name.replace("\\", "/").rpartition("/")[2], len(name)).strip(" .") or "attachment"
    suffix = PurePosixPath(shown).suffix[:20]
    return shown if len(shown) <= NAME_LIMIT else shown[: NAME_LIMIT - len(suffix)] + suffix


def type_of(name: str, head: bytes, *, declared: str | None = None) -> str:
    """Return the content type of a file with a clean `name` whose first octets (up to a MiB) are `head`.

    `declared` is what the client says; it counts where neither name nor octets tell. Raises WrongFileTypeError.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _REFUSED or head.startswith(_PROGRAMS):
        raise WrongFileTypeError(f"Programs and scripts are refused by mailbox providers, and {name!r} looks like one.")
    seen, named = _seen(head), _BY_SUFFIX.get(suffix)
    if named in _CONTAINER and _CONTAINER[named] != seen:
        looks = f"looks like {seen}" if seen else "is of no kind that is known"
        raise WrongFileTypeError(f"{name!r} is named like {named}, but what is in it {looks}.")
    kind = named or seen
    if kind is None:
        claimed = (declared or "").partition(";")[0].strip().lower()
        kind = claimed if _MEDIA_TYPE.fullmatch(claimed) and claimed not in _CONTAINER else "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and _is_utf8(head) else kind


def _seen(head: bytes) -> str | None:
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return "application/pdf"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _MAGIC if head.startswith(mark)), None)


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and error.reason == "unexpected end of data"
    return True
