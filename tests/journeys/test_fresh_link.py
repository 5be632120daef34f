"""Whoever opens the preferences of an old message gets a fresh link by mail, and it opens them (D46)."""

import asyncio
import re

import asyncpg

from tests.journeys.test_main_job import add_persons, draft, reader, send
from tests.running import wait_until

ADDRESS = "late@fresh.example"
HTML = '<p><a href="[[link.unsubscribe]]">Av</a> <a href="[[link.manage_subscriptions]]">Valg</a></p>'


def grow_old(service, mailing):
    async def write():
        connection = await asyncpg.connect(service.database_url)
        await connection.execute(
            "UPDATE recipient SET sent_at = now() - interval '30 days' WHERE mailing_id = $1", mailing["id"]
        )
        await connection.close()

    asyncio.run(write())


def test_a_fresh_link_comes_by_mail_and_opens_the_page(service):
    mailing = draft(service, "Old")
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hei", "html": HTML})
    person = reader(service, mailing, "Kari Sen", ADDRESS)
    service.ok("PATCH", f"/v1/persons/{person['id']}", json={"language": "nb"})
    add_persons(service, mailing, [person])
    send(service, mailing)
    [message] = service.caught(ADDRESS)
    old = re.search(r'href="([^"]+/p/[^"]+)"', message.get_body(("html",)).get_content())[1]
    assert service.reader.get(old).status_code == 200
    grow_old(service, mailing)
    assert service.reader.get(old).status_code == 410
    asked = service.reader.post(old, data={"fresh": "yes"})
    assert "Sjekk innboksen din" in asked.text
    wait_until(lambda: len(service.caught(ADDRESS)) == 2)
    [brought] = [mail for mail in service.caught(ADDRESS) if mail["Auto-Submitted"]]
    assert brought["Subject"] == "Lenken til innstillingene dine"
    assert "post@nordlys.example" in brought["From"]
    [fresh] = set(re.findall(r"https?://\S+/p/[\w-]+", brought.get_body(("plain",)).get_content()))
    assert fresh in brought.get_body(("html",)).get_content()
    page = service.reader.get(fresh)
    assert page.status_code == 200
    assert "Dette får du fra oss" in page.text
    service.reader.post(fresh, data={"save": "yes"})
    [subscription] = [
        answer
        for answer in service.get(f"/v1/persons/{person['id']}/subscriptions")["items"]
        if answer["subscription_type_id"] == mailing["subscription_type_id"]
    ]
    assert subscription["subscribed"] is False
