"""D47, D59, D61: whatever takes a yes back, or blocks an address, takes waiting lines out of mailings at once."""

import pytest
from sqlalchemy import text

from app.bounces.models import BounceKind, BounceOrigin
from app.bounces.service import take_in_bounce
from app.consent import blocked, expiry, waiting_queries
from app.consent.models import BlockReason
from app.consent.service import unsubscribe
from app.contacts.models import PersonEmail
from app.mailings.models import MailingState
from app.platform.db import run
from app.platform.plans import by_key
from app.recipients.models import RecipientStatus
from app.statistics.service import drift


@pytest.fixture
async def kari(people):
    """Kari consents and subscribes to News."""
    person = await people.person()
    people.news = await people.kind()
    await people.consents(person)
    await people.subscribes(person, people.news)
    return person


async def test_a_withdrawal_takes_a_person_out_of_what_waits_and_of_nothing_else(people, kari):
    other = await people.person("ola@nordlys.example")
    await people.consents(other)
    lines = {
        "sending": await people.line(await people.mailing(people.news), kari),
        "a retry": await people.line(await people.mailing(people.news), kari, status=RecipientStatus.DEFERRED),
        "stopped": await people.line(await people.mailing(people.news, state=MailingState.STOPPED), kari),
        "draft": await people.line(await people.mailing(people.news, state=MailingState.DRAFT), kari),
        "cancelled": await people.line(await people.mailing(people.news, state=MailingState.CANCELLED), kari),
        "sent": await people.line(await people.mailing(people.news), kari, status=RecipientStatus.SENT),
        "overridden": await people.line(await people.mailing(people.news, override=True), kari),
        "someone else": await people.line(await people.mailing(people.news), other),
    }
    await people.consents(kari, action="withdrawn")
    assert {name: await people.reason(line) for name, line in lines.items()} == {
        "sending": "no_consent", "a retry": "no_consent", "stopped": "no_consent", "draft": "no_consent",
        "cancelled": "ready", "sent": "sent", "overridden": "ready", "someone else": "ready",
    }  # fmt: skip


async def test_the_counts_follow(people, kari, session):
    """D24: the counts by status always sum to the list's size."""
    mailing = await people.mailing(people.news)
    await people.line(mailing, kari)
    await people.consents(kari, action="withdrawn")
    assert await drift(session, mailing_id=mailing.id) == {}


async def test_a_backdated_withdrawal_and_one_of_tracking_take_nobody_out(people, kari):
    line = await people.line(await people.mailing(people.news), kari)
    await people.consents(kari, action="withdrawn", valid_from="2020-01-01T00:00:00Z")
    await people.consents(kari, action="withdrawn", purpose="track_opens")
    assert await people.reason(line) == "ready"


async def test_a_no_to_a_type_takes_a_person_out_of_mailings_of_that_type(people, kari):
    zoom = await people.kind("Zoom")
    await people.subscribes(kari, zoom)
    news = await people.line(await people.mailing(people.news), kari)
    overridden = await people.line(await people.mailing(people.news, override=True), kari)
    other, of_any = [await people.line(await people.mailing(kind), kari) for kind in (zoom, None)]
    await people.subscribes(kari, people.news, subscribed=False)
    reasons = [await people.reason(line) for line in (news, overridden, other, of_any)]
    assert reasons == ["no_subscription", "ready", "ready", "ready"]
    await people.subscribes(kari, zoom, subscribed=False)
    assert [await people.reason(line) for line in (other, of_any)] == ["no_subscription", "no_subscription"]


