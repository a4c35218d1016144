"""Owns a model of a WMS: it moves what the ledger tells it to move, counts at night, and sometimes is wrong.

Physical stock is the sum of the movements that were confirmed, and of errors that nobody wrote down. So what a count
must find is known without asking the ledger for any quantity.
"""

import csv
import gzip
import json
import random
import time
from collections import Counter
from pathlib import Path

from ops.exchange import Exchange, Fence, Follower, exchange, reading, records_until_end
from schemas.topics import STOCK_CHANGES

# The data that comes with the workshop, next to the checkout; elsewhere lines of the same shape stand in for it.
WHOLE = Path(__file__).resolve().parents[3] / "shared/data/online-retail-2010-12--2011-08.csv.gz"
WAREHOUSES = ("hull", "leith", "ryde")
ERROR_SHARE = 0.003
REPEATED = 10
_FIELDS = ("order_id", "sku", "quantity", "ordered_at", "country")


def order_lines(count):
    """Return so many order lines, the real ones if they are there, with SKUs that no other test has."""
    lines = _real_lines() if WHOLE.exists() else _made_lines()
    return [line | {"sku": f"wms {line['sku']}"} for line, _ in zip(lines, range(count), strict=False)]


def _real_lines():
    with gzip.open(WHOLE, "rt", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            yield {name: line[name] for name in _FIELDS}


def _made_lines():
    chance = random.Random(5)
    for number in range(1_000_000):
        kind = chance.random()
        order = f"C{number}" if kind < 0.03 else str(500_000 + number // 20)
        quantity = chance.choice([1, 1, 2, 6, 12, 24]) * (-1 if kind < 0.03 else 1)
        at = f"2010-12-{1 + number // 2_000:02d} {8 + number % 2_000 // 200:02d}:{number % 60:02d}:00"
        sku = str(20_000 + int(1_500 * chance.random() ** 2))
        yield dict(zip(_FIELDS, (order, sku, str(quantity), at, "United Kingdom"), strict=True))


def write_rows(path, rows):
    """Write rows as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


class Wms:
    """A WMS over the warehouses of a test.

    Args:
        bootstrap: the cluster.
        seed: of its errors.
    """

    def __init__(self, bootstrap, seed):
        self._bootstrap = bootstrap
        self._chance = random.Random(seed)
        self._movements = []
        self._errors = []
        self.unnamed = set()

    async def count(self):
        """Count everything as of now, while goods move on; return the time of the count and what is there by row."""
        at = time.time_ns() // 1_000_000
        time.sleep(0.002)  # noqa: ASYNC251 - the fence is to be of a later millisecond
        async with exchange(self._bootstrap) as link:
            await self._until_all_is_told(link)
        self._movements = [change async for change in self._confirmed()]
        return at, self._stock(at)

    async def _until_all_is_told(self, link: Exchange):
        fence = Fence(link)
        async with Follower(link.results, fence.receive_result) as follower:
            await fence.put_up()
            assert await follower.until(lambda: not fence.silent, 30)

    async def _confirmed(self):
        """Yield (time, row, units) of each movement of goods; what the ledger only corrected moved nothing."""
        async with reading(self._bootstrap, STOCK_CHANGES, range(4), from_beginning=True) as consumer:
            async for record in records_until_end(consumer):
                change = json.loads(record.value)
                moved = change["delta"].get("on_hand")
                if moved and change["warehouse"] in WAREHOUSES and change["cause"]["type"] != "reconcile":
                    yield change["at"], (change["sku"], change["warehouse"]), moved

    def _stock(self, at):
        stock = Counter()
        for moved_at, row, units in [*self._movements, *self._errors]:
            if moved_at <= at:
                stock[row] += units
        return stock

    def go_wrong(self):
        """Lose, find and misplace units of 0.3 % of the rows, and return by how many units each is wrong."""
        now = time.time_ns() // 1_000_000
        stock = self._stock(now)
        wrong = self._chance.sample(sorted(stock), max(1, round(ERROR_SHARE * len(stock))))
        errors = {row: self._chance.choice([-5, -3, -1, 2, 4]) for row in wrong if stock[row] > 50}
        self._errors += [(now, row, units) for row, units in errors.items()]
        return errors

    def send(self, path, stock):
        """Write a count as a feed, in no order, with some rows twice."""
        rows = [
            {"sku": sku, "warehouse": warehouse, "on_hand": units}
            for (sku, warehouse), units in stock.items()
            if (sku, warehouse) not in self.unnamed
        ]
        self._chance.shuffle(rows)
        return write_rows(path, rows + rows[:REPEATED])
