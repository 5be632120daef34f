"""Scripted visits of gateways and readers, and how well the rules of rows tell them apart (D45)."""

import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.tracking.events import Event
from app.tracking.models import EventKind

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
DELIVERED = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOURS = 3 * 3600.0
ALL = range(1, 8)  # 8 is the honeypot


@dataclass(frozen=True, slots=True)
class Visit:
    """What one recipient's links got: (seconds after delivery, link or None for an open, method, agent)."""

    name: str
    machine: bool
    steps: tuple[tuple[float, int | None, str, str], ...]


def clicks(links: Iterable[int], *, start: float, every: float, method: str = "GET", agent: str = CHROME):
    return tuple((start + number * every, link, method, agent) for number, link in enumerate(links))


def opened(start: float, agent: str = CHROME):
    return ((start, None, "GET", agent),)


# All imitate a browser, unless they say otherwise: what names itself is in test_verdicts.
MACHINES = (
    ("all links in parallel", clicks(ALL, start=40, every=0.05)),
    ("one a second", clicks(ALL, start=40, every=1)),
    ("one every two seconds", clicks(ALL, start=40, every=2)),
    ("all links, hours later", clicks(ALL, start=HOURS, every=0.3)),
    ("five links of seven, shuffled", clicks((6, 2, 7, 1, 4), start=900, every=1.5)),
    ("within a second of delivery", clicks((3,), start=0.8, every=1)),
    ("HEAD, then GET", clicks((3,), start=90, every=0, method="HEAD") + clicks((3,), start=91, every=0)),
    ("HEAD of all, then GET of all, slowly", tuple(
        step for number, link in enumerate(ALL)
        for step in (*clicks((link,), start=90 + 20 * number, every=0, method="HEAD"),
                     *clicks((link,), start=95 + 20 * number, every=0))
    )),
    ("slowly, with the honeypot", clicks((1, 8, 2), start=300, every=25)),
    ("SafeLinks-like: one link, a bare agent", clicks((5,), start=60, every=0, agent="Mozilla/5.0")),
    ("mail-privacy prefetch", opened(30, "Mozilla/5.0")),
    # Not caught, and here to say so: nothing tells it from a reader.
    ("one link, hours later, as Chrome", clicks((5,), start=HOURS, every=0)),
)  # fmt: skip
READERS = (
    ("one link", clicks((2,), start=700, every=0)),
    ("the same link thrice", clicks((2, 2, 2), start=700, every=3)),
    ("four links, fast", clicks((1, 2, 3, 4), start=700, every=2.5)),
    ("every link, reading", clicks(ALL, start=700, every=12)),
    ("three links in tabs", clicks((4, 5, 6), start=700, every=0.8)),
    ("opens in Gmail", opened(500, GMAIL)),
    ("opens and clicks", opened(500) + clicks((1,), start=520, every=0)),
)  # fmt: skip


async def test_scripted_gateways_and_readers_are_told_apart_as_well_as_is_told(sent, machine_factory, capsys):
    """D45: precision and recall of visits, with floors; `make verdicts` prints the table."""
    visits = [Visit(name, True, steps) for name, steps in MACHINES]
    visits += [Visit(name, False, steps) for name, steps in READERS]
    await sent.sql("UPDATE link SET honeypot = true WHERE id = 8")
    await sent.sql(
        "INSERT INTO recipient (id, mailing_id, name, email, status, sent_at)"
        " SELECT g, 1, 'Kari', 'kari@example.com', 'sent', $1 FROM generate_series(21, 60) AS g", DELIVERED,
    )  # fmt: skip
    events = sorted(
        (
            Event(
                EventKind.OPEN if link is None else EventKind.CLICK, None if link is None else 1, 21 + number, link,
                DELIVERED + timedelta(seconds=seconds), method, agent,
            )
            for number, visit in enumerate(visits) for seconds, link, method, agent in visit.steps
        ),
        key=lambda event: event.occurred_at,
    )  # fmt: skip
    machine = await machine_factory()
    for start in range(0, len(events), 7):
        await machine.store(*events[start : start + 7])
    rows = await sent.sql(
        "SELECT recipient_id, count(*) AS events, count(*) FILTER (WHERE verdict = 'machine') AS machines,"
        " array_agg(DISTINCT r) AS reasons FROM engagement LEFT JOIN LATERAL unnest(reasons) AS r ON true"
        " GROUP BY recipient_id"
    )
    found = {row["recipient_id"] - 21: row for row in rows}
    lines = [f"\n{'visit':40} {'is':8} {'called':8} reasons"]
    called = {}
    for number, visit in enumerate(visits):
        row = found[number]
        called[visit] = row["machines"] == row["events"]
        reasons = ", ".join(sorted(reason for reason in row["reasons"] if reason))
        lines.append(
            f"{visit.name:40} {'machine' if visit.machine else 'reader':8}"
            f" {'machine' if called[visit] else 'reader':8} {reasons}"
        )
    hits = sum(called[visit] for visit in visits if visit.machine)
    wrong = [visit.name for visit in visits if called[visit] and not visit.machine]
    missed = [visit.name for visit in visits if visit.machine and not called[visit]]
    recall, precision = hits / len(MACHINES), hits / (hits + len(wrong))
    lines.append(f"of {len(visits)} visits: precision {precision:.3f}, recall {recall:.3f}\n")
    with capsys.disabled() if os.environ.get("BUDSTIKKE_PRINT") else nullcontext():
        sys.stdout.write("\n".join(lines))
    assert missed == ["one link, hours later, as Chrome"], "\n".join(lines)
    assert not wrong, "\n".join(lines)
    assert (precision, recall) >= (1.0, 0.9)


async def test_office_probes_and_the_reader_s_browser_opens(sent, machine_factory):
    """D45: the probe is a machine's, the click that follows is the reader's."""
    machine = await machine_factory()
    probe = Event(EventKind.CLICK, 1, 1, 2, DELIVERED, "HEAD", "Microsoft Office Existence Discovery")
    later = datetime.now(UTC)
    await machine.store(
        probe._replace(occurred_at=later),
        probe._replace(occurred_at=later + timedelta(seconds=1), method="GET", user_agent=CHROME),
    )  # fmt: skip
    stored = await sent.sql("SELECT verdict FROM engagement ORDER BY occurred_at")
    assert [row["verdict"] for row in stored] == ["machine", "human"]
