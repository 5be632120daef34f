"""Extra fields: declared with a type, so that every value is checked before it is kept."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import extra_field_queries as queries
from app.contacts.errors import ExtraFieldInUse, ExtraFieldNotFound, ExtraValuesContradict, InvalidExtraField
from app.contacts.matching_queries import take_matching_turn
from app.contacts.models import ExtraField, ExtraKind, ExtraOwner
from app.platform.db import Database
from app.platform.errors import InvalidField
from app.platform.operations import Operation, OperationState, advance, close_operation, open_operation
from app.platform.outbox import Job, enqueue

MANY = 10_000
"""Values that a request drops itself; a million take ten seconds."""
PIECE = 10_000
"""Rows that a job looks at in one transaction."""

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


async def delete_extra_field(session: AsyncSession, *, field_id: int, drop_values: bool) -> Operation | None:
    """Delete an extra field; its values only with `drop_values`. Raises ExtraFieldNotFound and ExtraFieldInUse.

    More than MANY values are dropped by a job, whose operation is returned: imports wait while rows are changed.
    """
    field = await _lock(session, field_id)
    count = await queries.count_values(session, owner=field.owner, name=field.name)
    if count and not drop_values:
        raise ExtraFieldInUse(f"{count} value(s) are in {field.name}; delete them with it by drop_values=true.")
    if count > MANY:
        operation = await open_operation(session, kind="drop-extra-field")
        await enqueue(session, Job.EXTRA_FIELD_DROP, field=field_id, operation=operation.id)
        return operation
    if count:
        await queries.drop_values(session, owner=field.owner, name=field.name)
    await session.delete(field)
    return None


async def drop_with_values(database: Database, *, field_id: int, operation_id: int) -> None:
    """Delete an extra field with its values, piece by piece, each in a transaction of its own; repeatable.

    What is written into the field meanwhile goes with it at the end. A cancelled one leaves the field, and the values
    that it did not come to.
    """
    after: int | None = 0
    done = 0
    while after is not None:
        async with database.begin() as session:
            field = await queries.find_extra_field(session, field_id=field_id)
            if field is None:  # by somebody else meanwhile
                await _close(session, operation_id, OperationState.SUCCEEDED, done)
                return
            await take_matching_turn(session)
            piece = await queries.drop_piece(session, owner=field.owner, name=field.name, after=after, most=PIECE)
            done, after = done + piece.dropped, piece.last
            if await advance(session, operation_id=operation_id, done=done):
                await _close(session, operation_id, OperationState.CANCELLED, done)
                return
    async with database.begin() as session:
        field = await _lock(session, field_id)
        await queries.drop_values(session, owner=field.owner, name=field.name)
        await session.delete(field)
        await _close(session, operation_id, OperationState.SUCCEEDED, done)


async def _close(session: AsyncSession, operation_id: int, state: OperationState, dropped: int) -> None:
    await close_operation(session, operation_id=operation_id, state=state, result={"dropped": dropped})


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
