"""Fixtures of the audit's tests."""

import pytest

from tests.audit.ledger import Log, Published


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def new_log():
    return Log


@pytest.fixture
def published():
    return Published
