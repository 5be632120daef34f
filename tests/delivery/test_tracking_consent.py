"""Consent to tracking in the bytes that a server gets (D43): who is asked for what, and what then is in the message.

What is expected is written out here: nothing of it comes from what compiles messages.
"""

import email
import email.policy
import html as html_entities
import re

import pytest

from app.platform.tokens import Purpose
from tests.delivery.sending import TOKENS, sending
from tests.delivery.smtp_server import SmtpServer

ANSWERS = {"granted": True, "denied": False, "unknown": None}
PERSONS = [(opens, clicks) for opens in ANSWERS for clicks in ANSWERS]
STRANGER = len(PERSONS) + 1  # a line without a person: nobody was asked

LIBRARY = {7: 'https://shop.example/prices?of=[[customer.number|default("0")]]&x=%2F#list'}
PAGE = "https://example.com/a;b?n=[[customer.firstname]]&q=1%202#top"
TAGGED_ALREADY = "https://example.com/?utm_medium=mine&utm_source=own"
ONLY_IN_TEXT = "https://example.com/only?text"
MAILTO = "mailto:a@example.com?subject=Hi"
HREFS = [PAGE, "[[link.library.7]]", TAGGED_ALREADY, MAILTO]
ANALYTICS = "utm_medium=email&utm_source=news"
TARGETS = [
    f"https://example.com/a;b?n=[[customer.firstname]]&q=1%202&{ANALYTICS}#top",
    f'https://shop.example/prices?of=[[customer.number|default("0")]]&x=%2F&{ANALYTICS}#list',
    TAGGED_ALREADY,
]
IN_TEXT = f"{ONLY_IN_TEXT}&{ANALYTICS}"
HONEYPOT = "https://example.com/"
HTML = "<html><body>{}</body></html>".format(
    "".join(f'<p><a href="{href.replace("&", "&amp;")}">{number}</a></p>' for number, href in enumerate(HREFS))
)
TEXT = f"One {PAGE} two [[link.library.7]] three {TAGGED_ALREADY} four {ONLY_IN_TEXT} five"


class Message:
    """A message as a reader's program takes it apart, each tracked address read as (recipient, target)."""

    def __init__(self, entry, base, links):
        self.base, self.links = base, links
        message = email.message_from_bytes(entry.content, policy=email.policy.default)
        parts = [message.get_body([kind]) for kind in ("html", "plain")]
        self.html, self.text = (part.get_content().replace("\r\n", "\n").rstrip("\n") for part in parts)
        self.hrefs = [self.read(html_entities.unescape(h)) for h in re.findall(r'<a href="([^"]*)"', self.html)]
        self.in_text = [self.read(found) for found in re.findall(r"https?://[^\s<>]+", self.text)]
        self.images = [
            TOKENS.read(Purpose.OPEN, found.removeprefix(f"{base}/o/").removesuffix(".gif"))
            for found in re.findall(r'<img[^>]* src="([^"]*)"', self.html)
        ]

    def read(self, address):
        if not address.startswith(self.base):
            return address
        recipient_id, link_id = TOKENS.read(Purpose.CLICK, address.removeprefix(f"{self.base}/c/"))
        return recipient_id, self.links[link_id]


@pytest.fixture
def messages(fresh_database, tmp_path):
    """Sends a mailing to a person of each kind and a stranger; gives their messages by number, and recipients' ids."""

    async def send(*, unknown, **changes):
        message = {"text": TEXT, "library": LIBRARY, "honeypot": True, "utm_source": "news", **changes}
        world = sending(
            fresh_database, tmp_path, count=STRANGER, html=HTML, message=message, unknown_tracking_consent=unknown
        )
        async with world as mailing, SmtpServer() as server:
            await mailing.sql.execute(
                "INSERT INTO person (id, name, first_name, number)"
                " SELECT n, 'P', 'Kåre ' || n, nullif(n, 2) FROM generate_series(1, 9) AS n"
            )
            await mailing.sql.execute("UPDATE recipient SET person_id = seq WHERE seq <= 9")
            await mailing.sql.executemany(
                "INSERT INTO consent_state (person_id, purpose, given, consent_id) VALUES ($1, $2, $3, 1)",
                [
                    (number, purpose, ANSWERS[said])
                    for number, both in enumerate(PERSONS, 1)
                    for purpose, said in zip(("track_opens", "track_clicks"), both, strict=True)
                    if ANSWERS[said] is not None
                ],
            )
            await mailing.send(server)
            links = dict(await mailing.sql.fetch("SELECT id, target FROM link"))
            numbers = {f"r{number}@example.no": number for number in range(1, STRANGER + 1)}
            found = {numbers[entry.recipient]: Message(entry, mailing.settings.public_url, links)
                     for entry in server.ledger}  # fmt: skip
            ids = dict(await mailing.sql.fetch("SELECT seq, id FROM recipient"))
        assert sorted(found) == sorted(numbers.values())
        return found, ids

    return send


def allowed(number, *, unknown):
    """Whether opens and clicks of a person may be tracked."""
    answers = PERSONS[number - 1] if number != STRANGER else ("unknown", "unknown")
    return [unknown if ANSWERS[said] is None else ANSWERS[said] for said in answers]


def plain(target, number):
    """A target with a person's values in it, percent-encoded."""
    name = f"K%C3%A5re%20{number}" if number != STRANGER else ""
    customer = str(number) if number not in (2, STRANGER) else "0"
    return target.replace("[[customer.firstname]]", name).replace('[[customer.number|default("0")]]', customer)


@pytest.mark.parametrize("unknown", [True, False])
async def test_a_message_has_what_its_person_consents_to_and_nothing_else(messages, unknown):
    """D43: opens and clicks apart; what an unknown answer means is the setting. Plain links are as written (D37)."""
    found, ids = await messages(unknown=unknown)
    for number, message in found.items():
        opens, clicks = allowed(number, unknown=unknown)
        assert message.images == ([(ids[number], 0)] if opens else [])
        if clicks:
            pages = [(ids[number], target) for target in TARGETS]
            assert message.hrefs == [*pages, MAILTO, (ids[number], HONEYPOT)]
            assert message.in_text == [*pages, (ids[number], IN_TEXT)]
        else:
            pages = [plain(target, number) for target in (PAGE, LIBRARY[7], TAGGED_ALREADY)]
            assert message.hrefs == [*pages, MAILTO]
            assert message.text == "One {} two {} three {} four {} five".format(*pages, ONLY_IN_TEXT)
            assert "display:none" not in message.html
    assert {allowed(number, unknown=unknown)[1] for number in found} == {True, False}


async def test_a_mailing_that_tracks_no_opens_has_no_pixel_for_anybody_and_its_links_as_ever(messages):
    """D42, D43: and a text part that is derived from the HTML has the same addresses as the HTML."""
    found, ids = await messages(unknown=True, track_opens=False, text=None, honeypot=False, utm_source=None)
    for number, message in found.items():
        assert message.images == []
        if allowed(number, unknown=True)[1]:
            pages = [(ids[number], target) for target in (PAGE, LIBRARY[7], TAGGED_ALREADY)]
        else:
            pages = [plain(target, number) for target in (PAGE, LIBRARY[7], TAGGED_ALREADY)]
        assert message.hrefs == [*pages, MAILTO]
        assert message.in_text == pages
