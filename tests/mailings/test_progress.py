"""Watching a mailing: what is done, how fast it goes, when it will be through."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from app.mailings import progress_routes
from app.mailings.models import Mailing, MailingState
from app.mailings.progress import PACE_SECONDS, Pace, progress_of
from app.recipients.models import RecipientStatus
from app.recipients.schemas import ListCounts
from tests.recipients.desk import Desk
from tests.streams import events

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def counts(**by_status):
    found = dict.fromkeys(RecipientStatus, 0) | {RecipientStatus(name): count for name, count in by_status.items()}
    return ListCounts(total=sum(found.values()), by_status=found, blocked_by_reason={})


def test_the_rate_is_that_of_the_last_seconds():
    pace = Pace()
    assert pace.look(START, 100) is None
    rates = [pace.look(START + timedelta(seconds=n), 100 + 50 * n) for n in range(1, 31)]
    assert set(rates) == {50}
    slower = [pace.look(START + timedelta(seconds=30 + n), 1600) for n in range(1, round(PACE_SECONDS) + 2)]
    assert slower[0] > slower[5] > slower[-1] == 0


def test_the_end_is_estimated_from_those_that_were_never_tried():
    mailing, pace = Mailing(id=7, name="News", state=MailingState.SENDING), Pace()
    progress_of(mailing, counts(ready=1000), pace=pace, at=START)
    progress = progress_of(
        mailing, counts(ready=600, sent=360, bounced=30, failed=10, deferred=50, blocked=9), pace=pace,
        at=START + timedelta(seconds=10),
    )  # fmt: skip
    assert (progress.total, progress.done, progress.sent, progress.failed, progress.deferred) == (
        1050,
        400,
        360,
        40,
        50,
    )
    assert progress.rate == 40
    assert progress.estimated_end_at == START + timedelta(seconds=10 + 600 / 40)


def test_a_stopped_mailing_has_no_rate():
    mailing = Mailing(id=7, name="News", state=MailingState.STOPPED)
    progress = progress_of(mailing, counts(ready=5), pace=Pace(), at=START)
    assert (progress.rate, progress.estimated_end_at) == (None, None)


@pytest.fixture
async def desk(client, session):
    return await Desk(client, session).open(from_email="post@nordlys.example")


async def test_each_change_is_told_until_the_mailing_is_over(desk, client, app):
    async def receive():
        await asyncio.Event().wait()

    scope = {"type": "http", "app": app, "headers": [(b"last-event-id", b"4")]}
    stream = progress_routes.watch(Request(scope, receive), desk.mailing)
    [(first, draft)] = events((await anext(stream)).decode())
    assert (await client.post(f"/v1/mailings/{desk.mailing}/cancel")).status_code == 200
    [(second, cancelled)] = events((await anext(stream)).decode())
    assert (first, draft["state"], second, cancelled["state"]) == (5, "draft", 6, "cancelled")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)

    again = await client.get(f"/v1/mailings/{desk.mailing}/events", headers={"Last-Event-ID": "6"})
    assert events(again.text) == [(7, cancelled)]


async def test_an_unknown_mailing_is_not_found(client):
    assert (await client.get("/v1/mailings/999999/events")).status_code == 404
