"""Whole mailings sent by the real workers: what P1-P5, P12 and the latency targets have in common.

The clock of a send runs from when the mailing is frozen and its senders are enqueued until the last recipient's result
is committed: the workers' pick-up and their last flush are in it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import httpx2

from tests.bench.audience import add_audience
from tests.bench.errors import BenchError
from tests.bench.house import House
from tests.bench.measuring import OURS, Run
from tests.bench.processes import cpu_seconds, peak_rss_mb

LOOK_SECONDS = 0.02
STALLED_SECONDS = 30.0  # without a single result

FROM_DOMAIN = "nordlys.example"
LINKS = 20
PARAGRAPHS = 47  # with the text part that is made from them, a message of some 30 KB
_SENTENCE = (
    "Vi har samlet det viktigste som skjedde i høst, og noen ord om det som kommer i året som ligger foran oss. "
)


class StalledError(BenchError):
    """A mailing does not move, or ended otherwise than with every message sent."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An audience, ready to be written to again and again."""

    house: House
    client: httpx2.AsyncClient
    connection: "asyncpg.Connection[Any]"
    type_id: int
    selection_id: int
    messages: int


@asynccontextmanager
async def prepare(house: House, *, persons: int) -> AsyncIterator[Prepared]:
    """Add an audience to an empty house."""
    async with house.client() as client, house.connection() as connection:
        type_id, selection_id = await add_audience(connection, persons=persons)
        yield Prepared(house, client, connection, type_id, selection_id, persons)


async def part_of(prepared: Prepared, *, persons: int) -> Prepared:
    """Return the first so many persons as an audience of their own."""
    connection = prepared.connection
    selection_id: int = await connection.fetchval("INSERT INTO selection (name) VALUES ('Part') RETURNING id")
    await connection.execute(
        "INSERT INTO selection_member (selection_id, person_id) SELECT $1, person_id FROM selection_member "
        "WHERE selection_id = $2 ORDER BY person_id LIMIT $3",
        selection_id, prepared.selection_id, persons,
    )  # fmt: skip
    return replace(prepared, selection_id=selection_id, messages=persons)


def newsletter() -> str:
    """Return HTML with tracked links and merge tags, some 30 KB as a message."""
    paragraphs = []
    for number in range(PARAGRAPHS):
        link = ""
        if number < LINKS:
            link = f' <a href="https://www.example.com/saker/{number}?fra=nyhetsbrev">Les mer om sak {number}</a>'
        paragraphs.append(f'<p style="margin: 0 0 16px">{_SENTENCE * 2}{link}</p>')
    return (
        "<!doctype html><html><head><title>Høstnytt</title></head><body><h1>Hei [[customer.firstname]]</h1>"
        f"{''.join(paragraphs)}<p>Sendt til [[customer.email]]. "
        '<a href="[[link.unsubscribe]]">Meld deg av</a></p></body></html>'
    )


async def compose(prepared: Prepared) -> tuple[int, int]:
    """Make a mailing and let a worker make its list; return its id and the size of a message in octets."""
    setup = {
        "name": "Høstnytt", "from_name": "Nordlys", "from_email": f"post@{FROM_DOMAIN}", "language": "nb",
        "subscription_type_id": prepared.type_id,
    }  # fmt: skip
    mailing_id = (await call(prepared, "POST", "", setup))["id"]
    content = {"subject": "Høstnytt til [[customer.firstname]]", "html": newsletter()}
    await call(prepared, "PUT", f"/{mailing_id}/content", content)
    source = {"kind": "selection", "selection_id": prepared.selection_id}
    await call(prepared, "POST", f"/{mailing_id}/sources", source)
    await until(prepared, mailing_id, lambda seen: bool(seen["listed"]))
    return mailing_id, (await call(prepared, "GET", f"/{mailing_id}/preview"))["size"]


async def sign_with(prepared: Prepared, algorithms: Sequence[str]) -> None:
    """Make and activate keys of the From domain of `compose`: what is sent from then on is signed."""
    if not algorithms:
        return
    domain = await _post(prepared, "", {"domain": FROM_DOMAIN})
    for algorithm in algorithms:
        key = await _post(prepared, f"/{domain['id']}/dkim-keys", {"algorithm": algorithm})
        await _post(prepared, f"/{domain['id']}/dkim-keys/{key['id']}/activate", {"force": True})


async def _post(prepared: Prepared, path: str, body: Mapping[str, Any]) -> Any:
    answer = await prepared.client.post(f"/v1/sending-domains{path}", json=body)
    if answer.is_error:
        raise BenchError(f"/v1/sending-domains{path} answers {answer.status_code}: {answer.text}")
    return answer.json()


async def call(prepared: Prepared, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Call the API on mailings; raises StalledError with the problem it answers."""
    answer = await prepared.client.request(method, f"/v1/mailings{path}", json=body)
    if answer.is_error:
        raise StalledError(f"{method} /v1/mailings{path} answers {answer.status_code}: {answer.text}")
    return answer.json()


async def send(
    prepared: Prepared, mailing_id: int, *, workers: Sequence[int], sinks: Sequence[int], side: str = OURS
) -> Run:
    """Send a composed mailing to its end; `workers` and `sinks` are processes, for what they cost."""
    groups = {"worker": workers, "postgres": [prepared.house.postgres_pid], "sink": sinks}
    await call(prepared, "POST", f"/{mailing_id}/send")
    await until(prepared, mailing_id, lambda seen: seen["state"] not in ("draft", "preparing"))
    before = {name: cpu_seconds(*pids) for name, pids in groups.items()}
    seen = await until(prepared, mailing_id, lambda seen: seen["sent"] == prepared.messages)
    seconds = time.time() - seen["started_at"].timestamp()
    each = {name: (cpu_seconds(*pids) - before[name]) / prepared.messages * 1e6 for name, pids in groups.items()}
    sink_us = each.pop("sink")
    await until(prepared, mailing_id, lambda seen: seen["state"] == "finished")
    return Run(
        side,
        prepared.messages / seconds,
        seconds,
        cpu_us=each,
        peak_rss_mb=peak_rss_mb(workers),
        further={"sink_cpu_us": sink_us, "per_cpu_second": 1e6 / sum(each.values())},
    )


_SEEN = """
    SELECT state, state_reason, started_at, list_updated_at IS NOT NULL AS listed, coalesce((
        SELECT value FROM recipient_tally WHERE mailing_id = mailing.id AND name = 'sent'
    ), 0) AS sent FROM mailing WHERE id = $1
"""


async def until(prepared: Prepared, mailing_id: int, reached: Callable[[Any], bool]) -> Any:
    """Wait until what is seen of the mailing is as wanted, and return it; raises StalledError."""
    before, moved_at = None, time.monotonic()
    while True:
        seen: Any = await prepared.connection.fetchrow(_SEEN, mailing_id)
        if reached(seen):
            return seen
        if seen != before:
            before, moved_at = seen, time.monotonic()
        if time.monotonic() - moved_at > STALLED_SECONDS or seen["state"] in ("stopped", "failed", "cancelled"):
            raise StalledError(
                f"The mailing is {seen['state']} with {seen['sent']} of {prepared.messages} sent: "
                f"{seen['state_reason'] or prepared.house.last_words('worker-1')}"
            )
        await asyncio.sleep(LOOK_SECONDS)
