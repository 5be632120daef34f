"""Conventions of the API that every slice leans on."""

import asyncio
import base64
import json
from datetime import timedelta

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from app.main import create_app
from app.platform.auth import ApiKey, Scope, create_api_key
from app.platform.clock import now
from app.platform.db import Database
from app.platform.idempotency import forget_expired
from app.platform.tokens import InvalidToken, Purpose, TokenKey
from tests.conftest import SECRET, settings_for

TOKENS = TokenKey.from_secret(SECRET)


def client_of(app, api_key: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {api_key}"}
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers)


async def test_an_expired_and_a_revoked_key_are_refused(app, database):
    async with database.begin() as session:
        expired = await create_api_key(
            session, name="old", scopes=[Scope.ADMIN], expires_at=now() - timedelta(seconds=1)
        )
        revoked = await create_api_key(session, name="gone", scopes=[Scope.ADMIN])
        await session.exec(text("UPDATE api_key SET revoked_at = now() WHERE name = 'gone'"))
    for api_key in (expired, revoked):
        async with client_of(app, api_key) as client:
            answer = await client.get("/v1/templates")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_keys_are_stored_hashed(session):
    api_key = await create_api_key(session, name="k", scopes=[Scope.ADMIN])
    row = await session.get(ApiKey, (await session.exec(text("SELECT max(id) AS id FROM api_key"))).one().id)
    assert api_key.encode() not in row.hash
    assert api_key not in str(row.model_dump())


