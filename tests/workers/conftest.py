"""A worker that imports."""

import pytest

from app.platform.db import Database
from app.platform.tokens import TokenKey
from tests.conftest import SECRET, settings_for
from tests.workers.import_house import House
from workers.context import Context


@pytest.fixture
def house(database, settings) -> House:
    return House(database, Context(settings, database, TokenKey.from_secret(SECRET)))


@pytest.fixture
async def real_house(fresh_database):
    """A database of the test's own, where several connections see each other's commits."""
    settings = settings_for(fresh_database)
    database = Database.connect(settings, name="tests")
    yield House(database, Context(settings, database, TokenKey.from_secret(SECRET)))
    await database.close()
