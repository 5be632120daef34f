"""View in browser (D48)."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.contacts.models import Company, Person
from app.content.compiler import MessageSource, compile_message
from app.delivery.service import freeze
from app.mailings.models import Mailing
from app.platform.tokens import Purpose, TokenKey
from app.recipients.models import Recipient, RecipientStatus
from app.tracking.service import register_links
from tests.conftest import SECRET

TOKENS = TokenKey.from_secret(SECRET)
HTML = (
    '<html><body><p>Hei [[customer.name]]</p><a href="https://example.com/a">A</a> [[link.unsubscribe]]</body></html>'
)


@pytest.fixture
async def recipient_id(database):
    async with database.begin() as session:
        mailing = Mailing(name="M")
        session.add(mailing)
        await session.flush()
        recipient = Recipient(
            mailing_id=mailing.id, seq=1, name="Kari <K>", email="kari@example.com", email_key="kari@example.com",
            status=RecipientStatus.SENT,
        )  # fmt: skip
        session.add(recipient)
        await session.flush()
        source = MessageSource(subject="S", html=HTML, text=None, from_name="N", from_email="n@example.com")
        compiled = compile_message(source, public_url="https://news.example.com")
        links = await register_links(session, mailing_id=mailing.id, targets=["https://example.com/a"], frozen=True)
        await freeze(session, mailing_id=mailing.id, compiled=compiled, link_ids=links, senders=1)
        return recipient.id


async def test_the_recipient_sees_the_own_version_with_the_own_links(client, recipient_id):
    answer = await client.get(f"/v/{TOKENS.make(Purpose.VIEW, recipient_id)}")
    assert answer.status_code == 200
    assert "Hei Kari &lt;K&gt;" in answer.text
    assert f"/u/{TOKENS.make(Purpose.UNSUBSCRIBE, recipient_id)}" in answer.text
    assert "/c/" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_test_messages_link_says_what_it_is(client):
    answer = await client.get(f"/v/{TOKENS.make(Purpose.VIEW, 0)}", headers={"Accept-Language": "nb"})
    assert answer.status_code == 200
    assert "testmelding" in answer.text


async def test_tokens_of_other_pages_and_recipients_that_are_gone_lead_nowhere(client, recipient_id):
    for token in (TOKENS.make(Purpose.UNSUBSCRIBE, recipient_id), TOKENS.make(Purpose.VIEW, recipient_id + 999)):
        assert (await client.get(f"/v/{token}")).status_code == 404


async def test_the_message_has_the_values_it_was_sent_with_whatever_changed_since(client, database):
    """D48: by the audit log, of person and company; what changed before sending is as it was changed."""
    html = (
        "<p>[[customer.firstname|default('du')]], [[company.name]], [[company.city|default('nowhere')]], "
        "[[customer.extra.shoe|default('none')]]</p>[[link.unsubscribe]]"
    )
    async with database.begin() as session:
        old, new = Company(name="Nordlys", city="Tromsø"), Company(name="Sørvind")
        session.add_all([old, new])
        await session.flush()
        person = Person(
            name="Kari Nordmann", first_name="Kari", email="kari@example.com", email_key="kari@example.com",
            company_id=old.id, extra={"shoe": "38"},
        )  # fmt: skip
        mailing = Mailing(name="M")
        session.add_all([person, mailing])
        await session.flush()
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        line = Recipient(
            mailing_id=mailing.id, seq=1, person_id=person.id, name="Kari Nordmann", email="kari@example.com",
            email_key="kari@example.com", status=RecipientStatus.SENT, sent_at=hour_ago,
        )  # fmt: skip
        session.add(line)
        source = MessageSource(subject="S", html=html, text=None, from_name="N", from_email="n@example.com")
        compiled = compile_message(source, public_url="https://news.example.com")
        await freeze(session, mailing_id=mailing.id, compiled=compiled, link_ids=[], senders=1)
        person_id, old_id, new_id, line_id = person.id, old.id, new.id, line.id
    sent = "<p>Kari, Nordlys, Tromsø, 38</p>"
    path = f"/v/{TOKENS.make(Purpose.VIEW, line_id)}"
    assert sent in (await client.get(path)).text

    for change in ({"first_name": None}, {"first_name": "Katinka", "company_id": new_id}, {"first_name": "Kaia"}):
        assert (await client.patch(f"/v1/persons/{person_id}", json=change)).status_code == 200
    assert (await client.patch(f"/v1/companies/{old_id}", json={"city": "Bodø", "name": "N."})).status_code == 200
    async with database.begin() as session:
        await session.exec(text("UPDATE person SET extra = '{}' WHERE id = :id"), params={"id": person_id})
    assert sent in (await client.get(path)).text

    async with database.begin() as session:  # sent after all of this
        await session.exec(text("UPDATE recipient SET sent_at = now() + interval '1 hour'"))
    assert "<p>Kaia, Sørvind, nowhere, none</p>" in (await client.get(path)).text


async def test_an_erased_recipients_message_is_not_shown(client, database, recipient_id):
    async with database.begin() as session:
        await session.exec(text("UPDATE recipient SET name = '', email = '', email_key = NULL"))
    answer = await client.get(f"/v/{TOKENS.make(Purpose.VIEW, recipient_id)}", headers={"Accept-Language": "en"})
    assert answer.status_code == 410
    assert "We no longer keep this message" in answer.text
    assert "Hei" not in answer.text
