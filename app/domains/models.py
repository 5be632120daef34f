"""Sending domains and their DKIM keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field

from app.platform.tables import Row, choice, json_field, moment, reference


class Verdict(StrEnum):
    """What DNS said of a domain when it was last asked and answered."""

    UNCHECKED = "unchecked"
    PASSING = "passing"
    FAILING = "failing"


class SendingDomain(Row, table=True):
    """A domain that mail may be from. `approved` follows from `trusted` and `verdict`: see `service.settle`."""

    __tablename__ = "sending_domain"
    __table_args__ = (sa.UniqueConstraint("domain"),)

    domain: str = Field(description="as DNS writes it: A-labels, lower case")
    display: str = Field(default="", description="as people write it", sa_column_kwargs={"server_default": ""})
    trusted: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    verdict: Verdict = choice(Verdict, name="verdict", default=Verdict.UNCHECKED)
    approved: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    findings: list[dict[str, Any]] = json_field(default="[]")
    checked_at: datetime | None = moment(nullable=True)
    check_due_at: datetime = moment(default_now=True)


class Algorithm(StrEnum):
    """How a key signs: RFC 6376 with 2048 bits, or RFC 8463."""

    RSA = "rsa"
    ED25519 = "ed25519"


class KeyState(StrEnum):
    """Where a key is in its life: it signs while it is active, its record is to be found until it is retired."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


class DkimKey(Row, table=True):
    """A key that a domain's mail is signed with. The private half is sealed, and forgotten when the key is retired."""

    __tablename__ = "dkim_key"
    __table_args__ = (sa.UniqueConstraint("domain_id", "selector"),)

    domain_id: int = reference("sending_domain.id", index=False)
    selector: str
    algorithm: Algorithm = choice(Algorithm, name="algorithm")
    state: KeyState = choice(KeyState, name="state", default=KeyState.PENDING)
    public_key: str = Field(description="base64, as in the record's p=")
    private_key: bytes | None = Field(default=None, description="sealed")
    seen_at: datetime | None = moment(nullable=True)
    activated_at: datetime | None = moment(nullable=True)
    retires_at: datetime | None = moment(nullable=True)
    retired_at: datetime | None = moment(nullable=True)
