"""What the tests of the list share."""

import pytest

from tests.recipients.desk import Desk


@pytest.fixture
async def desk(client, session):
    return await Desk(client, session).open()
