"""A reader's way from the inbox through every page, in chromium, on the service as `make up` runs it."""

import re

import pytest
from playwright.async_api import expect

from tests.journeys.conftest import BROWSER, MACHINE_SECONDS
from tests.journeys.test_main_job import LINK, add_persons, draft, reader, send
from tests.pages.browsing import chromium
from tests.running import wait_until

ADDRESS = "kari@browser.example"
HTML = """<html lang="nb"><body><h1>Hei [[customer.firstname]]</h1>
<p><a id="offer" href="https://shop.example.com/offer?a=1&amp;b=2#details">Tilbud</a></p>
<p><a href="[[link.view_in_browser]]">Vis i nettleser</a>
<a href="[[link.unsubscribe]]">Meld av</a></p></body></html>"""


@pytest.fixture
async def page():
    async with chromium() as browser:
        # As people's: a browser that says it has no head is a machine.
        context = await browser.new_context(user_agent=BROWSER, locale="de-DE")
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
    view = re.search(r'href="([^"]+/v/[^"]+)"', message.get_body(("html",)).get_content())[1]
    wait_until(lambda: service.seconds_since_sent(mailing, ADDRESS) > MACHINE_SECONDS)
    faults = []
    page.on("console", lambda told: faults.append((told.text, told.location["url"])) if told.type == "error" else None)

    def receives():
        answers = service.get(f"/v1/persons/{kari['id']}/subscriptions")["items"]
        return {answer["subscription_type_id"] for answer in answers if answer["subscribed"]}

    # The message as it was sent, out of whose sandbox links lead (D48); the click is a person's.
    await page.goto(view)
    await expect(page.locator("h1")).to_have_text("Hei Kari")
    await page.click("#offer")
    await page.wait_for_url(LINK)
    await expect(page.locator("body")).to_have_text("The shop")
    wait_until(lambda: service.statistics(mailing)["clickers"] == {"human": 1, "machine": 0, "total": 1})

    # The page changes nothing until its button is pressed (D46); her language goes before the browser's (D49).
    await page.goto(view)
    await page.get_by_text("Meld av").click()
    await expect(page.locator("h1")).to_contain_text("Vil du melde deg av")
    assert receives() == {mailing["subscription_type_id"]}
    await page.get_by_role("button", name="Meld meg av", exact=True).press("Enter")
    await expect(page.locator("h1")).to_have_text("Du er meldt av")
    assert receives() == set()
    assert service.statistics(mailing)["unsubscribed"] == 1

    await page.get_by_role("button", name="Det var en feil: meld meg på igjen").click()
    await expect(page.locator("h1")).to_have_text("Du er påmeldt igjen")
    assert receives() == {mailing["subscription_type_id"]}

    await page.get_by_role("link", name="Velg hva du vil få").click()
    await page.locator(f"input[value='{mailing['subscription_type_id']}']").uncheck()
    await page.get_by_label("Dere kan se hvilke lenker jeg følger").check()
    await page.get_by_role("button", name="Lagre").click()
    await expect(page.get_by_role("status")).to_have_text("Valgene dine er lagret.")
    assert receives() == set()
    states = service.get(f"/v1/persons/{kari['id']}/consents/state")["items"]
    assert {state["purpose"]: state["state"] for state in states}.items() >= {
        ("track_clicks", "given"), ("track_opens", "withdrawn"),
    }  # fmt: skip
    assert [fault for fault in faults if not fault[1].endswith("/favicon.ico")] == []  # the message itself has none

    # Nothing of it is in what the service tells of itself.
    log = service.maildir.parent / "log"
    told = "".join((log / f"{name}.log").read_text("utf-8") for name in ("api", "worker-1", "inbound"))
    assert [secret for secret in (ADDRESS, view.rpartition("/")[2], BROWSER, "Nordmann") if secret in told] == []
