"""What actions do to whom they are about, in the caller's transaction. Scripts, which leave the house, are elsewhere.

A trigger says whom it is about (`Subject`) and where it comes from (`Origin`); nothing here knows of links or forms.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions import effect_queries as effects
from app.actions.checking import field_fault, project_fault, selection_fault
from app.actions.kinds import FollowUpSettings, Interests, Membership, RequestSettings, SetField, Settings, User
from app.actions.models import Assignment, FollowUp, ServiceRequest
from app.actions.outcomes import Outcome, done, failed, skipped
from app.audience import project_queries, selection_queries
from app.contacts.interest_queries import known_interests


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an action is about: a person, or a company that is a recipient of its own."""

    person_id: int | None
    company_id: int | None
    our_contact_name: str | None
    our_contact_email: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a follow-up or a request comes from."""

    run_id: int
    library_link_id: int
    mailing_id: int
    recipient_id: int


NO_PERSON = "No person: the line is of an address that matched nobody."
NO_PERSON_BUT_A_COMPANY = "No person: the line is a company's own."


async def perform(session: AsyncSession, settings: Settings, *, subject: Subject, origin: Origin) -> Outcome:
    """Do what an action does. Doing it twice changes nothing more, except that each run makes one follow-up."""
    match settings:
        case SetField():
            return await _set_field(session, settings, subject)
        case Interests():
            return await _change_interests(session, settings, subject)
        case Membership():
            return await _change_membership(session, settings, subject)
        case FollowUpSettings():
            return await _make_follow_up(session, settings, subject, origin)
        case RequestSettings():
            return await _make_request(session, settings, subject, origin)
    raise TypeError(settings.kind)


def _nobody(subject: Subject) -> Outcome:
    return skipped(NO_PERSON if subject.company_id is None else NO_PERSON_BUT_A_COMPANY)


async def _set_field(session: AsyncSession, settings: SetField, subject: Subject) -> Outcome:
    if subject.person_id is None:
        return _nobody(subject)
    if fault := await field_fault(session, settings):
        return failed(fault[1])
    changed = await effects.set_extra(
        session, person_id=subject.person_id, name=settings.field, value=settings.value
    )  # fmt: skip
    what = "Cleared" if settings.value is None else "Set"
    return done(f"{what} {settings.field}." if changed else f"{settings.field} was so before.")


async def _change_interests(session: AsyncSession, settings: Interests, subject: Subject) -> Outcome:
    if subject.person_id is None:
        return _nobody(subject)
    ids = [*settings.add, *settings.remove]
    if gone := sorted(set(ids) - await known_interests(session, interest_ids=ids)):
        return failed(f"There is no interest {', '.join(map(str, gone))} any more; change the action.")
    added = await effects.add_interests(session, person_id=subject.person_id, interest_ids=settings.add)
    removed = await effects.remove_interests(session, person_id=subject.person_id, interest_ids=settings.remove)
    return done(f"Interests added: {added}, removed: {removed}.")


async def _change_membership(session: AsyncSession, settings: Membership, subject: Subject) -> Outcome:
    if settings.selection_id is not None:
        return await _change_selection(session, settings, settings.selection_id, subject)
    project_id = settings.project_id or 0
    if subject.person_id is None:
        return _nobody(subject)
    if fault := await project_fault(session, project_id):
        return failed(fault)
    adding = settings.change == "add"
    row = await project_queries.change_by_ids(
        session, project_id=project_id, person_ids=[subject.person_id], add=adding
    )  # fmt: skip
    return _changed(f"project {project_id}", adding=adding, changed=bool(row.changed))


async def _change_selection(
    session: AsyncSession, settings: Membership, selection_id: int, subject: Subject
) -> Outcome:
    table, who = ("person", subject.person_id) if subject.person_id is not None else ("company", subject.company_id)
    if who is None:
        return _nobody(subject)
    if fault := await selection_fault(session, selection_id):
        return failed(fault)
    adding = settings.change == "add"
    if adding:
        row = await selection_queries.add_named(session, selection_id=selection_id, table=table, ids=[who])
        changed = bool(row.added)
    else:
        row = await selection_queries.remove_named(session, selection_id=selection_id, table=table, ids=[who])
        changed = bool(row.removed)
    return _changed(f"selection {selection_id}", adding=adding, changed=changed)


def _changed(what: str, *, adding: bool, changed: bool) -> Outcome:
    if changed:
        return done(f"Added to {what}." if adding else f"Taken out of {what}.")
    return done(f"Was in {what} before." if adding else f"Was not in {what}.")


async def _make_follow_up(
    session: AsyncSession, settings: FollowUpSettings, subject: Subject, origin: Origin
) -> Outcome:
    if subject.person_id is None and subject.company_id is None:
        return _nobody(subject)
    if settings.project_id is not None and (fault := await project_fault(session, settings.project_id)):
        return failed(fault)
    made = FollowUp(
        **_whose(subject, origin), **_owner(settings.owner, subject, our_contact=settings.our_contact),
        type=settings.type, description=settings.description, project_id=settings.project_id,
        duration_minutes=settings.duration_minutes,
    )  # fmt: skip
    await effects.add(session, made)
    return done(f"Made follow-up {made.id}.")


async def _make_request(session: AsyncSession, settings: RequestSettings, subject: Subject, origin: Origin) -> Outcome:
    if subject.person_id is None and subject.company_id is None:
        return _nobody(subject)
    owner = settings.owner if settings.assignment is Assignment.OWNER else None
    made = ServiceRequest(
        **_whose(subject, origin), **_owner(owner, subject, our_contact=settings.our_contact), title=settings.title,
        priority=settings.priority, category=settings.category, assignment=settings.assignment,
    )  # fmt: skip
    await effects.add(session, made)
    return done(f"Made request {made.id}.")


def _whose(subject: Subject, origin: Origin) -> dict[str, Any]:
    return {**asdict(origin), "person_id": subject.person_id, "company_id": subject.company_id}


def _owner(owner: User | None, subject: Subject, *, our_contact: bool) -> dict[str, Any]:
    """Return the columns of an owner: the person's own contact where that is asked for and there is one."""
    if owner is not None and our_contact and subject.our_contact_email:
        return {"owner_name": subject.our_contact_name, "owner_email": subject.our_contact_email}
    return {"owner_name": owner.name if owner else None, "owner_email": owner.email if owner else None}
