"""Many persons or companies at once, in few statements (api.md rule 7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import matching_queries, queries
from app.contacts.interests import replace_by_name
from app.contacts.merging import Draft, Existing, Laid, Line, Outcome, lay
from app.contacts.schemas import BulkOut, BulkOutcome, BulkStatus, CompanyBulkItem, PersonBulkItem
from app.contacts.service import nameless, normalised
from app.platform.errors import InvalidField

CHUNK = 1000  # items; some 60 ms of Python between two statements, so that other requests get their turn


@dataclass(slots=True)
class _Batch:
    """Items that passed so far, by their index in the request, and what is wrong with the others."""

    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: dict[int, list[InvalidField]] = field(default_factory=dict)

    def refuse(self, index: int, faults: list[InvalidField]) -> None:
        self.lines.pop(index, None)
        self.faults[index] = faults


async def save_persons(
    session: AsyncSession, *, lines: Sequence[Line], existing: Existing, by_address: bool
) -> list[Laid]:
    """Create and change persons, in the order of the lines; see `merging.lay` for who is meant by a line.

    Lines hold values in the form they are kept in; companies are ids. Raises ExternalIdTaken where another request
    creates one of the persons at the same moment.
    """
    await matching_queries.take_matching_turn(session)
    external_ids = {line["external_id"] for line in lines if line.get("external_id")}
    keys = {line["email_key"] for line in lines if line.get("email_key")} if by_address else set()
    found = await matching_queries.persons_meant(session, external_ids=sorted(external_ids), email_keys=sorted(keys))
    laid = lay(lines, found, blank=queries.BLANK_PERSON, existing=existing, by_address=by_address)
    await matching_queries.write_persons(session, _changed(laid))
    return laid


async def save_companies(session: AsyncSession, *, lines: Sequence[Line]) -> list[Laid]:
    """Create and change companies by external id, in the order of the lines; raises ExternalIdTaken."""
    await matching_queries.take_matching_turn(session)
    found = await matching_queries.companies_meant(
        session, external_ids=sorted({line["external_id"] for line in lines})
    )
    laid = lay(lines, found, blank=queries.BLANK_COMPANY, existing=Existing.OVERWRITE, by_address=False)
    await matching_queries.write_companies(session, _changed(laid))
    return laid


async def companies_by_name(session: AsyncSession, *, names: Iterable[str]) -> dict[str, int]:
    """Return the company ids of names, whatever their case; companies that are not known are created."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    await matching_queries.take_matching_turn(session)
    ids = await matching_queries.companies_named(session, names=wanted)
    new: dict[str, Draft] = {}
    for name in wanted:
        if name not in ids:
            new.setdefault(name.lower(), Draft(None, queries.BLANK_COMPANY | {"name": name}))
    await matching_queries.write_companies(session, list(new.values()))
    return {name: ids[name] if name in ids else _id(new[name.lower()]) for name in wanted}


def _changed(laid: Sequence[Laid]) -> list[Draft]:
    return list({id(each.draft): each.draft for each in laid if each.draft.changed}.values())


def _id(draft: Draft) -> int:
    if draft.id is None:
        raise AssertionError("a draft has its id once it is written")
    return draft.id


async def upsert_persons(session: AsyncSession, *, items: Sequence[object], default_country: str) -> BulkOut:
    """Create or change persons by external id; what is wrong with one item stops no other.

    Items are taken as they came and checked here, each by itself.
    """
    outcomes: list[BulkOutcome] = []
    for start in range(0, len(items), CHUNK):
        batch = _read(PersonBulkItem, items[start : start + CHUNK], start, default_country)
        for index, line in list(batch.lines.items()):
            if faults := nameless(line):
                batch.refuse(index, _under(index, faults))
        told = {index: line.pop("interests", None) for index, line in batch.lines.items()}
        await _place(session, batch)
        laid = await save_persons(
            session, lines=list(batch.lines.values()), existing=Existing.OVERWRITE, by_address=False
        )
        names = {
            _id(each.draft): told[index]
            for index, each in zip(batch.lines, laid, strict=True)
            if told[index] is not None
        }
        await replace_by_name(session, names=names)
        outcomes += _outcomes(batch, laid)
    return _answer(outcomes)


