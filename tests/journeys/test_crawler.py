"""Machines read mail before people do, and follow every link in it, in every way: nothing comes of it (D46, RFC 8058).

A real message is taken from the mail catcher; all links in its parts and headers, and all that are found behind them,
are asked with every verb that scanners and crawlers use. The database tells that nobody was unsubscribed, no consent
was given or withdrawn, no address blocked, no status changed, and no mail asked for.
"""

import asyncio
import json
import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import asyncpg
import httpx2

from tests.journeys.test_main_job import add_persons, draft, reader, send

ADDRESS = "scanned@crawler.example"
HTML = """<html lang="nb"><body><h1>Hei [[customer.name]]</h1>
<p><a href="https://shop.example.com/offer?a=1&amp;b=2#details">Tilbud</a>
<a href="mailto:post@nordlys.example">Skriv</a>
<a href="https://shop.example.com/[[customer.email]]">Din side</a></p>
<p><a href="[[link.view_in_browser]]">Vis i nettleser</a> <a href="[[link.unsubscribe]]">Meld av</a>
<a href="[[link.manage_subscriptions]]">Velg hva du f&aring;r</a></p></body></html>"""
TEXT = "Hei. https://shop.example.com/text [[link.unsubscribe]] [[link.manage_subscriptions]] [[link.view_in_browser]]"

BODIES = (
    {},
    {"json": {"List-Unsubscribe": "One-Click"}},
    {"data": {"List-Unsubscribe": "one-click"}},
    {"data": {"List-Unsubscribe": ""}},
    {"data": {"list-unsubscribe": "One-Click"}},
    {"content": b"List-Unsubscribe: One-Click", "headers": {"Content-Type": "text/plain"}},
    {"files": {"file": ("List-Unsubscribe", b"One-Click")}},
    {"params": {"List-Unsubscribe": "One-Click", "scope": "everything", "save": "yes"}},
)
VERBS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE")

TABLES = {
    "consent": "TRUE",
    "consent_state": "TRUE",
    "subscription": "TRUE",
    "company_subscription": "TRUE",
    "blocked_address": "TRUE",
    "erased_address": "TRUE",
    "leaving": "TRUE",
    "link_request": "TRUE",
    "person": "TRUE",
    "person_interest": "TRUE",
    "selection_member": "TRUE",
    "mailing": "id = $1",
    "recipient": "mailing_id = $1",
    "outbox": "job = 'preferences.send_link'",
}
SEEN = "{opened_at,machine_opened_at,clicked_at,machine_clicked_at}"  # what readers did is what crawling may write


def snapshot(service, mailing: dict) -> dict[str, str]:
    """All that nobody but a person may change, by table."""

    async def read() -> dict[str, str]:
        connection = await asyncpg.connect(service.database_url)
        try:
            found = {}
            for table, where in TABLES.items():
                arguments = [mailing["id"]] if "$1" in where else []
                lines = f"SELECT to_jsonb(t) - '{SEEN}'::text[] AS line FROM {table} AS t WHERE {where}"
                found[table] = await connection.fetchval(
                    f"SELECT coalesce(jsonb_agg(line ORDER BY line::text), '[]')::text FROM ({lines}) AS l", *arguments
                )
            return found
        finally:
            await connection.close()

    return asyncio.run(read())


def links_of(message) -> set[str]:
    """Every address in a message: of its headers, its text and its HTML."""
    found = set()
    for value in message.values():
        found |= set(re.findall(r"https?://[^\s<>,\"]+", str(value)))
    for part in message.walk():
        if part.get_content_maintype() == "text":
            found |= links_in(part.get_content())
    return found


def links_in(text: str, at: str = "") -> set[str]:
    named = {urljoin(at, unescape(link)) for link in re.findall(r'(?:href|src|action)="([^"]+)"', text)}
    return {
        link for link in named | set(re.findall(r"https?://[^\s<>\"']+", unescape(text))) if link.startswith("http")
    }


class Scanner:
    """Follows links on our host, with redirects and without; what lies elsewhere answers, and is not our concern."""

    def __init__(self, service) -> None:
        self.host = urlsplit(service.url).netloc
        elsewhere = httpx2.MockTransport(lambda request: httpx2.Response(200, text="elsewhere"))
        self.client = httpx2.Client(timeout=30, mounts={"all://": elsewhere, service.url: httpx2.HTTPTransport()})
        self.client.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        self.asked = 0
        self.paths: set[str] = set()

    def follow_all(self, links: set[str]) -> None:
        waiting = sorted(links)
        known = set(waiting)
        while waiting:
            url = waiting.pop()
            if urlsplit(url).netloc != self.host:
                continue
            self.paths.add(urlsplit(url).path[:3])
            for found in sorted(self.ask(url) - known):
                known.add(found)
                waiting.append(found)

    def ask(self, url: str) -> set[str]:
        found: set[str] = set()
        for follow in (False, True):
            asks = [(verb, {}) for verb in VERBS] + [("POST", body) for body in BODIES]
            for verb, more in asks:
                answer = self.client.request(verb, url, follow_redirects=follow, **more)
                self.asked += 1
                assert answer.status_code < 500, (verb, url)
                if follow and verb in ("GET", "POST") and "text/html" in answer.headers.get("content-type", ""):
                    found |= links_in(answer.text, str(answer.url))
        return found


def test_whatever_scanners_do_with_a_messages_links_nothing_is_changed(service):
    mailing = draft(service, "Scanned")
    service.ok("PATCH", f"/v1/mailings/{mailing['id']}", json={"track_all_links": True})
    content = {"subject": "Hei", "html": HTML, "text": TEXT}
    service.ok("PUT", f"/v1/mailings/{mailing['id']}/content", json=content)
    add_persons(service, mailing, [reader(service, mailing, "Kari Nordmann", ADDRESS)])
    send(service, mailing)
    [message] = service.caught(ADDRESS)

    scanner = Scanner(service)
    before = snapshot(service, mailing)
    scanner.follow_all(links_of(message))
    assert scanner.paths >= {"/c/", "/o/", "/u/", "/p/", "/v/"}, "all kinds of links were found"
    assert scanner.asked >= 5 * 2 * (len(VERBS) + len(BODIES))
    assert {table: rows for table, rows in snapshot(service, mailing).items() if rows != before[table]} == {}

    # The proof of the proof: a person's own doing is seen.
    one_click = re.match(r"<(https?://[^>]+)>", str(message["List-Unsubscribe"]).replace("\n", ""))[1]
    assert scanner.client.post(one_click, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    after = snapshot(service, mailing)
    assert {table for table, rows in after.items() if rows != before[table]} == {"subscription", "leaving", "recipient"}
    assert json.loads(after["leaving"])[0]["everything"] is False
    scanner.client.close()
