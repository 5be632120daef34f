"""Bounces change the recipient, the tallies and the blocked addresses, once."""

import pytest
from sqlmodel import select

from app.bounces.models import Bounce, BounceKind, BounceOrigin
from app.bounces.service import Taken, take_in_bounce
from app.consent.models import BlockedAddress, BlockReason
from app.recipients.models import RecipientStatus
from tests.bounces.rows import OLA, add_recipient, count, tallies

WORDS = "550 5.1.1 User unknown"


async def take_in(session, recipient_id, *, kind=BounceKind.HARD, origin=BounceOrigin.DSN, detail=WORDS):
    return await take_in_bounce(
        session, recipient_id=recipient_id, kind=kind, origin=origin, status="5.1.1", detail=detail
    )


async def test_a_hard_bounce_marks_the_recipient_and_blocks_the_address(session):
    recipient = await add_recipient(session)
    assert await take_in(session, recipient.id) is Taken.COUNTED
    await session.refresh(recipient)
    assert (recipient.status, recipient.bounce, recipient.reply) == (RecipientStatus.BOUNCED, "hard", WORDS)
    assert recipient.bounced_at is not None
    [blocked] = (await session.exec(select(BlockedAddress))).all()
    assert (blocked.email, blocked.reason, blocked.origin) == (OLA, BlockReason.HARD_BOUNCE, WORDS)
    assert blocked.mailing_id == recipient.mailing_id


async def test_a_soft_bounce_blocks_nothing(session):
    recipient = await add_recipient(session)
    assert await take_in(session, recipient.id, kind=BounceKind.SOFT) is Taken.COUNTED
    await session.refresh(recipient)
    assert recipient.bounce == "soft"
    assert await count(session, "blocked_address") == 0


async def test_the_tallies_follow(session):
    recipient = await add_recipient(session)
    await add_recipient(session, email="kari@example.org", mailing_id=recipient.mailing_id)
    await take_in(session, recipient.id)
    assert await tallies(session, recipient.mailing_id) == {"total": 2, "sent": 1, "bounced": 1, "bounced:hard": 1}


async def test_a_repeat_changes_nothing(session):
    recipient = await add_recipient(session)
    await take_in(session, recipient.id)
    await session.refresh(recipient)
    first = recipient.model_dump()
    assert await take_in(session, recipient.id, kind=BounceKind.SOFT, detail="again") is Taken.REPEATED
    await session.refresh(recipient)
    assert recipient.model_dump() == first
    assert [bounce.detail for bounce in (await session.exec(select(Bounce))).all()] == [WORDS]


async def test_a_hard_bounce_of_another_origin_hardens_a_soft_one_and_not_the_reverse(session):
    recipient = await add_recipient(session)
    await take_in(session, recipient.id, kind=BounceKind.SOFT, origin=BounceOrigin.SMTP)
    await take_in(session, recipient.id, kind=BounceKind.HARD, origin=BounceOrigin.DSN)
    await session.refresh(recipient)
    assert recipient.bounce == "hard"
    other = await add_recipient(session, email="kari@example.org")
    await take_in(session, other.id, kind=BounceKind.HARD, origin=BounceOrigin.SMTP)
    await take_in(session, other.id, kind=BounceKind.SOFT, origin=BounceOrigin.DSN)
    await session.refresh(other)
    assert other.bounce == "hard"


@pytest.mark.parametrize("status", [RecipientStatus.UNCONFIRMED, RecipientStatus.DEFERRED, RecipientStatus.FAILED])
async def test_a_report_settles_what_was_open(session, status):
    recipient = await add_recipient(session, status=status)
    await take_in(session, recipient.id)
    assert await tallies(session, recipient.mailing_id) == {"total": 1, "bounced": 1, "bounced:hard": 1}


async def test_a_blocked_recipient_stays_blocked(session):
    recipient = await add_recipient(session, status=RecipientStatus.BLOCKED, reason="no_consent")
    assert await take_in(session, recipient.id) is Taken.NOT_MAILED
    assert await tallies(session, recipient.mailing_id) == {"total": 1, "blocked": 1, "blocked:no_consent": 1}
    assert await count(session, "bounce") == await count(session, "blocked_address") == 0


async def test_a_recipient_whose_sending_is_not_stored_yet_stays_ready(session):
    recipient = await add_recipient(session, status=RecipientStatus.READY)
    assert await take_in(session, recipient.id) is Taken.NOT_MAILED
    assert await tallies(session, recipient.mailing_id) == {"total": 1, "ready": 1}


async def test_a_deleted_recipient_is_no_error(session):
    assert await take_in(session, 4711) is Taken.GONE


async def test_an_erased_recipient_bounces_without_an_address_to_block(session):
    recipient = await add_recipient(session, email="")
    assert await take_in(session, recipient.id) is Taken.COUNTED
    assert await count(session, "blocked_address") == 0


async def test_the_bounces_of_a_mailing_are_listed_by_kind_and_origin(client, database):
    async with database.begin() as session:
        ola = await add_recipient(session)
        kari = await add_recipient(session, email="kari@example.org", mailing_id=ola.mailing_id)
        other = await add_recipient(session, email="per@example.org")
        await take_in(session, ola.id)
        await take_in(session, kari.id, kind=BounceKind.SOFT)
        await take_in(session, kari.id, kind=BounceKind.SOFT, origin=BounceOrigin.SMTP)
        await take_in(session, other.id)
    path = f"/v1/mailings/{ola.mailing_id}/bounces"
    page = (await client.get(path, params={"limit": 2})).json()
    assert [(item["email"], item["kind"]) for item in page["items"]] == [(OLA, "hard"), ("kari@example.org", "soft")]
    rest = (await client.get(path, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["origin"] for item in rest["items"]] == ["smtp"]
    assert rest["next_cursor"] is None
    hard = (await client.get(path, params={"kind": "hard"})).json()["items"]
    assert [(item["recipient_id"], item["status"], item["detail"]) for item in hard] == [(ola.id, "5.1.1", WORDS)]
    assert len((await client.get(path, params={"origin": "dsn"})).json()["items"]) == 2


async def test_bounces_of_a_mailing_that_does_not_exist_are_a_404(client):
    answer = await client.get("/v1/mailings/4711/bounces")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:budstikke:problem:mailing-not-found"
