"""`why` answers a data subject's question (D25)."""

import pytest
from sqlalchemy import text

from tests.recipients.desk import Desk

HTML = '<p>News</p><p><a href="[[link.unsubscribe]]">Unsubscribe</a></p>'


async def test_a_selection_a_ledger_line_and_a_subscription_are_named(desk):
    """D25."""
    person = await desk.person("kari@example.com", consent=False)
    line = {
        "purpose": "e_marketing", "action": "given", "source": "web shop, order 4711", "text_version": "2026-01",
        "language": "nb", "evidence": "order 4711", "valid_until": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    await desk.post(f"persons/{person}/consents", line)
    selection = (await desk.post("selections", {"name": "Customers"}))["id"]
    await desk.client.post(f"/v1/selections/{selection}/members", json={"person_ids": [person]})
    source = await desk.source(kind="selection", selection_id=selection)
    why = await desk.why("kari@example.com")
    assert (why["status"], why["reason"], why["person_id"], why["person_exists"]) == ("ready", None, person, True)
    assert (why["source"]["id"], why["source"]["selection_name"]) == (source["id"], "Customers")
    line = why["consent"]
    assert {name: line[name] for name in ("purpose", "action", "legal_basis", "source", "text_version")} == {
        "purpose": "e_marketing", "action": "given", "legal_basis": "consent", "source": "web shop, order 4711",
        "text_version": "2026-01",
    }  # fmt: skip
    assert line["recorded_by"] == "tests"
    assert line == (await desk.get(f"persons/{person}/consents"))["items"][0], "all that the ledger has of it"
    assert (line["language"], line["evidence"], line["valid_until"]) == ("nb", "order 4711", "2099-01-01T00:00:00Z")
    assert (why["subscription"]["subscription_type_id"], why["subscription"]["name"]) == (desk.type, "Newsletter")
    assert why["override"] is None
    assert why["explanation"].startswith('The selection "Customers"')
    assert "web shop, order 4711" in why["explanation"]
    assert "Subscribed to Newsletter since" in why["explanation"]


async def test_a_pasted_address_rests_on_the_statement_that_came_with_it(desk):
    """D20, D25."""
    stated = {"legal_basis": "legitimate_interest", "source": "fair, stand 4", "given_on": "2026-09-01"}
    await desk.source(kind="addresses", addresses=["stranger@example.com"], consent=stated)
    why = await desk.why("stranger@example.com")
    assert (why["status"], why["person_id"], why["person_exists"]) == ("ready", None, False)
    assert why["source"]["stated_consent"] == stated
    assert (why["consent"]["source"], why["consent"]["legal_basis"]) == ("fair, stand 4", "legitimate_interest")
    assert why["subscription"] is None
    assert "given on 2026-09-01" in why["explanation"]


async def test_an_overridden_consent_names_who_and_why(client):
    override = {"override_consent": True, "override_reason": "product recall"}
    desk = await Desk(client).open(**override)
    await desk.source(kind="person", person_id=await desk.person("never@example.com", consent=False))
    await desk.source(kind="person", person_id=await desk.person("willing@example.com"))
    why = await desk.why("never@example.com")
    assert why["override"] == {"by": "tests", "reason": "product recall", "needed": True}
    assert (why["status"], why["consent"]) == ("ready", None)
    assert "not in the ledger" in why["explanation"]
    assert "tests overrode this for the mailing: product recall" in why["explanation"]
    assert (await desk.why("willing@example.com"))["override"]["needed"] is False


async def test_a_blocked_address_tells_reason_origin_and_since_when(desk):
    await desk.post("blocked-addresses", {"email": "gone@example.com", "origin": "asked by telephone"})
    await desk.source(kind="person", person_id=await desk.person("gone@example.com"))
    why = await desk.why("gone@example.com")
    assert (why["status"], why["reason"]) == ("blocked", "blocked_address")
    assert (why["blocked_address"]["reason"], why["blocked_address"]["origin"]) == ("manual", "asked by telephone")
    assert why["blocked_address"]["blocked_at"]
    assert "manual: asked by telephone" in why["explanation"]


async def test_a_withdrawal_is_shown_with_its_ledger_line(desk):
    person = await desk.person("former.reader@example.com")
    line = {
        "purpose": "e_marketing",
        "action": "withdrawn",
        "source": "telephone",
        "valid_from": "2026-11-05T00:00:00Z",
    }
    await desk.post(f"persons/{person}/consents", line)
    await desk.source(kind="person", person_id=person)
    why = await desk.why("former.reader@example.com")
    assert (why["reason"], why["consent"]["action"]) == ("no_consent", "withdrawn")
    assert "withdrawn on 2026-11-05, from telephone" in why["explanation"]


async def test_a_subscription_that_was_refused_is_told(desk):
    person = await desk.person("quiet@example.com")
    await desk.subscribe(person, subscribed=False)
    await desk.source(kind="person", person_id=person)
    why = await desk.why("quiet@example.com")
    assert (why["reason"], why["subscription"]) == ("no_subscription", None)
    assert "unsubscribed from Newsletter on" in why["explanation"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("invalid_address", "no valid address"),
        ("excluded", "matches no person"),
        ("former_employee", "former employee"),
        ("no_consent", "not in the ledger"),
        ("no_subscription", "not subscribed to Newsletter"),
        ("duplicate", "has the same address"),
    ],
)
async def test_every_reason_is_a_sentence(client, reason, words):
    desk = await Desk(client).open(one_per_address=True)
    if reason in ("invalid_address", "excluded"):
        email = "nonsense" if reason == "invalid_address" else "stranger@example.com"
        await desk.source(kind="addresses", addresses=[email])
    else:
        fields = {"former_employee": True} if reason == "former_employee" else {}
        yes = {"consent": reason != "no_consent", "subscribed": reason != "no_subscription"}
        email = "somebody@example.com"
        for _ in range(2 if reason == "duplicate" else 1):
            await desk.source(kind="person", person_id=await desk.person(email, **yes, **fields))
    listed = await client.get(f"/v1/mailings/{desk.mailing}/recipients", params={"reason": reason})
    [line] = listed.json()["items"]
    why = (await client.get(f"/v1/mailings/{desk.mailing}/recipients/{line['id']}/why")).json()
    assert why["reason"] == reason
    assert "Blocked: " in why["explanation"]
    assert words in why["explanation"]


