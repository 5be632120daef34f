"""`/v1/persons` and `/v1/companies`, one at a time."""

import pytest

KARI = {"external_id": "CRM-1", "first_name": "Kari", "last_name": "Nordmann", "email": " Kari@Nordlys.Example "}


async def create(client, **fields) -> dict:
    answer = await client.post("/v1/persons", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_person_is_created_read_changed_and_deleted(client):
    person = await create(client, **KARI, cellphone="912 34 567")
    assert person["name"] == "Kari Nordmann"
    assert person["email"] == "Kari@nordlys.example"
    assert person["email_valid"] is True
    assert person["cellphone"] == "+4791234567"
    path = f"/v1/persons/{person['id']}"
    changed = (await client.patch(path, json={"last_name": "Hansen", "cellphone": None})).json()
    assert changed["name"] == "Kari Hansen"
    assert changed["cellphone"] is None
    assert changed["email"] == person["email"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_a_written_name_stays_when_its_parts_change(client):
    person = await create(client, **KARI | {"name": "Dr. Nordmann"})
    changed = await client.patch(f"/v1/persons/{person['id']}", json={"first_name": "Karin"})
    assert changed.json()["name"] == "Dr. Nordmann"


async def test_extra_fields_are_merged_and_null_removes_one(client):
    person = await create(client, **KARI, extra={"shoe": 38, "dog": "Rex"})
    changed = await client.patch(f"/v1/persons/{person['id']}", json={"extra": {"dog": None, "cat": "Pus"}})
    assert changed.json()["extra"] == {"shoe": 38, "cat": "Pus"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "kari.nordlys.example"),
        ("email", "kari@nordlys.example\r\nBcc: x@evil.example"),
        ("cellphone", "12"),
        ("language", "norsk"),
        ("time_zone", "Oslo"),
        ("extra", {"Not a name": 1}),
        ("extra", {"deep": {"er": 1}}),
        ("company_id", 987654321),
        ("shoe", 38),
    ],
)
async def test_a_field_that_is_wrong_is_named(client, field, value):
    answer = await client.post("/v1/persons", json={"name": "Kari", field: value})
    assert answer.status_code == 422
    assert all(error["pointer"].startswith(f"#/{field}") for error in answer.json()["errors"])


async def test_a_person_of_whom_nothing_is_known_is_refused(client):
    answer = await client.post("/v1/persons", json={"city": "Bodø"})
    assert answer.status_code == 422
    person = await create(client, name="Kari")
    assert (await client.patch(f"/v1/persons/{person['id']}", json={"name": ""})).status_code == 422


async def test_an_external_id_is_taken_once(client):
    await create(client, **KARI)
    again = await client.post("/v1/persons", json=KARI)
    assert again.status_code == 409
    assert again.json()["type"] == "urn:budstikke:problem:external-id-taken"
    other = await create(client, name="Ola")
    assert (await client.patch(f"/v1/persons/{other['id']}", json={"external_id": "CRM-1"})).status_code == 409


async def test_line_breaks_in_a_name_become_spaces(client):
    person = await create(client, name="Kari\r\nBcc: x@evil.example", email="k@nordlys.example")
    assert person["name"] == "Kari Bcc: x@evil.example"


async def test_persons_are_found_by_each_filter(client):
    company = (await client.post("/v1/companies", json={"name": "Nordlys"})).json()
    kari = await create(client, **KARI, company_id=company["id"])
    await create(client, name="Ola 100%", email="ola@nordlys.example")
    filters = (
        {"external_id": "CRM-1"}, {"email": "KARI@nordlys.example"}, {"company_id": company["id"]}, {"q": "kari n"},
        {"q": "nordm"},
    )  # fmt: skip
    for asked in filters:
        found = (await client.get("/v1/persons", params=asked)).json()["items"]
        assert [person["id"] for person in found] == [kari["id"]], asked
    for asked in ({"q": "%"}, {"email": "no address"}):
        assert (await client.get("/v1/persons", params=asked)).json()["items"] == []


async def test_persons_come_in_pages(client):
    ids = [(await create(client, name=str(number)))["id"] for number in range(3)]
    first = (await client.get("/v1/persons?limit=2")).json()
    rest = (await client.get("/v1/persons", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [person["id"] for person in first["items"] + rest["items"]] == ids
    assert rest["next_cursor"] is None


async def test_a_company_is_created_read_changed_and_deleted_and_its_persons_stay(client):
    created = await client.post("/v1/companies", json={"external_id": "C-1", "name": "Nordlys", "phone": "22 22 55 55"})
    assert created.status_code == 201
    company = created.json()
    assert company["phone"] == "+4722225555"
    path = f"/v1/companies/{company['id']}"
    assert (await client.patch(path, json={"city": "Bodø"})).json()["city"] == "Bodø"
    assert (await client.post("/v1/companies", json={"external_id": "C-1", "name": "B"})).status_code == 409
    found = (await client.get("/v1/companies", params={"q": "NORD"})).json()["items"]
    assert [each["id"] for each in found] == [company["id"]]
    person = await create(client, name="Kari", company_id=company["id"])
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.get(f"/v1/persons/{person['id']}")).json()["company_id"] is None
