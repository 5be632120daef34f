"""What a mailing's setup refers to exists: checked when it is saved, with a pointer to each that does not."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent.models import SubscriptionType
from app.delivery.account_queries import find_account
from app.folders.models import FolderKind
from app.folders.service import misplaced
from app.platform.errors import Invalid, InvalidField
from app.recipients.association import missing_associations

ASSOCIATION = {"selection_id", "project_id"}


async def check_references(session: AsyncSession, fields: dict[str, Any]) -> None:
    """Raise Invalid for every field that refers to something that does not exist, or is of another kind."""
    if found := await _missing(session, fields):
        raise Invalid(" ".join(each.detail for each in found), errors=found)


async def forget_missing(session: AsyncSession, fields: dict[str, Any]) -> None:
    """Set to null what refers to something that was deleted this very moment; the rest stays until the commit."""
    for each in await _missing(session, fields):
        fields[each.pointer.removeprefix("#/")] = None


async def _missing(session: AsyncSession, fields: dict[str, Any]) -> list[InvalidField]:
    found: list[InvalidField] = []
    type_id = fields.get("subscription_type_id")
    if type_id is not None and await session.get(SubscriptionType, type_id) is None:
        detail = f"There is no subscription type {type_id}."
        found.append(InvalidField(pointer="#/subscription_type_id", detail=detail))
    account_id = fields.get("sending_account_id")
    if account_id is not None and await find_account(session, account_id=account_id) is None:
        detail = f"There is no sending account {account_id}."
        found.append(InvalidField(pointer="#/sending_account_id", detail=detail))
    if fields.get("folder_id") is not None:
        found += await misplaced(session, folder_id=fields["folder_id"], kind=FolderKind.MAILING)
    if fields.keys() & ASSOCIATION:
        found += await missing_associations(
            session, selection_id=fields.get("selection_id"), project_id=fields.get("project_id")
        )
    return found