async def test_any_names_the_type_the_person_subscribes_to(client):
    desk = await Desk(client).open(subscription_type_id=None)
    await desk.source(kind="person", person_id=await desk.person("any@example.com"))
    assert (await desk.why("any@example.com"))["subscription"]["name"] == "Newsletter"


async def test_what_a_message_rested_on_stays_when_the_person_is_deleted(desk, session):
    """D25: readable afterwards."""
    person = await desk.person("kari@example.com")
    selection = (await desk.post("selections", {"name": "Customers"}))["id"]
    await desk.client.post(f"/v1/selections/{selection}/members", json={"person_ids": [person]})
    await desk.source(kind="selection", selection_id=selection)
    before = await desk.why("kari@example.com")
    await session.exec(text("UPDATE recipient SET status = 'sent', sent_at = now()"))
    assert (await desk.client.delete(f"/v1/persons/{person}")).status_code == 204
    after = await desk.why("kari@example.com")
    assert after["person_exists"] is False
    assert {**after, "person_exists": True, "status": "ready"} == before


async def test_a_withdrawal_after_sending_does_not_change_the_answer(desk, session):
    person = await desk.person("kari@example.com")
    await desk.source(kind="person", person_id=person)
    await session.exec(text("UPDATE recipient SET status = 'sent', sent_at = now()"))
    await desk.post(f"persons/{person}/consents", {"purpose": "e_marketing", "action": "withdrawn", "source": "page"})
    assert (await desk.why("kari@example.com"))["consent"]["action"] == "given"


async def test_a_line_of_another_mailing_is_not_found(desk):
    await desk.source(kind="person", person_id=await desk.person("kari@example.com"))
    mailing = (await desk.post("mailings", {"name": "Other", "subject": "x"}))["id"]
    listed = await desk.client.get(f"/v1/mailings/{desk.mailing}/recipients")
    recipient = listed.json()["items"][0]["id"]
    answer = await desk.client.get(f"/v1/mailings/{mailing}/recipients/{recipient}/why")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:budstikke:problem:recipient-not-found")


async def test_a_companys_line_rests_on_the_companys_consent_and_subscription(client, session):
    """D22, D25."""
    desk = await Desk(client, session).open(include_companies=True)
    acme = await desk.company("Acme", "post@acme.example")
    await desk.source(kind="company", company_id=acme)
    why = await desk.why("post@acme.example")
    assert (why["company_id"], why["person_id"], why["merge_data"]) == (acme, None, "company")
    assert (why["consent"]["source"], why["subscription"]["name"]) == ("contract of 2025", "Newsletter")
    assert why["explanation"].startswith('The company "Acme"')
    assert "contract of 2025" in why["explanation"]
    await desk.row("UPDATE company_subscription SET subscribed = false")
    await desk.setup(one_per_address=True)
    why = await desk.why("post@acme.example")
    assert why["reason"] == "no_subscription"
    assert "unsubscribed from Newsletter on" in why["explanation"]


async def test_a_project_that_was_deleted_is_still_named(desk):
    """D25."""
    person = await desk.person("kari@example.com")
    project = await desk.project("New harbour", person)
    await desk.source(kind="project", project_id=project)
    await desk.row("DELETE FROM project WHERE id = :id", id=project)
    why = await desk.why("kari@example.com")
    assert (why["source"]["kind"], why["source"]["label"], why["merge_data"]) == ("project", "New harbour", "person")
    assert why["explanation"].startswith('The project "New harbour"')
