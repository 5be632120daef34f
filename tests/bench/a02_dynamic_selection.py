"""A2: dynamic selections counted through the API, against SQL written by hand for the same questions.

The address book is filled inside PostgreSQL. The baseline has the same memory for hashes; its plans are PostgreSQL's.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx2

from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import BASELINE, OURS, Measured, Run, Target

SIZES = {"small": (30_000, 300_000, 3), "full": (1_000_000, 10_000_000, 3)}
"""Persons, events, and runs of each side."""

MAILINGS, LINKS = 2, 20

_CONSENT = {"consent": "e_marketing", "is": "given"}
_CONSENTING = "SELECT FROM consent_state AS cs WHERE cs.person_id = p.id AND cs.purpose = 'e_marketing' AND cs.given"


@dataclass(frozen=True, slots=True)
class Question:
    """The same question in the language of criteria, and as somebody would write it in SQL."""

    name: str
    criteria: dict[str, Any]
    sql: str


QUESTIONS = (
    Question(
        "of a city, with consent",
        {"and": [{"person": "city", "operator": "eq", "value": "Oslo"}, _CONSENT]},
        f"SELECT count(*) FROM person AS p WHERE lower(p.city) = 'oslo' AND EXISTS ({_CONSENTING})",
    ),
    Question(
        "clicked a link",
        {"engagement": "clicked", "link_id": 7},
        "SELECT count(DISTINCT r.person_id) FROM engagement AS e JOIN recipient AS r ON r.id = e.recipient_id "
        "WHERE e.link_id = 7 AND e.kind = 'click' AND e.verdict = 'human'",
    ),
    Question(
        "opened in the last 30 days, and subscribed",
        {
            "and": [
                {"engagement": "opened", "since": {"days_ago": 30}},
                {"subscription": "subscribed", "subscription_type_id": 1},
            ]
        },
        "SELECT count(DISTINCT r.person_id) FROM engagement AS e JOIN recipient AS r ON r.id = e.recipient_id "
        "JOIN subscription AS s ON s.person_id = r.person_id AND s.subscription_type_id = 1 AND s.subscribed "
        "WHERE e.kind = 'open' AND e.verdict = 'human' AND e.occurred_at >= date_trunc('day', now()) - interval '30 d'",
    ),
    Question(
        "received something, and opened nothing for 180 days",
        {"and": [{"engagement": "received"}, {"not": {"engagement": "opened", "since": {"days_ago": 180}}}]},
        "SELECT count(*) FROM (SELECT DISTINCT person_id FROM recipient WHERE sent_at IS NOT NULL "
        "AND bounced_at IS NULL) AS received WHERE NOT EXISTS (SELECT FROM recipient AS r "
        "JOIN engagement AS e ON e.recipient_id = r.id WHERE r.person_id = received.person_id AND e.kind = 'open' "
        "AND e.verdict = 'human' AND e.occurred_at >= date_trunc('day', now()) - interval '180 d')",
    ),
    Question(
        "of a city or clicked, with consent, not in a selection",
        {
            "and": [
                {"or": [{"person": "city", "operator": "eq", "value": "Bergen"}, {"engagement": "clicked"}]},
                _CONSENT,
                {"not": {"selection": 1}},
            ]
        },
        "SELECT count(*) FROM person AS p WHERE (lower(p.city) = 'bergen' OR p.id IN (SELECT person_id FROM recipient "
        f"WHERE clicked_at IS NOT NULL)) AND EXISTS ({_CONSENTING}) AND NOT EXISTS (SELECT FROM selection_member AS m "
        "WHERE m.selection_id = 1 AND m.person_id = p.id)",
    ),
)

_FILL = """
INSERT INTO subscription_type (id, name) VALUES (1, 'News');
SELECT nextval(pg_get_serial_sequence('selection', 'id'));  -- it is 1
INSERT INTO selection (id, name) VALUES (1, 'Some');
INSERT INTO mailing (id, name, subject, from_name, from_email, html, subscription_type_id)
SELECT n, 'M' || n, '', '', '', '', 1 FROM generate_series(1, {mailings}) AS n;
INSERT INTO link (id, mailing_id, position, target, frozen)
SELECT n, 1 + (n - 1) * {mailings} / {links}, n, 'https://example.com/' || n, true
FROM generate_series(1, {links}) AS n;
INSERT INTO person (id, name, first_name, city, category, email, email_key, created_at)
SELECT n, 'Åse Ødegård ' || n, 'Åse', (ARRAY['Oslo', 'Bergen', 'Tromsø', 'Bodø', NULL])[1 + n * 7 % 5],
       chr(65 + n % 10), 'aase.' || n || '@mail.example.com', 'aase.' || n || '@mail.example.com',
       now() - n % 1000 * interval '1 d'
