"""Columns that tables share. Tables are singular, keys are bigint identities, times are aware."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


def key() -> Any:
    """Return the field of a bigint identity key."""
    return Field(
        default=None, primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"server_default": sa.Identity()}
    )


def reference(target: str, *, on_delete: str = "CASCADE", index: bool = True, nullable: bool = False) -> Any:
    """Return the field of a foreign key, named by table and column so that models import no other slice."""
    foreign_key = sa.ForeignKey(target, ondelete=on_delete)
    default: Any = {"default": None} if nullable else {}
    return Field(**default, sa_type=sa.BigInteger, sa_column_args=[foreign_key], index=index, nullable=nullable)


def moment(*, default_now: bool = False, nullable: bool = False) -> Any:
    """Return the field of an aware time; with `default_now` the database fills it."""
    kwargs: dict[str, Any] = {"server_default": sa.text("now()")} if default_now else {}
    return Field(default=None, sa_type=sa.DateTime(timezone=True), nullable=nullable, sa_column_kwargs=kwargs)


def choice(values: type[StrEnum], *, name: str, default: StrEnum | None = None, nullable: bool = False) -> Any:
    """Return the field of an enumeration: text with a CHECK of its values, since a native enum is hard to migrate."""
    kind = sa.Enum(
        values, native_enum=False, create_constraint=True, length=40, name=name,
        values_callable=lambda members: [member.value for member in members],
    )  # fmt: skip
    if nullable:
        return Field(default=None, sa_type=kind, nullable=True)
    if default is None:
        return Field(sa_type=kind, nullable=False)
    return Field(default=default, sa_type=kind, nullable=False, sa_column_kwargs={"server_default": default.value})


def json_field(*, default: str = "{}", nullable: bool = False) -> Any:
    """Return the field of a JSONB column with the given JSON text as its default."""
    kwargs = {} if nullable else {"server_default": sa.text(f"'{default}'::jsonb")}
    factory = {"default": None} if nullable else {"default_factory": dict if default == "{}" else list}
    return Field(**factory, sa_type=JSONB, nullable=nullable, sa_column_kwargs=kwargs)


class Row(SQLModel):
    """What every entity has: a key and the time it came to be."""

    id: int = key()
    created_at: datetime = moment(default_now=True)
