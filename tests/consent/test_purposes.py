"""Purposes are data; the built-in ones stay."""

from tests.consent.people import days

OWN = {"key": "surveys", "name": "Surveys", "description": "Twice a year", "valid_months": 12}


async def test_the_built_in_purposes_are_there_and_stay(client):
    items = (await client.get("/v1/consent-purposes")).json()["items"]
    assert {item["key"]: item["built_in"] for item in items} == dict.fromkeys(
        ("e_marketing", "track_opens", "track_clicks"), True
    )
    assert (await client.delete("/v1/consent-purposes/e_marketing")).status_code == 409
    assert (await client.patch("/v1/consent-purposes/e_marketing", json={"key": "other"})).status_code == 422
    changed = await client.patch("/v1/consent-purposes/e_marketing", json={"name": "Marketing", "valid_months": 36})
    assert (changed.json()["name"], changed.json()["valid_months"]) == ("Marketing", 36)


async def test_a_purpose_of_ones_own_is_made_used_and_deleted_while_the_ledger_knows_it_not(client, people):
    created = await client.post("/v1/consent-purposes", json=OWN)
    assert created.status_code == 201
    assert (await client.post("/v1/consent-purposes", json=OWN)).status_code == 409
    assert (await client.get("/v1/consent-purposes/surveys")).json() == created.json()
    assert (await client.delete("/v1/consent-purposes/surveys")).status_code == 204
    for method in (client.get, client.delete):
        assert (await method("/v1/consent-purposes/surveys")).status_code == 404
    await client.post("/v1/consent-purposes", json=OWN)
    person = await people.person()
    line = await people.consents(person, purpose="surveys", valid_from=days(-10).isoformat())
    assert line["valid_until"] is not None
    assert (await people.state(person, "surveys"))["state"] == "given"
    refused = await client.delete("/v1/consent-purposes/surveys")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:budstikke:problem:purpose-in-use")


async def test_a_key_is_a_plain_word(client):
    for key in ("", "Surveys", "1st", "a b", "x" * 41):
        answer = await client.post("/v1/consent-purposes", json=OWN | {"key": key})
        assert answer.json()["errors"][0]["pointer"] == "#/key", key


async def test_a_subscription_type_is_found_by_what_the_crm_calls_it(client):
    body = {"name": "News", "external_id": "T-1"}
    created = (await client.post("/v1/subscription-types", json=body)).json()
    await client.post("/v1/subscription-types", json={"name": "Zoom"})
    found = (await client.get("/v1/subscription-types", params={"external_id": "T-1"})).json()["items"]
    assert found == [created]
    taken = await client.post("/v1/subscription-types", json={"name": "Other", "external_id": "T-1"})
    assert (taken.status_code, "external id" in taken.json()["detail"]) == (409, True)
