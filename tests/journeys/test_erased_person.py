"""Whoever is erased keeps a message whose every link works, and is named nowhere any more (D41, D78)."""

import re

from tests.journeys.test_main_job import LINK, add_persons, draft, reader, send
from tests.running import wait_until

ADDRESS = "gone@erased.example"


def test_the_links_of_an_erased_person_go_on_working(service):
    mailing = draft(service, "Erased")
    html = f'<p>Hei [[customer.name]]</p><a href="{LINK}">Les</a> <a href="[[link.view_in_browser]]">Se</a>'
    html += '<a href="[[link.unsubscribe]]">Av</a> <a href="[[link.manage_subscriptions]]">Valg</a>'
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hei", "html": html})
    person = reader(service, mailing, "Gro Slettet", ADDRESS)
    add_persons(service, mailing, [person, reader(service, mailing, "Siv Blir", "stays@erased.example")])
    send(service, mailing)
    [message] = service.caught(ADDRESS)
    before = service.statistics(mailing)
    answer = service.ok("POST", f"/v1/persons/{person['id']}/erase", json={"reason": "consent_withdrawn"})
    assert answer["state"] == "succeeded"
    assert service.crm.get(f"/v1/persons/{person['id']}").status_code == 404
    assert service.statistics(mailing) == before, "statistics stay"
    lines = service.get(f"/v1/mailings/{mailing['id']}/recipients")["items"]
    assert sorted((line["email"], line["status"]) for line in lines) == [("", "sent"), ("stays@erased.example", "sent")]

    html = message.get_body(("html",)).get_content()
    links = {kind: re.search(rf'(?:href|src)="([^"]+/{kind}/[^"]+)"', html)[1] for kind in ("c", "o", "u", "v", "p")}
    redirect = service.reader.get(links["c"], follow_redirects=False)
    assert (redirect.status_code, redirect.headers["location"]) == (302, LINK)
    assert service.reader.get(links["o"]).headers["content-type"] == "image/gif"
    wait_until(lambda: service.statistics(mailing)["clicks"]["total"] == 1)
    view = service.reader.get(links["v"], headers={"Accept-Language": "nb"})
    assert view.status_code == 410
    assert "Vi har ikke lenger denne meldingen" in view.text
    assert "Gro" not in view.text
    for page in (links["u"], links["p"]):
        shown = service.reader.get(page, headers={"Accept-Language": "nb"})
        assert shown.status_code == 200
        assert "erased.example" not in shown.text
    one_click = re.match(r"<(https?://[^>]+)>", str(message["List-Unsubscribe"]).replace("\n", ""))[1]
    for _ in range(2):
        answer = service.reader.post(one_click, data={"List-Unsubscribe": "One-Click"}, follow_redirects=False)
        assert answer.status_code == 200
    wait_until(lambda: service.statistics(mailing)["unsubscribed"] == 1)
    assert ADDRESS not in str(service.get("/v1/blocked-addresses")), "it is kept as a hash only"


def test_whoever_comes_back_after_erasure_is_sent_nothing(service):
    first = reader(service, draft(service, "Before"), "Ine Igjen", "again@erased.example")
    service.ok("POST", f"/v1/persons/{first['id']}/erase", json={"reason": "objected"})
    mailing = draft(service, "After")
    back = reader(service, mailing, "Ine Igjen", "Again@erased.example")
    stays = reader(service, mailing, "Siv Blir", "stays2@erased.example")
    add_persons(service, mailing, [back, stays])
    send(service, mailing)
    assert len(service.caught("stays2@erased.example")) == 1
    assert not service.caught("again@erased.example")
    [line] = [
        line
        for line in service.get(f"/v1/mailings/{mailing['id']}/recipients")["items"]
        if line["person_id"] == back["id"]
    ]
    assert (line["status"], line["reason"]) == ("blocked", "blocked_address")