FROM generate_series(1, {persons}) AS n;
INSERT INTO consent_state (person_id, purpose, given, consent_id)
SELECT n, 'e_marketing', n % 10 < 8, n FROM generate_series(1, {persons}) AS n WHERE n % 20 > 0;
INSERT INTO subscription (person_id, subscription_type_id, subscribed, source)
SELECT n, 1, n % 3 > 0, 'bench' FROM generate_series(1, {persons}) AS n;
INSERT INTO selection_member (selection_id, person_id)
SELECT 1, n FROM generate_series(1, {persons}, 5) AS n;
INSERT INTO recipient (id, mailing_id, seq, person_id, name, email, email_key, status, sent_at, opened_at, clicked_at)
SELECT (m - 1) * {persons} + n, m, n, n, 'Åse', 'aase.' || n || '@mail.example.com',
       'aase.' || n || '@mail.example.com', 'sent', now() - interval '400 d',
       CASE WHEN n % 3 > 0 THEN now() - interval '390 d' END, CASE WHEN n % 9 = 1 THEN now() - interval '390 d' END
FROM generate_series(1, {mailings}) AS m, generate_series(1, {persons}) AS n;
INSERT INTO engagement (kind, mailing_id, recipient_id, link_id, occurred_at, verdict, rule_version)
SELECT CASE WHEN click THEN 'click' ELSE 'open' END, 1 + (line - 1) / {persons}, line,
       CASE WHEN click THEN (line - 1) / {persons} * {links} / {mailings} + 1 + (n / 7) % ({links} / {mailings}) END,
       now() - interval '400 d' + n * (interval '400 d' / {events}),
       CASE WHEN n % 4 = 0 THEN 'machine' ELSE 'human' END, 1
FROM (SELECT n, n % 5 = 0 AS click, 1 + n * 7919::bigint % ({mailings} * {persons}) AS line
      FROM generate_series(1, {events}) AS n) AS e;
"""


class DifferentAnswerError(BenchError):
    """The two sides answer a question differently."""


@dataclass(slots=True)
class Answers:
    """How many persons there were, and how long it took to say so, by question."""

    persons: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def measure(house: House, size: str) -> Measured:
    """Measure every question in both ways, in turn."""
    persons, events, runs = SIZES[size]
    return await measure_with(house, persons=persons, events=events, runs=runs)


async def measure_with(house: House, *, persons: int, events: int, runs: int) -> Measured:
    """Measure with an address book and events of this size; raises BenchError when the answers differ."""
    async with house.connection() as connection, house.client() as client:
        await fill(connection, persons=persons, events=events)
        paths = [await _save(client, question) for question in QUESTIONS]
        await _ask_ours(client, paths)  # both sides find what they read in memory
        await _ask_baseline(connection)
        done = []
        for _ in range(runs):
            baseline, ours = await _ask_baseline(connection), await _ask_ours(client, paths)
            if baseline.persons != ours.persons:
                raise DifferentAnswerError(f"ours {ours.persons}, by hand {baseline.persons}")
            done += [_run(BASELINE, baseline), _run(OURS, ours)]
    return Measured(done, {"persons": persons, "events": events, "questions": [each.name for each in QUESTIONS]})


async def fill(connection: "asyncpg.Connection[Any]", *, persons: int, events: int, vacuum: bool = True) -> None:
    """Fill an address book whose persons have received two mailings and done things with them."""
    values = {"persons": persons, "events": events, "mailings": MAILINGS, "links": LINKS}
    async with connection.transaction():
        # No foreign keys and no tallies: all rows come from these statements, and nobody reads the tallies here.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_FILL.format(**values))
    await connection.execute("VACUUM ANALYZE" if vacuum else "ANALYZE")


async def _save(client: httpx2.AsyncClient, question: Question) -> str:
    answer = await client.post("/v1/selections", json={"name": question.name, "criteria": question.criteria})
    if answer.status_code != 201:
        raise BenchError(answer.text)
    return f"/v1/selections/{answer.json()['id']}/count"


async def _ask_ours(client: httpx2.AsyncClient, paths: list[str]) -> Answers:
    answers = Answers()
    for path in paths:
        with _timed(answers):
            answer = await client.get(path, timeout=600)
        answers.persons.append(answer.json()["persons"])
    return answers


async def _ask_baseline(connection: "asyncpg.Connection[Any]") -> Answers:
    answers = Answers()
    await connection.execute("SET jit = off; SET timezone = 'UTC'; SET work_mem = '64MB'")
    for question in QUESTIONS:
        with _timed(answers):
            persons = await connection.fetchval(question.sql)
        answers.persons.append(persons)
    return answers


@contextmanager
def _timed(answers: Answers) -> Iterator[None]:
    started = time.perf_counter()
    yield
    answers.seconds.append(time.perf_counter() - started)


def _run(side: str, answers: Answers) -> Run:
    each = zip(QUESTIONS, answers.seconds, answers.persons, strict=True)
    further = {f"{question.name} ({persons:,}) ms": seconds * 1000 for question, seconds, persons in each}
    return Run(side, sum(answers.seconds) * 1000, sum(answers.seconds), further=further)


TARGET = Target("A2", "dynamic selections counted", "ms", 3.0, measure, at_most=True)
