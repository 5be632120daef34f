"""`/v1/extra-fields`: declared with a type, and every value of `extra` held to it (D11)."""

import pytest

from app.contacts import extra_fields
from app.contacts.extra_field_queries import count_misfits
from app.contacts.extra_values import misfit
from app.contacts.models import ExtraField, ExtraKind, ExtraOwner
from tests.contacts.declaring import declare

PERSONS, COMPANIES = "/v1/persons", "/v1/companies"


async def test_a_field_is_declared_read_changed_listed_and_deleted(client):
    field = await declare(client, "shoe_size", "number", label="Shoe size")
    assert (field["owner"], field["label"], field["choices"]) == ("person", "Shoe size", [])
    assert (await declare(client, "hat", owner="company"))["label"] == "hat"
    path = f"/v1/extra-fields/{field['id']}"
    assert (await client.get(path)).json() == field
    changed = await client.patch(path, json={"label": "Size of shoes"})
    assert (changed.json()["label"], changed.json()["kind"]) == ("Size of shoes", "number")
    listed = (await client.get("/v1/extra-fields", params={"owner": "person"})).json()["items"]
    assert [each["name"] for each in listed] == ["shoe_size"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "Shoe size"}, "#/name"),
        ({"kind": "money"}, "#/kind"),
        ({"owner": "dog"}, "#/owner"),
        ({"kind": "choice"}, "#/choices"),
        ({"kind": "choice", "choices": ["S", "S"]}, "#/choices"),
        ({"kind": "text", "choices": ["S"]}, "#/choices"),
        ({"size": 1}, "#/size"),
    ],
)
async def test_a_declaration_that_makes_no_sense_is_refused(client, fields, pointer):
    answer = await client.post("/v1/extra-fields", json={"owner": "person", "name": "a", "kind": "text"} | fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_name_is_declared_once_per_owner(client):
    await declare(client, "size")
    again = await client.post("/v1/extra-fields", json={"owner": "person", "name": "size", "kind": "number"})
    assert again.status_code == 409
    assert again.json()["type"] == "urn:budstikke:problem:extra-field-taken"
    await declare(client, "size", owner="company")


FITTING = {
    "text": ["38", "", "=1+1"],
    "number": [38, -3.5, 0, 1e15],
    "boolean": [True, False],
    "date": ["2026-11-24", "2024-02-29", "9999-12-31"],
    "choice": ["S", "M"],
}
CONTRADICTING = {
    "text": [38, True],
    "number": ["38", True],
    "boolean": ["true", 1, 0],
    "date": ["24.11.2026", "2026-02-30", "2023-02-29", "20261124", "2026-11-24T10:00:00Z", "0000-01-01", 20261124],
    "choice": ["L", "s", "", 1],
}


def field_of(kind: str) -> ExtraField:
    return ExtraField(owner=ExtraOwner.PERSON, name="f", label="f", kind=ExtraKind(kind), choices=["S", "M"])


@pytest.mark.parametrize("kind", FITTING)
def test_a_value_is_judged_by_its_fields_kind(kind):
    assert [misfit(field_of(kind), value) for value in FITTING[kind]] == [None] * len(FITTING[kind])
    assert all(misfit(field_of(kind), value) for value in CONTRADICTING[kind])


@pytest.mark.parametrize("value", [1e16, float("nan"), float("inf"), 10**400])
def test_a_number_that_json_readers_would_change_is_refused(value):
    assert misfit(field_of("number"), value)


@pytest.mark.parametrize("kind", FITTING)
async def test_the_database_counts_the_values_that_the_rules_refuse(client, database, kind):
    await declare(client, "f", kind, **({"choices": ["S", "M"]} if kind == "choice" else {}))
    for value in FITTING[kind]:
        assert (await client.post(PERSONS, json={"name": "Kari", "extra": {"f": value}})).status_code == 201
    kinds = [other for other in FITTING if other != kind]
    async with database.begin() as session:
        for other in kinds:
            contradicting = sum(misfit(field_of(other), value) is not None for value in FITTING[kind])
            counted = await count_misfits(
                session, owner=ExtraOwner.PERSON, name="f", kind=ExtraKind(other), choices=["S", "M"]
            )
            assert counted == contradicting, other


@pytest.mark.parametrize("path", [PERSONS, COMPANIES])
async def test_a_value_is_checked_when_one_is_created_and_changed(client, path):
    await declare(client, "shoe_size", "number", owner="person" if path == PERSONS else "company")
    wrong = await client.post(path, json={"name": "Kari", "extra": {"shoe_size": "big"}})
    assert wrong.status_code == 422
    [error] = wrong.json()["errors"]
    assert error["pointer"] == "#/extra/shoe_size"
    assert "a number" in error["detail"]
    created = (await client.post(path, json={"name": "Kari", "extra": {"shoe_size": 38}})).json()
    changed = await client.patch(f"{path}/{created['id']}", json={"extra": {"shoesize": 39}})
    [error] = changed.json()["errors"]
    assert error["pointer"] == "#/extra/shoesize"
    assert "shoe_size" in error["detail"], "the declared names are told"
    assert (await client.get(f"{path}/{created['id']}")).json()["extra"] == {"shoe_size": 38}


@pytest.mark.parametrize("kind", ["persons", "companies"])
async def test_in_bulk_each_item_is_held_to_the_declarations_by_itself(client, kind):
    await declare(client, "size", "choice", choices=["S", "M"], owner="person" if kind == "persons" else "company")
    items = [
        {"external_id": "1", "name": "A", "extra": {"size": "S"}},
        {"external_id": "2", "name": "B", "extra": {"size": "XL"}},
        {"external_id": "3", "name": "C", "extra": {"hat": "M"}},
        {"external_id": "4", "name": "D", "extra": {"size": None}},
    ]
    answer = (await client.post(f"/v1/{kind}/bulk", json={"items": items})).json()
    assert [item["status"] for item in answer["items"]] == ["created", "failed", "failed", "created"]
    [wrong], [unknown] = (answer["items"][place]["errors"] for place in (1, 2))
    assert (wrong["pointer"], unknown["pointer"]) == ("#/items/1/extra/size", "#/items/2/extra/hat")
    assert "S, M" in wrong["detail"]
    assert "size" in unknown["detail"]


async def test_a_kind_changes_only_when_no_value_contradicts(client):
    field = await declare(client, "size")
    path = f"/v1/extra-fields/{field['id']}"
    ids = []
    for value in ("S", "XL", "XXL"):
        person = await client.post(PERSONS, json={"name": "Kari", "extra": {"size": value}})
        ids.append(person.json()["id"])
    refused = await client.patch(path, json={"kind": "choice", "choices": ["S", "M"]})
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("2 value(s)")
    for person_id in ids[1:]:
        await client.patch(f"{PERSONS}/{person_id}", json={"extra": {"size": "M"}})
    assert (await client.patch(path, json={"kind": "choice", "choices": ["S", "M"]})).status_code == 200
    narrower = await client.patch(path, json={"choices": ["S"]})
    assert narrower.status_code == 409
    text = (await client.patch(path, json={"kind": "text"})).json()
    assert (text["kind"], text["choices"]) == ("text", [])


async def test_a_field_with_values_is_deleted_only_with_them(client):
    field = await declare(client, "size")
    path = f"/v1/extra-fields/{field['id']}"
    person = (await client.post(PERSONS, json={"name": "Kari", "extra": {"size": "S"}})).json()
    refused = await client.delete(path)
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("1 value(s)")
    assert (await client.delete(path, params={"drop_values": True})).status_code == 204
    assert (await client.get(f"{PERSONS}/{person['id']}")).json()["extra"] == {}


async def test_many_values_are_dropped_by_an_operation_and_the_field_goes_at_its_end(client, database, monkeypatch):
    monkeypatch.setattr(extra_fields, "MANY", 3)
    monkeypatch.setattr(extra_fields, "PIECE", 2)
    field = await declare(client, "size")
    path = f"/v1/extra-fields/{field['id']}"
    for name in "abcde":
        await client.post(PERSONS, json={"name": name, "extra": {"size": "S"}})
    other = await declare(client, "hat")
    await client.post(PERSONS, json={"name": "f", "extra": {"hat": "S"}})
    answer = await client.delete(path, params={"drop_values": True})
    assert (answer.status_code, answer.json()["kind"]) == (202, "drop-extra-field")
    assert (await client.get(path)).status_code == 200
    for _ in range(2):  # a job may be run again
        await extra_fields.drop_with_values(database, field_id=field["id"], operation_id=answer.json()["id"])
    done = (await client.get(answer.headers["Location"])).json()
    assert (done["state"], done["result"]) == ("succeeded", {"dropped": 5})
    assert (await client.get(path)).status_code == 404
    extras = [person["extra"] for person in (await client.get(PERSONS)).json()["items"]]
    assert extras == [{}] * 5 + [{other["name"]: "S"}]


async def test_a_merge_tag_of_an_undeclared_field_is_an_error_with_line_and_column(client):
    """D11, in templates and in a mailing's content."""
    await declare(client, "shoe_size", "number")
    html = "<p>[[customer.extra.shoe_size]]</p>\n<p>[[company.extra.shoe_size]]</p>"
    mailing = (await client.post("/v1/mailings", json={"name": "News"})).json()
    answers = [
        await client.post("/v1/templates", json={"name": "News", "subject": "Hi", "html": html}),
        await client.put(f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hi", "html": html}),
    ]
    for answer in answers:
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["pointer"] == "#/html"
        assert error["detail"].startswith("Line 2, column 4: there is no tag company.extra.shoe_size")
    await declare(client, "shoe_size", owner="company")
    saved = await client.post("/v1/templates", json={"name": "News", "subject": "Hi", "html": html})
    assert saved.status_code == 201, saved.text


async def test_merge_tags_of_declared_fields_are_listed_with_their_labels(client):
    await declare(client, "shoe_size", "number", label="Shoe size")
    tags = {tag["tag"]: tag["description"] for tag in (await client.get("/v1/merge-tags")).json()}
    assert tags["customer.extra.shoe_size"] == "Shoe size"
