"""Persons and companies, kept in step with the CRM through `external_id`."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, choice, json_field, moment, reference


def _prefix_index(name: str, column: str) -> sa.Index:
    """Return the index that finds what a column begins with, in any case, whatever the database's collation."""
    prefix: sa.Label[str] = sa.literal_column(f"lower({column})").label("prefix")
    return sa.Index(name, prefix, postgresql_ops={"prefix": "text_pattern_ops"})


class Company(Row, table=True):
    """The organisation a person may belong to. `email_key` is empty when there is no valid address (D18)."""

    __table_args__ = (
        _prefix_index("company_name_prefix_idx", "name"),
        sa.Index("company_updated_at_idx", "updated_at"),
        sa.Index("company_email_key_idx", "email_key", postgresql_where=sa.text("email_key IS NOT NULL")),
    )

    external_id: str | None = Field(default=None, unique=True)
    name: str
    department: str | None = None
    email: str | None = Field(default=None, description="of the organisation itself, such as post@; as it is sent to")
    email_key: str | None = None
    country: str | None = None
    phone: str | None = None
    url: str | None = None
    category: str | None = None
    business: str | None = None
    number: str | None = None
    city: str | None = None
    extra: dict[str, Any] = json_field()
    updated_at: datetime = moment(default_now=True)


class Person(Row, table=True):
    """A CRM contact. `email_key` is what two equal addresses share; empty when there is no valid address (D18)."""

    __table_args__ = (
        sa.Index("person_email_key_idx", "email_key"),
        _prefix_index("person_name_prefix_idx", "name"),
        _prefix_index("person_last_name_prefix_idx", "last_name"),
        sa.Index("person_updated_at_idx", "updated_at"),
    )

    external_id: str | None = Field(default=None, unique=True)
    company_id: int | None = reference("company.id", on_delete="SET NULL", nullable=True)
    name: str = Field(default="", description="the full name, as addressed")
    first_name: str | None = None
    last_name: str | None = None
    salutation: str | None = None
    title: str | None = None
    email: str | None = Field(default=None, description="the preferred one, as it is sent to; as given when not valid")
    email_key: str | None = None
    cellphone: str | None = Field(default=None, description="E.164; what was given when it is not valid")
    direct: str | None = None
    category: str | None = None
    business: str | None = None
    number: str | None = None
    position: str | None = None
    city: str | None = None
    country: str | None = None
    language: str | None = Field(default=None, description="BCP 47")
    time_zone: str | None = Field(default=None, description="IANA")
    our_contact_name: str | None = Field(default=None, description="who sells to this person (D5)")
    our_contact_email: str | None = None
    support_contact_name: str | None = Field(default=None, description="who supports this person (D5)")
    support_contact_email: str | None = None
    former_employee: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    extra: dict[str, Any] = json_field()
    updated_at: datetime = moment(default_now=True)


class Interest(Row, table=True):
    """A tag such as "Product news" that persons have."""

    name: str = Field(unique=True)


class PersonInterest(SQLModel, table=True):
    """A person has an interest."""

    __tablename__ = "person_interest"

    interest_id: int = Field(
        sa_type=sa.BigInteger, primary_key=True, sa_column_args=[sa.ForeignKey("interest.id", ondelete="CASCADE")]
    )
    person_id: int = Field(
        sa_type=sa.BigInteger,
        primary_key=True,
        index=True,
        sa_column_args=[sa.ForeignKey("person.id", ondelete="CASCADE")],
    )


class PersonEmail(Row, table=True):
    """Another valid address of a person, beside the preferred one in `person.email`. Mail goes to the preferred one."""

    __tablename__ = "person_email"
    __table_args__ = (
        sa.UniqueConstraint("person_id", "email_key"),
        sa.Index("person_email_email_key_idx", "email_key"),
    )

    person_id: int = reference("person.id", index=False)
    email: str
    email_key: str


class ExtraOwner(StrEnum):
    """Whose extra field it is."""

    PERSON = "person"
    COMPANY = "company"


class ExtraKind(StrEnum):
    """What an extra field holds. Dates are ISO 8601 text in the JSON, the others their JSON kind."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    CHOICE = "choice"


class ExtraField(Row, table=True):
    """A field beyond the built-in ones, declared with its type; values are in `person.extra` and `company.extra`."""

    __tablename__ = "extra_field"
    __table_args__ = (sa.UniqueConstraint("owner", "name"),)

    owner: ExtraOwner = choice(ExtraOwner, name="owner")
    name: str = Field(description="the key in `extra` and in merge tags")
    label: str
    kind: ExtraKind = choice(ExtraKind, name="kind")
    choices: list[str] = Field(
        default_factory=list, sa_type=sa.ARRAY(sa.Text), nullable=False, sa_column_kwargs={"server_default": "{}"}
    )
