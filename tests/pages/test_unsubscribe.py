"""`/u/{token}`: GET shows, POST acts, one click is RFC 8058 to the letter."""

from datetime import UTC, datetime

import pytest
from sqlmodel import select

from app.consent.models import (
    BlockedAddress,
    CompanyConsentState,
    CompanySubscription,
    ConsentState,
    Subscription,
    SubscriptionType,
)
from app.contacts.models import Company, Person
from app.mailings.models import Mailing, MailingState
from app.platform.tokens import Purpose
from app.recipients.models import Recipient, RecipientStatus, RecipientTally

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class Audience:
    """Kari, who gets the newsletter and invitations, and Ola, of whom only an address is known."""

    def __init__(self, app, database) -> None:
        self.app, self.database = app, database

    async def add(self, row):
        async with self.database.begin() as session:
            session.add(row)
            await session.flush()
            await session.refresh(row)
        return row

    async def fill(self) -> None:
        self.newsletter = await self.add(SubscriptionType(name="News & <b>views</b>"))
        self.invitations = await self.add(SubscriptionType(name="Invitations"))
        self.kari = await self.add(
            Person(name="Kari", email="kari@example.com", email_key="kari@example.com", language="nb-NO")
        )
        for kind in (self.newsletter, self.invitations):
            await self.add(
                Subscription(person_id=self.kari.id, subscription_type_id=kind.id, subscribed=True, source="CRM")
            )
        self.mailing = await self.mail(self.newsletter)
        self.to_kari = await self.line(self.mailing, self.kari)
        self.to_ola = await self.line(self.mailing, None, email="ola@example.com")

    async def mail(self, kind, state=MailingState.SENDING):
        return await self.add(
            Mailing(name="M", state=state, from_name="Nordavind", subscription_type_id=kind.id if kind else None)
        )

    async def line(self, mailing, person, status=RecipientStatus.SENT, email="kari@example.com"):
        sent_at = datetime.now(UTC) if status is RecipientStatus.SENT else None
        return await self.add(
            Recipient(
                mailing_id=mailing.id, person_id=person.id if person else None, email=email, email_key=email,
                status=status, sent_at=sent_at,
            )
        )  # fmt: skip

    def path(self, recipient, purpose=Purpose.UNSUBSCRIBE) -> str:
        return f"/u/{self.app.state.tokens.make(purpose, recipient.id if recipient else 0)}"

    async def read(self, query):
        async with self.database.begin() as session:
            return (await session.exec(query.execution_options(populate_existing=True))).all()

    async def subscribed(self) -> dict[int, bool]:
        rows = await self.read(select(Subscription).where(Subscription.person_id == self.kari.id))
        return {row.subscription_type_id: row.subscribed for row in rows}

    async def recipient(self, recipient) -> Recipient:
        return (await self.read(select(Recipient).where(Recipient.id == recipient.id)))[0]

    async def everything(self):
        """All that a page could change."""
        tables = (Subscription, Recipient, BlockedAddress, ConsentState, RecipientTally)
        return [[row.model_dump() for row in await self.read(select(table))] for table in tables]


@pytest.fixture
async def audience(app, database):
    audience = Audience(app, database)
    await audience.fill()
    return audience


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
async def test_no_verb_of_a_scanner_changes_anything(audience, client, method):
    before = await audience.everything()
    for path in (audience.path(audience.to_kari), audience.path(audience.to_kari).replace("/u/", "/p/")):
        await client.request(method, path)
    assert await audience.everything() == before


async def test_get_asks_in_the_persons_language_and_shows_who_and_what_masked_and_escaped(audience, client):
    answer = await client.get(audience.path(audience.to_kari), headers={"Accept-Language": "de"})
    assert answer.status_code == 200
    assert '<html lang="nb">' in answer.text
    assert "<h1>Vil du melde deg av «News &amp; &lt;b&gt;views&lt;/b&gt;»?</h1>" in answer.text
    assert "k•••@example.com" in answer.text
    assert "kari@" not in answer.text


