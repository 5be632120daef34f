"""What is done about blocked addresses: many at once, corrected, taken away from persons (D60)."""

from collections.abc import Sequence

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import blocked_queries
from app.consent import registry_queries as queries
from app.consent.blocked import Block, block_at_once, read_address, read_blocked
from app.consent.blocked_schemas import (
    BlockedAddressIn,
    BlockedBulkOut,
    BlockedOutcome,
    BlockedStatus,
    HoldersChanged,
    UnblockIn,
)
from app.consent.errors import AlreadyBlocked, BlockedAddressNotFound, InvalidAddress
from app.consent.waiting_queries import take_out
from app.contacts.addresses import InvalidEmail, normalise_email
from app.platform.bulk import faults_in
from app.platform.errors import InvalidField


async def block_many(session: AsyncSession, *, items: Sequence[object]) -> BlockedBulkOut:
    """Block addresses; what is wrong with one stops no other. Lines that wait are taken out at once (D47)."""
    blocks: dict[int, Block] = {}
    outcomes: list[BlockedOutcome] = []
    for index, item in enumerate(items):
        try:
            read = BlockedAddressIn.model_validate(item)
            address = read_address(read.email, pointer=f"#/items/{index}/email")
        except ValidationError as error:
            outcomes.append(_failed(index, faults_in(error, under=f"#/items/{index}")))
        except InvalidAddress as error:
            outcomes.append(_failed(index, error.errors))
        else:
            blocks[index] = Block(address, read.reason, read.origin)
    changed = await block_at_once(session, blocks=list(blocks.values()))
    told: set[str] = set()
    for index, block in blocks.items():
        row = changed.get(block.address.key)
        status = BlockedStatus.UNCHANGED
        if row is not None and block.address.key not in told:
            status = BlockedStatus.BLOCKED if row.is_new else BlockedStatus.CHANGED
            told.add(block.address.key)
        outcomes.append(BlockedOutcome(index=index, status=status))
    return _answer(outcomes)


async def unblock_many(session: AsyncSession, *, asked: UnblockIn) -> BlockedBulkOut:
    """Let mailings go to addresses again, named as they are or by the ids of their rows."""
    keys: dict[int, str | None] = {}
    outcomes: list[BlockedOutcome] = []
    if asked.ids:
        known = await queries.keys_of(session, ids=asked.ids)
        keys = {index: known.get(blocked_id) for index, blocked_id in enumerate(asked.ids)}
    for index, email in enumerate(asked.emails):
        try:
            keys[index] = normalise_email(email).key
        except InvalidEmail as refusal:
            outcomes.append(_failed(index, [InvalidField(pointer=f"#/emails/{index}", detail=refusal.reason)]))
    removed = await queries.unblock(session, email_keys=sorted({key for key in keys.values() if key is not None}))
    for index, key in keys.items():
        status = BlockedStatus.UNBLOCKED if key in removed else BlockedStatus.UNCHANGED
        outcomes.append(BlockedOutcome(index=index, status=status))
        removed.discard(key or "")
    return _answer(outcomes)


def _failed(index: int, faults: Sequence[InvalidField]) -> BlockedOutcome:
    return BlockedOutcome(index=index, status=BlockedStatus.FAILED, errors=list(faults))


def _answer(outcomes: list[BlockedOutcome]) -> BlockedBulkOut:
    counts = {status.value: sum(outcome.status is status for outcome in outcomes) for status in BlockedStatus}
    return BlockedBulkOut(**counts, items=sorted(outcomes, key=lambda outcome: outcome.index))


async def correct_address(session: AsyncSession, *, blocked_address_id: int, email: str) -> HoldersChanged:
    """Write a valid address in the place of a blocked one, with everyone who has it; the old one stays blocked (D60).

    Raises BlockedAddressNotFound, InvalidAddress (also for the same address), and AlreadyBlocked when nothing may go to
    the new one, either.
    """
    old = await read_blocked(session, blocked_address_id=blocked_address_id)
    new = read_address(email)
    if new.key == old.email_key:
        detail = "This is the blocked address itself; send the one that is right, or unblock it."
        raise InvalidAddress(detail, errors=[InvalidField(pointer="#/email", detail=detail)])
    if await blocked_queries.blocked_among(session, email_keys=[new.key]):
        raise AlreadyBlocked("Nothing may go to the new address, either; unblock that one first, or send another one.")
    persons = await queries.lock_holders(session, email_keys=[old.email_key])
    companies = await queries.correct(session, old=old.email_key, new=new.key, email=new.address)
    return HoldersChanged(persons=len(persons), companies=companies)


async def delete_from_holders(session: AsyncSession, *, ids: Sequence[int]) -> HoldersChanged:
    """Take blocked addresses away from everyone who has them; they stay blocked. Raises BlockedAddressNotFound."""
    keys = await _keys_of(session, ids)
    persons = await queries.lock_holders(session, email_keys=keys)
    companies = await queries.delete_from_holders(session, email_keys=keys)
    return HoldersChanged(persons=len(persons), companies=companies)


async def mark_as_left(session: AsyncSession, *, ids: Sequence[int]) -> HoldersChanged:
    """Mark everyone who has one of these blocked addresses as a former employee, and take their waiting lines out.

    Raises BlockedAddressNotFound.
    """
    person_ids = await queries.lock_holders(session, email_keys=await _keys_of(session, ids))
    marked = await queries.mark_left(session, person_ids=person_ids)
    if marked:
        await take_out(session, person_ids=marked, employment=True)
    return HoldersChanged(persons=len(marked), companies=0)


async def holders_of(session: AsyncSession, *, ids: Sequence[int]) -> list[int]:
    """Return the persons who have one of these blocked addresses, locked; raises BlockedAddressNotFound."""
    return await queries.lock_holders(session, email_keys=await _keys_of(session, ids))


async def _keys_of(session: AsyncSession, ids: Sequence[int]) -> list[str]:
    known = await queries.keys_of(session, ids=ids)
    unknown = [blocked_id for blocked_id in ids if blocked_id not in known]
    if unknown:
        raise BlockedAddressNotFound(f"There is no blocked address {unknown[0]}; nothing was changed.")
    return sorted(set(known.values()))
