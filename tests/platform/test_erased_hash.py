"""The keyed hash of erased addresses (D78)."""

from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.platform.db import Database
from app.platform.tokens import TokenKey, erasure_key
from tests.conftest import SECRET

HASH = text("SELECT erased_hash('kari@example.com') AS hash, erased_hash(NULL) AS none")


async def test_the_hash_of_an_erased_address_is_sha256_over_the_key_and_the_address(session):
    row = (await session.exec(HASH)).one()
    assert row.hash == sha256(bytes.fromhex(erasure_key(SECRET)) + b"kari@example.com").digest()
    assert row.none is None


async def test_connections_of_the_service_bring_the_key(settings):
    database = Database.connect(settings, name="test")
    try:
        async with database.begin() as session:
            row = (await session.exec(HASH)).one()
    finally:
        await database.close()
    assert row.hash == sha256(bytes.fromhex(erasure_key(SECRET)) + b"kari@example.com").digest()


async def _hash_without_key(database):
    async with database.begin() as session:
        await session.exec(text("SET LOCAL budstikke.erasure_key = ''"))
        await session.exec(HASH)


async def test_a_connection_without_the_key_is_told_so(database):
    with pytest.raises(DBAPIError, match=r"no budstikke\.erasure_key"):
        await _hash_without_key(database)


def test_the_erasure_key_is_neither_the_key_of_tokens_nor_another_secrets():
    assert bytes.fromhex(erasure_key(SECRET)) != TokenKey.from_secret(SECRET).secret
    assert erasure_key(SECRET) != erasure_key(SECRET + "x")
