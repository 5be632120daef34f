"""The export (D78): everything about a person, whatever table it is in."""

import json

from tests.privacy.subject import EMAIL, OLD, PHONE, SECOND, WORDS, tables_with

# What does not leave: raw reports, answers kept for a day, and tests, which are about us.
NOT_EXPORTED = {"idempotent_answer", "inbound_message", "test_message", "mailing_source"}
SECTION_OF = {
    "audit_log": "audit_log", "blocked_address": "blocked_addresses", "bounce": "bounces", "consent": "consents",
    "engagement": "engagement", "event": "events", "import_problem": "import_problems", "person": "person",
    "person_email": "emails", "recipient": "mailings", "source_address": "pasted_addresses",
}  # fmt: skip


async def exported(client, person):
    answer = await client.get(f"/v1/persons/{person}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="person-{person}.json"'
    return answer.json()


async def test_every_table_that_names_a_person_is_in_the_export(subject, client, database):
    """D78: an export of all about a person."""
    found = await tables_with(database, WORDS)
    export = await exported(client, subject.kari)
    assert set(found) - NOT_EXPORTED == set(SECTION_OF)
    for table, section in SECTION_OF.items():
        said = json.dumps(export[section], ensure_ascii=False).lower()
        assert all(word in said for word in found[table]), table


async def test_the_export_has_what_was_sent_and_what_came_of_it(subject, client):
    export = await exported(client, subject.kari)
    assert export["person"]["cellphone"] == PHONE
    assert export["company"]["name"] == "Stråe AS"
    assert [line["email"] for line in export["emails"]] == [SECOND]
    assert [line["name"] for line in export["interests"]] == ["Cats"]
    assert [line["name"] for line in export["selections"]] == ["All"]
    assert [line["name"] for line in export["projects"]] == ["Fair"]
    assert [line["name"] for line in export["subscriptions"]] == ["News"]
    assert {line["purpose"] for line in export["consents"]} == {"e_marketing", "track_opens"}
    assert {line["email"].lower() for line in export["mailings"]} == {EMAIL.lower(), OLD}
    assert {line["mailing"] for line in export["mailings"]} == {"Sent", "Waiting"}
    assert {line["kind"] for line in export["engagement"]} == {"open", "click"}


async def test_another_persons_export_names_no_one_else(subject, client):
    export = await exported(client, subject.ola)
    assert not [word for word in WORDS if word in json.dumps(export).lower()]
    assert (await client.get("/v1/persons/987654/export")).status_code == 404


async def test_a_deleted_person_is_exported_as_far_as_lists_and_ledger_know(subject, client):
    assert (await client.delete(f"/v1/persons/{subject.kari}")).status_code == 204
    export = await exported(client, subject.kari)
    assert export["person"] is None
    assert export["mailings"]
    assert export["consents"]
    assert (await client.post(f"/v1/persons/{subject.kari}/erase", json={"reason": "objected"})).status_code == 202
    after = await exported(client, subject.kari)  # what is left is the proof
    assert not [word for word in WORDS if word in json.dumps(after).lower()]
