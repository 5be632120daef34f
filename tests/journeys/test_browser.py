"""What a reader does with a message, in a real browser against the running service."""

import re
from urllib.parse import urlsplit

import pytest

from tests.journeys.conftest import BROWSER, MACHINE_SECONDS
from tests.journeys.test_main_job import LINK, add_persons, draft, reader, send
from tests.pages.browsing import chromium
from tests.running import wait_until

ADDRESS = "kari@browser.example"
HTML = """<html lang="nb"><body><h1>Hei</h1>
<p><a id="view" href="[[link.view_in_browser]]">Vis i nettleser</a></p>
<p><a id="offer" href="https://shop.example.com/offer?a=1&amp;b=2#details">Tilbud</a></p>
<p><a id="leave" href="[[link.unsubscribe]]">Meld av</a></p></body></html>"""


@pytest.fixture
async def page():
    async with chromium() as browser:
        # As people's: a browser that says it has no head is a machine.
        context = await browser.new_context(user_agent=BROWSER, locale="sv-SE", java_script_enabled=False)
        page = await context.new_page()
        await page.route("https://shop.example.com/**", lambda route: route.fulfill(body="The shop"))
        yield page


async def test_a_reader_looks_clicks_leaves_comes_back_and_chooses(service, page):
    mailing = draft(service, "Browser")
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json={"subject": "Hei", "html": HTML})
    kari = reader(service, mailing, "Kari Nordmann", ADDRESS)
    service.ok("PATCH", f"/v1/persons/{kari['id']}", json={"language": "nb"})
    add_persons(service, mailing, [kari])
    send(service, mailing)
    [message] = service.caught(ADDRESS)
    links = dict(re.findall(r'id="(\w+)" href="([^"]+)"', message.get_body(("html",)).get_content()))
    wait_until(lambda: service.seconds_since_sent(mailing, ADDRESS) > MACHINE_SECONDS)

    # The message in the browser is hers: the same links, and opening it is an open (D48).
    await page.goto(links["view"])
    assert await page.get_attribute("#offer", "href") == links["offer"]
    await page.click("#offer")
    await page.wait_for_url(LINK)
    assert await page.inner_text("body") == "The shop"
    wait_until(lambda: service.statistics(mailing)["clickers"] == {"human": 1, "machine": 0, "total": 1})

    # Looking at the page changes nothing; the button does, at once (D46). Her language goes before the browser's (D49).
    await page.goto(links["leave"])
    assert await page.get_attribute("html", "lang") == "nb"
    assert service.get(f"/v1/persons/{kari['id']}/subscriptions")["items"][0]["subscribed"]
    await page.locator("form button").first.press("Enter")
    assert not service.get(f"/v1/persons/{kari['id']}/subscriptions")["items"][0]["subscribed"]
    assert service.statistics(mailing)["unsubscribed"] == 1

    # She takes it back, and permits that clicks are counted.
    await page.get_by_role("button").first.click()
    assert service.get(f"/v1/persons/{kari['id']}/subscriptions")["items"][0]["subscribed"]
    await page.goto(links["leave"])
    await page.locator("a[href*='/p/']").click()
    assert urlsplit(page.url).path.startswith("/p/")
    await page.locator("input[type=checkbox]").last.check()
    await page.locator("form button").first.click()
    consents = {line["purpose"]: line["action"] for line in service.get(f"/v1/persons/{kari['id']}/consents")["items"]}
    assert consents["track_clicks"] == "given"
    assert consents["track_opens"] != "given"
