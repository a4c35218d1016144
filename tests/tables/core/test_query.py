"""What a query shows on behalf of some channels."""

import pytest

from tests.tables.partition import Partition

STOCK = {"type": "adjust", "command_id": "a", "warehouse": "w", "delta": 5, "reason": "receipt"}
RESERVE = {"type": "reserve", "reservation_id": "r", "quantity": 1, "channel": "web"}


@pytest.fixture
def results():
    """Return a partition, and the results of commands about a reservation of the channel `web`, by command id."""
    partition = Partition()
    told = partition.tell(
        STOCK | {"sku": "S"},
        RESERVE | {"sku": "S", "command_id": "reserved"},
        {"type": "extend", "sku": "S", "command_id": "extended", "reservation_id": "r", "ttl_ms": 5_000},
        RESERVE | {"sku": "S", "command_id": "refused"},
    )
    return partition, {result["command_id"]: result for result in told}


def of_command(partition, command_id, **fields):
    query = {"type": "query", "sku": "S", "command_id": "q", "of_command_id": command_id}
    (result,) = partition.tell(query | fields)
    return result["of_command"]


@pytest.mark.parametrize("command_id", ["reserved", "extended"])
def test_a_result_with_a_reservation_is_shown_to_its_channel_only(results, command_id):
    partition, told = results
    assert of_command(partition, command_id, channels=["shop"]) is None
    assert of_command(partition, command_id, channels=["shop"], reservation_id="r") is None
    assert of_command(partition, command_id, channels=["shop", "web"]) == told[command_id]
    assert of_command(partition, command_id) == told[command_id]


@pytest.mark.parametrize("command_id", ["a", "refused"])
def test_a_result_without_a_reservation_is_shown_to_every_channel(results, command_id):
    partition, told = results
    assert of_command(partition, command_id, channels=["shop"]) == told[command_id]


def test_who_waits_is_shown_to_its_channels_only(results):
    partition, _ = results
    rule = {"type": "set_channel", "command_id": "rule", "channel": "*", "version": 1, "backorder_limit": 99}
    wait = {"type": "reserve", "sku": "S", "quantity": 9, "wait": "any", "partial": True}
    partition.tell(
        rule,
        *[
            wait | {"command_id": name, "reservation_id": name, "channel": channel}
            for name, channel in (("w1", "web"), ("s1", "shop"), ("w2", "web"), ("v1", "vip"), ("s2", "shop"))
        ],
    )

    def waiting(count, **fields):
        (result,) = partition.tell({"type": "query", "sku": "S", "command_id": "q", "waiting": count} | fields)
        return [shown["reservation_id"] for shown in result["waiting"]]

    assert waiting(9) == ["w1", "s1", "w2", "v1", "s2"]
    assert waiting(2, channels=["shop"]) == ["s1", "s2"]
    assert waiting(3, channels=["vip", "web"]) == ["w1", "w2", "v1"]
    assert waiting(9, channels=["app"]) == []