async def test_many_at_once_take_out_each_and_tell_apart_who_still_may(people, client, kari):
    ola = await people.person("ola@nordlys.example", external_id="CRM-2")
    await people.consents(ola)
    await people.subscribes(ola, people.news)
    first, second = await people.mailing(people.news), await people.mailing(people.news)
    to_kari, to_ola = await people.line(first, kari), await people.line(second, ola)
    line = {"purpose": "e_marketing", "action": "withdrawn", "source": "CRM"}
    await client.post("/v1/consents/bulk", json={"items": [line | {"person_id": kari.id}]})
    assert [await people.reason(each) for each in (to_kari, to_ola)] == ["no_consent", "ready"]
    answer = {"external_id": "CRM-2", "subscription_type_id": people.news.id, "subscribed": False}
    await client.post("/v1/subscriptions/bulk", json={"items": [answer]})
    assert await people.reason(to_ola) == "no_subscription"


async def test_a_companys_own_line_goes_by_the_companys_ledger(people):
    company, kind = await people.company(), await people.kind()
    person = await people.person(company.email, company_id=company.id)
    for owner in (company, person):
        await people.consents(owner)
        await people.subscribes(owner, kind)
    of_company = await people.line(await people.mailing(kind), company=company)
    of_person = await people.line(await people.mailing(kind), person)
    also = await people.line(await people.mailing(kind), company=company)
    await people.subscribes(company, kind, subscribed=False)
    assert [await people.reason(line) for line in (of_company, of_person)] == ["no_subscription", "ready"]
    await people.rows("UPDATE recipient SET status = 'ready', reason = NULL WHERE id = :id RETURNING 1", id=also.id)
    await people.consents(company, action="withdrawn")
    assert [await people.reason(line) for line in (also, of_person)] == ["no_consent", "ready"]


async def test_a_yes_that_runs_out_takes_out_when_the_ledger_says_so(people, kari, session):
    line = await people.line(await people.mailing(people.news), kari)
    await run(session, text("UPDATE consent_state SET valid_until = now() - interval '1 second'"))
    assert await expiry.expire(session) == 1
    assert await people.reason(line) == "no_consent"


async def test_a_blocked_address_is_taken_out_whoever_has_it_and_whatever_is_overridden(people, client, kari):
    """D21: override_consent never overrides blocked addresses."""
    shared = await people.person("kari@nordlys.example", name="Another Kari")
    lines = [
        await people.line(await people.mailing(people.news), kari),
        await people.line(await people.mailing(people.news, override=True), shared),
        await people.line(await people.mailing(people.news), email="kari@nordlys.example"),
        await people.line(await people.mailing(people.news), kari, status=RecipientStatus.DEFERRED),
    ]
    elsewhere = await people.line(await people.mailing(people.news), kari, email="kari.old@nordlys.example")
    answer = await client.post("/v1/blocked-addresses", json={"email": "Kari@Nordlys.example"})
    assert answer.status_code == 201
    assert [await people.reason(line) for line in lines] == ["blocked_address"] * 4
    assert await people.reason(elsewhere) == "ready"


async def test_a_line_that_went_to_a_further_address_is_found_by_it(people, client):
    person = await people.person("new@nordlys.example")
    await people.add(PersonEmail(person_id=person.id, email="old@nordlys.example", email_key="old@nordlys.example"))
    line = await people.line(await people.mailing(), person, email="old@nordlys.example")
    await client.post("/v1/blocked-addresses/bulk", json={"items": [{"email": "old@nordlys.example"}]})
    assert await people.reason(line) == "blocked_address"


async def test_a_complaint_withdraws_consent_and_blocks_at_once(people, client, kari):
    """D61."""
    also = await people.person("kari@nordlys.example")
    await people.consents(also)
    line = await people.line(await people.mailing(people.news, override=True), kari)
    body = {"email": "kari@nordlys.example", "reason": "complaint", "origin": "ARF of example.com"}
    for _ in range(2):
        assert (await client.post("/v1/blocked-addresses", json=body)).status_code == 201
    assert await people.reason(line) == "blocked_address"
    for person in (kari, also):
        assert (await people.state(person))["state"] == "withdrawn"
        lines = (await client.get(f"/v1/persons/{person.id}/consents")).json()["items"]
        assert [each["source"] for each in lines] == ["test", "complaint: ARF of example.com"]


