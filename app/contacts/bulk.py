"""Many persons or companies at once, in few statements (api.md rule 7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.contacts import email_queries, matching_queries, queries
from app.contacts.extra_field_queries import declared_fields
from app.contacts.interest_queries import replace_by_name
from app.contacts.lines import Told, follow_addresses, read_company, read_person, repeating_addresses
from app.contacts.merging import Draft, Existing, Laid, Line, Outcome, lay
from app.contacts.models import ExtraField, ExtraOwner
from app.contacts.schemas import BulkStatus, CompanyBulkItem, PersonBulkItem
from app.contacts.trial_queries import Trial
from app.platform.bulk import faults_in
from app.platform.errors import InvalidField
from app.platform.memory import uncollected
from app.platform.ndjson import Unreadable


class ItemOutcome(NamedTuple):
    """What became of one item; `faults` lead into it by pointer."""

    status: BulkStatus
    id: int | None
    faults: Sequence[InvalidField] = ()


@dataclass(slots=True)
class _Batch:
    """Items that passed so far, by their place, and what is wrong with the others."""

    told: dict[int, Told] = field(default_factory=dict)
    faults: dict[int, list[InvalidField]] = field(default_factory=dict)

    def refuse(self, place: int, name: str, detail: str) -> None:
        del self.told[place]
        self.faults[place] = [InvalidField(pointer=f"#/{name}", detail=detail)]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [told.line for told in self.told.values()]


async def save_persons(
    session: AsyncSession, *, lines: Sequence[Line], existing: Existing, by_address: bool, trial: Trial | None = None
) -> list[Laid]:
    """Create and change persons, in the order of the lines; see `merging.lay` for who is meant by a line.

    Lines hold values in the form they are kept in; companies are ids. With a `trial` nothing is saved or locked, and
    what is answered is what would become of the lines. Raises ExternalIdTaken where another request creates one of the
    persons at the same moment.
    """
    if trial is None:
        await matching_queries.take_matching_turn(session)
    external_ids = {line["external_id"] for line in lines if line.get("external_id")}
    keys = {line["email_key"] for line in lines if line.get("email_key")} if by_address else set()
    meant = trial.persons_meant if trial else matching_queries.persons_meant
    found = await meant(session, external_ids=sorted(external_ids), email_keys=sorted(keys))
    with uncollected():
        laid = lay(lines, found, blank=queries.BLANK_PERSON, existing=existing, by_address=by_address)
    write = trial.write_persons if trial else matching_queries.write_persons
    await write(session, _changed(laid))
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


async def companies_by_name(
    session: AsyncSession, *, names: Iterable[str], trial: Trial | None = None
) -> dict[str, int]:
    """Return the company ids of names, whatever their case; companies that are not known are created.

    With a `trial` they are not, and get ids that no company has: the same for the same name.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    if trial is None:
        await matching_queries.take_matching_turn(session)
    ids = await matching_queries.companies_named(session, names=wanted)
    if trial:
        return {name: ids[name] if name in ids else trial.company_id(name) for name in wanted}
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


async def upsert_persons(session: AsyncSession, *, items: Sequence[object], default_country: str) -> list[ItemOutcome]:
    """Create or change persons by external id; return what became of each item, in order.

    Items are taken as they came and checked here, each by itself: what is wrong with one stops no other. Raises
    ExternalIdTaken where another request creates one of the persons at the same moment.
    """
    await matching_queries.take_matching_turn(session)
    batch = _checked(PersonBulkItem, items)
    declared = await _declared(session, ExtraOwner.PERSON, batch)
    for place, told in list(batch.told.items()):
        _keep(batch, place, read_person(told.line, declared=declared, default_country=default_country))
    await _find_companies(session, batch)
    if again := repeating_addresses(batch.told.values()):
        known = await email_queries.addresses_of(session, external_ids=sorted(again))
        follow_addresses(batch.told.values(), {external_id: known.get(external_id, []) for external_id in again})
    laid = await save_persons(session, lines=batch.lines, existing=Existing.OVERWRITE, by_address=False)
    further, interests = {}, {}
    for told, each in zip(batch.told.values(), laid, strict=True):
        if told.further is not None:
            further[_id(each.draft)] = told.further
        if told.interests is not None:
            interests[_id(each.draft)] = told.interests
    await email_queries.replace_further(session, told=further)
    cleared = {_id(each.draft) for each in laid if each.draft.further and each.draft.values["email_key"] is None}
    await email_queries.promote(session, person_ids=sorted(cleared - further.keys()))
    await replace_by_name(session, names=interests)
    return _outcomes(batch, laid)


