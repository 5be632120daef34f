"""`/v1/consents/bulk` and `/v1/subscriptions/bulk`: what a CRM sends when it syncs."""

from app.consent import blocked
from app.consent.models import BlockReason

LINE = {"purpose": "e_marketing", "action": "given", "source": "CRM"}


async def record(client, *items, **fields):
    answer = await client.post("/v1/consents/bulk", json={"items": list(items), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_one_bad_line_does_not_lose_the_others(client, people):
    kari = await people.person(external_id="CRM-1")
    ola = await people.person("ola@nordlys.example")
    answer = await record(
        client,
        LINE | {"external_id": "CRM-1", "evidence": "scan 4"},
        LINE | {"external_id": "CRM-2"},
        LINE | {"person_id": 987654321},
        LINE | {"person_id": ola.id, "external_id": "CRM-1"},
        LINE,
        LINE | {"person_id": ola.id, "purpose": "phone_calls"},
        LINE | {"person_id": ola.id, "valid_from": "2199-01-01T00:00:00Z"},
        "no object",
        LINE | {"person_id": ola.id, "shoe": 1},
        LINE | {"person_id": ola.id, "action": "withdrawn"},
    )
    assert (answer["recorded"], answer["unchanged"], answer["failed"]) == (2, 0, 8)
    assert [item["index"] for item in answer["items"]] == list(range(10))
    pointers = [item["errors"][0]["pointer"] for item in answer["items"] if item["errors"]]
    assert pointers == [
        "#/items/1/external_id", "#/items/2/person_id", "#/items/3", "#/items/4", "#/items/5/purpose",
        "#/items/6/valid_from", "#/items/7", "#/items/8/shoe",
    ]  # fmt: skip
    first = (await client.get(f"/v1/persons/{kari.id}/consents")).json()["items"][0]
    assert (first["id"], first["evidence"]) == (answer["items"][0]["consent_id"], "scan 4")
    assert (await people.state(kari))["state"] == "given"
    assert (await people.state(ola))["state"] == "withdrawn"


async def test_lines_of_one_person_count_in_their_order(client, people):
    kari = await people.person()
    await record(client, LINE | {"person_id": kari.id}, LINE | {"person_id": kari.id, "action": "withdrawn"})
    assert (await people.state(kari))["state"] == "withdrawn"


async def test_a_daily_sync_does_not_swell_the_ledger(client, people):
    await people.person(external_id="CRM-1")
    statuses = [
        (await record(client, LINE | {"external_id": "CRM-1"}, only_changes=True))["items"][0] for _ in range(2)
    ]
    assert [(item["status"], item["consent_id"] is None) for item in statuses] == [
        ("recorded", False),
        ("unchanged", True),
    ]


async def test_a_new_yes_takes_back_what_unsubscribing_from_everything_blocked(client, people, session):
    kari = await people.person()
    await blocked.block_address(session, email=kari.email, reason=BlockReason.UNSUBSCRIBED_ALL, origin="page")
    await record(client, LINE | {"person_id": kari.id, "valid_until": "2199-01-01T00:00:00Z"})
    assert (await client.get("/v1/blocked-addresses")).json()["items"] == []


async def test_answers_to_subscription_types_have_an_outcome_each(client, people):
    kari, kind = await people.person(external_id="CRM-1"), await people.kind()

    def item(subscribed=True, **person):
        return {"subscription_type_id": kind.id, "subscribed": subscribed} | person

    items = [
        item(external_id="CRM-1"), item(external_id="CRM-9"), item(person_id=kari.id),
        item(person_id=kari.id) | {"subscription_type_id": 987654321}, item(), 7,
    ]  # fmt: skip
    answer = (await client.post("/v1/subscriptions/bulk", json={"items": items, "source": "CRM"})).json()
    assert (answer["recorded"], answer["unchanged"], answer["failed"]) == (2, 0, 4)
    pointers = [each["errors"][0]["pointer"] for each in answer["items"] if each["errors"]]
    assert pointers == ["#/items/1/external_id", "#/items/3/subscription_type_id", "#/items/4", "#/items/5"]
    again = (await client.post("/v1/subscriptions/bulk", json={"items": items[:1], "source": "other"})).json()
    assert again["items"][0]["status"] == "unchanged"
    [kept] = (await client.get(f"/v1/persons/{kari.id}/subscriptions")).json()["items"]
    assert (kept["subscribed"], kept["source"]) == (True, "CRM")


async def test_ten_thousand_lines_are_taken_and_more_are_not(client, people):
    line = LINE | {"person_id": (await people.person()).id}
    answer = await record(client, *[line] * 10_000)
    assert answer["recorded"] == 10_000
    refused = await client.post("/v1/consents/bulk", json={"items": [line] * 10_001})
    assert refused.status_code == 422
