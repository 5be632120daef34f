"""Several addresses of one person, one of them preferred: mail goes to that one."""

import pytest

A, B, C = "kari@nordlys.example", "kari@home.example", "k.nordmann@sea.example"


async def create(client, *emails, **fields) -> dict:
    answer = await client.post("/v1/persons", json={"name": "Kari", "emails": list(emails)} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def path_of(person: dict) -> str:
    return f"/v1/persons/{person['id']}"


async def patched(client, person: dict, **fields) -> dict:
    answer = await client.patch(path_of(person), json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def bulk(client, *items) -> dict:
    answer = await client.post("/v1/persons/bulk", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_first_address_is_the_preferred_one(client):
    person = await create(client, f" {A.upper()} ", B, A, C)
    assert person["email"] == "KARI@nordlys.example"
    assert person["emails"] == ["KARI@nordlys.example", B, C], "one that comes twice counts once"
    assert (await client.get(path_of(person))).json()["emails"] == person["emails"]


async def test_with_both_the_single_address_is_the_preferred_one(client):
    person = await create(client, A, B, email=B)
    assert (person["email"], person["emails"]) == (B, [B, A])


async def test_each_address_finds_the_person_and_two_persons_may_share_one(client):
    kari = await create(client, A, B)
    ola = await create(client, B)
    for address, found in ((A, [kari]), (B.upper(), [kari, ola]), (C, [])):
        items = (await client.get("/v1/persons", params={"email": address})).json()["items"]
        assert [item["id"] for item in items] == [person["id"] for person in found], address


async def test_an_address_is_added_made_preferred_and_removed(client):
    person = await create(client, A)
    emails = f"{path_of(person)}/emails"
    assert (await client.post(emails, json={"email": B})).json()["emails"] == [A, B]
    assert (await client.post(emails, json={"email": C, "preferred": True})).json()["emails"] == [C, B, A]
    assert (await client.post(emails, json={"email": B, "preferred": True})).json()["emails"] == [B, A, C]
    assert (await client.post(emails, json={"email": B})).json()["emails"] == [B, A, C], "it has that one already"
    assert (await client.delete(emails, params={"email": A.upper()})).json()["emails"] == [B, C]
    left = (await client.delete(emails, params={"email": B})).json()
    assert (left["email"], left["emails"]) == (C, [C])
    assert (await client.delete(emails, params={"email": C})).json()["emails"] == []
    gone = await client.delete(emails, params={"email": C})
    assert gone.status_code == 404
    assert gone.json()["type"] == "urn:budstikke:problem:email-not-found"


async def test_an_address_that_is_not_valid_is_named_by_its_place(client):
    answer = await client.post("/v1/persons", json={"name": "Kari", "emails": [A, "kari"]})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/emails/1"]
    person = await create(client, A)
    answer = await client.post(f"{path_of(person)}/emails", json={"email": "kari"})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/email"]
    answer = await client.patch(path_of(person), json={"email": None, "emails": [B]})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/email"]


async def test_a_person_has_at_most_twenty_addresses(client):
    many = [f"kari{number}@nordlys.example" for number in range(20)]
    person = await create(client, *many)
    assert (await client.post(f"{path_of(person)}/emails", json={"email": many[7]})).status_code == 200
    assert (await client.post(f"{path_of(person)}/emails", json={"email": A})).status_code == 422
    assert (await client.patch(path_of(person), json={"emails": [*many, A]})).status_code == 422


@pytest.mark.parametrize("one_by_one", [True, False])
async def test_changes_of_the_preferred_address_keep_or_move_the_others(client, one_by_one):
    person = await create(client, A, B, external_id="1")

    async def change(**fields) -> list[str]:
        if one_by_one:
            await patched(client, person, **fields)
        else:
            await bulk(client, {"external_id": "1", **fields})
        return (await client.get(path_of(person))).json()["emails"]

    assert await change(email=B) == [B, A], "changes places"
    assert await change(email=C) == [C, A], "takes the place"
    assert await change(city="Bodø") == [C, A], "says nothing of addresses"
    assert await change(email=None) == [A], "the next one rises"
    assert await change(emails=[B, A, C]) == [B, A, C]
    assert await change(emails=[C]) == [C]
    assert await change(emails=None) == []


async def test_addresses_come_in_bulk(client):
    answer = await bulk(
        client,
        {"external_id": "1", "emails": [A, B]},
        {"external_id": "2", "emails": [B, "no address"]},
        {"external_id": "3", "email": C, "emails": [A, C]},
        {"external_id": "1", "emails": [A, C]},
    )
    assert [item["status"] for item in answer["items"]] == ["created", "failed", "created", "updated"]
    assert answer["items"][1]["errors"][0]["pointer"] == "#/items/1/emails/1"
    persons = (await client.get("/v1/persons")).json()["items"]
    assert [person["emails"] for person in persons] == [[A, C], [C, A]]
