"""`/v1/persons` and `/v1/companies`, one at a time."""

import pytest
from sqlalchemy import text

from tests.contacts.declaring import declare

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
    for name, kind in (("shoe", "number"), ("dog", "text"), ("cat", "text")):
        await declare(client, name, kind)
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


async def test_every_field_of_a_person_is_kept_and_shown(client):
    """D5, D11."""
    fields = {
        "external_id": "CRM-9", "name": "Kari Nordmann", "first_name": "Kari", "last_name": "Nordmann",
        "salutation": "Hei Kari", "title": "CTO", "email": "kari@nordlys.example", "cellphone": "+4791234567",
        "direct": "+4722225555", "category": "Customer", "business": "Building", "number": "1001",
        "position": "Manager", "city": "Bodø", "country": "NO", "language": "nb", "time_zone": "Europe/Oslo",
        "our_contact": {"name": "Ola Selger", "email": "ola@supplier.example"},
        "support_contact": {"name": None, "email": "help@supplier.example"}, "former_employee": True,
        "interests": ["Events", "Product news"],
    }  # fmt: skip
    person = await create(client, **fields)
    assert {name: person[name] for name in fields} == fields
    [same] = (await client.get("/v1/persons", params={"external_id": "CRM-9"})).json()["items"]
    assert same == person
    bulk = {"items": [fields | {"external_id": "CRM-10"}]}
    assert (await client.post("/v1/persons/bulk", json=bulk)).json()["created"] == 1
    [other] = (await client.get("/v1/persons", params={"external_id": "CRM-10"})).json()["items"]
    assert {name: other[name] for name in fields} == bulk["items"][0]


async def test_a_contact_is_merged_field_by_field_and_null_clears_it(client):
    person = await create(client, name="Kari", our_contact={"name": "Ola", "email": "Ola@Supplier.Example"})
    path = f"/v1/persons/{person['id']}"
    changed = (await client.patch(path, json={"our_contact": {"name": "Ole"}})).json()
    assert changed["our_contact"] == {"name": "Ole", "email": "Ola@supplier.example"}
    wrong = await client.patch(path, json={"support_contact": {"email": "ola"}})
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["#/support_contact/email"]
    assert (await client.patch(path, json={"our_contact": None})).json()["our_contact"] is None


async def test_interests_are_told_by_name_and_replaced_whole(client):
    person = await create(client, name="Kari", interests=["Events"])
    path = f"/v1/persons/{person['id']}"
    assert (await client.patch(path, json={"city": "Bodø"})).json()["interests"] == ["Events"]
    assert (await client.patch(path, json={"interests": ["News", "Fairs"]})).json()["interests"] == ["Fairs", "News"]
    assert (await client.patch(path, json={"interests": None})).json()["interests"] == []
    named = {each["name"]: each["id"] for each in (await client.get("/v1/interests")).json()["items"]}
    other = await create(client, name="Ola", interests=["News"])
    found = (await client.get("/v1/persons", params={"interest_id": named["News"]})).json()["items"]
    assert [each["id"] for each in found] == [other["id"]]


async def test_every_field_of_a_company_is_kept_and_shown(client):
    """D11."""
    fields = {
        "external_id": "C-9", "name": "Nordlys", "department": "Sales", "email": "post@nordlys.example",
        "country": "NO", "phone": "+4722225555", "url": "https://nordlys.example", "category": "Customer",
        "business": "Building", "number": "77", "city": "Bodø",
    }  # fmt: skip
    company = (await client.post("/v1/companies", json=fields)).json()
    assert {name: company[name] for name in fields} == fields
    found = (await client.get("/v1/companies", params={"email": "POST@nordlys.example"})).json()["items"]
    assert found == [company]
    wrong = await client.patch(f"/v1/companies/{company['id']}", json={"email": "post"})
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["#/email"]
    await client.post("/v1/companies/bulk", json={"items": [{"external_id": "C-9", "email": None}]})
    assert (await client.get(f"/v1/companies/{company['id']}")).json()["email"] is None


async def test_what_changed_since_a_time_is_found(client, database):
    old = await create(client, name="Kari")
    company = (await client.post("/v1/companies", json={"name": "Nordlys"})).json()
    async with database.begin() as session:
        for table in ("person", "company"):
            await session.exec(text(f"UPDATE {table} SET updated_at = '2026-01-01T00:00:00Z'"))
    new = await create(client, name="Ola")
    for path, expected in (("persons", [new["id"]]), ("companies", [])):
        found = await client.get(f"/v1/{path}", params={"updated_after": "2026-01-01T00:00:00Z"})
        assert [each["id"] for each in found.json()["items"]] == expected
    await client.patch(f"/v1/persons/{old['id']}", json={"city": "Bodø"})
    await client.patch(f"/v1/companies/{company['id']}", json={"city": "Bodø"})
    for path, count in (("persons", 2), ("companies", 1)):
        found = await client.get(f"/v1/{path}", params={"updated_after": "2026-01-01T00:00:00Z"})
        assert len(found.json()["items"]) == count
    naive = await client.get("/v1/persons", params={"updated_after": "2026-01-01T00:00:00"})
    assert naive.json()["errors"][0]["pointer"] == "query:updated_after"
