"""The empty-tag report looks at the whole list (D14)."""

import pytest

from tests.recipients.desk import Desk

HTML = (
    '<p>Hi [[customer.firstname]] of [[company.city|default("your town")]], size [[customer.extra.shoe]].</p>'
    '<p><a href="https://example.com/?n=[[customer.number]]">See</a></p><p>[[project.name]]</p>'
    '<p><a href="[[link.unsubscribe]]">Unsubscribe</a></p>'
)


@pytest.fixture
async def desk(client, session):
    desk = await Desk(client, session).open(from_email="post@nordlys.example", include_companies=True)
    await desk.row("INSERT INTO extra_field (owner, name, label, kind) VALUES ('person', 'shoe', 'Shoe', 'text')")
    content = {"subject": 'For [[customer.lastname|default("you")]]', "html": HTML}
    answer = await client.put(f"/v1/mailings/{desk.mailing}/content", json=content)
    assert answer.status_code == 200, answer.text
    return desk


async def test_every_tag_tells_how_many_see_it_empty_or_its_default(desk):
    acme = await desk.company("Acme", "post@acme.example")
    await desk.row("UPDATE company SET city = 'Oslo'")
    persons = [
        await desk.person(
            "full@example.com", first_name="Kari", last_name="Nordmann", number="7", extra={"shoe": "42"},
            company_id=acme,
        ),
        await desk.person("blank@example.com", first_name="  ", extra={"shoe": ""}),
        await desk.person("not.ready@example.com", consent=False),
    ]  # fmt: skip
    for person in persons:
        await desk.source(kind="person", person_id=person)
    await desk.source(kind="company", company_id=acme)
    report = await desk.get(f"mailings/{desk.mailing}/empty-tags")
    assert report["ready"] == 3
    found = {tag["tag"]: (tag["empty"], tag["with_default"]) for tag in report["tags"]}
    assert found == {
        "company.city": (0, 1), "customer.extra.shoe": (2, 0), "customer.firstname": (2, 0),
        "customer.lastname": (0, 2), "customer.number": (2, 0), "project.name": (3, 0),
    }  # fmt: skip
    examples = {tag["tag"]: [example["email"] for example in tag["examples"]] for tag in report["tags"]}
    assert examples["customer.firstname"] == ["blank@example.com", "post@acme.example"]
    assert examples["company.city"] == ["blank@example.com"]
    assert len(examples["project.name"]) == 3


async def test_strangers_have_only_a_name_and_an_address(desk):
    """D13."""
    stated = {"legal_basis": "consent", "source": "fair, stand 4", "given_on": "2026-09-01"}
    addresses = [f"Guest {n} <guest{n}@example.com>" for n in range(8)]
    await desk.source(kind="addresses", addresses=addresses, consent=stated)
    report = await desk.get(f"mailings/{desk.mailing}/empty-tags")
    assert {tag["tag"]: tag["empty"] or tag["with_default"] for tag in report["tags"]} == dict.fromkeys(
        [tag["tag"] for tag in report["tags"]], 8
    )
    assert all(len(tag["examples"]) == 5 for tag in report["tags"])


async def test_content_that_cannot_be_compiled_is_refused(desk):
    await desk.row("UPDATE mailing SET html = '<p>[[customer.unknown]]</p>'")
    answer = await desk.client.get(f"/v1/mailings/{desk.mailing}/empty-tags")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:budstikke:problem:not-ready")
