"""`/v1/blocked-addresses`: the registry by address, and what is done about one (D59, D60)."""

import csv
import io

import pytest
from sqlalchemy import text

from app.contacts.models import PersonEmail
from app.platform.db import run
from tests.consent.people import days

PATH = "/v1/blocked-addresses"


async def block(client, *emails, **fields) -> list[int]:
    items = [{"email": email, **fields} for email in emails]
    answer = await client.post(f"{PATH}/bulk", json={"items": items})
    assert answer.status_code == 200, answer.text
    known = (await client.get(PATH, params={"limit": 200})).json()["items"]
    return [next(row["id"] for row in known if row["email"].lower() == email.lower()) for email in emails]


async def listed(client, **asked) -> list[str]:
    answer = await client.get(PATH, params=asked)
    assert answer.status_code == 200, answer.text
    return [item["email"] for item in answer.json()["items"]]


async def test_the_list_is_filtered_by_reason_origin_mailing_time_and_part_of_the_address(client, people, session):
    """D60: over all mailings and per mailing."""
    await block(client, "a@one.example", reason="hard_bounce", origin="550 5.1.1 No such user")
    await block(client, "b@two.example", reason="complaint", origin="ARF")
    await block(client, "c_d@two.example", reason="manual", origin="by phone")
    mailing = await people.mailing()
    await run(
        session,
        text("UPDATE blocked_address SET mailing_id = :m, created_at = :t WHERE email = 'a@one.example'"),
        m=mailing.id,
        t=days(-10),
    )
    for asked, found in (
        ({}, "abc"),
        ({"reason": "complaint"}, "b"),
        ({"reason": ["complaint", "manual"]}, "bc"),
        ({"origin": "no such"}, "a"),
        ({"mailing_id": mailing.id}, "a"),
        ({"mailing_id": mailing.id + 1}, ""),
        ({"since": days(-5).isoformat()}, "bc"),
        ({"until": days(-5).isoformat()}, "a"),
        ({"part": "TWO"}, "bc"),
        ({"part": "a@"}, "a"),
        ({"part": "c_d"}, "c"),
        ({"part": "cd"}, ""),
        ({"part": "%"}, ""),
        ({"q": "B@two.example"}, "b"),
    ):
        assert "".join(email[0] for email in await listed(client, **asked)) == found, asked
    for wrong in (
        {"reason": "other"},
        {"mailing_id": 0},
        {"since": "yesterday"},
        {"sort": "colour"},
        {"size": 1},
        {"part": "\x00"},
    ):
        assert (await client.get(PATH, params=wrong)).status_code == 422, wrong


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("created_at", "cabd"), ("-created_at", "dbac"), ("email", "abcd"), ("-email", "dcba"),
        ("reason", "abcd"), ("-reason", "dcba"),
    ],
)  # fmt: skip
async def test_pages_go_through_the_list_in_every_order(client, sort, expected):
    """D60: sorted."""
    await block(client, "c@x.example", reason="manual")
    await block(client, "a@x.example", "b@x.example", reason="complaint")
    await block(client, "d@x.example", reason="repeated_bounces")
    found, cursor = "", None
    while True:
        asked = {"sort": sort, "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(PATH, params=asked)).json()
        found += "".join(item["email"][0] for item in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == expected


async def test_a_cursor_of_another_order_is_refused(client):
    await block(client, "a@x.example", "b@x.example")
    cursor = (await client.get(PATH, params={"limit": 1})).json()["next_cursor"]
    for asked in ({"sort": "email", "cursor": cursor}, {"cursor": cursor[:-4]}, {"cursor": "e30="}):
        answer = await client.get(PATH, params=asked)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query:cursor")


async def test_many_are_blocked_each_with_an_outcome_and_the_first_reason_stays(client):
    await block(client, "was@x.example", reason="hard_bounce", origin="550")
    await block(client, "left@x.example", reason="unsubscribed_all")
    items = [
        {"email": "New@x.example", "reason": "manual"}, {"email": "new@x.example"}, {"email": "was@x.example"},
        {"email": "left@x.example", "reason": "complaint"}, {"email": "no address"}, {"email": "x@x.example", "why": 1},
        {"reason": "manual"}, 3,
    ]  # fmt: skip
    answer = (await client.post(f"{PATH}/bulk", json={"items": items})).json()
    statuses = [item["status"] for item in answer["items"]]
    assert statuses == ["blocked", "unchanged", "unchanged", "changed", *["failed"] * 4]
    assert (answer["blocked"], answer["changed"], answer["unchanged"], answer["failed"]) == (1, 1, 2, 4)
    pointers = [item["errors"][0]["pointer"] for item in answer["items"] if item["errors"]]
    assert pointers == ["#/items/4/email", "#/items/5/why", "#/items/6/email", "#/items/7"]
    reasons = {row["email"]: row["reason"] for row in (await client.get(PATH)).json()["items"]}
    assert reasons["was@x.example"] == "hard_bounce"
    assert reasons["left@x.example"] == "complaint"


async def test_many_are_unblocked_by_address_or_id_each_with_an_outcome(client):
    """D60: the flag is cleared."""
    first, second, _ = await block(client, "a@x.example", "b@x.example", "c@x.example")
    answer = await client.post(f"{PATH}/unblock", json={"emails": ["A@x.example", "free@x.example", "no address"]})
    assert [item["status"] for item in answer.json()["items"]] == ["unblocked", "unchanged", "failed"]
    answer = await client.post(f"{PATH}/unblock", json={"ids": [first, second]})
    assert [item["status"] for item in answer.json()["items"]] == ["unchanged", "unblocked"]
    assert await listed(client) == ["c@x.example"]
    for wrong in ({}, {"emails": [], "ids": []}, {"emails": ["a@x.example"], "ids": [1]}):
        assert (await client.post(f"{PATH}/unblock", json=wrong)).status_code == 422


async def test_the_export_is_the_list_as_csv_and_holds_no_formula(client):
    """D60: exported."""
    await block(client, "a@x.example", origin="=HYPERLINK(1)")
    await block(client, "=cmd|x@x.example", "b@x.example", origin='say "no", please')
    answer = await client.get(f"{PATH}/export", params={"sort": "email"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0] == ["email", "reason", "origin", "mailing_id", "blocked_at"]
    assert [row[:4] for row in rows[1:]] == [
        ["'=cmd|x@x.example", "manual", 'say "no", please', ""],
        ["a@x.example", "manual", "'=HYPERLINK(1)", ""],
        ["b@x.example", "manual", 'say "no", please', ""],
    ]
    some = await client.get(f"{PATH}/export", params={"part": "b@", "reason": "manual"})
    assert len(some.text.splitlines()) == 2
    assert (await client.get(f"{PATH}/export", params={"reason": "x"})).status_code == 422


async def test_the_export_goes_on_behind_its_first_rows(client, session):
    insert = """
        INSERT INTO blocked_address (email, email_key, reason, origin)
        SELECT n || '@x.example', n || '@x.example', 'manual', 'x' FROM generate_series(1, 4001) AS n
    """
    await run(session, text(insert))
    answer = await client.get(f"{PATH}/export", params={"sort": "-email"})
    emails = [line.split(",")[0] for line in answer.text.splitlines()[1:]]
    assert (len(emails), len(set(emails)), emails == sorted(emails, reverse=True)) == (4001, 4001, True)


async def test_it_is_told_who_has_a_blocked_address(client, people):
    one = await people.person("old@x.example", external_id="CRM-1")
    two = await people.person("new@x.example")
    await people.add(PersonEmail(person_id=two.id, email="Old@x.example", email_key="old@x.example"))
    await people.person("other@x.example")
    [blocked_id] = await block(client, "old@x.example")
    path = f"{PATH}/{blocked_id}/persons"
    items = (await client.get(path)).json()["items"]
    assert [(item["id"], item["preferred"]) for item in items] == [(one.id, True), (two.id, False)]
    first = (await client.get(path, params={"limit": 1})).json()
    rest = (await client.get(path, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in rest["items"]] == [two.id]
    for wrong in ("/persons", ""):
        assert (await client.get(f"{PATH}/987654321{wrong}")).status_code == 404
    assert (await client.get(f"{PATH}/{blocked_id}")).json()["email"] == "old@x.example"


async def addresses(people, person) -> tuple[str | None, list[str]]:
    [row] = await people.rows("SELECT email, email_key FROM person WHERE id = :id", id=person.id)
    assert (row.email is None) == (row.email_key is None)
    further = await people.rows("SELECT email FROM person_email WHERE person_id = :id ORDER BY id", id=person.id)
    return row.email, [each.email for each in further]


async def test_a_correction_goes_to_everyone_who_has_the_address_and_nobody_has_it_twice(client, people):
    """D60: the old address stays blocked."""
    preferred = await people.person("old@x.example")
    both = await people.person("old@x.example")
    further = await people.person("a@x.example")
    has_it = await people.person("right@x.example")
    company = await people.company("old@x.example")
    for person, email in (
        (both, "right@x.example"), (both, "b@x.example"), (further, "old@x.example"), (has_it, "old@x.example"),
    ):  # fmt: skip
        await people.add(PersonEmail(person_id=person.id, email=email, email_key=email))
    [blocked_id] = await block(client, "old@x.example", reason="hard_bounce")
    answer = await client.post(f"{PATH}/{blocked_id}/correct", json={"email": "Right@x.example"})
    assert answer.json() == {"persons": 4, "companies": 1}
    assert await addresses(people, preferred) == ("Right@x.example", [])
    assert await addresses(people, both) == ("Right@x.example", ["b@x.example"])
    assert await addresses(people, further) == ("a@x.example", ["Right@x.example"])
    assert await addresses(people, has_it) == ("right@x.example", [])
    [row] = await people.rows("SELECT email, email_key FROM company WHERE id = :id", id=company.id)
    assert tuple(row) == ("Right@x.example", "right@x.example")
    assert await listed(client) == ["old@x.example"]


@pytest.mark.parametrize(
    ("email", "status"), [("no address", 422), ("Old@x.example", 422), ("bad@x.example", 409), ("gone@x.example", 409)]
)
async def test_a_correction_that_helps_nobody_is_refused(client, people, session, email, status):
    person = await people.person("old@x.example")
    [blocked_id, _] = await block(client, "old@x.example", "bad@x.example")
    await run(session, text("INSERT INTO erased_address (hash) VALUES (erased_hash('gone@x.example'))"))
    answer = await client.post(f"{PATH}/{blocked_id}/correct", json={"email": email})
    assert answer.status_code == status
    assert await addresses(people, person) == ("old@x.example", [])
    assert (await client.post(f"{PATH}/987654321/correct", json={"email": "a@x.example"})).status_code == 404


async def test_an_address_is_taken_away_from_persons_and_a_further_one_takes_its_place(client, people):
    """D60."""
    alone = await people.person("old@x.example")
    heir = await people.person("old@x.example")
    further = await people.person("a@x.example")
    company = await people.company("worse@x.example")
    for person, email in (
        (heir, "bad@x.example"), (heir, "good@x.example"), (heir, "later@x.example"), (further, "old@x.example"),
    ):  # fmt: skip
        await people.add(PersonEmail(person_id=person.id, email=email, email_key=email))
    ids = await block(client, "old@x.example", "worse@x.example")
    await block(client, "bad@x.example")
    answer = await client.post(f"{PATH}/delete-from-persons", json={"ids": ids})
    assert answer.json() == {"persons": 3, "companies": 1}
    assert await addresses(people, alone) == (None, [])
    assert await addresses(people, heir) == ("good@x.example", ["bad@x.example", "later@x.example"])
    assert await addresses(people, further) == ("a@x.example", [])
    [row] = await people.rows("SELECT email_key FROM company WHERE id = :id", id=company.id)
    assert row.email_key is None
    assert len(await listed(client)) == 3


async def test_persons_are_marked_as_former_employees_and_left_out_at_once(client, people):
    """D60, D24."""
    person = await people.person("old@x.example")
    await people.person("old@x.example", former_employee=True)
    line = await people.line(await people.mailing(override=True), person, email="other@x.example")
    ids = await block(client, "old@x.example")
    answer = await client.post(f"{PATH}/mark-former-employees", json={"ids": ids})
    assert answer.json() == {"persons": 1, "companies": 0}
    assert await people.reason(line) == "former_employee"


@pytest.mark.parametrize("verb", ["delete-from-persons", "mark-former-employees"])
async def test_with_an_id_of_nothing_nothing_is_changed(client, people, verb):
    person = await people.person("old@x.example")
    ids = await block(client, "old@x.example")
    answer = await client.post(f"{PATH}/{verb}", json={"ids": [*ids, 987654321]})
    assert answer.status_code == 404
    assert "987654321" in answer.json()["detail"]
    [row] = await people.rows("SELECT email, former_employee FROM person WHERE id = :id", id=person.id)
    assert tuple(row) == ("old@x.example", False)
