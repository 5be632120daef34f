"""Links that answer otherwise than by their target: responses and scripts (D38)."""

import asyncio
import time

import pytest

from app.actions.answering import LOOK_SECONDS, MAX_ASKING, target_in
from app.platform.db import Database
from app.platform.tokens import Purpose
from app.webhooks.signing import sign
from tests.actions.world import until

PAGES = [
    {"language": "nb", "title": "Takk <b>!", "text": "Vi ringer.\n\nSnart <script>alert(1)</script>"},
    {"language": "de", "title": "Danke", "text": "Wir rufen an."},
]


async def script_of(world, receiver, link, **fields):
    script = await world.post("scripts", {"name": "S", "url": receiver.url, **fields})
    await world.action(link, kind="script", script_id=script["id"], may_redirect=True)
    await world.app.state.answering.look()
    return script


async def test_a_text_page_is_shown_in_the_readers_language_and_its_text_is_text(world):
    """D38, D49: a page of one's own, escaped, in the look of all others."""
    link, tracked = await world.link()
    await world.action(link, kind="response", pages=PAGES)
    line = await world.recipient(await world.person())
    await world.app.state.answering.look()
    shown = await world.click(line, tracked)
    assert shown.status_code == 200
    assert shown.headers["content-language"] == "nb"
    assert '<html lang="nb">' in shown.text
    assert "<h1>Takk &lt;b&gt;!</h1>" in shown.text
    assert "Snart &lt;script&gt;alert(1)&lt;/script&gt;</p>" in shown.text
    assert "script-src" not in shown.headers["content-security-policy"]
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert (shown.headers["cache-control"], shown.headers["referrer-policy"]) == ("no-store", "no-referrer")
    german = await world.click(line, tracked, accept_language="de-AT,de;q=0.9")
    assert "<h1>Danke</h1>" in german.text
    assert "<h1>Takk" in (await world.click(line, tracked, accept_language="fi,sv")).text
    head = await world.click(line, tracked, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert len(await world.sql("SELECT id FROM engagement WHERE kind = 'click'")) == 4
    assert await world.runs() == []


async def test_another_target_is_filled_and_follows_changes_within_seconds_by_itself(world):
    """D37, D38: it leads nowhere but to what was saved."""
    link, tracked = await world.link()
    line = await world.recipient(await world.person())

    async def leads_to(target):
        async def leads_there():
            return (await world.click(line, tracked)).headers["location"] == target

        await until(leads_there, within=2 * LOOK_SECONDS + 1)

    await leads_to("https://example.com/offer")
    action = await world.action(link, kind="response", redirect_to="https://example.org/?n=[[customer.name]]&to=//evil")
    await leads_to("https://example.org/?n=Kari&to=//evil")
    test_message = await world.visit(0, tracked)
    assert test_message.headers["location"] == "https://example.org/?n=&to=//evil"
    await world.call("DELETE", f"links/{link}/actions/{action['id']}", status=204)
    await leads_to("https://example.com/offer")


async def test_a_script_says_where_a_reader_comes_to_and_is_told_of_the_click_later(world, receiver):
    """D38: its answer may override the redirect; the delivery in the background is another call."""
    link, tracked = await world.link(target="https://example.com/?n=[[customer.name]]")
    line = await world.recipient(await world.person(external_id="C-9"))
    script = await script_of(world, receiver, link)
    receiver.answers = [(200, b'{"redirect_to": "https://example.net/for-kari#x"}'), (204, b""), (200, b"{}")]
    for target in ("https://example.net/for-kari#x", *["https://example.com/?n=Kari"] * 2):
        assert (await world.click(line, tracked)).headers["location"] == target
    assert receiver.kinds() == ["link.redirect"] * 3
    headers, told, body = receiver.came[0]
    assert (told["data"]["hits"], told["data"]["url"]) == (1, "https://example.com/?n=Kari")
    assert told["data"]["customer"]["external_id"] == "C-9"
    assert headers["webhook-signature"] == sign(
        script["secret"], message_id=headers["webhook-id"], timestamp=int(headers["webhook-timestamp"]), body=body
    )
    await world.work()
    assert receiver.came[3][1]["data"]["hits"] == 3
    assert receiver.kinds()[3:] == ["link.clicked"]
    assert {key: value for key, value in receiver.came[3][1]["data"].items() if key != "hits"} == {
        key: value for key, value in told["data"].items() if key != "hits"
    }


async def test_machines_and_tests_do_not_ask_a_script(world, receiver):
    link, tracked = await world.link()
    line = await world.recipient(await world.person())
    await script_of(world, receiver, link)
    await world.click(line, tracked, method="HEAD")
    await world.click(line, tracked, user_agent="Barracuda Sentinel")
    await world.click(line, tracked, user_agent="")
    await world.visit(0, tracked)
    await world.visit(999999, tracked)  # nobody's any more
    assert receiver.came == []


async def test_of_a_person_who_withdrew_nothing_is_recorded_told_or_done_and_the_link_leads_on(world, receiver):
    """D43: at once, whatever was so when the message left, and for opens and clicks apart."""
    link, tracked = await world.link()
    kari, ola = [await world.person(name) for name in ("Kari", "Ola")]
    lines = [await world.recipient(person) for person in (kari, ola)]
    await script_of(world, receiver, link)
    for person, purpose in ((kari, "track_clicks"), (ola, "track_opens")):
        withdrawn = {"purpose": purpose, "action": "withdrawn", "source": "phone"}
        await world.post(f"persons/{person}/consents", withdrawn)
    for line in lines:  # what Ola clicked is stored behind what Kari did
        pixel = await world.reader.get(f"/o/{world.context.tokens.make(Purpose.OPEN, line)}.gif")
        assert (pixel.status_code, pixel.headers["content-type"]) == (200, "image/gif")
        assert (await world.visit(line, tracked)).headers["location"] == "https://example.com/offer"

    async def is_drained():
        return (await world.sql("SELECT sum(drained) AS n FROM engagement_spool"))[0].n == 4

    await until(is_drained)
    stored = await world.sql("SELECT recipient_id, kind FROM engagement ORDER BY kind")
    assert [tuple(row) for row in stored] == [(lines[1], "click"), (lines[0], "open")]
    assert [told["data"]["customer"]["person_id"] for _, told, _ in receiver.came] == [ola]
    assert {run["recipient_id"] for run in await world.runs()} == {lines[1]}
    assert (await world.call("GET", f"links/{link}/statistics"))["clicks"]["human"] == 1


async def test_what_answers_is_in_memory_while_the_database_is_away(world, receiver):
    """D41: a response goes on, and a script that nothing can be told is not asked."""
    page, plain = await world.link(), await world.link(target="https://example.com/plain")
    await world.action(page[0], kind="response", pages=PAGES)
    await script_of(world, receiver, plain[0])
    line = await world.recipient(await world.person())
    for _, tracked in (page, plain):
        await world.click(line, tracked)
    assert receiver.kinds() == ["link.redirect"]
    answering, away = world.app.state.answering, world.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/none"}
    )  # fmt: skip
    answering._database = Database.connect(away, name="away")
    for _ in range(3):
        assert (await world.click(line, page[1])).status_code == 200
        assert (await world.click(line, plain[1])).headers["location"] == "https://example.com/plain"
    assert len(receiver.came) == 1


