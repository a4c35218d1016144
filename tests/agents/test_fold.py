"""The fold takes the records of a log: each once, in order. Anything else is a bug in the reading, and ends it."""

from types import SimpleNamespace

import pytest

from agents.fold import fold
from tables.core.rows import Position
from tables.ledger import Ledger
from tables.store import MemoryStore


def tick(offset):
    return SimpleNamespace(offset=offset, timestamp=1, key=None, value=b'{"type":"tick"}')


@pytest.mark.parametrize("offsets", [(5, 6, 5, 6), (5, 5), (6, 5)])
def test_a_record_that_comes_again_is_not_applied_again(offsets):
    ledger = Ledger(MemoryStore())
    ledger.position = Position(5, 0, "a life")
    with pytest.raises(RuntimeError, match="comes after"):
        fold(ledger, [tick(offset) for offset in offsets], partition=0, partitions=1, limit=10)


def test_offsets_may_have_holes():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(5, 0, "a life")
    assert fold(ledger, [tick(5), tick(9)], partition=0, partitions=1, limit=10).next_offset == 10
