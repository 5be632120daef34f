import pytest

from tests.privacy.subject import Subject


@pytest.fixture
async def subject(client, database):
    return await Subject(client, database).build()
