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
