"""Extra fields: declared with a type, so that every value is checked before it is kept."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import extra_field_queries as queries
from app.contacts.errors import ExtraFieldInUse, ExtraFieldNotFound, ExtraValuesContradict, InvalidExtraField
from app.contacts.matching_queries import take_matching_turn
from app.contacts.models import ExtraField, ExtraKind, ExtraOwner
from app.platform.errors import InvalidField

MERGE_GROUPS = {ExtraOwner.PERSON: "customer", ExtraOwner.COMPANY: "company"}


async def create_extra_field(
    session: AsyncSession, *, owner: ExtraOwner, name: str, label: str, kind: ExtraKind, choices: Collection[str]
) -> ExtraField:
    """Declare an extra field; raises ExtraFieldTaken and InvalidExtraField."""
    _check_choices(kind, choices)
    field = ExtraField(owner=owner, name=name, label=label or name, kind=kind, choices=list(choices))
    await queries.add_extra_field(session, field)
    return field


async def read_extra_field(session: AsyncSession, *, field_id: int) -> ExtraField:
    """Return an extra field; raises ExtraFieldNotFound."""
    field = await queries.find_extra_field(session, field_id=field_id)
    if field is None:
        raise ExtraFieldNotFound(f"There is no extra field {field_id}.")
    return field


async def change_extra_field(session: AsyncSession, *, field_id: int, fields: Mapping[str, Any]) -> ExtraField:
    """Change label, kind or choices; raises ExtraFieldNotFound, InvalidExtraField and ExtraValuesContradict.

    Choices go when the kind becomes another one than choice.
    """
    field = await _lock(session, field_id)
    kind = ExtraKind(fields.get("kind", field.kind))
    choices = list(fields.get("choices", field.choices if kind is ExtraKind.CHOICE else []))
    _check_choices(kind, choices)
    if kind is not field.kind or not set(field.choices) <= set(choices):
        misfits = await queries.count_misfits(session, owner=field.owner, name=field.name, kind=kind, choices=choices)
        if misfits:
            among = f" among {', '.join(choices[:20])}" if kind is ExtraKind.CHOICE else ""
            raise ExtraValuesContradict(
                f"{misfits} value(s) of {field.name} are no {kind.value}{among}; change or remove them first."
            )
    field.kind, field.choices = kind, choices
    field.label = fields.get("label", field.label) or field.name
    await queries.add_extra_field(session, field)
    return field


async def delete_extra_field(session: AsyncSession, *, field_id: int, drop_values: bool) -> None:
    """Delete an extra field; its values only with `drop_values`. Raises ExtraFieldNotFound and ExtraFieldInUse."""
    field = await _lock(session, field_id)
    if drop_values:
        await queries.drop_values(session, owner=field.owner, name=field.name)
    elif count := await queries.count_values(session, owner=field.owner, name=field.name):
        raise ExtraFieldInUse(f"{count} value(s) are in {field.name}; delete them with it by drop_values=true.")
    await session.delete(field)


async def merge_tags(session: AsyncSession) -> dict[str, str]:
    """Return the merge tags of all declared extra fields, such as `customer.extra.shoe_size`, with labels (D11)."""
    return {
        f"{group}.extra.{name}": field.label
        for owner, group in MERGE_GROUPS.items()
        for name, field in sorted((await queries.declared_fields(session, owner=owner)).items())
    }


async def _lock(session: AsyncSession, field_id: int) -> ExtraField:
    await take_matching_turn(session)  # before the field, as bulk and imports do, so that nobody waits in a circle
    field = await queries.lock_extra_field(session, field_id=field_id)
    if field is None:
        raise ExtraFieldNotFound(f"There is no extra field {field_id}.")
    return field


def _check_choices(kind: ExtraKind, choices: Collection[str]) -> None:
    if kind is ExtraKind.CHOICE and not choices:
        detail = "A choice needs its choices: a list of at least one text."
    elif kind is not ExtraKind.CHOICE and choices:
        detail = f"Only a choice has choices; leave them out, or make it a choice instead of a {kind.value}."
    else:
        return
    raise InvalidExtraField(detail, errors=[InvalidField(pointer="#/choices", detail=detail)])