async def upsert_companies(
    session: AsyncSession, *, items: Sequence[object], default_country: str
) -> list[ItemOutcome]:
    """Create or change companies by external id; see `upsert_persons`."""
    await matching_queries.take_matching_turn(session)
    batch = _checked(CompanyBulkItem, items)
    declared = await _declared(session, ExtraOwner.COMPANY, batch)
    for place, told in list(batch.told.items()):
        _keep(batch, place, read_company(told.line, declared=declared, default_country=default_country))
    await _refuse_nameless_companies(session, batch)
    return _outcomes(batch, await save_companies(session, lines=batch.lines))


def _checked(kind: type[BaseModel], items: Sequence[object]) -> _Batch:
    """Return the items that the schema takes, as the fields that were set."""
    batch = _Batch()
    for place, item in enumerate(items):
        if isinstance(item, Unreadable):
            batch.faults[place] = [InvalidField(pointer="#", detail=item.detail)]
            continue
        try:
            checked = kind.model_validate(item)
        except ValidationError as error:
            batch.faults[place] = faults_in(error)
        else:
            batch.told[place] = Told(checked.model_dump(exclude_unset=True))
    return batch


async def _declared(session: AsyncSession, owner: ExtraOwner, batch: _Batch) -> dict[str, ExtraField]:
    names = {name for line in batch.lines for name in line.get("extra") or ()}
    return await declared_fields(session, owner=owner, names=names) if names else {}


def _keep(batch: _Batch, place: int, told: Told) -> None:
    if told.faults:
        del batch.told[place]
        batch.faults[place] = told.faults
    else:
        batch.told[place] = told


async def _find_companies(session: AsyncSession, batch: _Batch) -> None:
    """Put company ids in the place of companies' external ids and names."""
    named = {
        place: (told.line.pop("company_external_id", None), told.line.pop("company_name", None))
        for place, told in batch.told.items()
    }
    ids = [line["company_id"] for line in batch.lines if line.get("company_id")]
    known = await queries.hold_companies(session, ids=ids) if ids else set()
    external: dict[str, str | None] = {}
    for external_id, name in named.values():
        if external_id:
            external[external_id] = external.get(external_id) or name
    found = await matching_queries.companies_meant(session, external_ids=sorted(external)) if external else []
    by_external = {draft.values["external_id"]: draft.id for draft in found}
    new = [{"external_id": key, "name": name} for key, name in external.items() if name and key not in by_external]
    if new:
        created = await save_companies(session, lines=new)
        by_external |= {each.draft.values["external_id"]: each.draft.id for each in created}
    by_name = await companies_by_name(session, names=(name for key, name in named.values() if name and not key))
    for place, (external_id, name) in named.items():
        line = batch.told[place].line
        company_id = line.get("company_id")
        if company_id and company_id not in known:
            batch.refuse(place, "company_id", f"There is no company {company_id}.")
        elif external_id and external_id not in by_external:
            detail = "No company has this external id; send the company first, or its name with it."
            batch.refuse(place, "company_external_id", detail)
        elif external_id or name:
            line["company_id"] = by_external[external_id] if external_id else by_name[name or ""]


async def _refuse_nameless_companies(session: AsyncSession, batch: _Batch) -> None:
    nameless_ids = {line["external_id"] for line in batch.lines if not line.get("name")}
    if not nameless_ids:
        return
    found = await matching_queries.companies_meant(session, external_ids=sorted(nameless_ids))
    known = {draft.values["external_id"] for draft in found}
    for place, told in list(batch.told.items()):
        if told.line.get("name"):
            known.add(told.line["external_id"])
        elif told.line["external_id"] not in known:
            batch.refuse(place, "name", "A new company needs a name.")


def _outcomes(batch: _Batch, laid: Sequence[Laid]) -> list[ItemOutcome]:
    outcomes = {place: ItemOutcome(BulkStatus.FAILED, None, faults) for place, faults in batch.faults.items()}
    for place, each in zip(batch.told, laid, strict=True):
        status = BulkStatus.CREATED if each.outcome is Outcome.CREATED else BulkStatus.UPDATED
        outcomes[place] = ItemOutcome(status, each.draft.id)
    return [outcomes[place] for place in sorted(outcomes)]
