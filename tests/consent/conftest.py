import pytest

from tests.consent.people import People


@pytest.fixture
async def people(client, database) -> People:
    return People(client, database)
