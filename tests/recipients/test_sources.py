"""Sources of every kind (D17), and the options of companies (D22)."""

import pytest

from app.mailings.models import Mailing, MailingType
from app.mailings.options import check_options
from app.platform.errors import Invalid
from tests.recipients.desk import Desk


async def test_every_kind_of_source_brings_its_persons_and_keeps_its_name(desk):
    """D17."""
    kari = await desk.person("kari@example.com")
    ola = await desk.person("ola@example.com", name="Ola Nordmann")
    acme = await desk.company("Acme")
    await desk.person("works@acme.example", company_id=acme)
    selection = (await desk.post("selections", {"name": "Customers"}))["id"]
    await desk.post(f"selections/{selection}/members", {"person_ids": [kari]}, 200)
    project = await desk.project("New harbour", kari, ola)
    sources = [
        await desk.source(kind="selection", selection_id=selection),
        await desk.source(kind="project", project_id=project),
        await desk.source(kind="person", person_id=ola),
        await desk.source(kind="company", company_id=acme),
        await desk.source(kind="addresses", addresses=["stranger@example.com"]),
    ]
    assert [source["label"] for source in sources] == ["Customers", "New harbour", "Ola Nordmann", "Acme", "1 pasted"]
    assert await desk.lines() == [
        ("kari@example.com", "ready"), ("ola@example.com", "ready"), ("works@acme.example", "ready"),
        ("stranger@example.com", "excluded"),
    ]  # fmt: skip
    assert [line["source_id"] for line in await desk.listed()] == [sources[n]["id"] for n in (0, 1, 3, 4)]


async def test_a_selection_whose_criteria_do_not_fit_any_more_is_a_conflict_that_the_document_tells_of(desk):
    """D17: better no list than a wrong one."""
    field = await desk.post("extra-fields", {"owner": "person", "name": "size", "kind": "number"})
    criteria = {"person_extra": "size", "operator": "gt", "value": 40}
    selection = (await desk.post("selections", {"name": "Big feet", "criteria": criteria}))["id"]
    await desk.row("DELETE FROM extra_field WHERE id = :id", id=field["id"])
    problem = await desk.source(kind="selection", selection_id=selection, status=409)
    assert "size" in problem["detail"]
    assert (await desk.listed(), await desk.get(f"mailings/{desk.mailing}/sources")) == ([], [])
    document = (await desk.client.get("/openapi.json")).json()
    declared = document["paths"]["/v1/mailings/{mailing_id}/sources"]["post"]["responses"]["409"]["description"]
    assert problem["title"] in declared


async def test_sources_go_in_any_order_and_the_list_is_right_each_time(desk):
    """D17."""
    kari, ola = await desk.person("kari@example.com"), await desk.person("ola@example.com")
    project = await desk.project("New harbour", kari, ola)
    first = await desk.source(kind="project", project_id=project)
    second = await desk.source(kind="person", person_id=kari)
    await desk.remove(first["id"])
    assert [(line["email"], line["source_id"]) for line in await desk.listed()] == [("kari@example.com", second["id"])]
    await desk.source(kind="project", project_id=project)
    assert await desk.lines() == [("kari@example.com", "ready"), ("ola@example.com", "ready")]
    await desk.remove(second["id"])
    assert len(await desk.listed()) == 2


@pytest.mark.parametrize("kind", ["selection", "project", "person", "company"])
async def test_a_source_that_names_nothing_is_refused_at_its_field(desk, kind):
    problem = await desk.source(422, kind=kind, **{f"{kind}_id": 999})
    assert problem["errors"] == [{"pointer": f"#/{kind}_id", "detail": f"There is no {kind} 999."}]


async def test_a_deleted_selection_brings_nobody_and_keeps_its_label(desk):
    """D25: what it was stays readable."""
    selection = (await desk.post("selections", {"name": "Customers"}))["id"]
    person = await desk.person("kari@example.com")
    await desk.post(f"selections/{selection}/members", {"person_ids": [person]}, 200)
    await desk.source(kind="selection", selection_id=selection)
    await desk.row("DELETE FROM selection WHERE id = :id", id=selection)
    await desk.setup(one_per_address=True)
    assert await desk.lines() == []
    [source] = await desk.get(f"mailings/{desk.mailing}/sources")
    assert (source["label"], source["selection_id"]) == ("Customers", None)


async def test_the_associated_source_is_removed_in_the_setup_only(desk):
    """D19."""
    project = await desk.project("New harbour")
    source = await desk.source(kind="project", project_id=project)
    await desk.row("UPDATE mailing_source SET associated = true")
    problem = (await desk.remove(source["id"], 409)).json()
    assert problem["type"] == "urn:budstikke:problem:associated-source"
    assert "set project_id to null" in problem["detail"]


async def test_a_company_with_an_address_is_a_line_of_its_own_and_without_one_its_persons_are(client, session):
    """D22: include_companies."""
    desk = await Desk(client, session).open(include_companies=True)
    acme = await desk.company("Acme", "post@acme.example")
    silent = await desk.company("Silent")
    await desk.person("works@acme.example", company_id=acme)
    await desk.person("works@silent.example", company_id=silent)
    await desk.source(kind="company", company_id=acme)
    await desk.source(kind="company", company_id=silent)
    assert await desk.lines() == [("post@acme.example", "ready"), ("works@silent.example", "ready")]
    line = (await desk.listed())[0]
    assert (line["company_id"], line["person_id"], line["name"]) == (acme, None, "Acme")


