"""Sending accounts: where a server is, how to speak to it, and how long to wait for it."""

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


class Security(StrEnum):
    """How the connection is encrypted."""

    NONE = "none"
    STARTTLS = "starttls"  # required: a server that does not offer it is an error, never a fallback to plain text
    TLS = "tls"  # from the first byte (RFC 8314 §3.3)


class Pipelining(StrEnum):
    """How much is written before a reply is awaited; an upper bound, since RFC 2920 §3.1 binds it to an offer."""

    FULL = "full"  # body, dot and the next envelope in one write
    ENVELOPE = "envelope"  # MAIL, RCPT and DATA in one write
    OFF = "off"  # one command per round trip


class AuthMethod(StrEnum):
    """How the account logs in (RFC 4954)."""

    AUTO = "auto"  # what the server offers and fits: no password in clear where there is a choice
    PLAIN = "plain"  # RFC 4616
    LOGIN = "login"
    CRAM_MD5 = "cram_md5"  # RFC 2195: the password itself never travels
    XOAUTH2 = "xoauth2"  # the password is an OAuth 2 access token


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds without any progress before a connection is given up; the defaults of RFC 5321 §4.5.3.2.

    All but `pipelined`: a server that has thrown away what was sent ahead of its replies will never answer it.

    They are watched at the granularity of a quarter of the shortest, at most one second.
    """

    connect: float = 60  # all of TCP, TLS, greeting, EHLO and AUTH
    command: float = 300  # MAIL, RCPT, RSET
    data: float = 120  # until 354
    pipelined: float = 30  # instead of both, where several commands are written at once
    body: float = 180  # between two blocks of the body that the server takes
    dot: float = 600  # from the end of the body to its reply
    quit: float = 5
    idle: float = 10  # with nothing to send, before QUIT


@dataclass(frozen=True, slots=True)
class SmtpAccount:
    """One account on one server. The password never shows in `repr`."""

    host: str
    port: int
    security: Security = Security.NONE
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    auth: AuthMethod = AuthMethod.AUTO
    pipelining: Pipelining | None = None  # None: as much as the server offers
    local_hostname: str | None = None  # what EHLO says; None: this machine's name
    ca_file: Path | None = None  # certificates to trust besides the system's
    verify: bool = True  # check the server's certificate and name
    max_messages: int | None = None  # per connection
    timeouts: Timeouts = Timeouts()


class SmtpUrlError(ValueError):
    """An account URL that cannot be used. The message names the part that is wrong and never quotes the password."""


_SCHEMES: Final = {
    "smtp": (Security.NONE, 25),
    "smtp+starttls": (Security.STARTTLS, 587),
    "smtps": (Security.TLS, 465),
}
_OPTIONS: Final = ("pipelining", "local_hostname", "ca_file", "verify", "max_messages", "timeout")
_HOSTNAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def parse_smtp_url(url: str) -> SmtpAccount:
    """Read `smtp://user:password@host:port?option=value`, also `smtp+starttls://` and `smtps://`.

    User and password are percent-encoded. Options: `pipelining` (full, envelope, off), `local_hostname`, `ca_file`,
    `verify` (yes, no), `max_messages` per connection, `timeout` (seconds; shortens every wait longer than it).
    Raises SmtpUrlError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # A "/" left unencoded in the password turns what stands before it into a port.
        raise SmtpUrlError(
            "the port must be a number from 1 to 65535, an IPv6 host stands in brackets, and / ? # @ : in user and "
            "password are encoded with %"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise SmtpUrlError("an SMTP URL starts with smtp://, smtp+starttls:// or smtps://")
    if not parts.hostname or not _HOSTNAME.fullmatch(parts.hostname):
        raise SmtpUrlError("the host is missing or malformed; encode / ? # @ : in user and password with %")
    if parts.path not in ("", "/") or parts.fragment:
        raise SmtpUrlError("nothing but options may follow the host; encode / ? # in user and password with %")
    if port == 0:
        raise SmtpUrlError("the port must be a number from 1 to 65535")
    security, default_port = _SCHEMES[parts.scheme]
    username, password = _credentials(parts)
    options = _options(parts.query)
    return SmtpAccount(
        host=parts.hostname,
        port=port or default_port,
        security=security,
        username=username,
        password=password,
        pipelining=_pipelining(options.get("pipelining")),
        local_hostname=_local_hostname(options.get("local_hostname")),
        ca_file=Path(options["ca_file"]) if "ca_file" in options else None,
        verify=_yes_or_no("verify", options.get("verify", "yes")),
        max_messages=int(_positive("max_messages", options["max_messages"])) if "max_messages" in options else None,
        timeouts=_timeouts(options.get("timeout")),
    )


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None and parts.password is None:
        return None, None
    if not parts.username:
        raise SmtpUrlError("a password needs a user name in front of it")
    if parts.password is None:
        raise SmtpUrlError("a user name needs a password after it: user:password@host")
    return unquote(parts.username), unquote(parts.password)


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise SmtpUrlError("options are written name=value, joined by &") from None
    options = dict(pairs)
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        # Only the count: an unencoded "?" in a password would turn the rest of it into an option's name.
        raise SmtpUrlError(f"{len(unknown)} unknown option(s); known are {', '.join(_OPTIONS)}")
    return options


def _pipelining(value: str | None) -> Pipelining | None:
    if value is None:
        return None
    try:
        return Pipelining(value)
    except ValueError:
        raise SmtpUrlError("pipelining must be full, envelope or off") from None


def _local_hostname(value: str | None) -> str | None:
    if value is not None and not _HOSTNAME.fullmatch(value):
        raise SmtpUrlError("local_hostname must be a host name or an address in brackets")
    return value


def _yes_or_no(name: str, value: str) -> bool:
    if value not in ("yes", "no"):
        raise SmtpUrlError(f"{name} must be yes or no")
    return value == "yes"


def _positive(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 1 <= number < 1e9:
        raise SmtpUrlError(f"{name} must be a number of at least 1")
    return number


def _timeouts(value: str | None) -> Timeouts:
    if value is None:
        return Timeouts()
    limit, usual = _positive("timeout", value), Timeouts()
    return Timeouts(
        connect=min(limit, usual.connect),
        command=min(limit, usual.command),
        data=min(limit, usual.data),
        pipelined=min(limit, usual.pipelined),
        body=min(limit, usual.body),
        dot=min(limit, usual.dot),
        quit=usual.quit,
        idle=usual.idle,
    )
