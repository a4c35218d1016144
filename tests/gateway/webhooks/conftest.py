"""Fixtures of the webhooks' tests."""

import pytest
from receiver import OTHER_SECRET, SECRET, receiving


@pytest.fixture(scope="session")
def broker(broker_of_events):
    return broker_of_events


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def secrets():
    return SECRET, OTHER_SECRET
