"""What the view answers is what the ledger decides, over random histories, once the view has caught up."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.availability import AvailabilityView
from gateway.rules import ReferenceView
from schemas.codec import encode
from schemas.topics import REFERENCE, STOCK_CHANGES
from tests.tables.partition import Partition

SKUS, CHANNELS, WAREHOUSES = ("a", "b"), ("web", "shop"), ("leeds", "york", "bath")
few = st.integers(1, 6)
policy = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(), "split": st.booleans(), "buffer": st.integers(0, 5), "cap": st.integers(0, 20),
        "max_per_reservation": few, "warehouses": st.lists(st.sampled_from(WAREHOUSES), unique=True),
    },
)  # fmt: skip
holds = st.sampled_from(["r1", "r2", "r3", "r4"])
commands = st.one_of(
    st.builds(dict, st.just({"type": "adjust", "reason": "correction"}), sku=st.sampled_from(SKUS),
              warehouse=st.sampled_from(WAREHOUSES), count=st.integers(0, 12)),
    st.builds(dict, st.just({"type": "adjust", "reason": "correction", "bucket": "safety_stock"}),
              sku=st.sampled_from(SKUS), warehouse=st.sampled_from(WAREHOUSES), count=st.integers(0, 3)),
    st.builds(dict, st.just({"type": "reserve"}), sku=st.sampled_from(SKUS), channel=st.sampled_from(CHANNELS),
              reservation_id=holds, quantity=few, partial=st.booleans()),
    st.builds(dict, st.just({"type": "commit"}), sku=st.sampled_from(SKUS), reservation_id=holds, quantity=few),
    st.builds(dict, st.just({"type": "release"}), sku=st.sampled_from(SKUS), reservation_id=holds),
    st.builds(lambda fields, **more: fields | more, policy, type=st.just("set_policy"), sku=st.sampled_from(SKUS),
              channel=st.sampled_from([*CHANNELS, "*"])),
    st.builds(lambda fields, **more: fields | more, policy, type=st.just("set_channel"),
              version=st.integers(1, 9), channel=st.sampled_from([*CHANNELS, "*"])),
    st.builds(dict, st.just({"type": "set_warehouse"}), warehouse=st.sampled_from(WAREHOUSES),
              version=st.integers(1, 9), enabled=st.booleans(), priority=st.integers(0, 3)),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(commands, min_size=1, max_size=30))
def test_the_view_answers_what_a_query_answers_and_a_reserve_is_given(history):
    partition = Partition()
    for number, command in enumerate(history):
        partition.tell(command | {"command_id": f"c{number}"})
    view, rules = AvailabilityView(), ReferenceView(1)
    for key, value in partition.published[STOCK_CHANGES]:
        view.apply_record(0, key, value)
    for key, value in partition.published[REFERENCE]:
        rules.apply(0, key, value)
    for sku in SKUS:
        for channel in CHANNELS:
            seen = json.loads(encode(view.available_to(sku, channel, rules.of[0])))
            (asked,) = partition.tell({"type": "query", "command_id": "q", "sku": sku, "channel": channel})
            if asked["code"] == "unknown_sku":
                assert seen["stock"] == []
                continue
            shown = asked["availability"]
            assert {name: seen[name] for name in shown} == shown
            assert (seen["stock"], seen["seq"]) == (asked["stock"], asked["seq"])
    most = view.available_to("a", "web", rules.of[0]).most_per_reservation
    reserve = {"type": "reserve", "sku": "a", "channel": "web", "reservation_id": "probe"}
    (more,) = partition.tell(reserve | {"command_id": "more", "quantity": most + 1})
    assert more["status"] == "rejected"
    if most:
        (given_all,) = partition.tell(reserve | {"command_id": "most", "quantity": most})
        assert given_all["status"] == "accepted"
