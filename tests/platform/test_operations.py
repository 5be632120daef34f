"""`/v1/operations`: watching and cancelling long work."""

from app.platform.operations import OperationState, advance, close_operation, open_operation
from tests.streams import events


async def opened(database) -> int:
    async with database.begin() as session:
        return (await open_operation(session, kind="import")).id


async def test_an_operation_shows_its_progress_and_its_result(client, database):
    operation_id = await opened(database)
    async with database.begin() as session:
        assert await advance(session, operation_id=operation_id, done=5, total=10) is False
    shown = (await client.get(f"/v1/operations/{operation_id}")).json()
    assert (shown["state"], shown["progress"]) == ("running", {"done": 5, "total": 10})
    async with database.begin() as session:
        await close_operation(
            session, operation_id=operation_id, state=OperationState.SUCCEEDED, result={"created": 10}
        )
    shown = (await client.get(f"/v1/operations/{operation_id}")).json()
    assert (shown["state"], shown["progress"]["done"], shown["result"]) == ("succeeded", 10, {"created": 10})


async def test_cancelling_tells_the_job_at_its_next_step(client, database):
    operation_id = await opened(database)
    assert (await client.post(f"/v1/operations/{operation_id}/cancel")).status_code == 202
    async with database.begin() as session:
        assert await advance(session, operation_id=operation_id, done=1) is True


async def test_what_is_over_cannot_be_cancelled(client, database):
    operation_id = await opened(database)
    async with database.begin() as session:
        await close_operation(session, operation_id=operation_id, state=OperationState.FAILED, error={"detail": "no"})
    refused = await client.post(f"/v1/operations/{operation_id}/cancel")
    assert refused.status_code == 409
    assert "failed" in refused.json()["detail"]


async def test_an_end_is_final(database):
    operation_id = await opened(database)
    async with database.begin() as session:
        await close_operation(session, operation_id=operation_id, state=OperationState.SUCCEEDED, result={"n": 1})
        await close_operation(session, operation_id=operation_id, state=OperationState.FAILED, error={"detail": "late"})
        assert await advance(session, operation_id=operation_id, done=3) is True


async def test_events_tell_the_end_and_then_the_stream_ends(client, database):
    operation_id = await opened(database)
    async with database.begin() as session:
        await close_operation(session, operation_id=operation_id, state=OperationState.SUCCEEDED, result={"n": 1})
    answer = await client.get(f"/v1/operations/{operation_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    [(event_id, data)] = events(answer.text)
    assert data["state"] == "succeeded"
    resumed = await client.get(f"/v1/operations/{operation_id}/events", headers={"Last-Event-ID": str(event_id - 1)})
    assert [data["state"] for _, data in events(resumed.text)] == ["succeeded"]


async def test_an_unknown_operation_is_not_found(client):
    assert (await client.get("/v1/operations/999999")).status_code == 404
    assert (await client.get("/v1/operations/999999/events")).status_code == 404
