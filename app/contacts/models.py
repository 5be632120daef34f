"""Persons and companies, kept in step with the CRM through `external_id`."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.platform.tables import Row, json_field, moment, reference


class Company(Row, table=True):
    """The organisation a person may belong to."""

    __table_args__ = (sa.Index("company_name_idx", sa.text("lower(name)")),)

    external_id: str | None = Field(default=None, unique=True)
    name: str
    department: str | None = None
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

    __table_args__ = (sa.Index("person_email_key_idx", "email_key"),)

    external_id: str | None = Field(default=None, unique=True)
    company_id: int | None = reference("company.id", on_delete="SET NULL", nullable=True)
    name: str = Field(default="", description="the full name, as addressed")
    first_name: str | None = None
    last_name: str | None = None
    salutation: str | None = None
    title: str | None = None
    email: str | None = Field(default=None, description="as it is sent to; what was given when it is not valid")
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