async def test_without_the_option_a_company_means_its_persons(desk):
    """D22."""
    acme = await desk.company("Acme", "post@acme.example")
    await desk.person("works@acme.example", company_id=acme)
    await desk.source(kind="company", company_id=acme)
    assert await desk.lines() == [("works@acme.example", "ready")]
    await desk.setup(include_companies=True)
    assert await desk.lines() == [("post@acme.example", "ready")]


async def test_with_companies_preferred_one_message_goes_to_the_company_instead_of_its_persons(client, session):
    """D22: prefer_company; persons without a company, or whose company has no address, still get theirs."""
    desk = await Desk(client, session).open(include_companies=True, prefer_company=True)
    acme, silent = await desk.company("Acme", "post@acme.example"), await desk.company("Silent")
    persons = [
        await desk.person("one@acme.example", company_id=acme),
        await desk.person("two@acme.example", company_id=acme),
        await desk.person("works@silent.example", company_id=silent),
        await desk.person("alone@example.com"),
    ]
    for person in persons:
        await desk.source(kind="person", person_id=person)
    assert await desk.lines() == [
        ("post@acme.example", "ready"), ("works@silent.example", "ready"), ("alone@example.com", "ready"),
    ]  # fmt: skip


async def test_a_company_is_judged_by_its_own_consent_and_subscription(client, session):
    """D21 for companies."""
    desk = await Desk(client, session).open(include_companies=True)
    for name, yes in {"No": {"consent": False}, "Quiet": {"subscribed": False}, "Blocked": {}}.items():
        await desk.source(kind="company", company_id=await desk.company(name, f"{name.lower()}@example.com", **yes))
    await desk.post("blocked-addresses", {"email": "blocked@example.com", "origin": "by telephone"})
    await desk.setup(one_per_address=True)
    assert await desk.lines() == [
        ("no@example.com", "no_consent"), ("quiet@example.com", "no_subscription"),
        ("blocked@example.com", "blocked_address"),
    ]  # fmt: skip


async def test_preferring_companies_needs_including_them(desk):
    """D22."""
    answer = await desk.client.patch(f"/v1/mailings/{desk.mailing}", json={"prefer_company": True})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/prefer_company"]
    await desk.setup(prefer_company=True, include_companies=True)
    answer = await desk.client.patch(f"/v1/mailings/{desk.mailing}", json={"include_companies": False})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/include_companies"]
    answer = await desk.client.post("/v1/mailings", json={"name": "x", "prefer_company": True})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/prefer_company"]


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("email", []),
        ("sms", ["include_companies", "prefer_company"]),
        ("document", ["one_per_address", "update_list_when_sending"]),
        ("form_response", ["include_companies", "prefer_company", "one_per_address", "update_list_when_sending"]),
    ],
)
def test_options_that_a_type_does_not_have_are_refused(kind, refused):
    """D22."""
    options = ("include_companies", "prefer_company", "one_per_address", "update_list_when_sending")
    mailing = Mailing(name="x", type=MailingType(kind), **dict.fromkeys(options, True))
    if not refused:
        check_options(mailing, changed=options)
        return
    with pytest.raises(Invalid) as caught:
        check_options(mailing, changed=options)
    assert [error.pointer for error in caught.value.errors] == [f"#/{name}" for name in refused]
    assert all(kind in error.detail for error in caught.value.errors)


async def test_a_further_address_means_its_person_but_a_preferred_one_wins(desk):
    """D20: matched by any of a person's addresses; mail goes to the preferred one."""
    further = await desk.person("main@example.com")
    await desk.row(
        "INSERT INTO person_email (person_id, email, email_key) VALUES (:id, 'x@example.com', 'x@example.com')",
        id=further,
    )
    await desk.source(kind="addresses", addresses=["x@example.com"])
    assert await desk.lines() == [("main@example.com", "ready")]
    await desk.person("x@example.com", former_employee=True)
    await desk.setup(one_per_address=True)
    assert await desk.lines() == [("x@example.com", "former_employee")]


async def test_an_erased_address_stays_out_even_with_consent_overridden(client, session):
    """D21, D78."""
    desk = await Desk(client, session).open(override_consent=True, override_reason="product recall")
    await desk.source(kind="person", person_id=await desk.person("gone@example.com"))
    await desk.row("INSERT INTO erased_address (hash) SELECT erased_hash('gone@example.com')")
    await desk.source(kind="person", person_id=await desk.person("here@example.com"))
    assert await desk.lines() == [("gone@example.com", "blocked_address"), ("here@example.com", "ready")]


async def test_a_consent_past_its_time_counts_as_none(desk):
    person = await desk.person("kari@example.com")
    await desk.source(kind="person", person_id=person)
    await desk.row("UPDATE consent_state SET valid_until = now() - interval '1 minute'")
    await desk.setup(one_per_address=True)
    assert await desk.lines() == [("kari@example.com", "no_consent")]
