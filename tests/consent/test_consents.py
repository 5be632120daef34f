"""The consent ledger, subscriptions and what unsubscribing does."""

import pytest
from sqlalchemy import text

from app.consent import blocked, service
from app.consent.models import BlockReason, ConsentAction, Purpose
from app.consent.service import ConsentLine
from app.contacts.models import Person
from app.mailings.models import Mailing

GIVEN = {"purpose": "e_marketing", "action": "given", "source": "shop"}
WITHDRAWN = GIVEN | {"action": "withdrawn"}


async def add_person(session, **fields) -> int:
    person = Person(**{"name": "Kari", "email": "kari@nordlys.example", "email_key": "kari@nordlys.example"} | fields)
    session.add(person)
    await session.flush()
    return person.id


async def state_of(session, person_id: int, purpose: str = "e_marketing") -> bool | None:
    query = text("SELECT given FROM consent_state WHERE person_id = :id AND purpose = :purpose")
    return (await session.exec(query, params={"id": person_id, "purpose": purpose})).scalar_one_or_none()


async def ledger_size(session, person_id: int) -> int:
    query = text("SELECT count(*) FROM consent WHERE person_id = :id")
    return (await session.exec(query, params={"id": person_id})).scalar_one()


async def block_of(session, email_key: str = "kari@nordlys.example") -> str | None:
    query = text("SELECT reason FROM blocked_address WHERE email_key = :key")
    return (await session.exec(query, params={"key": email_key})).scalar_one_or_none()


@pytest.fixture
async def person_id(database) -> int:
    async with database.begin() as session:
        return await add_person(session)


async def test_what_the_newest_line_says_holds(client, session, person_id):
    path = f"/v1/persons/{person_id}/consents"
    first = await client.post(path, json=GIVEN)
    assert first.status_code == 201
    assert first.json()["recorded_by"] == "tests"
    assert await state_of(session, person_id) is True
    await client.post(path, json=WITHDRAWN)
    assert await state_of(session, person_id) is False
    assert await state_of(session, person_id, "track_opens") is None
    lines = (await client.get(path)).json()["items"]
    assert [line["action"] for line in lines] == ["given", "withdrawn"]


async def test_a_backdated_line_is_kept_and_changes_nothing(client, session, person_id):
    path = f"/v1/persons/{person_id}/consents"
    await client.post(path, json=WITHDRAWN)
    late = await client.post(path, json=GIVEN | {"valid_from": "2020-01-01T00:00:00Z"})
    assert late.status_code == 201
    assert late.json()["valid_from"] == "2020-01-01T00:00:00Z"
    assert await state_of(session, person_id) is False
    assert await ledger_size(session, person_id) == 2


async def test_of_lines_with_one_time_the_last_holds(session, database, person_id):
    lines = [
        ConsentLine(Purpose.E_MARKETING, action, "import", person_id)
        for action in (ConsentAction.GIVEN, ConsentAction.WITHDRAWN)
    ]
    assert await service.record_consents(session, lines=lines) == 2
    assert await state_of(session, person_id) is False


async def test_only_changes_leave_the_ledger_as_it_is_when_nothing_changes(session, person_id):
    lines = [ConsentLine(Purpose.E_MARKETING, ConsentAction.GIVEN, "import", person_id)]
    assert await service.record_consents(session, lines=lines, only_changes=True) == 1
    assert await service.record_consents(session, lines=lines, only_changes=True) == 0
    assert await ledger_size(session, person_id) == 1


async def test_lines_of_persons_who_do_not_exist_are_left_out_and_those_of_addresses_kept(session):
    lines = [
        ConsentLine(Purpose.E_MARKETING, ConsentAction.GIVEN, "import", person_id=987654321),
        ConsentLine(Purpose.E_MARKETING, ConsentAction.GIVEN, "import", email_key="stranger@nordlys.example"),
    ]
    assert await service.record_consents(session, lines=lines) == 1


async def test_consent_of_nobody_is_not_found(client):
    assert (await client.post("/v1/persons/987654321/consents", json=GIVEN)).status_code == 404
    assert (await client.get("/v1/persons/987654321/consents")).status_code == 404
    assert (await client.get("/v1/persons/987654321/subscriptions")).status_code == 404


