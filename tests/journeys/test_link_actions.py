"""A reader clicks a link of the library, and the CRM hears of what it is to do (D36, D38, D39)."""

import re

from tests.journeys.conftest import MACHINE_SECONDS
from tests.journeys.test_main_job import add_persons, draft, reader, send
from tests.running import wait_until

ADDRESS = "call.me@actions.example"


def test_a_click_shows_a_page_and_makes_a_follow_up_that_the_crm_collects(service):
    link = service.post("/v1/links", {"name": "Call me", "target": "https://www.example.com/call"})
    page = {"language": "nb", "title": "Takk!", "text": "Vi ringer deg."}
    service.post(f"/v1/links/{link['id']}/actions", {"kind": "response", "pages": [page]})
    owner = {"email": "sales@supplier.example"}
    service.post(f"/v1/links/{link['id']}/actions", {"kind": "follow_up", "description": "Call", "owner": owner})
    mailing = draft(service, "Call me")
    html = f'<p>Hei</p><a href="[[{link["reference"].strip("[]")}]]">Ring meg</a> <a href="[[link.unsubscribe]]">Av</a>'
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hei", "html": html})
    person = reader(service, mailing, "Kari Ring", ADDRESS)
    add_persons(service, mailing, [person])
    send(service, mailing)
    [message] = service.caught(ADDRESS)
    clicked = re.search(r'href="([^"]+/c/[^"]+)"', message.get_body(("html",)).get_content())[1]
    wait_until(lambda: service.seconds_since_sent(mailing, ADDRESS) > MACHINE_SECONDS)
    wait_until(lambda: service.reader.get(clicked).status_code == 200, within=5)  # known everywhere within seconds
    assert "Vi ringer deg." in service.reader.get(clicked).text
    wait_until(lambda: service.get("/v1/follow-ups", mailing_id=mailing["id"])["items"])
    [task] = service.get("/v1/follow-ups", taken_over="false", mailing_id=mailing["id"])["items"]
    assert (task["person_id"], task["owner"]["email"]) == (person["id"], "sales@supplier.example")
    [run] = service.get("/v1/action-runs", mailing_id=mailing["id"])["items"]
    assert (run["state"], run["link_id"]) == ("done", link["id"])