async def test_asking_too_often_is_put_off(database, postgres_url):
    app = create_app(settings_for(postgres_url, rate_limit_per_minute=3), database=database)
    async with database.begin() as session:
        api_key = await create_api_key(session, name="busy", scopes=[Scope.ADMIN])
    async with client_of(app, api_key) as client:
        # Seven, since a minute may turn in between and the count begin anew: three in each leave one too many.
        answers = [await client.get("/v1/templates") for _ in range(7)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.json()["type"] == "urn:budstikke:problem:too-many-requests"
    assert "ratelimit" in answers[0].headers


async def test_of_two_requests_with_one_idempotency_key_at_once_only_one_acts(fresh_database):
    """The key is committed with what it did; the second is told that the first is still running, or its answer."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="test")
    async with database.begin() as session:
        api_key = await create_api_key(session, name="twice", scopes=[Scope.ADMIN])
    app = create_app(settings, database=database)
    async with client_of(app, api_key) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/templates", json={"name": "N"}, headers={"Idempotency-Key": "k"}) for _ in range(8))
        )
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        assert len((await client.get("/v1/templates")).json()["items"]) == 1
    await database.close()


async def test_a_refused_request_may_be_mended_under_its_idempotency_key(client):
    headers = {"Idempotency-Key": "mend"}
    assert (await client.post("/v1/templates", json={"name": ""}, headers=headers)).status_code == 422
    assert (await client.post("/v1/templates", json={"name": "Good"}, headers=headers)).status_code == 201


async def test_an_idempotency_key_does_not_open_the_door(app, client):
    headers = {"Idempotency-Key": "door"}
    assert (await client.post("/v1/templates", json={"name": "N"}, headers=headers)).status_code == 201
    async with client_of(app, "bsk_stranger") as stranger:
        assert (await stranger.post("/v1/templates", json={"name": "N"}, headers=headers)).status_code == 401


async def test_an_answer_is_replayed_for_a_day_and_then_forgotten(client, database):
    headers = {"Idempotency-Key": "day"}
    first = await client.post("/v1/templates", json={"name": "N"}, headers=headers)
    async with database.begin() as session:
        await session.exec(text("UPDATE idempotent_answer SET created_at = now() - interval '25 hours'"))
        await forget_expired(session)
        assert (await session.exec(text("SELECT 1 FROM idempotent_answer"))).all() == []
    again = await client.post("/v1/templates", json={"name": "N"}, headers=headers)
    assert again.json()["id"] != first.json()["id"]


async def test_a_database_that_is_away_is_a_503_problem():
    settings = settings_for("postgresql://nobody:nothing@127.0.0.1:1/none")
    app = create_app(settings)
    async with client_of(app, "bsk_any") as client:
        answer = await client.get("/v1/templates")
        ready = await client.get("/readyz")
        live = await client.get("/livez")
    assert (answer.status_code, ready.status_code, live.status_code) == (503, 503, 200)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nothing" not in answer.text
    await app.state.database.close()


async def test_request_ids_go_in_and_out_and_hostile_ones_are_replaced(client):
    assert (await client.get("/livez", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    replaced = (await client.get("/livez", headers={"X-Request-Id": "x" * 500})).headers["x-request-id"]
    assert len(replaced) == 16


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_token_is_read_by_its_purpose_and_no_other(purpose):
    token = TOKENS.make(purpose, 7, 9)
    assert len(token) == 32
    assert TOKENS.read(purpose, token) == (7, 9)
    for other in set(Purpose) - {purpose}:
        with pytest.raises(InvalidToken):
            TOKENS.read(other, token)


def test_a_token_with_any_character_changed_is_no_token():
    token = TOKENS.make(Purpose.CLICK, 7, 9)
    for position, character in enumerate(token):
        changed = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(InvalidToken):
            TOKENS.read(Purpose.CLICK, changed)


@pytest.mark.parametrize("token", ["", "x", "A" * 31, "A" * 33, "ø" * 32, " " * 32, "=" * 32])
def test_what_never_was_a_token_is_refused(token):
    with pytest.raises(InvalidToken):
        TOKENS.read(Purpose.CLICK, token)
    with pytest.raises(InvalidToken):
        TOKENS.read_return_path(f"b+{token}")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/mailings/9223372036854775808", "path:mailing_id"),
        ("/v1/mailings/-99999999999999999999/recipients", "path:mailing_id"),
        ("/v1/persons/123456789012345678901234567890", "path:person_id"),
        ("/v1/persons?q=a%00b", "query:q"),
        ("/v1/persons?external_id=%00", "query:external_id"),
    ],
)
async def test_what_no_row_can_have_is_refused_before_the_database_is_asked(client, path, pointer):
    answer = await client.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("after", [0, -1, 2**63, 10**30, True, 1.0, None, "1"])
async def test_a_cursor_that_no_page_gave_is_refused(client, after):
    cursor = base64.urlsafe_b64encode(json.dumps({"after": after}).encode()).decode()
    answer = await client.get("/v1/persons", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query:cursor")


async def test_a_request_that_waits_in_a_circle_is_given_up_and_tried_again(fresh_database):
    """Somebody holds the draft and wants its selection, while the request deletes the selection and wants the draft."""
    database = Database.connect(settings_for(fresh_database), name="test")
    async with database.begin() as session:
        key = await create_api_key(session, name="tests", scopes=[Scope.ADMIN])
    other = await asyncpg.connect(fresh_database)
    async with client_of(create_app(settings_for(fresh_database), database=database), key) as client:
        selection = (await client.post("/v1/selections", json={"name": "S"})).json()["id"]
        mailing = (await client.post("/v1/mailings", json={"name": "M", "selection_id": selection})).json()["id"]
        await other.execute("SET deadlock_timeout = '1min'")
        held = other.transaction()
        await held.start()
        await other.execute("SELECT FROM mailing WHERE id = $1 FOR UPDATE", mailing)
        deletion = asyncio.create_task(client.delete(f"/v1/selections/{selection}"))
        async with asyncio.timeout(20):
            while not await other.fetchval(  # noqa: ASYNC110 - what it looks at knows nothing of events
                "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            ):
                await asyncio.sleep(0.01)
        await other.execute("SELECT FROM selection WHERE id = $1 FOR UPDATE", selection)
        await held.rollback()  # the request let go of the selection, and wants it again
        assert (await deletion).status_code == 204
    await other.close()
    await database.close()