async def test_subscriptions_show_every_type_and_keep_what_is_not_sent(client, person_id):
    news, events = [
        (await client.post("/v1/subscription-types", json={"name": name})).json()["id"] for name in ("News", "Zoom")
    ]
    path = f"/v1/persons/{person_id}/subscriptions"
    await client.put(path, json={"items": [{"subscription_type_id": news, "subscribed": True}]})
    await client.put(path, json={"items": [{"subscription_type_id": events, "subscribed": False}]})
    items = (await client.get(path)).json()["items"]
    assert [(item["name"], item["subscribed"]) for item in items] == [("News", True), ("Zoom", False)]
    wrong = await client.put(path, json={"items": [{"subscription_type_id": 987654321, "subscribed": True}]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "#/items/0/subscription_type_id"


async def test_subscription_types_have_one_name_each_and_go_with_their_answers(client, person_id):
    created = await client.post("/v1/subscription-types", json={"name": "News"})
    path = f"/v1/subscription-types/{created.json()['id']}"
    assert (await client.post("/v1/subscription-types", json={"name": "News"})).status_code == 409
    assert (await client.patch(path, json={"description": "Weekly"})).json()["name"] == "News"
    answer = {"items": [{"subscription_type_id": created.json()["id"], "subscribed": True}]}
    await client.put(f"/v1/persons/{person_id}/subscriptions", json=answer)
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.get("/v1/subscription-types")).json()["items"] == []


async def test_a_type_that_a_mailing_has_cannot_be_deleted(client, session):
    created = (await client.post("/v1/subscription-types", json={"name": "News"})).json()
    session.add(Mailing(name="November", subscription_type_id=created["id"]))
    await session.flush()
    answer = await client.delete(f"/v1/subscription-types/{created['id']}")
    assert answer.status_code == 409


async def test_unsubscribing_from_one_type_leaves_the_others(client, session, person_id):
    ids = [(await client.post("/v1/subscription-types", json={"name": name})).json()["id"] for name in ("A", "B")]
    rows = [service.SubscriptionAnswer(person_id, type_id, subscribed=True, source="shop") for type_id in ids]
    assert await service.set_subscriptions(session, rows=rows) == 2
    await service.unsubscribe(session, person_id=person_id, subscription_type_id=ids[0], source="page")
    items = (await client.get(f"/v1/persons/{person_id}/subscriptions")).json()["items"]
    assert [(item["subscribed"], item["source"]) for item in items] == [(False, "page"), (True, "shop")]


async def test_unsubscribing_from_everything_withdraws_and_blocks_and_a_new_yes_takes_it_back(
    client, session, person_id
):
    await client.post("/v1/subscription-types", json={"name": "News"})
    for _ in range(2):
        await service.unsubscribe(session, person_id=person_id, subscription_type_id=None, source="page")
    assert await state_of(session, person_id) is False
    assert await ledger_size(session, person_id) == 1
    assert await block_of(session) == "unsubscribed_all"
    items = (await client.get(f"/v1/persons/{person_id}/subscriptions")).json()["items"]
    assert [item["subscribed"] for item in items] == [False]
    path = f"/v1/persons/{person_id}/consents"
    await client.post(path, json=GIVEN | {"valid_from": "2020-01-01T00:00:00Z"})
    assert await block_of(session) == "unsubscribed_all"
    await client.post(path, json=GIVEN)
    assert await block_of(session) is None


async def test_unsubscribing_somebody_who_is_gone_does_nothing(session):
    await service.unsubscribe(session, person_id=987654321, subscription_type_id=None, source="page")


async def test_a_bounce_outweighs_an_unsubscription_and_stays(session):
    blocking = {"email": "Kari@Nordlys.example", "origin": "x"}
    assert await blocked.block_address(session, reason=BlockReason.UNSUBSCRIBED_ALL, **blocking) is True
    assert await blocked.block_address(session, reason=BlockReason.HARD_BOUNCE, **blocking) is False
    assert await block_of(session) == "hard_bounce"
    assert await blocked.block_address(session, reason=BlockReason.UNSUBSCRIBED_ALL, **blocking) is False
    assert await block_of(session) == "hard_bounce"


async def test_addresses_are_blocked_found_and_unblocked_by_hand(client):
    created = await client.post("/v1/blocked-addresses", json={"email": "Ola@Müller.example", "origin": "by phone"})
    assert created.status_code == 201
    assert created.json()["reason"] == "manual"
    assert (await client.post("/v1/blocked-addresses", json={"email": "ola@müller.example"})).status_code == 409
    assert (await client.post("/v1/blocked-addresses", json={"email": "no address"})).status_code == 422
    for asked in ({"q": "OLA@müller.example"}, {"reason": "manual"}):
        assert len((await client.get("/v1/blocked-addresses", params=asked)).json()["items"]) == 1
    for asked in ({"q": "kari@müller.example"}, {"reason": "complaint"}):
        assert (await client.get("/v1/blocked-addresses", params=asked)).json()["items"] == []
    path = f"/v1/blocked-addresses/{created.json()['id']}"
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
