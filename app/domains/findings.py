"""What checks find: a code for programs, words for people, and the record that would be right."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from app.domains.resolving import Answer


class Severity(StrEnum):
    """How bad it is: a domain with an error is not approved."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


class Check(StrEnum):
    """What was looked at."""

    DOMAIN = "domain"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MX = "mx"


@dataclass(frozen=True, slots=True)
class Right:
    """A record as it should be published."""

    name: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found. `found` is what DNS has, `right` what it should have."""

    check: Check
    code: str
    severity: Severity
    detail: str
    found: str | None = None
    right: Right | None = None

    def stored(self) -> dict[str, Any]:
        """Return the finding in terms of JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def unavailable(check: Check, name: str, answer: Answer) -> Finding:
    """Return that DNS did not answer, which speaks neither for nor against a domain."""
    detail = f"DNS does not answer for {name} ({answer.words}); it is asked again soon, and nothing changes till then."
    return Finding(check, f"{check.value}_unavailable", Severity.WARNING, detail)


def tags_of(text: str) -> dict[str, str] | None:
    """Read `v=DKIM1; k=rsa; p=…` (RFC 6376 §3.2) by lower-case tag; None where it is no such list."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not name or name in tags:
            return None
        tags[name] = value.strip()
    return tags
