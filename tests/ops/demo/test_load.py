"""The load of the demo is the same for the same seed, valid, and made of everything that shops do."""

import json
from collections import Counter
from itertools import islice

from ops.demo.load import SKUS, WAREHOUSES, DemoLoad
from schemas.codec import decode_command


def test_the_same_seed_makes_the_same_load():
    assert list(DemoLoad(7).commands(500)) == list(DemoLoad(7).commands(500))
    assert list(DemoLoad(7).commands(500)) != list(DemoLoad(8).commands(500))


def test_every_sku_begins_with_stock_in_every_warehouse():
    opening = [decode_command(sent.step.value) for sent in DemoLoad(1).opening()]
    assert len({(command.sku, command.warehouse) for command in opening}) == SKUS * len(WAREHOUSES)


def test_every_command_is_valid_and_new_unless_it_is_sent_again():
    ids = set()
    for step, again in islice(DemoLoad(1).commands(20_000), 20_000):
        command = decode_command(step.value)
        assert (command.command_id, command.sku) == (step.command_id, step.sku)
        assert (step.command_id in ids) is again
        ids.add(step.command_id)


def test_the_mix_holds_every_kind():
    kinds = Counter(json.loads(sent.step.value)["type"] for sent in DemoLoad(1).commands(20_000))
    assert kinds["reserve"] > kinds["commit"] > kinds["release"] > kinds["adjust"] > 500
