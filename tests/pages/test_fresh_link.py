"""The link to the preferences runs out, and a fresh one comes by mail, within limits (D46)."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.consent.models import BlockedAddress, Subscription
from app.contacts.models import Company
from app.letterhead.looks import PLAIN
from app.pages.fresh_link import compose
from app.pages.service import find_visitor
from app.platform.outbox import OutboxJob
from app.platform.tokens import Purpose
from app.recipients.models import Recipient
from tests.pages.test_unsubscribe import Audience


@pytest.fixture
async def audience(app, database):
    """Kari's message is 22 days old."""
    audience = Audience(app, database)
    await audience.fill()
    async with database.begin() as session:
        await session.exec(text("UPDATE recipient SET sent_at = now() - interval '22 days'"))
        await session.exec(text("UPDATE mailing SET from_email = 'post@example.com'"))
    return audience


def path_of(audience, recipient, issued=0):
    return f"/p/{audience.app.state.tokens.make(Purpose.PREFERENCES, recipient.id, issued)}"


async def jobs(audience):
    return [row.args for row in await audience.read(select(OutboxJob).where(OutboxJob.job == "preferences.send_link"))]


async def test_after_21_days_the_page_shows_and_saves_nothing_and_offers_a_fresh_link(audience, client):
    path = path_of(audience, audience.to_kari)
    shown = await client.get(path)
    assert shown.status_code == 410
    assert "21 dager" in shown.text
    assert "Invitations" not in shown.text
    before = await audience.everything()
    assert (await client.post(path, data={"save": "yes"})).status_code == 410
    assert await audience.everything() == before
    assert await jobs(audience) == []
    async with audience.database.begin() as session:
        await session.exec(text("UPDATE recipient SET sent_at = now() - interval '20 days'"))
    assert (await client.get(path)).status_code == 200


async def test_a_fresh_link_counts_from_when_it_was_made(audience, client):
    now = datetime.now(UTC)
    for days, status in ((20, 200), (22, 410)):
        issued = int((now - timedelta(days=days)).timestamp())
        assert (await client.get(path_of(audience, audience.to_kari, issued))).status_code == status


async def test_unsubscribing_does_not_run_out_and_leads_to_no_fresh_link(audience, client):
    answer = await client.post(audience.path(audience.to_kari), data={"scope": "type"})
    assert answer.status_code == 200
    [preferences] = re.findall(r'href="(/p/[^"]+)"', answer.text)
    assert (await client.get(preferences)).status_code == 410


async def test_asking_again_and_again_sends_few_and_always_answers_the_same(audience, client):
    path = path_of(audience, audience.to_kari)
    answers = [await client.post(path, data={"fresh": "yes"}) for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, answers[0].text)}
    assert await jobs(audience) == [{"recipient": audience.to_kari.id}]
    for round_ in range(8):  # later, five a day
        async with audience.database.begin() as session:
            await session.exec(text("DELETE FROM outbox"))
            await session.exec(text("UPDATE link_request SET last_at = last_at - interval '6 minutes'"))
        await client.post(path, data={"fresh": "yes"})
        assert len(await jobs(audience)) == (1 if round_ < 4 else 0)
    async with audience.database.begin() as session:
        await session.exec(
            text("UPDATE link_request SET first_at = now() - interval '25 hours', last_at = now() - interval '1 hour'")
        )
    await client.post(path, data={"fresh": "yes"})
    assert len(await jobs(audience)) == 1


async def test_nothing_tells_whether_an_address_is_known_blocked_or_erased(audience, client):
    """The answer is the same but for the masked address, which the link's holder knows."""
    texts = set()
    await audience.add(
        BlockedAddress(email="ola@example.com", email_key="ola@example.com", reason="complaint", origin="x")
    )
    for line in (audience.to_kari, audience.to_ola):
        answer = await client.post(path_of(audience, line), data={"fresh": "yes"}, headers={"Accept-Language": "nb"})
        texts.add(answer.text.replace("o•••", "k•••"))
    assert len(texts) == 1
    async with audience.database.begin() as session:
        await session.exec(text("UPDATE recipient SET email = '', email_key = NULL, person_id = NULL"))
    erased = await client.post(
        path_of(audience, audience.to_kari), data={"fresh": "yes"}, headers={"Accept-Language": "nb"}
    )
    assert erased.status_code == 200
    assert erased.text.replace("•••", "k•••@example.com") == texts.pop()
    assert len(await jobs(audience)) == 2


async def test_the_message_brings_a_link_that_opens_the_page_in_the_persons_language(audience, client, settings):
    async with audience.database.begin() as session:
        visitor = await find_visitor(session, recipient_id=audience.to_kari.id)
    at = datetime.now(UTC)
    made = compose(visitor, settings=settings, tokens=audience.app.state.tokens, look=PLAIN, at=at)
    assert b"\n" not in made.content.replace(b"\r\n", b"")
    assert max(map(len, made.content.split(b"\r\n"))) < 998
    message = email.message_from_bytes(made.content, policy=email.policy.default)
    assert (message["To"], message["From"]) == ("kari@example.com", "Nordavind <post@example.com>")
    assert message["Auto-Submitted"] == "auto-replied"
    assert "innstillingene" in message["Subject"]
    links = set()
    for part in message.walk():
        if part.get_content_maintype() == "text":
            links |= set(re.findall(r"https://news\.example\.com(/p/[\w-]+)", part.get_content()))
    [path] = links
    answer = await client.get(path)
    assert answer.status_code == 200
    assert "Dette får du fra oss" in answer.text


async def test_a_company_chooses_for_its_own_address(audience, client):
    """D22, D46."""
    company = await audience.add(Company(name="Nordlys", email="post@example.com", email_key="post@example.com"))
    line = await audience.add(
        Recipient(
            mailing_id=audience.mailing.id, company_id=company.id, email="post@example.com",
            email_key="post@example.com", status="sent",
        )
    )  # fmt: skip
    path = path_of(audience, line)
    page = await client.get(path)
    assert "track_opens" not in page.text
    saved = await client.post(path, data={"save": "yes", "type": [str(audience.invitations.id)]})
    assert f'value="{audience.invitations.id}" checked' in saved.text
    assert await audience.read(select(Subscription).where(Subscription.source.like("preferences%"))) == []
