"""Unsubscribing can be taken back: what was received comes back, and no more (D46)."""

import pytest
from sqlalchemy import text
from sqlmodel import select

from app.consent.models import BlockedAddress, Consent, ConsentState, Subscription
from app.pages.models import Leaving
from app.platform.tokens import Purpose
from app.recipients.models import RecipientTally
from tests.pages.test_unsubscribe import Audience

UNDO = {"undo": "yes"}


@pytest.fixture
async def audience(app, database):
    audience = Audience(app, database)
    await audience.fill()
    return audience


async def state(audience):
    consents = {row.purpose: row.given for row in await audience.read(select(ConsentState))}
    blocked = [row.email_key for row in await audience.read(select(BlockedAddress))]
    return await audience.subscribed(), consents, blocked


async def test_a_type_that_was_left_by_mistake_comes_back(audience, client):
    path = audience.path(audience.to_kari)
    left = await client.post(path, data={"scope": "type"})
    assert 'name="undo"' in left.text
    answer = await client.post(path, data=UNDO)
    assert answer.status_code == 200
    assert "Du er påmeldt igjen" in answer.text
    assert await audience.subscribed() == {audience.newsletter.id: True, audience.invitations.id: True}
    assert (await audience.recipient(audience.to_kari)).unsubscribed_at is None
    tallies = {row.name: row.value for row in await audience.read(select(RecipientTally))}
    assert tallies.get("unsubscribed", 0) == 0
    assert (await client.post(path, data=UNDO)).status_code == 409  # there is nothing left to take back
    assert await audience.read(select(Consent)) == []  # nothing was withdrawn, so nothing is given anew


async def test_everything_comes_back_with_a_consent_that_says_which_words_were_agreed_to(audience, client):
    path = audience.path(audience.to_kari)
    await client.post(path, data={"scope": "type"})
    await client.post(path, data={"scope": "everything"})
    await client.post(path, data=UNDO)
    subscribed, consents, blocked = await state(audience)
    assert subscribed == {audience.newsletter.id: True, audience.invitations.id: True}
    assert (consents, blocked) == ({"e_marketing": True}, [])
    given = (await audience.read(select(Consent).where(Consent.action == "given")))[0]
    assert (given.text_version, given.source) == (
        "undo-1", f"unsubscribe page, taken back, mailing {audience.mailing.id}",
    )  # fmt: skip


async def test_what_was_not_received_before_does_not_come_with_it(audience, client):
    async with audience.database.begin() as session:
        await session.exec(
            text("UPDATE subscription SET subscribed = false WHERE subscription_type_id = :id"),
            params={"id": audience.invitations.id},
        )
    await client.post(audience.path(audience.to_kari), data={"scope": "everything"})
    await client.post(audience.path(audience.to_kari), data=UNDO)
    assert await audience.subscribed() == {audience.newsletter.id: True, audience.invitations.id: False}


async def test_an_address_alone_is_let_through_again(audience, client):
    path = audience.path(audience.to_ola)
    await client.post(path, data={"scope": "everything"})
    assert (await client.post(path, data=UNDO)).status_code == 200
    assert await audience.read(select(BlockedAddress)) == []


async def test_another_links_unsubscription_and_an_old_one_cannot_be_taken_back(audience, client):
    other = audience.path(await audience.line(await audience.mail(audience.newsletter), audience.kari))
    path = audience.path(audience.to_kari)
    await client.post(path, data={"scope": "type"})
    before = await state(audience)
    assert (await client.post(other, data=UNDO)).status_code == 409
    async with audience.database.begin() as session:
        await session.exec(text("UPDATE leaving SET left_at = now() - interval '25 hours'"))
    late = await client.post(path, data=UNDO)
    assert late.status_code == 409
    assert await state(audience) == before
    assert 'name="undo"' not in (await client.get(path)).text


async def test_the_page_of_one_who_left_says_so_and_still_offers_the_rest(audience, client):
    path = audience.path(audience.to_kari)
    await client.post(path, data={"List-Unsubscribe": "One-Click"})
    shown = await client.get(path)
    assert "Du er meldt av" in shown.text
    assert 'value="everything"' in shown.text
    await client.post(path, data={"scope": "everything"})
    assert 'value="everything"' not in (await client.get(path)).text


async def test_a_reason_is_counted_once_and_goes_when_it_is_taken_back(audience, client):
    path, reasons = audience.path(audience.to_kari), f"/v1/mailings/{audience.mailing.id}/leaving-reasons"
    assert "reason" not in (await client.get(path)).text
    await client.post(path, data={"reason": "too_many"})  # who did not leave has no reason
    assert (await client.get(reasons)).json()["left"] == 0
    await client.post(path, data={"scope": "type"})
    await client.post(path, data={"reason": "too_many"})
    thanked = await client.post(path, data={"reason": "never_asked"})
    assert "Takk" in thanked.text
    await client.post(audience.path(audience.to_ola), data={"List-Unsubscribe": "One-Click"})
    assert (await client.get(reasons)).json() == {
        "left": 2, "too_many": 0, "not_for_me": 0, "never_asked": 1, "other": 0, "gave_none": 1,
    }  # fmt: skip
    assert (await client.post(path, data={"reason": "drop table"})).status_code == 422
    await client.post(path, data=UNDO)
    assert (await client.get(reasons)).json()["left"] == 1
    assert (await client.get("/v1/mailings/999999/leaving-reasons")).status_code == 404


async def test_choosing_anew_ends_what_could_be_taken_back(audience, client):
    await client.post(audience.path(audience.to_kari), data={"scope": "everything"})
    token = audience.path(audience.to_kari, Purpose.PREFERENCES).replace("/u/", "/p/")
    await client.post(token, data={"save": "yes", "type": [str(audience.invitations.id)]})
    assert await audience.read(select(Leaving)) == []
    assert await audience.read(select(BlockedAddress)) == []
    received = [row for row in await audience.read(select(Subscription)) if row.subscribed]
    assert [row.subscription_type_id for row in received] == [audience.invitations.id]
