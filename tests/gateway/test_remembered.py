"""What was answered lately is answered again only while it would be the same."""

import json
import random

import pytest

from gateway.availability import AvailabilityView
from gateway.remembered import EVERYBODY, Remembered
from gateway.rules import ReferenceView
from schemas.codec import encode
from tests.gateway.conftest import change_of

SKUS, PLACES, CHANNELS = ["a", "b", "c"], ["leeds", "york"], ["web", "shop"]


def test_an_answer_is_found_until_its_sku_or_its_rules_change():
    remembered = Remembered()
    remembered.keep("a", EVERYBODY, 0, b"all")
    remembered.keep("a", "web", 1, b"web")
    remembered.keep("b", "web", 1, b"other")
    assert remembered.find("a", EVERYBODY, 0) == b"all"
    assert remembered.find("a", "web", 1) == b"web"
    assert remembered.find("a", "shop", 1) is None
    assert remembered.find("a", "web", 2) is None
    remembered.keep("a", "web", 2, b"newer")
    assert remembered.find("a", "web", 2) == b"newer"
    remembered.forget("a")
    assert (remembered.find("a", EVERYBODY, 0), remembered.find("a", "web", 2)) == (None, None)
    assert remembered.find("b", "web", 1) == b"other"
    remembered.forget("b")
    assert ("b" in remembered, remembered._bytes) == (False, 0)


def test_answers_never_take_more_than_they_may_and_a_very_large_one_is_not_kept():
    remembered = Remembered(10_000)
    for number in range(200):
        remembered.keep(f"s{number % 50}", EVERYBODY, 0, b"x" * (number % 7) * 100)
        held = sum(len(it) + 400 for known in remembered._answers.values() for _, it in known.values())
        assert remembered._bytes == held <= 10_000
    assert remembered.find("s49", EVERYBODY, 0) is not None
    remembered.keep("large", EVERYBODY, 0, b"x" * 20_000)
    assert remembered.find("large", EVERYBODY, 0) is None


def document_of(chance, version):
    kind = chance.choice(["warehouse", "channel", "policy"])
    common = {"kind": kind, "version": version, "command_id": f"c{version}", "at": 1}
    if kind == "warehouse":
        fields = {"region": None, "journal_ms": 0, "name": None, "journal_since": None}
        return common | fields | {"id": chance.choice(PLACES), "enabled": chance.random() < 0.7, "priority": 1}
    policy = {"enabled": chance.random() < 0.8, "buffer": chance.randrange(3), "presell_horizon_ms": 20}
    if kind == "channel":
        return common | policy | {"id": chance.choice([*CHANNELS, "*"]), "name": None}
    del common["version"], common["command_id"]
    return common | policy | {"channel": chance.choice(CHANNELS), "sku": chance.choice(SKUS)}


def change_or_book(chance, sku, seq):
    change = change_of(sku, chance.choice(PLACES), seq, on_hand=chance.randrange(9), reserved=chance.randrange(4))
    if chance.random() < 0.3:
        inbounds = [
            {"inbound_id": "i", "warehouse": "york", "eta_at": chance.randrange(200), "remaining": 5, "claimed": 1}
        ]
        channels = [{"channel": "web", "held": 1, "backordered": 1}]
        book = {"backordered": 1, "promised": 0, "settling": chance.random() < 0.5, "channels": channels}
        change |= {"warehouse": "", "book": book | {"inbounds": chance.choice([inbounds, []])}}
    return change


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_always_what_is_found_anew(seed):
    chance = random.Random(seed)
    view, rules, seqs, found = AvailabilityView(), ReferenceView(1), {}, 0
    for now in range(150):
        what = chance.random()
        if what < 0.3:
            sku = chance.choice(SKUS)
            seqs[sku] = seqs.get(sku, 0) + 1
            view.apply_record(0, None, encode(change_or_book(chance, sku, seqs[sku])))
        elif what < 0.45:
            rules.apply(0, b"key", json.dumps(document_of(chance, now)).encode())
        elif what < 0.5:
            rules.apply(0, f"policy/{chance.choice(CHANNELS)}/{chance.choice(SKUS)}".encode(), None)
        elif what < 0.51:
            chance.choice([rules, view]).clear()
        sku, channel = chance.choice([*SKUS, "unknown"]), chance.choice(CHANNELS)
        assert view.written(sku) == encode(view.available(sku))
        assert view.written_to(sku, channel, rules.of[0], now) == encode(
            view.available_to(sku, channel, rules.of[0], now)
        )
        found += sku in view._remembered
    assert found > 30