async def test_a_script_that_hangs_costs_its_time_and_no_more(world, receiver):
    """D38: else the stored target, within the limit; and how many wait is bounded."""
    link, tracked = await world.link()
    line = await world.recipient(await world.person())
    await world.action(link, kind="response", redirect_to="https://example.com/else")
    await script_of(world, receiver, link, timeout_ms=400)
    receiver.hangs = True
    began = time.monotonic()
    got = await asyncio.gather(*[world.visit(line, tracked) for _ in range(2 * MAX_ASKING)])
    took = time.monotonic() - began
    assert {answer.headers["location"] for answer in got} == {"https://example.com/else"}
    assert took < 0.4 + 1.5  # all at once: no reader waits for another; the rest is 64 clicks on a shared machine
    assert 0 < len(receiver.came) <= MAX_ASKING
    receiver.hangs = False
    receiver.answers = [(200, b'{"redirect_to": "https://example.net/"}')]

    async def is_asked_again():
        return (await world.click(line, tracked)).headers["location"] == "https://example.net/"

    await until(is_asked_again, within=2)


BAD = [
    (500, b'{"redirect_to": "https://example.net/"}'), (302, b""), (200, b"nonsense"), (200, b"[]"),
    (200, b'{"redirect_to": "javascript:alert(1)"}'), (200, b'{"redirect_to": "//example.net/"}'),
    (200, b'{"redirect_to": "https://example.net/' + b"x" * 20_000 + b'"}'),
]  # fmt: skip


async def test_a_bad_answer_leads_to_the_stored_target(world, receiver):
    link, tracked = await world.link()
    line = await world.recipient(await world.person())
    await script_of(world, receiver, link)
    receiver.answers = list(BAD)
    for _ in BAD:
        assert (await world.click(line, tracked)).headers["location"] == "https://example.com/offer"
    assert len(receiver.came) == len(BAD)


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("https://example.net/a?b=c#d", True), ("http://example.net", True), ("https://example.net/å", True),
        ("data:text/html,x", False), ("JaVaScRiPt:alert(1)", False), ("java\\tscript:alert(1)", False),
        ("mailto:a@example.com", False), ("/relative", False), ("https://", False), ("", False),
        ("https://example.net/[[customer.name]]", False), ("https://example.net/\\r\\nSet-Cookie: a=b", False),
    ],
)  # fmt: skip
def test_where_an_answer_may_lead(target, allowed):
    assert (target_in(b'{"redirect_to": "%s"}' % target.encode()) is not None) == allowed


async def test_a_script_inside_is_not_called(fresh_database, world_factory, receiver):
    """No private addresses unless a setting allows them (api.md rule 10)."""
    async with world_factory(fresh_database) as world:
        link, tracked = await world.link()
        await script_of(world, receiver, link)
    async with world_factory(fresh_database, webhook_private_addresses=False) as world:
        line = await world.recipient(await world.person())
        await world.app.state.answering.look()
        assert (await world.click(line, tracked)).headers["location"] == "https://example.com/offer"
        await world.work()
        [run] = await world.runs()
        assert (run["state"], "not public" in run["detail"]) == ("waiting", True)
    assert receiver.came == []
