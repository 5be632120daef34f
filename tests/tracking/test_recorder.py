"""Events in groups: stored once, judged, marked, tallied."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from app.tracking import draining
from app.tracking.draining import Drainer
from app.tracking.events import Event
from app.tracking.models import EventKind
from app.tracking.storing_queries import DRAIN
from app.tracking.verdicts import AROUND_SECONDS, BURST_LINKS, BURST_SECONDS, BURST_SMALLEST_MAILING

CHROME = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
START = datetime(2026, 11, 23, 9, 58, tzinfo=UTC)


@pytest.fixture
async def recorder(machine_factory):
    return await machine_factory()


def click(recipient_id, link_id, *, seconds=0.0, method="GET", user_agent=CHROME) -> Event:
    moment = START + timedelta(seconds=seconds)
    return Event(EventKind.CLICK, 1, recipient_id, link_id, moment, method, user_agent)


def opening(recipient_id, *, seconds=0.0, user_agent=CHROME) -> Event:
    moment = START + timedelta(seconds=seconds)
    return Event(EventKind.OPEN, None, recipient_id, None, moment, "GET", user_agent)


@pytest.fixture(autouse=True)
async def _delivered_before(sent):
    await sent.sql("UPDATE recipient SET sent_at = $1", START - timedelta(hours=1))


async def verdicts(sent, recipient_id):
    rows = await sent.sql(
        "SELECT link_id, verdict, reasons FROM engagement WHERE recipient_id = $1 ORDER BY occurred_at, id",
        recipient_id,
    )
    return [(row["link_id"], row["verdict"], row["reasons"]) for row in rows]


async def marks(sent, recipient_id):
    rows = await sent.sql(
        "SELECT opened_at, machine_opened_at, clicked_at, machine_clicked_at FROM recipient WHERE id = $1", recipient_id
    )
    return tuple(rows[0])


async def test_a_click_is_stored_when_its_awaitable_ends(sent, recorder):
    await recorder.store(click(1, 2))
    assert await verdicts(sent, 1) == [(2, "human", [])]
    assert await marks(sent, 1) == (None, None, START, None)


async def test_an_open_finds_its_mailing_by_its_recipient(sent, recorder):
    await recorder.store(opening(1))
    assert [row["mailing_id"] for row in await sent.sql("SELECT mailing_id FROM engagement")] == [1]
    assert await marks(sent, 1) == (START, None, None, None)


async def test_marks_keep_the_first_time_whatever_order_events_come_in(sent, recorder):
    for seconds in (60, 30, 90):
        await recorder.store(click(1, 2, seconds=seconds))
    assert (await marks(sent, 1))[2] == START + timedelta(seconds=30)
    await sent.assert_tallies_equal_a_recount()


async def test_a_head_request_marks_a_machine_and_no_human(sent, recorder):
    await recorder.store(click(1, 2, method="HEAD"))
    assert await verdicts(sent, 1) == [(2, "machine", ["head_request"])]
    assert await marks(sent, 1) == (None, None, None, START)


async def test_a_click_right_after_delivery_is_a_machines(sent, recorder):
    await sent.sql("UPDATE recipient SET sent_at = $1", START)
    await recorder.store(click(1, 2, seconds=1.9))
    await recorder.store(click(1, 2, seconds=2.1))
    assert await verdicts(sent, 1) == [(2, "machine", ["too_soon"]), (2, "human", [])]


async def test_a_click_before_delivery_is_on_record_is_a_machines(sent, recorder):
    await sent.sql("UPDATE recipient SET sent_at = NULL, status = 'ready'")
    await recorder.store(click(1, 2))
    assert await verdicts(sent, 1) == [(2, "machine", ["too_soon"])]


async def test_recipients_who_are_gone_are_no_error(sent, recorder):
    await recorder.store(click(999, 2), opening(999), click(1, 2))
    assert [tuple(row) for row in await sent.sql("SELECT kind, recipient_id FROM engagement ORDER BY 2")] == [
        ("click", 1),
        ("click", 999),
    ]


async def test_a_burst_turns_earlier_clicks_into_a_machines(sent, recorder):
    for link_id in range(1, 5):
        await recorder.store(click(1, link_id, seconds=link_id))
    assert (await marks(sent, 1))[2:] == (START + timedelta(seconds=1), None)
    await recorder.store(click(1, 5, seconds=5))
    assert {verdict for _, verdict, _ in await verdicts(sent, 1)} == {"machine"}
    assert {tuple(reasons) for _, _, reasons in await verdicts(sent, 1)} == {("burst",)}
    assert (await marks(sent, 1))[2:] == (None, START + timedelta(seconds=1))
    await sent.assert_tallies_equal_a_recount()


async def test_a_human_click_long_after_a_burst_stays_human(sent, recorder):
    await recorder.store(*[click(1, link_id, seconds=link_id) for link_id in range(1, 6)])
    await recorder.store(click(1, 3, seconds=600))
    assert (await verdicts(sent, 1))[-1] == (3, "human", [])
    assert (await marks(sent, 1))[2] == START + timedelta(seconds=600)


async def test_one_link_clicked_often_is_no_burst(sent, recorder):
    await recorder.store(*[click(1, 2, seconds=number / 10) for number in range(50)])
    assert {verdict for _, verdict, _ in await verdicts(sent, 1)} == {"human"}


@pytest.mark.parametrize(("links", "verdict"), [(2, "human"), (3, "machine")])
async def test_all_links_of_a_small_mailing_are_a_burst_from_three_on(sent, recorder, links, verdict):
    await sent.sql("UPDATE link SET honeypot = (id = 8), frozen = (id = 8) WHERE id > $1", links)  # no reader sees them
    for link_id in range(1, links + 1):
        await recorder.store(click(1, link_id, seconds=link_id))
    assert {found for _, found, _ in await verdicts(sent, 1)} == {verdict}


async def test_a_burst_seen_by_two_machines_is_seen_whole(sent, recorder, machine_factory):
    other = await machine_factory()
    events = [click(recipient_id, link_id, seconds=link_id) for link_id in range(1, 6) for recipient_id in range(1, 21)]
    await asyncio.gather(recorder.store(*events[::2]), other.store(*events[1::2]))
    assert [tuple(row) for row in await sent.sql("SELECT verdict, count(*) FROM engagement GROUP BY 1")] == [
        ("machine", 100)
    ]
    await sent.assert_tallies_equal_a_recount()


async def test_an_event_that_cannot_be_stored_holds_up_no_other(sent, recorder):
    broken = click(1, 2)._replace(mailing_id=-1)
    await sent.sql("ALTER TABLE engagement ADD CHECK (mailing_id > 0)")
    await recorder.store(click(2, 2), broken, click(3, 2))
    assert {row["recipient_id"] for row in await sent.sql("SELECT recipient_id FROM engagement")} == {2, 3}
    assert ("lost", 1) in recorder.told


async def test_stopping_writes_what_waits(sent, recorder):
    waiting = asyncio.create_task(recorder.record(*[click(number % 20 + 1, 2) for number in range(2500)]))
    await asyncio.sleep(0)
    await recorder.stop()
    await waiting
    assert (await sent.sql("SELECT count(*) FROM engagement"))[0][0] == 2500
    assert not list(recorder.settings.spool_dir.glob("*.spool"))


async def test_recorded_events_are_counted_in_the_metrics(recorder):
    await recorder.store(click(1, 2), opening(1), click(2, 2))
    assert recorder.metrics.registry.get_sample_value("budstikke_engagement_total", {"kind": "click"}) == 2


def bursts(clicks, *, links):
    """The rule of `verdicts` as it reads, over all clicks of one recipient: which of them are in a burst."""
    needed = max(BURST_SMALLEST_MAILING, min(BURST_LINKS, links))
    found = set()
    for first in clicks:
        end = first.occurred_at + timedelta(seconds=BURST_SECONDS)
        window = [event for event in clicks if first.occurred_at <= event.occurred_at <= end]
        if len({event.link_id for event in window}) >= needed:
            found.update(window)
    return found


def probed(clicks):
    """Clicks that followed a HEAD of the same link by the same agent."""
    return {
        event for event in clicks for head in clicks
        if head.method == "HEAD" and (head.link_id, head.user_agent) == (event.link_id, event.user_agent)
        and timedelta(0) <= event.occurred_at - head.occurred_at <= timedelta(seconds=AROUND_SECONDS)
    }  # fmt: skip


async def test_a_click_on_the_honeypot_makes_the_clicks_around_it_a_machines(sent, recorder):
    """D45"""
    await sent.sql("UPDATE link SET honeypot = true WHERE id = 8")
    for link_id, seconds in ((1, 0), (8, 30), (2, 59), (3, 95)):
        await recorder.store(click(1, link_id, seconds=seconds))
    await recorder.store(click(2, 1, seconds=30))
    assert await verdicts(sent, 1) == [
        (1, "machine", ["near_honeypot"]), (8, "machine", ["honeypot"]), (2, "machine", ["near_honeypot"]),
        (3, "human", []),
    ]  # fmt: skip
    assert await verdicts(sent, 2) == [(1, "human", [])]
    assert (await marks(sent, 1))[2:] == (START + timedelta(seconds=95), START)
    await sent.assert_tallies_equal_a_recount()


@pytest.mark.parametrize(("agent", "verdict"), [(CHROME, "machine"), (CHROME + " Edg/140.0", "human")])
async def test_a_get_after_a_head_is_a_machines_unless_another_agent_makes_it(sent, recorder, agent, verdict):
    """D45: SafeLinks-like gateways probe and fetch; Office probes, and the reader's browser fetches."""
    await recorder.store(click(1, 2, method="HEAD"))
    await recorder.store(click(1, 2, seconds=1, user_agent=agent))
    assert [found for _, found, _ in await verdicts(sent, 1)] == ["machine", verdict]


