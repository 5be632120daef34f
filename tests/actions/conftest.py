import pytest

from tests.actions.world import Receiver, World


@pytest.fixture
async def world(fresh_database):
    async with World(fresh_database) as world:
        yield world


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def world_factory():
    return World