async def upsert_companies(session: AsyncSession, *, items: Sequence[object], default_country: str) -> BulkOut:
    """Create or change companies by external id; see `upsert_persons`."""
    outcomes: list[BulkOutcome] = []
    for start in range(0, len(items), CHUNK):
        batch = _read(CompanyBulkItem, items[start : start + CHUNK], start, default_country)
        await _refuse_nameless_companies(session, batch)
        laid = await save_companies(session, lines=list(batch.lines.values()))
        outcomes += _outcomes(batch, laid)
    return _answer(outcomes)


def _read(kind: type[BaseModel], items: Sequence[object], start: int, default_country: str) -> _Batch:
    batch = _Batch()
    for index, item in enumerate(items, start):
        try:
            fields = kind.model_validate(item).model_dump(exclude_unset=True)
        except ValidationError as error:
            batch.faults[index] = [
                InvalidField(pointer=_pointer(index, each["loc"]), detail=each["msg"].removeprefix("Value error, "))
                for each in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            continue
        line, faults = normalised(fields, default_country=default_country)
        if faults:
            batch.faults[index] = _under(index, faults)
        else:
            batch.lines[index] = line
    return batch


def _pointer(index: int, location: Sequence[int | str]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "/".join((f"#/items/{index}", *parts))


def _under(index: int, faults: Sequence[InvalidField]) -> list[InvalidField]:
    return [InvalidField(pointer=f"#/items/{index}{fault.pointer[1:]}", detail=fault.detail) for fault in faults]


async def _place(session: AsyncSession, batch: _Batch) -> None:
    """Put company ids in the place of companies' external ids and names."""
    told = {
        index: (line.pop("company_external_id", None), line.pop("company_name", None))
        for index, line in batch.lines.items()
    }
    ids = [line["company_id"] for line in batch.lines.values() if line.get("company_id")]
    known = await queries.known_company_ids(session, ids=ids) if ids else set()
    external: dict[str, str | None] = {}
    for external_id, name in told.values():
        if external_id:
            external[external_id] = external.get(external_id) or name
    found = await matching_queries.companies_meant(session, external_ids=sorted(external)) if external else []
    by_external = {draft.values["external_id"]: draft.id for draft in found}
    new = [{"external_id": key, "name": name} for key, name in external.items() if name and key not in by_external]
    if new:
        created = await save_companies(session, lines=new)
        by_external |= {each.draft.values["external_id"]: each.draft.id for each in created}
    by_name = await companies_by_name(session, names=(name for key, name in told.values() if name and not key))
    for index, (external_id, name) in told.items():
        company_id = batch.lines[index].get("company_id")
        if company_id and company_id not in known:
            batch.refuse(index, _fault(index, "company_id", f"There is no company {company_id}."))
        elif external_id and external_id not in by_external:
            detail = "No company has this external id; send the company first, or its name with it."
            batch.refuse(index, _fault(index, "company_external_id", detail))
        elif external_id or name:
            batch.lines[index]["company_id"] = by_external[external_id] if external_id else by_name[name or ""]


async def _refuse_nameless_companies(session: AsyncSession, batch: _Batch) -> None:
    nameless_ids = {line["external_id"] for line in batch.lines.values() if not line.get("name")}
    if not nameless_ids:
        return
    found = await matching_queries.companies_meant(session, external_ids=sorted(nameless_ids))
    known = {draft.values["external_id"] for draft in found}
    for index, line in list(batch.lines.items()):
        if line.get("name"):
            known.add(line["external_id"])
        elif line["external_id"] not in known:
            batch.refuse(index, _fault(index, "name", "A new company needs a name."))


def _fault(index: int, name: str, detail: str) -> list[InvalidField]:
    return [InvalidField(pointer=f"#/items/{index}/{name}", detail=detail)]


def _outcomes(batch: _Batch, laid: Sequence[Laid]) -> list[BulkOutcome]:
    outcomes = [
        BulkOutcome(index=index, status=BulkStatus.FAILED, id=None, errors=faults)
        for index, faults in batch.faults.items()
    ]
    for index, each in zip(batch.lines, laid, strict=True):
        status = BulkStatus.CREATED if each.outcome is Outcome.CREATED else BulkStatus.UPDATED
        outcomes.append(BulkOutcome(index=index, status=status, id=each.draft.id))
    return sorted(outcomes, key=lambda outcome: outcome.index)


def _answer(outcomes: list[BulkOutcome]) -> BulkOut:
    counts = {status: sum(outcome.status is status for outcome in outcomes) for status in BulkStatus}
    return BulkOut(
        created=counts[BulkStatus.CREATED], updated=counts[BulkStatus.UPDATED], failed=counts[BulkStatus.FAILED],
        items=outcomes,
    )  # fmt: skip