@pytest.mark.parametrize("unknown", [True, False])
async def test_nothing_is_stored_of_a_person_who_does_not_want_it_by_now(sent, machine_factory, unknown):
    """D43: asked when the event comes in, for opens and clicks apart, whatever was in the message when it left."""
    sent.settings = sent.settings.model_copy(update={"unknown_tracking_consent": unknown})
    await sent.sql("INSERT INTO person (id, name) SELECT g, 'P' FROM generate_series(1, 4) AS g")
    await sent.sql("UPDATE recipient SET person_id = id WHERE id <= 4")
    given = [
        (1, "track_clicks", True, None), (1, "track_opens", False, None), (2, "track_clicks", False, None),
        (2, "track_opens", True, None), (3, "track_clicks", True, START), (3, "track_opens", True, START),
    ]  # fmt: skip
    for person_id, purpose, yes, until in given:
        await sent.sql(
            "WITH line AS (INSERT INTO consent (person_id, purpose, action, legal_basis, source)"
            " VALUES ($1, $2, CASE WHEN $3 THEN 'given' ELSE 'withdrawn' END, 'consent', 'test') RETURNING id)"
            " INSERT INTO consent_state (person_id, purpose, given, valid_until, consent_id)"
            " SELECT $1, $2, $3, $4, id FROM line"
            " ON CONFLICT (person_id, purpose) DO UPDATE"
            " SET given = excluded.given, valid_until = excluded.valid_until",
            person_id, purpose, yes, until,
        )  # fmt: skip
    machine = await machine_factory()
    for recipient_id in range(1, 6):
        await machine.store(click(recipient_id, 2, seconds=9), opening(recipient_id, seconds=9))
    stored = {tuple(row) for row in await sent.sql("SELECT recipient_id, kind FROM engagement")}
    assert stored == {
        (1, "click"),
        (2, "open"),
        *({(n, k) for n in (4, 5) for k in ("open", "click")} if unknown else ()),
    }
    await sent.assert_tallies_equal_a_recount()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_after_any_sequence_verdicts_marks_and_tallies_equal_a_recount(sent, recorder, machine_factory, seed):
    chance = random.Random(seed)
    links = chance.choice([3, 4, 8])
    await sent.sql("DELETE FROM link WHERE id > $1", links)
    events = []
    await sent.sql("INSERT INTO library_link (id, name, target, target_key) VALUES (9, 'L', 'https://x', 'x')")
    await sent.sql("UPDATE link SET library_link_id = 9 WHERE id <= 2")
    for _ in range(400):
        recipient_id, seconds = chance.randint(1, 8), chance.choice([0, 50, 100, 200]) + round(chance.random() * 20, 3)
        method = "HEAD" if chance.random() < 0.05 else "GET"
        if chance.random() < 0.2:
            events.append(opening(recipient_id, seconds=seconds, user_agent=chance.choice([CHROME, "Mozilla/5.0"])))
        else:
            events.append(click(recipient_id, chance.randint(1, links), seconds=seconds, method=method))
    other = await machine_factory()
    waiting = list(events)
    while waiting:
        size = chance.randint(1, 40)
        half = chance.randint(0, size)
        await asyncio.gather(recorder.store(*waiting[:half]), other.store(*waiting[half:size]))
        waiting = waiting[size:]
    clicks = [event for event in events if event.kind is EventKind.CLICK]
    expected = Counter()
    for recipient_id in range(1, 9):
        own = [event for event in clicks if event.recipient_id == recipient_id]
        in_burst = bursts(own, links=links) | probed(own)
        expected.update(
            (*key(event), "machine" if event.method == "HEAD" or event in in_burst else "human") for event in own
        )
    stored = await sent.sql(
        "SELECT recipient_id, link_id, occurred_at, method, verdict FROM engagement WHERE kind = 'click'"
    )
    assert Counter(tuple(row) for row in stored) == expected
    await sent.assert_tallies_equal_a_recount()


