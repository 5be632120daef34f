"""Sending accounts as the API takes and shows them."""

import ipaddress
import re
from datetime import date, datetime
from typing import Annotated, Any

import idna
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from app.delivery.account_models import CONNECTIONS, AccountState
from app.delivery.replies import Stage
from app.delivery.smtp.account import AuthMethod, Pipelining, Security

MAX_DOMAINS = 200
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _a_label(value: str) -> str:
    """Return a host name in lower case, its labels as DNS knows them; raises ValueError."""
    name = value.rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            name = ""
    if not 0 < len(name) <= 253 or not all(_NAME.fullmatch(label) for label in name.split(".")):
        raise ValueError("This is no name of a host or domain; one looks like smtp.example.com")
    return name


def _host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return _a_label(value)


def is_domain(value: str) -> str:
    """Return the domain of an address, in A-labels and lower case; raises ValueError."""
    name = _a_label(value)
    if "." not in name:
        raise ValueError("This is no domain of an address; one looks like example.com")
    return name


Host = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_host)]
Domain = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(is_domain)
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\r\n\x00]*$")]
User = Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=r"^[^\r\n\x00]*$")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=8000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class AccountFields(BaseModel):
    """What can be said of a sending account."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(default=True, description="Nothing is sent over an account that is not")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="null: 465 for `tls`, 587 for `starttls`, 25 for `none`"
    )
    security: Security = Field(
        default=Security.STARTTLS, description="`starttls` is required of the server, never only tried"
    )
    verify_certificate: bool = Field(default=True, description="Check the server's certificate and its name")
    auth: AuthMethod = Field(
        default=AuthMethod.AUTO,
        description="How it logs in. `auto`: as the server offers. `xoauth2`: the password is an access token",
    )
    username: User | None = Field(default=None, description="null: it does not log in")
    password: Password | None = Field(default=None, description="Kept sealed, and never shown")
    local_hostname: Host | None = Field(
        default=None, description="What EHLO says; null: the name of the machine that sends"
    )
    pipelining: Pipelining | None = Field(
        default=None, description="At most this much of RFC 2920; null: as much as the server offers"
    )
    connections: int = Field(default=CONNECTIONS, ge=1, le=200, description="At most, of one sending job")
    max_messages: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Over one connection, then a new one is opened"
    )
    weight: int = Field(
        default=1, ge=0, le=1000,
        description="Its share among the accounts that may send a message; 0: only where a mailing names it",
    )  # fmt: skip
    from_domains: Annotated[list[Domain], Field(max_length=MAX_DOMAINS)] = Field(
        default=[], description="From domains that it serves, before all others and no other ones; none: any domain"
    )
    max_per_second: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="Messages, over all workers together; null: no limit"
    )
    max_per_hour: Count | None = None
    max_per_day: Count | None = Field(default=None, description="A day by UTC, from midnight to midnight")
    warm_up_from: date | None = Field(default=None, description="First day of a ramp, UTC; needs the next two")
    warm_up_first_day: Count | None = Field(default=None, description="Messages on the first day")
    warm_up_growth: Annotated[float, Field(ge=1, le=10)] | None = Field(
        default=None, description="Each day's volume as a multiple of the day before; 1.5 is 50 % more every day"
    )


class SendingAccountIn(AccountFields):
    """A new sending account."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Relay in Oslo", "host": "smtp.example.com", "security": "starttls",
                    "username": "news", "password": "correct horse battery staple", "weight": 3,
                    "from_domains": ["nordlys.example"], "max_per_hour": 20000,
                }
            ]
        },
    )  # fmt: skip

    name: Name
    host: Host = Field(description="Name or IP address")


class SendingAccountPatch(AccountFields):
    """Changes to a sending account (JSON merge patch): what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"weight": 1, "enabled": False}]})

    name: Name = "-"
    host: Host = "-"


class Health(BaseModel):
    """How an account fares."""

    state: AccountState = Field(description="`failing`: not used before `retry_at`, its share goes to the others")
    failing_since: datetime | None
    failures: int = Field(description="In a row")
    retry_at: datetime | None = Field(description="When it is tried again; the wait grows with every failure")
    needs_you: bool = Field(
        description="The server does not let us in: credentials, certificate, or a refusal for good"
    )
    words: str | None = Field(description="The server's words, or what happened instead, of the last failure")
    used_at: datetime | None = Field(description="When a connection to it last opened or took messages")
    pipelining: Pipelining | None = Field(
        description="What pipelining was stepped down to, for the server misbehaved; null: not at all"
    )
    pipelining_until: datetime | None = Field(description="When more is tried again")
    pipelining_words: str | None = Field(description="What the server did wrong")


class SendingAccountOut(BaseModel):
    """A sending account, without its password."""

    id: int
    created_at: datetime
    name: str
    enabled: bool
    host: str
    port: int
    security: Security
    verify_certificate: bool
    auth: AuthMethod
    username: str | None
    has_password: bool
    password_set_at: datetime | None = Field(description="When it was given or taken away")
    local_hostname: str | None
    pipelining: Pipelining | None
    connections: int
    max_messages: int | None
    weight: int
    from_domains: list[str]
    max_per_second: float | None
    max_per_hour: int | None
    max_per_day: int | None
    warm_up_from: date | None
    warm_up_first_day: int | None
    warm_up_growth: float | None
    health: Health


PROBED: dict[str, Any] = {
    "ok": True, "stage": None, "code": None, "words": "250 relay.example.com", "address": "203.0.113.9",
    "is_private": False, "encrypted": "TLSv1.3, TLS_AES_256_GCM_SHA384", "logged_in_by": "plain",
    "capabilities": ["8BITMIME", "AUTH PLAIN LOGIN", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE 52428800"],
    "pipelining": "full", "max_size": 52428800, "remarks": [], "seconds": 0.21,
}  # fmt: skip


class ConnectionTest(BaseModel):
    """What came of opening a connection."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROBED]})

    ok: bool = Field(description="It is connected, encrypted and logged in as the account says")
    stage: Stage | None = Field(description="Where it failed")
    code: int | None = Field(description="The server's reply code, where a reply decided it")
    words: str = Field(description="The server's words, or what happened instead")
    address: str | None = Field(description="The address it connected to; null where it came to no connection")
    is_private: bool = Field(description="The address is one of a private network or of this machine")
    encrypted: str | None = Field(description="Protocol and cipher; null: nothing is encrypted")
    logged_in_by: AuthMethod | None
    capabilities: list[str] = Field(description="What the server's EHLO announced")
    pipelining: Pipelining | None = Field(description="How messages will be written, by what is offered")
    max_size: int | None = Field(description="Octets of a message; null: the server names no limit")
    remarks: list[str] = Field(description="What should be thought about, though it works")
    seconds: float
