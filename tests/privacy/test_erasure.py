"""Erasure (D78): the person goes from everywhere, links, statistics and the block stay."""

from sqlalchemy import text

from app.delivery.queries import flush
from app.mailings.queries import find_mailing
from app.mailings.service import update_list
from app.platform.tokens import Purpose
from app.statistics.service import drift
from tests.privacy.subject import EMAIL, EXTERNAL, NAME, OLD, PHONE, SECOND, WORDS, execute, post, tables_with

GROUND = {"reason": "consent_withdrawn"}
HOLDERS = {
    "audit_log", "blocked_address", "bounce", "consent", "engagement", "event", "idempotent_answer", "import_problem",
    "inbound_message", "mailing_source", "person", "person_email", "recipient", "source_address", "test_message",
}  # fmt: skip


async def erase(client, person, status=202):
    answer = await client.post(f"/v1/persons/{person}/erase", json=GROUND)
    assert answer.status_code == status, answer.text
    return answer


async def test_nothing_names_an_erased_person_any_more(subject, client, database):
    """D78."""
    before = await tables_with(database, WORDS)
    assert set(before) >= HOLDERS, "or the test would prove nothing"
    answer = await erase(client, subject.kari)
    assert await tables_with(database, WORDS) == {}
    assert (await client.get(f"/v1/persons/{subject.kari}")).status_code == 404
    operation = (await client.get(answer.headers["Location"])).json()
    assert operation["state"] == "succeeded"
    assert operation["kind"] == "erasure"
    assert operation["result"]["addresses"] == 3
    assert operation["result"]["others_at_these_addresses"] == 0
    await erase(client, 987654, status=404)


async def test_others_keep_everything(subject, client, database):
    query = (
        "SELECT to_jsonb(p)::text AS a, "
        "(SELECT string_agg(to_jsonb(c)::text, '') FROM consent c WHERE person_id = p.id) AS b,"
        "  (SELECT string_agg(to_jsonb(r)::text, '' ORDER BY id) FROM recipient r WHERE person_id = p.id) AS c,"
        " (SELECT string_agg(to_jsonb(l)::text, '' ORDER BY id) FROM audit_log l WHERE person_id = p.id) AS d,"
        " (SELECT string_agg(to_jsonb(s)::text, '' ORDER BY position) FROM source_address s"
        "  WHERE email = 'stranger@example.com') AS e FROM person p WHERE id = :id"
    )
    before = await execute(database, query, id=subject.ola)
    assert all(before[0])
    await erase(client, subject.kari)
    assert await execute(database, query, id=subject.ola) == before


async def test_statistics_stay_and_equal_a_recount(subject, client, database):
    """D78: anonymous statistics."""
    counted = {}
    for mailing in (subject.sent, subject.waiting):
        counted[mailing] = (await client.get(f"/v1/mailings/{mailing}/statistics")).json()
    await erase(client, subject.kari)
    async with database.begin() as session:
        for mailing in (subject.sent, subject.waiting):
            assert await drift(session, mailing_id=mailing) == {}
    assert (await client.get(f"/v1/mailings/{subject.sent}/statistics")).json() == counted[subject.sent]
    total = (await client.get(f"/v1/mailings/{subject.waiting}/recipients/counts")).json()
    assert sum(total["by_status"].values()) == total["total"]


async def test_waiting_lines_are_taken_out_at_once(subject, client, database):
    await execute(database, "UPDATE mailing SET state = 'sending' WHERE id = :id", id=subject.waiting)
    await execute(
        database, "DELETE FROM blocked_address WHERE email_key IS NOT NULL"
    )  # what was blocked before is not ready
    async with database.begin() as session:
        await session.exec(
            text("UPDATE recipient SET status = 'deferred', reason = NULL, due_at = now() WHERE mailing_id = :id AND "
                 "person_id = :person"), params={"id": subject.waiting, "person": subject.kari},
        )  # fmt: skip
    waiting = (
        "SELECT count(*) AS n FROM recipient WHERE mailing_id = :id AND status IN ('ready', 'deferred') "
        "AND coalesce(person_id, 0) <> :ola AND email <> 'stranger@example.com'"
    )
    values = {"id": subject.waiting, "ola": subject.ola}
    assert (await execute(database, waiting, **values))[0].n == 2
    await erase(client, subject.kari)
    assert (await execute(database, waiting, **values))[0].n == 0
    lines = await execute(
        database,
        "SELECT status, reason, due_at FROM recipient WHERE mailing_id = :id AND email = ''",
        id=subject.waiting,
    )
    assert {tuple(line) for line in lines} == {("blocked", "blocked_address", None)}


async def test_nothing_is_sent_to_the_addresses_again_whoever_has_them(subject, client, database):
    """D78: a keyed hash on the blocked list."""
    await erase(client, subject.kari)
    again = [await subject.person(f"New {n}", email) for n, email in enumerate((EMAIL.lower(), SECOND, OLD))]
    body = {"name": "Again", "subject": "Again", "subscription_type_id": subject.kind}
    mailing = (await post(client, "mailings", {**body}))["id"]
    for person in (*again, subject.ola):
        await post(client, f"mailings/{mailing}/sources", {"kind": "person", "person_id": person})
    async with database.begin() as session:
        await update_list(session, mailing=await find_mailing(session, mailing_id=mailing))
    lines = await execute(
        database, "SELECT person_id, status, reason FROM recipient WHERE mailing_id = :id ORDER BY id", id=mailing
    )
    assert {line.person_id: (line.status, line.reason) for line in lines} == {
        **dict.fromkeys(again, ("blocked", "blocked_address")), subject.ola: ("ready", None),
    }  # fmt: skip
    blocked = (await client.get("/v1/blocked-addresses")).text.lower()
    assert "needle" not in blocked


