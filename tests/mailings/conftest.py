"""A house where mailings are scheduled, and a clock to be set."""

import pytest

from tests.mailings.scheduling import Clock, House


@pytest.fixture
def house(client, database, settings):
    return House(client, database, settings)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)
