"""View in browser (D48)."""

import pytest

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
