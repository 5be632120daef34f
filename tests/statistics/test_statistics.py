"""Figures come from tallies, and tallies equal a recount whatever happens to the rows."""

import random

from sqlalchemy import text

from app.mailings.models import Mailing
from app.recipients.models import Recipient, RecipientStatus
from app.statistics.service import drift, summarise
from app.tracking.models import Engagement, EventKind, Verdict

MARKS = (
    "opened_at",
    "machine_opened_at",
    "clicked_at",
    "machine_clicked_at",
    "unsubscribed_at",
    "complained_at",
    "sent_at",
)


async def new_mailing(session) -> int:
    mailing = Mailing(name="M")
    session.add(mailing)
    await session.flush()
    return mailing.id


def line(mailing_id: int, **fields) -> Recipient:
    return Recipient(**{"mailing_id": mailing_id, "email": "a@example.com", "status": RecipientStatus.READY} | fields)


async def test_tallies_equal_a_recount_after_any_changes(session):
    chance = random.Random(4)
    mailing_id = await new_mailing(session)
    session.add_all(line(mailing_id) for _ in range(60))
    await session.flush()
    for _ in range(80):
        share = chance.choice((1, 3, 30))
        change = chance.choice(
            [
                f"{chance.choice(MARKS)} = {chance.choice(('now()', 'NULL'))}",
                f"status = '{chance.choice(list(RecipientStatus)).value}'",
                "status = 'blocked', reason = 'no_consent'",
                f"status = 'bounced', bounce = '{chance.choice(('hard', 'soft'))}'",
            ]
        )
        which = f"WHERE mailing_id = {mailing_id} AND id % {share} = 0"
        await session.exec(text(f"UPDATE recipient SET {change} {which}"))
    await session.exec(text(f"DELETE FROM recipient WHERE mailing_id = {mailing_id} AND id % 7 = 0"))
    assert await drift(session, mailing_id=mailing_id) == {}


async def test_drift_names_what_differs(session):
    mailing_id = await new_mailing(session)
    session.add(line(mailing_id))
    await session.flush()
    await session.exec(text(f"UPDATE recipient_tally SET value = 9 WHERE mailing_id = {mailing_id} AND name = 'ready'"))
    assert await drift(session, mailing_id=mailing_id) == {"ready": (9, 1)}


async def test_humans_come_first_and_machines_apart(session):
    """D45, D62."""
    mailing_id = await new_mailing(session)
    sent = {"status": RecipientStatus.SENT}
    human, machine, quiet = line(mailing_id, **sent), line(mailing_id, **sent), line(mailing_id, **sent)
    session.add_all([human, machine, quiet])
    await session.flush()
    for recipient, verdict, times in (
        (human, Verdict.HUMAN, 2),
        (human, Verdict.MACHINE, 1),
        (machine, Verdict.MACHINE, 3),
    ):
        session.add_all(
            Engagement(
                kind=EventKind.OPEN, mailing_id=mailing_id, recipient_id=recipient.id, verdict=verdict, rule_version=1
            )
            for _ in range(times)
        )
    await session.exec(text("UPDATE recipient SET sent_at = now()"))
    await session.exec(text(f"UPDATE recipient SET opened_at = now(), machine_opened_at = now() WHERE id = {human.id}"))
    await session.exec(text(f"UPDATE recipient SET machine_opened_at = now() WHERE id = {machine.id}"))
    figures = await summarise(session, mailing_id=mailing_id)
    assert figures.opens.model_dump() == {"human": 2, "machine": 4, "total": 6}
    assert figures.openers.model_dump() == {"human": 1, "machine": 1, "total": 2}
    assert figures.rates.open == round(1 / 3, 6)
    assert figures.rates.click_to_open == 0


async def test_a_mailing_without_recipients_has_no_rates(client, session):
    created = await client.post("/v1/mailings", json={"name": "Empty"})
    answer = await client.get(f"/v1/mailings/{created.json()['id']}/statistics")
    assert set(answer.json()["rates"].values()) == {None}
    assert (await client.get("/v1/mailings/999999/statistics")).status_code == 404
