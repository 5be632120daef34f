"""The main job over HTTP, as a CRM and its readers live it."""

import re
import smtplib
import time
from pathlib import Path

import pytest

from app.bounces.report import failure_report
from tests.journeys.conftest import MACHINE_SECONDS
from tests.running import wait_until

DATA = Path(__file__).parent.parent / "data"
LINK = "https://shop.example.com/offer?a=1&b=2#details"
HTML = """<html lang="nb"><body><h1>Hei [[customer.firstname|default("du")]]</h1>
<p><a href="https://shop.example.com/offer?a=1&amp;b=2#details">Tilbud</a> til [[company.name|default("deg")]]</p>
<p><a href="[[link.unsubscribe]]">Meld av</a></p></body></html>"""


def draft(service, name: str, **setup) -> dict:
    """Create a subscription type and a draft of it with content."""
    kind = service.post("/v1/subscription-types", {"name": f"{name} {time.monotonic_ns()}"})
    known = {
        "name": name, "from_name": "Nordlys Bygg", "from_email": "post@nordlys.example", "language": "nb",
        "subscription_type_id": kind["id"],
    }  # fmt: skip
    mailing = service.post("/v1/mailings", known | setup)
    content = {"subject": 'Hei [[customer.firstname|default("du")]]', "html": HTML, "text": "Hei [[link.unsubscribe]]"}
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json=content)
    return mailing


def reader(service, mailing: dict, name: str, email: str, *, consent: bool = True) -> dict:
    """Create a person who has agreed and subscribed."""
    first, last = name.split()
    fields = {"first_name": first, "last_name": last, "name": name, "email": email}
    person = service.post("/v1/persons", fields)
    if consent:
        given = {"purpose": "e_marketing", "action": "given", "legal_basis": "consent", "source": "journey"}
        service.post(f"/v1/persons/{person['id']}/consents", given)
    subscribed = [{"subscription_type_id": mailing["subscription_type_id"], "subscribed": True}]
    service.ok("PUT", f"/v1/persons/{person['id']}/subscriptions", json={"items": subscribed})
    return person


def add_persons(service, mailing: dict, persons: list[dict]) -> None:
    selection = service.post("/v1/selections", {"name": f"For {mailing['name']}"})
    service.post(f"/v1/selections/{selection['id']}/members", {"person_ids": [person["id"] for person in persons]})
    source = {"kind": "selection", "selection_id": selection["id"]}
    service.post(f"/v1/mailings/{mailing['id']}/sources", source)
    wait_until(lambda: service.get(f"/v1/mailings/{mailing['id']}")["list_updated_at"])


def send(service, mailing: dict) -> None:
    operation = service.finished(service.post(f"/v1/mailings/{mailing['id']}/send"))
    assert operation["state"] == "succeeded", operation
    wait_until(lambda: service.state(mailing) == "finished")


def test_a_messy_file_becomes_persons_and_every_row_is_accounted_for(service):
    with (DATA / "persons-2000.csv").open("rb") as file:
        answer = service.crm.post("/v1/imports", files={"file": ("persons-2000.csv", file, "text/csv")})
    assert answer.status_code == 202
    location = answer.headers["location"]
    assert service.finished({"id": int(location.rsplit("/", 1)[1])})["state"] == "succeeded"
    done = service.get(f"/v1/imports/{answer.json()['id']}")
    assert done["rows"] == 2000
    assert done["created"] + done["updated"] + done["unchanged"] + done["rejected"] == 2000
    problems = service.get(f"/v1/imports/{answer.json()['id']}/problems", limit=200)["items"]
    assert {"row_number", "field", "code", "detail"} <= problems[0].keys()


