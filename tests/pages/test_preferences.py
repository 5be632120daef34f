"""`/p/{token}`: what a person receives and permits."""

import pytest
from sqlmodel import select

from app.consent.models import BlockedAddress, Consent, ConsentState, Subscription, SubscriptionType
from app.contacts.models import Person
from app.mailings.models import Mailing
from app.platform.tokens import Purpose
from app.recipients.models import Recipient


@pytest.fixture
async def kari(app, database):
    """A person with the newsletter but not invitations; returns ids and the path of her page."""
    async with database.begin() as session:
        newsletter, invitations = SubscriptionType(name="Newsletter"), SubscriptionType(name="Invitations")
        person = Person(name="Kari", email="kari@example.com", email_key="kari@example.com", language="en")
        mailing = Mailing(name="M")
        session.add_all([newsletter, invitations, person, mailing])
        await session.flush()
        recipient = Recipient(
            mailing_id=mailing.id, person_id=person.id, email="kari@example.com", email_key="kari@example.com",
            status="sent",
        )  # fmt: skip
        session.add(recipient)
        session.add(
            Subscription(person_id=person.id, subscription_type_id=newsletter.id, subscribed=True, source="CRM")
        )
        await session.flush()
        token = app.state.tokens.make(Purpose.PREFERENCES, recipient.id)
        return {"newsletter": newsletter.id, "invitations": invitations.id, "path": f"/p/{token}", "id": person.id}


async def rows(database, table):
    async with database.begin() as session:
        return (await session.exec(select(table).execution_options(populate_existing=True))).all()


async def subscribed(database):
    return {row.subscription_type_id: row.subscribed for row in await rows(database, Subscription)}


async def test_the_page_shows_what_is_subscribed_and_no_consent_that_was_not_given(client, kari):
    page = (await client.get(kari["path"])).text
    assert f'value="{kari["newsletter"]}" checked' in page
    assert f'value="{kari["invitations"]}">' in page
    assert 'value="track_opens">' in page


async def test_saving_sets_every_answer_and_asking_for_more_is_consent(client, database, kari):
    fields = {"save": "yes", "type": [str(kari["invitations"])], "tracking": ["track_clicks"]}
    answer = await client.post(kari["path"], data=fields)
    assert answer.status_code == 200
    assert "Your choices are saved." in answer.text
    assert await subscribed(database) == {kari["newsletter"]: False, kari["invitations"]: True}
    states = {row.purpose: row.given for row in await rows(database, ConsentState)}
    assert states == {"e_marketing": True, "track_opens": False, "track_clicks": True}
    assert {row.text_version for row in await rows(database, Consent)} == {"preferences-1"}


async def test_saving_again_adds_nothing_to_the_ledger(client, database, kari):
    fields = {"save": "yes", "type": [str(kari["newsletter"])]}
    await client.post(kari["path"], data=fields)
    before = len(await rows(database, Consent))
    await client.post(kari["path"], data=fields)
    assert len(await rows(database, Consent)) == before


async def test_asking_for_mail_again_takes_back_an_unsubscription_from_everything(client, app, database, kari):
    [recipient] = await rows(database, Recipient)
    token = app.state.tokens.make(Purpose.UNSUBSCRIBE, recipient.id)
    await client.post(f"/u/{token}", data={"scope": "everything"})
    assert len(await rows(database, BlockedAddress)) == 1
    await client.post(kari["path"], data={"save": "yes", "type": [str(kari["newsletter"])]})
    assert await rows(database, BlockedAddress) == []
    assert (await subscribed(database))[kari["newsletter"]] is True


@pytest.mark.parametrize("value", ["999999", "-1", "x", "9" * 5000, "1e3"])
async def test_types_that_do_not_exist_are_passed_over(client, database, kari, value):
    answer = await client.post(kari["path"], data={"save": "yes", "type": [value]})
    assert answer.status_code == 200
    assert set((await subscribed(database)).values()) == {False}


async def test_a_test_message_shows_the_page_and_saves_nothing(client, app, database, kari):
    path = f"/p/{app.state.tokens.make(Purpose.PREFERENCES, 0)}"
    assert "test message" in (await client.get(path, headers={"Accept-Language": "en"})).text
    await client.post(path, data={"save": "yes"})
    assert await subscribed(database) == {kari["newsletter"]: True}
