"""Bulk does to each person what single requests would, in the order of the items."""

import random

import pytest

from tests.contacts.declaring import declare

ADDRESSES = ["a@x.example", "b@x.example", "C@x.example", "d@x.example"]
SHOWN = (
    "name", "first_name", "last_name", "email", "email_valid", "cellphone", "city", "language", "our_contact",
    "support_contact", "former_employee", "interests", "extra",
)  # fmt: skip


def some_item(chance: random.Random, who: str) -> dict:
    pool = {
        "name": ["Kari Nordmann", "K. N."],
        "first_name": ["Kari", None],
        "last_name": ["Nordmann", "Hansen", None],
        "email": [*ADDRESSES, None, None, "no address"],
        "emails": [chance.sample(ADDRESSES, chance.randrange(4)), chance.sample(ADDRESSES, 3), None],
        "cellphone": ["912 34 567", "+46 70 123 45 67", None, "12"],
        "city": ["Bodø", "  Oslo  ", None],
        "language": ["nb", None, "norsk"],
        "our_contact": [{"name": "Ola"}, {"email": "ola@y.example"}, None],
        "support_contact": [{"name": "Siv", "email": "siv@y.example"}, {"email": "siv"}],
        "former_employee": [True, False],
        "interests": [["News"], ["Fairs", "News"], [], None],
        "extra": [{"size": 38}, {"size": None, "plan": "A"}, {"plan": "C"}, {"hat": 1}],
    }
    fields = chance.sample(sorted(pool), chance.randint(1, 4))
    if chance.random() < 0.6:
        fields.append("email" if chance.random() < 0.6 else "emails")
    return {"external_id": who, **{name: chance.choice(pool[name]) for name in fields}}


async def one_by_one(client, items: list[dict]) -> list[bool]:
    """Send each item as a request of its own; return which were taken."""
    ids: dict[str, int] = {}
    taken = []
    for item in items:
        known = ids.get(item["external_id"])
        if known is None:
            answer = await client.post("/v1/persons", json=item)
        else:
            answer = await client.patch(f"/v1/persons/{known}", json=item)
        taken.append(answer.is_success)
        if answer.status_code == 201:
            ids[item["external_id"]] = answer.json()["id"]
    return taken


async def shown(client, who: str) -> list:
    found = (await client.get("/v1/persons", params={"external_id": who})).json()["items"]
    return [({name: person[name] for name in SHOWN}, set(person["emails"])) for person in found]


@pytest.mark.parametrize("seed", range(12))
async def test_items_do_what_single_requests_do(client, seed):
    chance = random.Random(seed)
    await declare(client, "size", "number")
    await declare(client, "plan", "choice", choices=["A", "B"])
    for round_ in range(8):
        persons = [f"{seed}-{round_}-{number}" for number in range(2)]
        items = [some_item(chance, chance.choice(persons)) for _ in range(9)]
        taken = await one_by_one(client, items)
        # In two requests, so that the second one finds what the first one left.
        for part in (items[:4], items[4:]):
            told = [item | {"external_id": f"bulk {item['external_id']}"} for item in part]
            answer = (await client.post("/v1/persons/bulk", json={"items": told})).json()
            outcomes = [item["status"] != "failed" for item in answer["items"]]
            assert outcomes == taken[: len(part)], told
            taken = taken[len(part) :]
        for who in persons:
            assert await shown(client, f"bulk {who}") == await shown(client, who), items
