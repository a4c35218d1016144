"""What the view answers is what the ledger decides, over random histories, once the view has caught up."""

import json
import random

import msgspec
import pytest

from gateway.availability import AvailabilityView, Wanted
from gateway.rules import ReferenceView
from schemas.codec import encode
from schemas.topics import REFERENCE, STOCK_CHANGES
from tables.core import settling
from tables.core.book import owed_to_queue
from tests.tables.histories import CHANNELS, SKUS, write_history
from tests.tables.partition import Partition

HISTORIES = 60
RECORDS = 50


class Watched:
    """A ledger, with the views that read what it publishes."""

    def __init__(self):
        self.partition, self.view, self.rules = Partition(), AvailabilityView(), ReferenceView(1)
        self._read = {STOCK_CHANGES: 0, REFERENCE: 0}

    def tell(self, command):
        """Give a command to the ledger, and let the views read on."""
        self.partition.tell(command)
        self.read_on()

    def read_anew(self):
        """Let new views read the topics as they are after compaction: the last record of each key."""
        self.view, self.rules, self._read = AvailabilityView(), ReferenceView(1), {STOCK_CHANGES: 0, REFERENCE: 0}
        for topic, records in self.partition.published.items():
            last = {key: number for number, (key, _) in enumerate(records)}
            self.partition.published[topic] = [records[number] for number in sorted(last.values())]
        self.read_on()

    def read_on(self):
        """Let the views read what was published since."""
        for topic, apply in ((STOCK_CHANGES, self.view.apply_record), (REFERENCE, self.rules.apply)):
            for key, value in self.partition.published[topic][self._read[topic] :]:
                apply(0, key, value)
            self._read[topic] = len(self.partition.published[topic])

    def ask(self, type_, **fields):
        """Return what the ledger would answer to a command now; it is not told."""
        found = self.partition.fork().tell({"type": type_, "command_id": "asked"} | fields)
        return next(it for it in found if it["command_id"] == "asked")

    def seen(self, sku, channel):
        return json.loads(encode(self.view.available_to(sku, channel, self.rules.of[0], self.partition.now)))

    def says_all(self, sku):
        """Return whether what the SKU's queue is due is published: not while it waits behind another SKU's."""
        known = self.partition.ledger.sku_or_book(sku)
        owed = owed_to_queue(known.book) if known is not None else 0
        shown = self.view.owed(sku)
        assert shown in {0, owed}
        return shown == owed

    def compare(self, sku, channel):
        """Check that the view answers what a query answers, and that a `reserve` is given that and no more."""
        seen, asked = self.seen(sku, channel), self.ask("query", sku=sku, channel=channel)
        wish = {"sku": sku, "channel": channel, "reservation_id": "asked"}
        if asked["code"] == "unknown_sku":
            assert seen["stock"] == []
            return
        shown, says_all = asked["availability"], self.says_all(sku)
        assert [*map(msgspec.to_builtins, self.view.inbounds(sku))] == asked.get("book", {}).get("inbounds", [])
        assert (seen["stock"], seen["seq"]) == (asked["stock"], asked["seq"])
        assert seen["backorder_room"] == shown["backorder_room"]
        if says_all:
            assert {name: seen[name] for name in shown} == shown
            most = seen["most_per_reservation"]
            assert self.ask("reserve", quantity=most + 1, **wish)["code"] is not None
            assert not most or self.ask("reserve", quantity=most, **wish)["code"] is None

    def check_promise(self, sku, channel, quantity):
        """Check that a `reserve` with `wait` is given a quantity by the date that the view names, and by no earlier."""
        now = self.partition.now
        by = self.view.promise(Wanted(sku, channel, quantity), self.rules.of[0], now)[1]
        wish = {"sku": sku, "channel": channel, "quantity": quantity, "wait": "inbound", "reservation_id": "asked"}
        if not self.says_all(sku):
            return
        if by is None:
            assert self.ask("reserve", **wish)["code"] is not None
            return
        if by > now:
            assert self.ask("reserve", **wish, promise_by=by - 1)["code"] is not None
        given = self.ask("reserve", **wish, promise_by=by)
        assert given["code"] is None
        assert given["reservation"].get("promised_at", now) == by


# With a tail of 2 units of work a queue of two reservations is not settled yet when the next command is decided.
@pytest.mark.parametrize("budget", [2, settling.BUDGET])
def test_the_view_answers_what_a_query_answers_and_a_reserve_is_given(budget, monkeypatch):
    monkeypatch.setattr(settling, "BUDGET", budget)
    for seed in range(HISTORIES):
        ledger, chance = Watched(), random.Random(seed)
        for told in write_history(seed, RECORDS):
            ledger.partition.now = told.at
            ledger.tell(told.value)
            if chance.random() < 0.1:
                sku, channel = chance.choice(SKUS), chance.choice(CHANNELS)
                ledger.compare(sku, channel)
                ledger.check_promise(sku, channel, chance.randint(1, 9))
        while ledger.partition.ledger.pending_since:
            ledger.tell({"type": "tick"})
        if seed % 2:
            ledger.read_anew()
        for sku in SKUS:
            for channel in CHANNELS:
                ledger.compare(sku, channel)
                for quantity in (1, 3, 7):
                    ledger.check_promise(sku, channel, quantity)


def test_units_that_the_queue_is_due_are_seen_by_nobody_else_until_it_is_settled():
    ledger = Watched()
    ledger.tell({"type": "set_channel", "command_id": "c", "channel": "web", "version": 1, "backorder_limit": 100})
    stock = {"type": "adjust", "sku": "a", "warehouse": "leeds", "reason": "receipt"}
    ledger.tell(stock | {"command_id": "in-1", "delta": 1})
    for number in range(30):
        wanted = {"command_id": f"r{number}", "reservation_id": f"r{number}", "quantity": 2, "wait": "any"}
        ledger.tell({"type": "reserve", "sku": "a", "channel": "web"} | wanted)
    assert ledger.seen("a", "web")["backorder_room"] == 41
    ledger.tell(stock | {"command_id": "in-2", "delta": 70})
    seen = ledger.seen("a", "web")
    assert (seen["available"], seen["backorder_room"], seen["stock"][0]["available"]) == (11, 56, 55)
    assert ledger.seen("a", "shop")["available"] == 11
    for _ in range(3):
        ledger.tell({"type": "tick"})
    ledger.compare("a", "web")
    seen = ledger.seen("a", "web")
    assert (seen["available"], seen["backorder_room"], seen["stock"][0]["available"]) == (11, 100, 11)
