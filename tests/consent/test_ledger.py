"""The ledger is appended to, and states are what it comes to (D20, D21)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from app.consent import expiry, ledger_queries
from app.consent.models import ConsentAction, Purpose
from app.consent.service import ConsentLine, record_consents
from app.contacts.models import Company, Person
from app.platform.db import Database, driver_url, run
from tests.conftest import SECRET, settings_for
from tests.consent.people import days


async def test_a_line_keeps_basis_source_wording_language_evidence_who_and_times(client, people):
    person = await people.person()
    told = {
        "purpose": "e_marketing", "action": "given", "legal_basis": "legitimate_interest", "source": "fair",
        "text_version": "7", "language": "nb", "evidence": "scan 12", "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2199-01-01T00:00:00Z",
    }  # fmt: skip
    line = await people.consents(person, **told)
    assert {name: line[name] for name in told} == told
    assert (line["person_id"], line["company_id"], line["recorded_by"]) == (person.id, None, "tests")
    assert (await client.get(f"/v1/persons/{person.id}/consents")).json()["items"] == [line]


async def test_the_state_of_every_purpose_is_told_since_when_until_when_and_by_which_line(people):
    """D43: tracking is unknown, granted or denied, apart from receiving."""
    person = await people.person()
    unknown = await people.state(person)
    assert (unknown["state"], unknown["since"], unknown["consent_id"]) == ("unknown", None, None)
    given = await people.consents(person, valid_from="2026-01-01T00:00:00Z", valid_until="2199-01-01T00:00:00Z")
    state = await people.state(person)
    assert state == {
        "purpose": "e_marketing", "name": "E-marketing", "state": "given", "since": given["valid_from"],
        "until": given["valid_until"], "consent_id": given["id"],
    }  # fmt: skip
    await people.consents(person, purpose="track_opens", action="withdrawn")
    states = [(await people.state(person, purpose))["state"] for purpose in Purpose]
    assert states == ["given", "withdrawn", "unknown"]


async def test_a_yes_that_ran_out_counts_as_expired_before_and_after_the_ledger_says_so(people, session):
    person = await people.person()
    await people.consents(person, valid_from="2020-01-01T00:00:00Z", valid_until="2022-01-01T00:00:00Z")
    before = await people.state(person)
    assert await expiry.expire(session) == 1
    after = await people.state(person)
    for state in (before, after):
        assert (state["state"], state["until"]) == ("expired", "2022-01-01T00:00:00Z")
    assert await expiry.expire(session) == 0
    [_, line] = (await people.client.get(f"/v1/persons/{person.id}/consents")).json()["items"]
    assert (line["action"], line["source"], line["valid_from"]) == ("expired", "expiry", "2022-01-01T00:00:00Z")


async def test_expiry_works_in_batches_through_persons_and_companies_and_leaves_the_rest(people, session):
    persons = [await people.person(f"p{number}@nordlys.example") for number in range(5)]
    company = await people.company()
    for owner in (*persons[:4], company):
        await people.consents(owner, valid_from="2020-01-01T00:00:00Z", valid_until="2022-01-01T00:00:00Z")
    await people.consents(persons[4], valid_until="2199-01-01T00:00:00Z")
    assert [await expiry.expire(session, most=3) for _ in range(3)] == [4, 1, 0]
    states = [(await people.state(owner))["state"] for owner in (*persons, company)]
    assert states == ["expired"] * 4 + ["given", "expired"]
    assert await ledger_queries.drifts(session) == []


async def test_a_yes_that_ran_out_before_it_began_expires_once(session, people):
    person = await people.person()
    line = ConsentLine("e_marketing", ConsentAction.GIVEN, "x", person.id, valid_from=days(-1), valid_until=days(-9))
    await record_consents(session, lines=[line])
    assert [await expiry.expire(session) for _ in range(2)] == [1, 0]


async def test_a_yes_holds_as_long_as_its_purpose_says_unless_it_says_so_itself(client, people):
    person = await people.person()
    await client.patch("/v1/consent-purposes/e_marketing", json={"valid_months": 24})
    line = await people.consents(person, valid_from="2026-01-31T12:00:00Z")
    assert line["valid_until"] == "2028-01-31T12:00:00Z"
    line = await people.consents(person, valid_from="2026-02-01T12:00:00Z", valid_until="2199-03-01T00:00:00Z")
    assert line["valid_until"] == "2199-03-01T00:00:00Z"
    assert (await people.consents(person, action="withdrawn"))["valid_until"] is None


async def test_a_line_from_the_future_counts_from_now_so_that_todays_withdrawal_is_newer(client, people):
    person = await people.person()
    soon = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    line = await people.consents(person, valid_from=soon)
    assert datetime.fromisoformat(line["valid_from"]) <= datetime.now(UTC)
    await people.consents(person, action="withdrawn")
    assert (await people.state(person))["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("wrong", "pointer", "words"),
    [
        ({"purpose": "phone_calls"}, "#/purpose", "known: e_marketing, track_clicks, track_opens"),
        ({"valid_from": "2199-01-01T00:00:00Z"}, "#/valid_from", "lies in the future"),
        ({"valid_until": "2001-01-01T00:00:00Z"}, "#/valid_until", "later than valid_from"),
        ({"action": "withdrawn", "valid_until": "2199-01-01T00:00:00Z"}, "#/valid_until", "Only a yes runs out"),
        ({"action": "expired"}, "#/action", "given"),
        ({"legal_basis": "because"}, "#/legal_basis", "consent"),
        ({"language": "Norwegian!"}, "#/language", "BCP 47"),
    ],
)
async def test_a_line_that_makes_no_sense_is_refused_and_says_what_would(client, people, wrong, pointer, words):
    person = await people.person()
    body = {"purpose": "e_marketing", "action": "given", "source": "x"} | wrong
    for path in (f"/v1/persons/{person.id}/consents", f"/v1/companies/{(await people.company()).id}/consents"):
        answer = await client.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert words in answer.json()["errors"][0]["detail"]


async def test_lines_of_an_address_are_read_by_the_address(client, session):
    """D20: an imported address that matches nobody has its line by itself."""
    line = ConsentLine("e_marketing", ConsentAction.GIVEN, "import", email_key="stranger@nordlys.example")
    await record_consents(session, lines=[line])
    items = (await client.get("/v1/consents", params={"email": "Stranger@Nordlys.example"})).json()["items"]
    assert [(item["source"], item["person_id"]) for item in items] == [("import", None)]
    assert (await client.get("/v1/consents", params={"email": "nobody"})).json()["items"] == []


async def test_a_later_yes_of_its_own_date_is_a_change_and_an_undated_one_is_not(session, people):
    person = await people.person()

    def yes(**fields):
        return [ConsentLine("e_marketing", ConsentAction.GIVEN, "import", person.id, **fields)]

    for lines, appended in (
        (yes(valid_from=days(-9), valid_until=days(9)), 1),
        (yes(valid_from=days(-9), valid_until=days(9)), 0),
        (yes(valid_until=days(20)), 0),
        (yes(valid_from=days(-5), valid_until=days(20)), 1),
        (yes(valid_from=days(-7), valid_until=days(30)), 0),
    ):
        assert await record_consents(session, lines=lines, only_changes=True) == appended
    await run(session, text("UPDATE consent_state SET valid_until = now() - interval '1 hour'"))
    assert await record_consents(session, lines=yes(), only_changes=True) == 1


async def test_companies_have_a_ledger_of_their_own(client, people):
    company, person = await people.company(), await people.person()
    line = await people.consents(company)
    assert (line["company_id"], line["person_id"]) == (company.id, None)
    assert (await people.state(company))["state"] == "given"
    assert (await people.state(person))["state"] == "unknown"
    assert len((await client.get(f"/v1/companies/{company.id}/consents")).json()["items"]) == 1
    for path in ("consents", "consents/state", "subscriptions"):
        assert (await client.get(f"/v1/companies/987654321/{path}")).status_code == 404


async def test_companies_answer_to_subscription_types(client, people):
    company, kind = await people.company(), await people.kind()
    await people.subscribes(company, kind)
    items = (await client.get(f"/v1/companies/{company.id}/subscriptions")).json()["items"]
    assert [(item["name"], item["subscribed"]) for item in items] == [("News", True)]
    wrong = {"items": [{"subscription_type_id": 987654321, "subscribed": True}]}
    answer = await client.put(f"/v1/companies/{company.id}/subscriptions", json=wrong)
    assert answer.json()["errors"][0]["pointer"] == "#/items/0/subscription_type_id"


async def test_the_ledger_takes_no_changes(session, people):
    person = await people.person()
    await people.consents(person)
    with pytest.raises(DBAPIError, match="append-only"):
        async with session.begin_nested():
            await run(session, text("UPDATE consent SET source = 'other'"))


LINES = st.lists(
    st.tuples(
        st.sampled_from(["person", "company"]),
        st.sampled_from(["e_marketing", "track_opens"]),
        st.sampled_from([ConsentAction.GIVEN, ConsentAction.GIVEN, ConsentAction.WITHDRAWN, "expire"]),
        st.none() | st.integers(-400, 0).map(days),
        st.none() | st.integers(-300, 300).map(days),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=100)
@given(batches=st.lists(LINES, max_size=4))
async def test_states_are_what_a_plain_reading_of_the_ledger_comes_to(postgres_url, batches):
    """Lines in any order of time, many at once or few, with yeses that run out: no state drifts from its ledger."""
    settings_of = {"server_settings": {"budstikke.erasure_key": SECRET}}
    engine = create_async_engine(driver_url(postgres_url), connect_args=settings_of)
    try:
        async with engine.connect() as connection:
            outer = await connection.begin()
            async with Database(connection).begin() as session:
                await _compare(session, batches)
            await outer.rollback()
    finally:
        await engine.dispose()


async def _compare(session, batches):
    person, company = Person(name="P"), Company(name="C")
    session.add_all([person, company])
    await session.flush()
    ids = {"person": {"person_id": person.id}, "company": {"company_id": company.id}}
    for batch in batches:
        lines = [
            ConsentLine(
                purpose, action, "x", **ids[owner], valid_from=since,
                valid_until=until if action is ConsentAction.GIVEN else None,
            )
            for owner, purpose, action, since, until, _ in batch if action != "expire"
        ]  # fmt: skip
        await record_consents(session, lines=lines, only_changes=any(changes for *_, changes in batch))
        if any(action == "expire" for _, _, action, *_ in batch):
            await expiry.expire(session)
    assert await ledger_queries.drifts(session) == []
    rows = (await run(session, text("SELECT * FROM consent ORDER BY id"))).mappings().all()
    now = (await run(session, text("SELECT now() AS now"))).one().now
    for owner, named in ids.items():
        [(column, owner_id)] = named.items()
        states = {row.purpose: row for row in await ledger_queries.states_of(session, **named)}
        for purpose in ("e_marketing", "track_opens", "track_clicks"):
            told = [row for row in rows if row[column] == owner_id and row["purpose"] == purpose]
            newest = max(told, key=lambda row: (row["valid_from"], row["id"]), default=None)
            assert states[purpose].state == _plainly(newest, now), (owner, purpose)
            assert states[purpose].consent_id == (newest and newest["id"])


def _plainly(line, now) -> str:
    if line is None:
        return "unknown"
    ran_out = line["valid_until"] is not None and line["valid_until"] <= now
    return "expired" if line["action"] == "given" and ran_out else line["action"]


async def test_drift_is_found(session, people):
    person, company = await people.person(), await people.company()
    await people.consents(person)
    await people.consents(company)
    assert await ledger_queries.drifts(session) == []
    await run(session, text("UPDATE consent_state SET given = false"))
    await run(session, text("DELETE FROM company_consent_state"))
    assert sorted(await ledger_queries.drifts(session)) == [
        ("company", company.id, "e_marketing"),
        ("person", person.id, "e_marketing"),
    ]


async def test_whoever_waited_for_the_person_writes_the_newer_line(fresh_database):
    """A withdrawal whose transaction began before that of a yes, and that waited for it, is the newer word."""
    database = Database.connect(settings_for(fresh_database), name="test")
    try:
        async with database.begin() as session:
            person = Person(name="P")
            session.add(person)
        async with database.begin() as late:
            began = (await run(late, text("SELECT now() AS at"))).one().at
            async with database.begin() as session:
                await record_consents(session, lines=[ConsentLine("e_marketing", ConsentAction.GIVEN, "x", person.id)])
            await record_consents(late, lines=[ConsentLine("e_marketing", ConsentAction.WITHDRAWN, "x", person.id)])
        async with database.begin() as session:
            states = {row.purpose: row for row in await ledger_queries.states_of(session, person_id=person.id)}
            assert states["e_marketing"].state == "withdrawn"
            assert states["e_marketing"].since > began
    finally:
        await database.close()