async def test_a_page_carries_strict_headers_and_sets_no_cookie(audience, client):
    headers = (await client.get(audience.path(audience.to_kari))).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "noindex" in headers["x-robots-tag"]
    assert "set-cookie" not in headers


async def test_posting_the_form_unsubscribes_from_this_type_only(audience, client):
    answer = await client.post(audience.path(audience.to_kari), data={"scope": "type"})
    assert answer.status_code == 200
    assert "Du er meldt av" in answer.text
    assert await audience.subscribed() == {audience.newsletter.id: False, audience.invitations.id: True}
    assert await audience.read(select(BlockedAddress)) == []
    assert (await audience.recipient(audience.to_kari)).unsubscribed_at is not None


async def test_leaving_altogether_refuses_every_type_withdraws_consent_and_blocks_the_address(audience, client):
    await client.post(audience.path(audience.to_kari), data={"scope": "everything"})
    assert set((await audience.subscribed()).values()) == {False}
    [state] = await audience.read(select(ConsentState))
    assert (state.purpose, state.given) == ("e_marketing", False)
    [blocked] = await audience.read(select(BlockedAddress))
    assert (blocked.email_key, blocked.reason) == ("kari@example.com", "unsubscribed_all")


@pytest.mark.parametrize(
    "body",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"content": b"List-Unsubscribe=One-Click\r\n"},  # without a type, and with a line end
    ],
)
async def test_one_click_unsubscribes_without_redirect_cookie_or_context(audience, client, body):
    """RFC 8058 §3.2."""
    path = audience.path(audience.to_kari)
    answer = await client.post(path, headers={"Authorization": "", "Cookie": ""}, **body)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert await audience.subscribed() == {audience.newsletter.id: False, audience.invitations.id: True}


async def test_a_repeat_succeeds_and_keeps_the_first_time(audience, client):
    path = audience.path(audience.to_kari)
    await client.post(path, data=ONE_CLICK)
    before = await audience.everything()
    assert (await client.post(path, data=ONE_CLICK)).status_code == 200
    assert await audience.everything() == before


async def test_it_takes_effect_in_mailings_of_the_type_that_are_being_sent(audience, client):
    deferred = await audience.line(audience.mailing, audience.kari, RecipientStatus.DEFERRED)
    scheduled = await audience.line(await audience.mail(audience.newsletter, MailingState.SCHEDULED), audience.kari, RecipientStatus.READY)  # fmt: skip # noqa: E501
    invited = await audience.line(await audience.mail(audience.invitations), audience.kari, RecipientStatus.READY)
    cancelled = await audience.line(await audience.mail(audience.newsletter, MailingState.CANCELLED), audience.kari, RecipientStatus.READY)  # fmt: skip # noqa: E501
    await client.post(audience.path(audience.to_kari), data=ONE_CLICK)
    found = [await audience.recipient(line) for line in (deferred, scheduled, invited, cancelled, audience.to_kari)]
    assert [(line.status, line.reason) for line in found] == [
        ("blocked", "no_subscription"),
        ("blocked", "no_subscription"),
        ("ready", None),
        ("ready", None),
        ("sent", None),
    ]
    tallies = {
        row.name: row.value
        for row in await audience.read(select(RecipientTally).where(RecipientTally.mailing_id == audience.mailing.id))
    }
    assert (tallies["blocked:no_subscription"], tallies["unsubscribed"], tallies["deferred"]) == (1, 1, 0)


async def test_a_mailing_of_any_type_unsubscribes_from_everything(audience, client):
    line = await audience.line(await audience.mail(None), audience.kari)
    waiting = await audience.line(await audience.mail(audience.invitations), audience.kari, RecipientStatus.READY)
    assert 'value="type"' not in (await client.get(audience.path(line))).text
    await client.post(audience.path(line), data=ONE_CLICK)
    assert set((await audience.subscribed()).values()) == {False}
    assert (await audience.recipient(waiting)).status == "blocked"