async def test_links_pages_and_views_of_an_erased_person_go_on_working(subject, client, database, app):
    """D41, D46, D78: the reader is answered politely, and nothing new is kept of one."""
    rows = await execute(
        database, "SELECT id FROM recipient WHERE person_id = :id AND mailing_id = :mailing ORDER BY id",
        id=subject.kari, mailing=subject.sent,
    )  # fmt: skip
    line = rows[0].id
    await erase(client, subject.kari)
    unsubscribe = f"/u/{app.state.tokens.make(Purpose.UNSUBSCRIBE, line)}"
    shown = await client.get(unsubscribe)
    assert shown.status_code == 200
    assert "needle" not in shown.text.lower()
    for _ in range(2):
        one_click = await client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
        assert one_click.status_code == 200
    preferences = await client.get(f"/p/{app.state.tokens.make(Purpose.PREFERENCES, line)}")
    assert preferences.status_code == 200
    assert await tables_with(database, [NAME.lower(), EMAIL.lower()]) == {}
    why = await client.get(f"/v1/mailings/{subject.sent}/recipients/{line}/why")
    assert why.status_code == 200
    assert "needle" not in why.text.lower()


async def test_proof_of_consent_is_kept_without_naming_anybody(subject, client, database):
    await erase(client, subject.kari)
    [line, _] = await execute(
        database, "SELECT action, legal_basis, text_version, source, evidence FROM consent "
        "WHERE person_id = :id ORDER BY id",
        id=subject.kari,
    )  # fmt: skip
    assert tuple(line) == ("given", "consent", "2026-01", "erased", None)
    hashed = await execute(
        database, "SELECT count(*) AS n FROM consent WHERE email_key = 'erased:' || encode(erased_hash(:key), 'hex')",
        key=OLD,
    )  # fmt: skip
    assert hashed[0].n == 2, "whoever shows the address can be shown its lines"


async def test_the_audit_log_keeps_who_when_and_which_columns(subject, client):
    await erase(client, subject.kari)
    entries = (await client.get("/v1/audit-log", params={"person_id": subject.kari, "limit": 200})).json()["items"]
    assert entries[0]["action"] == "erased"
    assert entries[0]["after"] == GROUND
    assert entries[0]["actor_name"] == "tests"
    change = next(entry for entry in entries if entry["action"] == "changed" and entry["entity"] == "person")
    assert (change["before"], change["after"]) == ({"city": None}, {"city": None})
    assert not [entry for entry in entries if entry["action"] == "deleted"]


async def test_the_feed_tells_of_the_erasure_by_id_only(subject, client):
    start = (await client.get("/v1/events", params={"limit": 200})).json()["last_id"]
    await erase(client, subject.kari)
    events = (await client.get("/v1/events", params={"after": start})).json()["items"]
    assert [(event["type"], event["data"]) for event in events] == [("person.erased", {"person_id": subject.kari})]
    before = (await client.get("/v1/events", params={"limit": 200})).text
    assert EXTERNAL not in before


async def test_a_deleted_person_can_still_be_erased(subject, client, database):
    assert (await client.delete(f"/v1/persons/{subject.kari}")).status_code == 204
    await erase(client, subject.kari)
    left = await tables_with(database, [NAME.lower(), EMAIL.lower(), PHONE[1:]])
    assert set(left) <= {"import_problem", "test_message", "idempotent_answer"}, left


async def test_an_address_of_the_past_that_is_another_persons_by_now_stays_theirs(subject, client, database):
    other = await subject.person("Per Arving", OLD)
    answer = await erase(client, subject.kari)
    assert answer.json()["result"]["addresses"] == 2
    rows = await execute(
        database, "SELECT count(*) AS n FROM erased_address WHERE hash = erased_hash(:key)", key=OLD
    )  # fmt: skip
    assert rows[0].n == 0
    assert (await client.get(f"/v1/persons/{other}")).json()["email"] == OLD


async def test_a_reason_is_one_of_the_regulations_grounds(subject, client):
    answer = await client.post(f"/v1/persons/{subject.kari}/erase", json={"reason": "Kari phoned"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/reason"


async def test_a_message_on_its_way_is_not_tried_again_nor_are_the_servers_words_kept(subject, client, database):
    lines = await execute(
        database, "SELECT id FROM recipient WHERE person_id = :id AND mailing_id = :mailing",
        id=subject.kari, mailing=subject.waiting,
    )  # fmt: skip
    [others] = await execute(
        database, "SELECT id FROM recipient WHERE person_id = :id AND mailing_id = :mailing AND status = 'ready'",
        id=subject.ola, mailing=subject.waiting,
    )  # fmt: skip
    await erase(client, subject.kari)
    ids = [lines[0].id, others.id]
    async with database.begin() as session:
        await flush(
            session, dispatch_id=0, owner="nobody", numbers=[], epochs=[], window_ends=[], dones=[], lease=1.0,
            granted=ids, ids=ids, attempts=[1, 1], statuses=["deferred"] * 2, codes=[450, 450],
            replies=[f"{EMAIL} is busy"] * 2, bounces=[None, None], waits=[60.0, 60.0],
        )  # fmt: skip
    rows = await execute(
        database, "SELECT status, reason, reply FROM recipient WHERE id = ANY(:ids) ORDER BY id", ids=ids
    )  # fmt: skip
    assert {tuple(row) for row in rows} == {
        ("blocked", "blocked_address", None), ("deferred", None, f"{EMAIL} is busy"),
    }  # fmt: skip
