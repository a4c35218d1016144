"""When policies are resolved anew, and when a reserve need not ask for them at all."""

from unittest.mock import patch

import pytest

from schemas.policies import resolve
from tables.core import placing, register
from tables.core.register import OwnPolicies, Register
from tables.core.rows import PolicyRow
from tests.tables.partition import Partition


class Shop:
    """A partition with stock in two warehouses, that counts how often a policy is resolved."""

    def __init__(self):
        self.partition = Partition()
        self.count = 0
        self.resolved = 0
        for warehouse in ("leeds", "york"):
            self.tell("adjust", warehouse=warehouse, delta=9, reason="receipt")

    def tell(self, type_, **fields):
        self.count += 1
        ids = {"version": self.count} if type_ in {"set_warehouse", "set_channel"} else {"sku": "S"}

        def counting(layers):
            self.resolved += 1
            return resolve(layers)

        with patch.object(register, "resolve", counting):
            (result,) = self.partition.tell({"type": type_, "command_id": f"c{self.count}"} | ids | fields)
        return result

    def reserve(self, quantity, **fields):
        """Return where the units are, or the code; the reservation's id is that of the command."""
        result = self.tell("reserve", reservation_id=f"c{self.count + 1}", quantity=quantity, **fields)
        if result["code"] is not None:
            return result["code"]
        return {part["warehouse"]: part["quantity"] for part in result["reservation"]["allocations"]}


@pytest.fixture
def shop():
    return Shop()


def test_the_policies_of_a_sku_are_resolved_once_for_each_channel(shop):
    shop.tell("set_policy", channel="web", max_per_reservation=3)
    for _ in range(3):
        assert shop.reserve(1, channel="web") == {"leeds": 1}
        assert shop.reserve(4, channel="web") == "quantity_above_limit"
        shop.tell("commit", reservation_id=f"c{shop.count - 1}")
    assert shop.resolved == 1
    assert (shop.reserve(4, channel="shop"), shop.resolved) == ({"leeds": 4}, 2)


def test_channels_that_nobody_set_share_a_resolved_policy(shop):
    shop.tell("set_policy", channel="*", max_per_reservation=3)
    for number in range(20):
        assert shop.reserve(4, channel=f"c{number}") == "quantity_above_limit"
    assert shop.resolved == 1


def test_another_policy_of_the_sku_counts_from_the_next_command_on(shop):
    for limit, most in (
        ({"max_per_reservation": 3}, 3),
        ({"max_per_reservation": 2}, 2),
        ({}, 18),
        ({"buffer": 1}, 17),
    ):
        shop.tell("set_policy", channel="web", **limit)
        shop.tell("set_policy", channel="shop", buffer=5)
        assert shop.tell("query", channel="web")["availability"]["most_per_reservation"] == most


def test_another_policy_of_the_channel_counts_for_skus_with_their_own(shop):
    shop.tell("set_policy", channel="web", buffer=1)
    for most in (3, 2):
        shop.tell("set_channel", channel="web", max_per_reservation=most)
        assert shop.tell("query", channel="web")["availability"]["most_per_reservation"] == most


def test_of_a_sku_with_many_channels_some_policies_are_kept():
    own = OwnPolicies((f"c{number}", PolicyRow(cap=number)) for number in range(100))
    empty = Register()
    for _ in range(2):
        assert [empty.policy(f"c{number}", own).cap for number in range(100)] == [*range(100)]
        assert len(own.resolved) <= register._KEPT_RESOLVED


# A warehouse or channel that changes nothing leaves the plain path to every SKU without policies.


def test_a_warehouse_like_all_others_leaves_the_reserves_as_they_were(shop):
    shop.tell("set_warehouse", warehouse="york", region="north", name="York")
    with patch.object(placing, "shelf_for", side_effect=AssertionError):
        assert shop.reserve(10) == {"leeds": 9, "york": 1}
    assert not shop.partition.ledger.register.has_rules


@pytest.mark.parametrize("unlike", [{"priority": 101}, {"enabled": False}])
def test_a_warehouse_unlike_the_others_counts_until_it_is_like_them_again(shop, unlike):
    shop.tell("set_warehouse", warehouse="leeds", **unlike)
    assert shop.reserve(1) == {"york": 1}
    shop.tell("set_warehouse", warehouse="york")
    assert shop.reserve(1) == {"york": 1}
    shop.partition.rebuild()
    assert shop.reserve(1) == {"york": 1}
    shop.tell("set_warehouse", warehouse="leeds")
    assert shop.reserve(1) == {"leeds": 1}
    assert not shop.partition.ledger.register.has_rules


def test_a_channel_leaves_the_others_as_they_were(shop):
    shop.tell("set_channel", channel="web", max_per_reservation=3)
    with patch.object(placing, "shelf_for", side_effect=AssertionError):
        assert shop.reserve(4) == {"leeds": 4}
        assert shop.reserve(4, channel="web") == "quantity_above_limit"
    shop.tell("set_channel", channel="*", max_per_reservation=2)
    assert shop.reserve(3) == "quantity_above_limit"