async def test_unsubscribing_from_everything_takes_everything_out_as_blocked(people, kari, session):
    line = await people.line(await people.mailing(people.news), kari)
    overridden = await people.line(await people.mailing(override=True), kari)
    from_ = await people.mailing(people.news)
    await unsubscribe(session, person_id=kari.id, subscription_type_id=None, source="page", mailing_id=from_.id)
    assert [await people.reason(each) for each in (line, overridden)] == ["blocked_address"] * 2
    [row] = await people.rows("SELECT reason, mailing_id FROM blocked_address")
    assert (row.reason, row.mailing_id) == ("unsubscribed_all", from_.id)


async def test_a_hard_bounce_has_a_job_take_out_what_waits_in_other_mailings(people, kari, session):
    """A sender that stores a bounce holds its own mailing's rows, and must not wait for another's."""
    bouncing = await people.line(await people.mailing(people.news), kari, status=RecipientStatus.SENT)
    waiting = await people.line(await people.mailing(people.news), kari)
    await take_in_bounce(
        session, recipient_id=bouncing.id, kind=BounceKind.HARD, origin=BounceOrigin.DSN, status="5.1.1", detail="gone"
    )
    [job] = await people.rows("SELECT args FROM outbox WHERE job = 'address.take_out'")
    assert await people.reason(waiting) == "ready"
    assert await blocked.take_out_address(session, blocked_address_id=job.args["blocked"]) == 1
    assert await blocked.take_out_address(session, blocked_address_id=job.args["blocked"]) == 0
    assert await people.reason(waiting) == "blocked_address"
    assert await blocked.take_out_address(session, blocked_address_id=987654321) == 0


async def test_a_bounce_that_nothing_waits_for_makes_no_job(people, kari, session):
    await people.line(await people.mailing(people.news), kari, status=RecipientStatus.SENT)
    await blocked.block_address(session, email=kari.email, reason=BlockReason.HARD_BOUNCE, origin="x")
    assert await people.rows("SELECT id FROM outbox WHERE job = 'address.take_out'") == []


async def test_a_block_is_found_by_index(session, people):
    """A block must not read the lists of a million: only its own persons' and strangers' lines."""
    await run(
        session,
        text(
            "INSERT INTO person (name, email, email_key) SELECT 'P', n || '@a.no', n || '@a.no' "
            "FROM generate_series(1, 20000) AS n"
        ),
    )
    await people.mailing()
    await run(
        session,
        text(
            "INSERT INTO recipient (mailing_id, person_id, name, email, email_key, status) "
            "SELECT (SELECT max(id) FROM mailing), id, name, email, email_key, 'ready' FROM person"
        ),
    )
    for table in ("person", "recipient"):
        await run(session, text(f"ANALYZE {table}"))
    await run(session, text("SET LOCAL plan_cache_mode = force_generic_plan"))
    statement = waiting_queries._TAKE_OUT
    explained = text(f"EXPLAIN (FORMAT JSON) {statement.text}").bindparams(*statement._bindparams.values())
    plan = await run(
        session, explained, persons=[], companies=[], keys=["1@a.no"], address=True, employment=False, consent=False,
        subscription=False,
    )  # fmt: skip
    nodes = list(flat(plan.scalar_one()[0]["Plan"]))
    assert {"recipient_person_idx", "recipient_stranger_idx"} <= {node.get("Index Name") for node in nodes}
    read_whole = {node.get("Relation Name") for node in nodes if node["Node Type"] == "Seq Scan"}
    assert not read_whole & {"recipient", "person"}


async def test_statements_by_key_read_no_table_whole_however_small_it_was(session):
    """Plans are kept: 10 000 withdrawals took 36 s with one that was made while tables were empty."""
    show = text("SHOW enable_seqscan")
    async with by_key(session):
        assert (await run(session, show)).scalar_one() == "off"
    assert (await run(session, show)).scalar_one() == "on"


def flat(node):
    yield node
    for part in node.get("Plans", ()):
        yield from flat(part)