def key(event):
    return event.recipient_id, event.link_id, event.occurred_at, event.method


class LosesReplies(Drainer):
    """Its connection breaks after the server has committed, before the reply is read; every second time."""

    calls = 0

    async def _bounded(self, connection, query, *args):
        rows = await super()._bounded(connection, query, *args)
        if query == DRAIN:
            self.calls += 1
            if self.calls % 2:
                raise ConnectionResetError
        return rows


async def test_a_batch_whose_reply_was_lost_is_stored_once(sent, machine_factory, monkeypatch):
    monkeypatch.setattr(draining, "BATCH", 7)
    machine = await machine_factory(drainer=LosesReplies)
    for first in range(1, 21, 5):
        await machine.store(*[click(number, 2) for number in range(first, first + 5)])
    stored = await sent.sql("SELECT count(*), count(DISTINCT recipient_id) FROM engagement")
    assert tuple(stored[0]) == (20, 20)
    assert machine.drainer.calls > 3
    await sent.assert_tallies_equal_a_recount()


async def test_a_database_restored_to_an_earlier_time_takes_what_comes_after(sent, recorder):
    await recorder.store(click(1, 2), click(2, 2))
    await sent.sql("DELETE FROM engagement_spool")
    await recorder.store(click(3, 2))
    await sent.sql("UPDATE engagement_spool SET drained = 1")
    await recorder.store(click(4, 2))
    assert (await sent.sql("SELECT count(*) FROM engagement"))[0][0] == 4