async def test_an_address_that_matches_no_person_is_blocked(audience, client):
    waiting = await audience.line(await audience.mail(audience.invitations), None, RecipientStatus.READY, "ola@example.com")  # fmt: skip # noqa: E501
    answer = await client.post(audience.path(audience.to_ola), data=ONE_CLICK)
    assert answer.status_code == 200
    [blocked] = await audience.read(select(BlockedAddress))
    assert (blocked.email_key, blocked.reason, blocked.mailing_id) == (
        "ola@example.com", "unsubscribed_all", audience.mailing.id,
    )  # fmt: skip
    found = await audience.recipient(waiting)
    assert (found.status, found.reason) == ("blocked", "blocked_address")
    assert (await audience.recipient(audience.to_ola)).unsubscribed_at is not None


async def test_the_page_of_a_test_message_says_so_and_changes_nothing(audience, client):
    before = await audience.everything()
    shown = await client.get(audience.path(None), headers={"Accept-Language": "en"})
    assert "test message" in shown.text
    assert (await client.post(audience.path(None), data={"scope": "everything"})).status_code == 200
    assert (await client.post(audience.path(None), data=ONE_CLICK)).status_code == 200
    assert await audience.everything() == before


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/x-www-form-urlencoded"),
        (b"scope=all", "application/x-www-form-urlencoded"),
        (b"\xff\xfe=%%%", "application/x-www-form-urlencoded"),
        (b"a=1&" * 5000, "application/x-www-form-urlencoded"),
        (b"x" * 200_000, "application/x-www-form-urlencoded"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        # A codec of Python's that always raises, with an error that Starlette does not expect.
        (
            b'--x\r\nContent-Disposition: form-data; name="scope"\r\n\r\ntype\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=undefined",
        ),
    ],
)
async def test_a_post_that_cannot_be_understood_changes_nothing(audience, client, content, content_type):
    before = await audience.everything()
    answer = await client.post(audience.path(audience.to_kari), content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert await audience.everything() == before


async def test_a_link_that_a_mail_program_ended_too_late_opens_the_page(audience, client):
    for end in (".", ")", "%3E", "&amp;utm_source=x"):
        assert (await client.get(audience.path(audience.to_kari) + end)).status_code == 200


async def test_tokens_that_are_not_for_this_page_lead_nowhere(audience, client):
    right = audience.path(audience.to_kari)
    for path in (right[:-2], right[:-2] + "AA", audience.path(audience.to_kari, Purpose.CLICK), "/u/x"):
        for answer in (await client.get(path), await client.post(path, data=ONE_CLICK)):
            assert answer.status_code == 404
            assert answer.headers["content-type"].startswith("text/html")
    assert (await audience.recipient(audience.to_kari)).unsubscribed_at is None


async def test_a_recipient_who_is_gone_leads_nowhere(audience, client):
    token = audience.app.state.tokens.make(Purpose.UNSUBSCRIBE, 999_999)
    assert (await client.get(f"/u/{token}")).status_code == 404


async def test_a_companys_own_line_unsubscribes_the_company_and_nobody_else(audience, client):
    """D22, D46: the type first; everything withdraws the company's consent and blocks its address."""
    company = await audience.add(Company(name="Nordlys", email="post@example.com", email_key="post@example.com"))
    line = await audience.add(
        Recipient(
            mailing_id=audience.mailing.id, company_id=company.id, email="post@example.com",
            email_key="post@example.com", status="sent",
        )
    )  # fmt: skip
    assert 'value="type"' in (await client.get(audience.path(line))).text
    await client.post(audience.path(line), data=ONE_CLICK)
    [answer] = await audience.read(select(CompanySubscription))
    assert (answer.company_id, answer.subscription_type_id, answer.subscribed) == (
        company.id, audience.newsletter.id, False,
    )  # fmt: skip
    assert await audience.read(select(BlockedAddress)) == []
    await client.post(audience.path(line), data={"scope": "everything"})
    [state] = await audience.read(select(CompanyConsentState))
    assert (state.company_id, state.given) == (company.id, False)
    assert [row.email_key for row in await audience.read(select(BlockedAddress))] == ["post@example.com"]
    assert set((await audience.subscribed()).values()) == {True}
