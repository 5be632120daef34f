"""Telling a person everything, and forgetting a person."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.platform.clock import now
from app.platform.db import run
from app.platform.operations import Operation, OperationState, close_operation, open_operation, read_operation
from app.privacy import erasing_queries, export_queries, knowing_queries
from app.privacy.errors import PersonUnknown
from app.privacy.files import search_later
from app.privacy.schemas import ErasureGround, PersonExport


async def _find(session: AsyncSession, *, person_id: int, lock: bool = False) -> knowing_queries.Known:
    known = await knowing_queries.find(session, person_id=person_id, lock=lock)
    if known is None:
        raise PersonUnknown(f"Nothing is known of a person {person_id}: there never was one, or it was erased.")
    return known


async def export_person(session: AsyncSession, *, person_id: int) -> PersonExport:
    """Return everything about a person, also about one who was deleted; raises PersonUnknown."""
    params = (await _find(session, person_id=person_id)).params()

    async def lines(section: Any) -> list[dict[str, Any]]:
        return [row.line for row in await knowing_queries.tell(session, section, params)]

    person, company = await lines(export_queries.PERSON), await lines(export_queries.COMPANY)
    sections = {name: await lines(section) for name, section in export_queries.SECTIONS.items()}
    return PersonExport(
        exported_at=now(), person_id=person_id, person=person[0] if person else None,
        company=company[0] if company else None, **sections,
    )  # fmt: skip


async def erase_person(session: AsyncSession, *, person_id: int, reason: ErasureGround, secret: str) -> Operation:
    """Erase a person, also one who was deleted, and return the operation; raises PersonUnknown.

    Links that were sent go on working (D41), statistics stay as they are, and nothing is sent to the person's addresses
    again, whoever has them (D78). The operation is over, unless uploaded files are kept: then it goes on until a job
    has searched them for the addresses, which wait for it sealed under `secret`.
    """
    known = await _find(session, person_id=person_id, lock=True)
    params = known.params()
    [shared] = await knowing_queries.tell(session, erasing_queries.SHARED, params)
    operation = await open_operation(session, kind="erasure")
    await run(session, erasing_queries.BEGIN)
    done = {}
    for name, step in erasing_queries.STEPS.items():
        wanted = {key: params[key] for key in step.compile().params}
        done[name] = (await run(session, step, **wanted)).rowcount
    await run(session, erasing_queries.RECORD, person_id=person_id, after={"reason": reason.value})
    await run(session, erasing_queries.END)
    result = {
        "person_id": person_id, "reason": reason.value, "addresses": len(known.keys),
        "others_at_these_addresses": shared.persons,
        "rows": {name: rows for name, rows in done.items() if name != "addresses"} | {"uploads": 0},
    }  # fmt: skip
    addresses = sorted({word.lower() for word in (*known.emails, *known.keys) if word})
    if not await search_later(session, operation=operation, addresses=addresses, secret=secret, result=result):
        await close_operation(session, operation_id=operation.id, state=OperationState.SUCCEEDED, result=result)
    return await read_operation(session, operation_id=operation.id)