@pytest.mark.parametrize(
    ("name", "octets", "status"),
    [
        ("people.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 40, 415),
        ("people.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, 415),
        ("people.csv", b"", 422),
    ],
)
def test_files_that_hold_no_persons_are_refused_at_the_door(service, name, octets, status):
    answer = service.crm.post("/v1/imports", files={"file": (name, octets, "application/octet-stream")})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_mailing_reaches_those_who_may_get_it_and_shows_what_they_did(service):
    mailing = draft(service, "Whole")
    kari = reader(service, mailing, "Kari Nordmann", "kari@whole.example")
    ola = reader(service, mailing, "Ola Nordmann", "ola@whole.example")
    per = reader(service, mailing, "Per Hansen", "per@whole.example")
    never = reader(service, mailing, "Nils Aldri", "nils@whole.example", consent=False)
    hostile = reader(service, mailing, '<b>Eva</b> "A,B"', "eva@whole.example")
    add_persons(service, mailing, [kari, ola, per, never, hostile])

    readiness = service.get(f"/v1/mailings/{mailing['id']}/readiness")
    assert readiness["ready"]
    assert readiness["recipients"]["blocked_by_reason"] == {"no_consent": 1}
    preview = service.get(f"/v1/mailings/{mailing['id']}/preview")
    assert preview["subject"] == "Hei Kari"

    tested = service.finished(service.post(f"/v1/mailings/{mailing['id']}/test", {"addresses": "boss@whole.example"}))
    assert [sent["outcome"] for sent in tested["result"]["messages"]] == ["accepted"]
    send(service, mailing)
    assert service.caught("nils@whole.example") == []
    [to_eva] = service.caught("eva@whole.example")
    assert "&lt;b&gt;Eva&lt;/b&gt;" in to_eva.get_body(("html",)).get_content()

    [message] = service.caught("kari@whole.example")
    assert message["Subject"] == "Hei Kari"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "multipart/alternative"
    html = message.get_body(("html",)).get_content()
    click = re.search(r'href="([^"]+/c/[^"]+)"', html)[1]
    pixel = re.search(r'src="([^"]+/o/[^"]+)"', html)[1]

    wait_until(lambda: service.seconds_since_sent(mailing, "kari@whole.example") > MACHINE_SECONDS)
    assert service.reader.get(pixel).headers["content-type"] == "image/gif"
    redirect = service.reader.get(click, follow_redirects=False)
    assert (redirect.status_code, redirect.headers["location"]) == (302, LINK)

    [to_ola] = service.caught("ola@whole.example")
    one_click = re.match(r"<(https?://[^>]+)>", str(to_ola["List-Unsubscribe"]).replace("\n", ""))[1]
    for _ in range(2):
        answer = service.reader.post(one_click, data={"List-Unsubscribe": "One-Click"}, follow_redirects=False)
        assert answer.status_code == 200

    [to_per] = service.caught("per@whole.example")
    bounce(service, to_per)
    wait_until(lambda: service.statistics(mailing)["bounced"]["hard"] == 1)
    wait_until(lambda: service.statistics(mailing)["clicks"]["human"] == 1)
    figures = service.statistics(mailing)
    assert figures["recipients"]["total"] == sum(figures["recipients"]["by_status"].values()) == 5
    assert (figures["sent"], figures["delivered"], figures["unsubscribed"]) == (4, 3, 1)
    assert figures["opens"] == {"human": 1, "machine": 0, "total": 1}
    assert figures["clickers"]["human"] == 1

    lines = {line["email"]: line for line in service.get(f"/v1/mailings/{mailing['id']}/recipients")["items"]}
    assert lines["kari@whole.example"]["clicked_at"]
    assert lines["ola@whole.example"]["unsubscribed_at"]
    assert (lines["per@whole.example"]["status"], lines["per@whole.example"]["bounce"]) == ("bounced", "hard")
    blocked = service.get("/v1/blocked-addresses")["items"]
    assert "per@whole.example" in [address["email"] for address in blocked]

    again = service.post(f"/v1/mailings/{mailing['id']}/copy")
    add_persons(service, again, [kari, ola, per])
    reasons = service.get(f"/v1/mailings/{again['id']}/recipients/counts")["blocked_by_reason"]
    assert reasons == {"blocked_address": 1, "no_subscription": 1}


def bounce(service, message) -> None:
    """Send the report of an unknown mailbox to the message's return path, as its server would."""
    return_path = message["X-Catcher-From"].strip("<>")
    report = failure_report(
        return_path=return_path, recipient=message["X-Catcher-Rcpt"].strip("<>"), status="5.1.1",
        diagnostic="550 5.1.1 no such user", reporting_host="mx.whole.example",
    )  # fmt: skip
    port = service.inbound_port
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
        smtp.sendmail("", [return_path], report)


def test_each_customer_hears_from_the_own_contact(service):
    """D5, over SMTP: signed and sent by what the message itself says."""
    service.post("/v1/sending-domains", {"domain": "contacts.example", "trusted": True})
    rules = {"from_rule": "our_contact", "reply_to_rule": "our_contact", "reply_to": "svar@nordlys.example"}
    mailing = draft(service, "Contacts", **rules)
    kari = reader(service, mailing, "Kari Nordmann", "kari@contacts.example")
    ola = reader(service, mailing, "Ola Nordmann", "ola@contacts.example")
    contact = {"name": "Åse Selger", "email": "aase@contacts.example"}
    service.ok("PATCH", f"/v1/persons/{kari['id']}", json={"our_contact": contact})
    add_persons(service, mailing, [kari, ola])
    send(service, mailing)
    headers = {
        address: [(str(message["From"]), str(message["Reply-To"])) for message in service.caught(address)]
        for address in ("kari@contacts.example", "ola@contacts.example")
    }
    assert headers == {
        "kari@contacts.example": [("Åse Selger <aase@contacts.example>", "Åse Selger <aase@contacts.example>")],
        "ola@contacts.example": [("Nordlys Bygg <post@nordlys.example>", "svar@nordlys.example")],
    }


def test_an_incomplete_mailing_is_refused_with_every_problem_named(service):
    mailing = service.post("/v1/mailings", {"name": "Empty"})
    refused = service.crm.post(f"/v1/mailings/{mailing['id']}/send")
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"#/setup", "#/content", "#/recipients"}
    assert service.state(mailing) == "draft"


def test_a_verb_that_does_not_fit_names_both_states(service):
    mailing = draft(service, "States")
    for verb in ("stop", "start"):
        refused = service.crm.post(f"/v1/mailings/{mailing['id']}/{verb}")
        assert refused.status_code == 409
        assert "draft" in refused.json()["detail"]
    service.post(f"/v1/mailings/{mailing['id']}/cancel")
    assert service.crm.post(f"/v1/mailings/{mailing['id']}/send").status_code == 409
    assert service.crm.patch(f"/v1/mailings/{mailing['id']}", json={"name": "Late"}).status_code == 409


def test_stopping_leaves_the_rest_ready_and_starting_goes_on(service):
    mailing = draft(service, "Stopped")
    addresses = [f"Reader {n} <reader{n}@stopped.example>" for n in range(3000)]
    stated = {"legal_basis": "consent", "source": "paper form", "given_on": "2026-01-01"}
    source = {"kind": "addresses", "addresses": addresses, "consent": stated}
    service.post(f"/v1/mailings/{mailing['id']}/sources", source)
    wait_until(lambda: service.get(f"/v1/mailings/{mailing['id']}")["list_updated_at"])
    service.post(f"/v1/mailings/{mailing['id']}/send")
    wait_until(lambda: service.statistics(mailing)["sent"] > 0)
    service.post(f"/v1/mailings/{mailing['id']}/stop")
    assert service.state(mailing) == "stopped"
    counts = settled(service, mailing)
    assert 0 < counts["sent"] < 3000
    assert counts["sent"] + counts["ready"] == 3000
    service.post(f"/v1/mailings/{mailing['id']}/start")
    wait_until(lambda: service.state(mailing) == "finished")
    assert service.statistics(mailing)["recipients"]["by_status"]["sent"] == 3000


def settled(service, mailing: dict) -> dict:
    """Return the counts once they no longer change: stopping takes effect within seconds (D29)."""
    seen = []

    def same_for_a_while() -> bool:
        seen.append(service.statistics(mailing)["recipients"]["by_status"])
        return len(seen) > 20 and all(counts == seen[-1] for counts in seen[-20:])

    wait_until(same_for_a_while, within=15)
    return seen[-1]


@pytest.mark.parametrize("path", ["/c/", "/u/", "/v/", "/p/"])
def test_forged_and_truncated_tokens_lead_nowhere(service, path):
    for token in ("x", "A" * 32, "..%2f..%2fetc", "A" * 500):
        answer = service.reader.get(f"{path}{token}", follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers
