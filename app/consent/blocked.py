"""Blocked addresses: blocking, finding, unblocking."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from app.consent import blocked_queries as queries
from app.consent.errors import AlreadyBlocked, BlockedAddressNotFound, InvalidAddress
from app.consent.models import BlockedAddress, BlockReason, ConsentAction, Purpose
from app.consent.service import ConsentLine, record_lines
from app.consent.waiting_queries import anything_waits_for, take_out
from app.contacts.addresses import Email, InvalidEmail, normalise_email
from app.platform.errors import InvalidField
from app.platform.outbox import Job, enqueue


@dataclass(frozen=True, slots=True)
class Block:
    """An address to block, with what led to it."""

    address: Email
    reason: BlockReason
    origin: str
    mailing_id: int | None = None


def read_address(email: str, *, pointer: str = "#/email") -> Email:
    """Return an address whatever way it is written; raises InvalidAddress: nothing is ever sent to what is none."""
    try:
        return normalise_email(email)
    except InvalidEmail as refusal:
        fault = InvalidField(pointer=pointer, detail=refusal.reason)
        raise InvalidAddress(refusal.reason, errors=[fault]) from refusal


async def block_address(
    session: AsyncSession, *, email: str, reason: BlockReason, origin: str, mailing_id: int | None = None
) -> bool:
    """Block an address, whatever way it is written; return whether it was not blocked before. Repeats are fine.

    Lines that wait for it in mailings are taken out by a job of its own, within seconds: whoever blocks here, such as a
    sender that stores bounces, holds rows of one mailing, and must not wait for those of another. Raises
    InvalidAddress.
    """
    address = read_address(email)
    changed = await _block(session, [Block(address, reason, origin, mailing_id)])
    if address.key not in changed:
        return False
    if await anything_waits_for(session, email_key=address.key):
        await enqueue(session, Job.ADDRESS_TAKE_OUT, blocked=changed[address.key].id)
    return bool(changed[address.key].is_new)


async def take_out_address(session: AsyncSession, *, blocked_address_id: int) -> int:
    """Take the lines that wait for a blocked address out of mailings; return how many. Repeats change nothing."""
    blocked = await queries.find_blocked(session, blocked_address_id=blocked_address_id)
    return await take_out(session, email_keys=[blocked.email_key], address=True) if blocked is not None else 0


async def block_at_once(session: AsyncSession, *, blocks: Sequence[Block]) -> dict[str, Any]:
    """Block addresses and take the lines that wait for them out of mailings, in this transaction (D47).

    A complaint also withdraws the consent to e-marketing of the persons who have the address (D61). Returns a row (id,
    is_new) by key for each that changed: those blocked before have kept their reason.
    """
    changed = await _block(session, blocks)
    complaints = [block for block in blocks if block.reason is BlockReason.COMPLAINT]
    person_ids = await _withdraw_for(session, complaints) if complaints else []
    if changed or person_ids:  # one statement for all: see there
        await take_out(
            session, person_ids=person_ids, email_keys=sorted(changed), address=True, consent=bool(person_ids)
        )
    return changed


async def _block(session: AsyncSession, blocks: Sequence[Block]) -> dict[str, Any]:
    first: dict[str, Block] = {}
    for block in blocks:
        known = first.setdefault(block.address.key, block)
        if known.reason is BlockReason.UNSUBSCRIBED_ALL and block.reason is not BlockReason.UNSUBSCRIBED_ALL:
            first[block.address.key] = block
    rows = [
        {
            "email": block.address.address, "email_key": key, "reason": block.reason, "origin": block.origin,
            "mailing_id": block.mailing_id,
        }
        for key, block in first.items()
    ]  # fmt: skip
    return await queries.block(session, rows=rows)


async def _withdraw_for(session: AsyncSession, complaints: Sequence[Block]) -> list[int]:
    """Withdraw the consent of whoever has the addresses; return the persons whose consent that was."""
    origins = {block.address.key: block.origin for block in complaints}
    lines = [
        ConsentLine(Purpose.E_MARKETING, ConsentAction.WITHDRAWN, f"complaint: {origins[key]}", person_id)
        for person_id, key in await queries.persons_at(session, email_keys=sorted(origins))
    ]
    recorded = await record_lines(session, lines=lines, only_changes=True, and_take_out=False)
    return sorted({line.person_id for n, line in enumerate(lines) if n in recorded and line.person_id is not None})


async def blocked_addresses(session: AsyncSession, *, emails: Sequence[str]) -> set[str]:
    """Return those of the addresses that nothing may go to: blocked, or erased. Raises InvalidAddress."""
    keys = {email: read_address(email).key for email in emails}
    among = await queries.blocked_among(session, email_keys=sorted(set(keys.values())))
    return {email for email, key in keys.items() if key in among}


async def block_by_hand(session: AsyncSession, *, email: str, reason: BlockReason, origin: str) -> BlockedAddress:
    """Block one address; raises InvalidAddress, and AlreadyBlocked when that changes nothing."""
    address = read_address(email)
    changed = await block_at_once(session, blocks=[Block(address, reason, origin)])
    if address.key not in changed and reason is not BlockReason.COMPLAINT:
        raise AlreadyBlocked("This address is blocked; find it with `q`.")
    blocked = await queries.find_by_key(session, email_key=address.key)
    if blocked is None:
        raise AssertionError("an address that was just blocked is there")
    return blocked


async def read_blocked(session: AsyncSession, *, blocked_address_id: int) -> BlockedAddress:
    """Return a blocked address; raises BlockedAddressNotFound."""
    blocked = await queries.find_blocked(session, blocked_address_id=blocked_address_id)
    if blocked is None:
        raise BlockedAddressNotFound(f"There is no blocked address {blocked_address_id}.")
    return blocked


async def unblock(session: AsyncSession, *, blocked_address_id: int) -> None:
    """Let mailings go to an address again; raises BlockedAddressNotFound."""
    await session.delete(await read_blocked(session, blocked_address_id=blocked_address_id))


async def take_back_unsubscription(session: AsyncSession, *, email_key: str) -> None:
    """Let mailings go to an address again that nothing but an unsubscription blocked, on its owner's word."""
    await queries.lift_address(session, email_key=email_key)
