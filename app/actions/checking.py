"""Whether what an action's settings refer to is there and fits; faults are told by JSON pointers."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.actions.errors import InvalidAction
from app.actions.kinds import (
    FollowUpSettings,
    Interests,
    Membership,
    RequestSettings,
    Response,
    ScriptSettings,
    SetField,
    Settings,
)
from app.actions.queries import hold_script
from app.audience.models import SelectionKind
from app.audience.project_queries import hold_project
from app.audience.queries import hold_selection
from app.contacts.extra_field_queries import declared_fields
from app.contacts.extra_fields import merge_tags
from app.contacts.extra_values import misfit
from app.contacts.interest_queries import known_interests
from app.contacts.models import ExtraOwner
from app.links.targets import TargetError, can_be_tracked, read_library_target
from app.platform.errors import InvalidField


async def check(session: AsyncSession, settings: Settings) -> None:
    """Raise InvalidAction for settings that refer to what is not there; the rest stays until the commit."""
    faults = await _faults(session, settings)
    if faults:
        raise InvalidAction(faults[0].detail, errors=faults)


async def _faults(session: AsyncSession, settings: Settings) -> list[InvalidField]:
    match settings:
        case Response(redirect_to=str(target)):
            fault = await _target_fault(session, target)
            return [InvalidField(pointer="#/redirect_to", detail=fault)] if fault else []
        case SetField():
            return await _field_faults(session, settings)
        case Interests():
            return await _interest_faults(session, "add", settings.add) + await _interest_faults(
                session, "remove", settings.remove
            )
        case Membership(selection_id=int(selection_id)):
            fault = await selection_fault(session, selection_id)
            return [InvalidField(pointer="#/selection_id", detail=fault)] if fault else []
        case Membership(project_id=int(project_id)) | FollowUpSettings(project_id=int(project_id)):
            fault = await project_fault(session, project_id)
            return [InvalidField(pointer="#/project_id", detail=fault)] if fault else []
        case ScriptSettings():
            if await hold_script(session, script_id=settings.script_id) is None:
                detail = f"There is no script {settings.script_id}."
                return [InvalidField(pointer="#/script_id", detail=detail)]
        case FollowUpSettings() | RequestSettings():
            pass  # they refer to nothing of ours
    return []


async def _target_fault(session: AsyncSession, target: str) -> str | None:
    extra_tags = (await merge_tags(session)).keys() if ".extra." in target else ()
    try:
        parts = read_library_target(target, extra_tags=extra_tags)
    except TargetError as error:
        return str(error)
    return None if can_be_tracked(parts) else "A click can be redirected to http:// and https:// addresses only."


async def field_fault(session: AsyncSession, settings: SetField) -> tuple[str, str] | None:
    """Return what is wrong with an extra field or its value, and in which setting; the field stays until the commit."""
    declared = await declared_fields(session, owner=ExtraOwner.PERSON, names=[settings.field])
    field = declared.get(settings.field)
    if field is None:
        return "field", f"Persons have no extra field {settings.field}. Declare it with POST /v1/extra-fields."
    if settings.value is not None and (fault := misfit(field, settings.value)):
        return "value", fault
    return None


async def _field_faults(session: AsyncSession, settings: SetField) -> list[InvalidField]:
    fault = await field_fault(session, settings)
    return [InvalidField(pointer=f"#/{fault[0]}", detail=fault[1])] if fault else []


async def _interest_faults(session: AsyncSession, where: str, ids: Sequence[int]) -> list[InvalidField]:
    known = await known_interests(session, interest_ids=ids) if ids else set()
    return [
        InvalidField(pointer=f"#/{where}/{place}", detail=f"There is no interest {interest_id}.")
        for place, interest_id in enumerate(ids)
        if interest_id not in known
    ]


async def selection_fault(session: AsyncSession, selection_id: int) -> str | None:
    """Return why nobody can be added to a selection; one that takes members stays until the commit."""
    selection = await hold_selection(session, selection_id=selection_id)
    if selection is None:
        return f"There is no selection {selection_id}."
    if selection.kind is not SelectionKind.STATIC:
        return f"Selection {selection_id} is dynamic: its criteria say who is in it. Take a static one."
    return None


async def project_fault(session: AsyncSession, project_id: int) -> str | None:
    """Return why nobody can be added to a project; one that is there stays until the commit."""
    found = await hold_project(session, project_id=project_id, to_change=False)
    return None if found is not None else f"There is no project {project_id}."
