"""What placing a quantity costs: each warehouse is looked at a few times, however many there are."""

import pytest

from schemas.policies import Policy
from tables.core.decision import Sku
from tables.core.placing import Demand, place
from tables.core.register import Register
from tables.core.rows import Stock, WarehouseRow

WAREHOUSES = 400


class Name(str):
    """A warehouse id that counts how often any of them is compared with another string."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other):
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.fixture
def names():
    Name.compared = 0
    return [Name(f"w{number:03}") for number in range(WAREHOUSES)]


@pytest.mark.parametrize("split", [True, False])
def test_the_strategy_region_compares_each_warehouse_a_few_times(names, split):
    register = Register()
    for name in names[::2]:
        register.put(f"warehouse/{name}", WarehouseRow(1, "c", 0, True, 100, "north", 0, None, None))
    stock = {name: Stock(on_hand=1) for name in names}
    policy = Policy(warehouses=tuple(names), strategy="region", split=split)
    demand = Demand(WAREHOUSES // 2 + 1, region="north", partial=True)
    placing = place(demand, policy, Sku(0, stock), register)
    assert [*dict(placing.parts)] == ([*names[::2], names[1]] if split else [names[0]])
    assert Name.compared < 10 * WAREHOUSES
