"""The view of reference data finds what is not the same in every partition, and what sending it again mends."""

import msgspec
import pytest

from gateway.rules import ReferenceView
from ops.kafka.doctor import check_reference
from schemas.reference import command_of
from schemas.topics import REFERENCE
from tests.tables.partition import Partition

CONTENTS = [
    {"type": "set_warehouse", "warehouse": "leeds", "priority": 3, "journal_ms": 5_000},
    {"type": "set_warehouse", "warehouse": "leeds", "priority": 3, "journal_ms": 0, "enabled": False},
    {"type": "set_channel", "channel": "web", "cap": 3, "warehouses": ["leeds"]},
    {"type": "set_channel", "channel": "web", "cap": 3, "warehouses": ["leeds", "york"]},
    {"type": "set_feed", "feed": "wms", "as_of_at": 5, "interval_ms": 60_000},
    {"type": "set_feed", "feed": "wms", "as_of_at": 5, "interval_ms": 60_000, "refused": 1},
]


def command_with(content):
    return content | {"version": 7, "command_id": "adm-9"}


def view_of(partitions):
    view = ReferenceView(len(partitions))
    for number, partition in enumerate(partitions):
        for key, value in partition.published[REFERENCE]:
            view.apply(number, key, value)
    return view


@pytest.mark.parametrize(("one", "other"), [*zip(CONTENTS[::2], CONTENTS[1::2], strict=True)])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_contents_under_one_version_and_command_are_found_and_mended_by_sending_again(one, other, swapped):
    contents = [other, one] if swapped else [one, other]
    partitions = [Partition(number, 3) for number in range(3)]
    for partition, content in zip(partitions, [*contents, contents[0]], strict=True):
        partition.tell(command_with(content))
    both = Partition()
    both.tell(*map(command_with, contents))

    (found,) = view_of(partitions).all()
    assert found.partitions
    check = check_reference([found])
    assert (check.ok, check.data) == (False, {"behind": {found.key: found.partitions}})
    for number in found.partitions:
        partitions[number].tell(msgspec.to_builtins(command_of(found.document)))

    (mended,) = view_of(partitions).all()
    assert (mended.partitions, mended.document) == ([], found.document)
    assert check_reference([mended]).ok
    assert msgspec.to_builtins(mended.document) == both.reference()[-1][1]


def test_partitions_that_differ_by_their_clocks_only_are_the_same():
    partitions = [Partition(number, 2) for number in range(2)]
    partitions[1].now += 1_000
    for partition in partitions:
        partition.tell(*map(command_with, CONTENTS[::2]))
    found = [*view_of(partitions).all()]
    assert [(it.key, it.partitions) for it in found] == [("warehouse/leeds", []), ("channel/web", []), ("feed/wms", [])]
    assert partitions[0].reference() != partitions[1].reference()
