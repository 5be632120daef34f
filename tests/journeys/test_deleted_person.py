"""Whoever is deleted from the address book keeps a message whose every link works (D41, D46, D48)."""

import re

from tests.journeys.test_main_job import LINK, add_persons, draft, reader, send
from tests.running import wait_until

ADDRESS = "gone@deleted.example"


def test_the_links_of_a_deleted_person_go_on_working(service):
    mailing = draft(service, "Deleted")
    person = reader(service, mailing, "Gro Borte", ADDRESS)
    stays = reader(service, mailing, "Siv Blir", "stays@deleted.example")
    add_persons(service, mailing, [person, stays])
    send(service, mailing)
    [message] = service.caught(ADDRESS)
    service.ok("DELETE", f"/v1/persons/{person['id']}")
    assert service.crm.get(f"/v1/persons/{person['id']}").status_code == 404

    html = message.get_body(("html",)).get_content()
    links = {kind: re.search(rf'(?:href|src)="([^"]+/{kind}/[^"]+)"', html)[1] for kind in ("c", "o", "u")}
    redirect = service.reader.get(links["c"], follow_redirects=False)
    assert (redirect.status_code, redirect.headers["location"]) == (302, LINK)
    assert service.reader.get(links["o"]).headers["content-type"] == "image/gif"
    wait_until(lambda: service.statistics(mailing)["clicks"]["total"] == 1)

    shown = service.reader.get(links["u"], headers={"Accept-Language": "nb"})
    assert shown.status_code == 200
    [line] = service.get(f"/v1/mailings/{mailing['id']}/recipients", q=ADDRESS)["items"]
    assert (line["name"], line["email"]) == ("Gro Borte", ADDRESS), "the list stays as it was frozen (D25)"
    one_click = re.match(r"<(https?://[^>]+)>", str(message["List-Unsubscribe"]).replace("\n", ""))[1]
    for _ in range(2):
        answer = service.reader.post(one_click, data={"List-Unsubscribe": "One-Click"}, follow_redirects=False)
        assert answer.status_code == 200
    wait_until(lambda: service.statistics(mailing)["unsubscribed"] == 1)
    blocked = service.get("/v1/blocked-addresses")["items"]
    assert ADDRESS in [address["email"] for address in blocked], "what is left to keep is the address"
    why = service.get(f"/v1/mailings/{mailing['id']}/recipients/{line['id']}/why")
    assert why["email"] == ADDRESS


def test_a_deleted_person_still_sees_the_message_in_the_browser(service):
    mailing = draft(service, "Deleted view")
    html = '<p>Hei [[customer.name]]</p><a href="[[link.view_in_browser]]">Se</a> <a href="[[link.unsubscribe]]">Av</a>'
    html += '<a href="[[link.manage_subscriptions]]">Valg</a>'
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hei", "html": html})
    address = "view@deleted.example"
    person = reader(service, mailing, "Liv Borte", address)
    add_persons(service, mailing, [person])
    send(service, mailing)
    [message] = service.caught(address)
    service.ok("DELETE", f"/v1/persons/{person['id']}")
    html = message.get_body(("html",)).get_content()
    view = service.reader.get(re.search(r'href="([^"]+/v/[^"]+)"', html)[1])
    assert view.status_code == 200
    assert "Hei Liv Borte" in view.text, "the name stays as it was frozen"
    assert service.reader.get(re.search(r'href="([^"]+/p/[^"]+)"', html)[1]).status_code == 200
