"""Owns the benchmark of large SKUs: what a command costs with many warehouses, reservations, or many that wait.

Everything runs in this process, on RocksDB, and what counts is the processor time of the folding thread: a busy machine
changes it least. Each kind of command is measured in turn with the same kind on a plain SKU of the same ledger: one
warehouse, ten reservations, nobody waits. Steps that a command causes have results of their own; times are per result.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import curve_kinds as kinds
from bench import receipt
from bench.curve_kinds import Kind, Target
from bench.harness import Stage
from bench.in_process import Cost, Fields, InProcess
from bench.report import Document, Options, Table, Watcher, median
from ops.collector import no_garbage_collection

NAME = "curves"

AIM = 3.0
WAREHOUSES, OPEN, WAITING, CLASSES = "warehouses", "open reservations", "waiting", "classes waiting"
_SIZES = {
    WAREHOUSES: (1, 200, 1_000),
    OPEN: (10, 10_000, 100_000),
    WAITING: (10, 1_000, 50_000),
    CLASSES: (1, 16, 256),
}
_QUICK_SIZES = {WAREHOUSES: (1, 3), OPEN: (10, 20), WAITING: (10, 20), CLASSES: (1, 3)}
# How many of each kind are measured at a time; steps are eight times as many.
_COMMANDS, _QUICK_COMMANDS = 40, 4
_TICKS = 10
_ROUNDS, _QUICK_ROUNDS = 7, 1

_ON_HAND = 1_000_000
_IN_CLASSES = 1_024
_SPARE = "spare"
_WAIT: Fields = {"ttl_ms": 0, "wait": "any", "channel": "web"}
_MAY_WAIT: Fields = {"channel": "*", "backorder_limit": 10**9, "presell_horizon_ms": 0}

Pair = tuple[Kind, Target]


def _stock(sku: str, warehouses: Iterable[str], units: int = _ON_HAND) -> Iterator[Fields]:
    for name in warehouses:
        fields = {"warehouse": name, "delta": units, "reason": "receipt"}
        yield {"type": "adjust", "command_id": f"stock-{name}-{units}", "sku": sku, **fields}


def _names(count: int) -> list[str]:
    return [f"w{number:03d}" for number in range(count)]


def _holds(target: Target, count: int) -> list[Fields]:
    return target.reserves([f"hold-{number:07d}" for number in range(count)])


def _rules(sku: str, **fields: object) -> Fields:
    return Target(sku).command("set_policy", "rules", **({"channel": "*"} | fields))


# Each makes SKUs of a size in a ledger, and returns what is measured on them.


def _with_warehouses(ledger: InProcess, size: int) -> Iterator[Pair]:
    names = _names(size)
    large = Target("large", names[-1])
    for sku in ("large", "booked"):
        ledger.tell(_stock(sku, names))
    for kind in kinds.PLAIN:
        yield kind, large
    for kind in kinds.OF_A_BOOK:
        yield kind, Target("booked", names[-1])
    if size > 1:
        for kind in kinds.BETWEEN_WAREHOUSES:
            yield kind, large
    # Where only the last warehouse has anything.
    ledger.tell(_stock("emptied", names, 1))
    ledger.tell(Target("emptied").reserves(["all"], quantity=size))
    ledger.tell(_stock("emptied", names[-1:]))
    yield kinds.RESERVE._replace(name="reserve from the last of them"), Target("emptied")
    ledger.tell(
        {"type": "set_warehouse", "command_id": name, "version": 1, "warehouse": name, "region": "north"}
        for name in names[size // 2 :]
    )
    for title, rules in (
        ("priority", {"buffer": 1}),
        ("most_stock", {"strategy": "most_stock"}),
        ("fewest_splits", {"strategy": "fewest_splits"}),
        ("region", {"strategy": "region"}),
        ("no split", {"split": False}),
    ):
        ledger.tell(_stock(title, names))
        ledger.tell([_rules(title, **rules)])
        made = kinds.reserving(region="north") if title == "region" else kinds.reserving()
        yield Kind(f"reserve by {title}", made, "reserve"), Target(title)
    yield kinds.QUERY, large
    yield kinds.QUERY_OF_A_CHANNEL, Target("priority")


def _with_open(ledger: InProcess, size: int) -> Iterator[Pair]:
    large = Target("large")
    ledger.tell(_stock(large.sku, _names(1)))
    ledger.tell(_holds(large, size))
    for kind in (*kinds.PLAIN, kinds.LIST_OPEN):
        yield kind, large


def _with_waiting(ledger: InProcess, size: int) -> Iterator[Pair]:
    large = Target("large", reserve=_WAIT)
    ledger.tell(_stock(large.sku, _names(1), 1))
    ledger.tell([_rules(large.sku, **_MAY_WAIT), *large.reserves(["all"])])
    ledger.tell(_holds(large, size))
    for kind in (*kinds.OF_A_QUEUE, *kinds.GIVING, *kinds.STEPS):
        yield kind, large


def _with_classes(ledger: InProcess, size: int) -> Iterator[Pair]:
    names = _names(max(_SIZES[CLASSES]))
    # Of one channel, for a warehouse each that has nothing; what is elsewhere is for none of them.
    named = Target("named", reserve={**_WAIT, "warehouse": names[0]})
    ledger.tell([_rules(named.sku, **_MAY_WAIT)])
    ledger.tell(_stock(named.sku, names, 1))
    ledger.tell(named.reserves(["all"], warehouse=None, quantity=len(names)))
    ledger.tell(_stock(named.sku, [_SPARE]))
    ledger.tell(_in_classes(named, size, lambda number: {"warehouse": names[number]}))
    for kind in (*kinds.OF_A_QUEUE, *kinds.GIVING):
        yield kind._replace(name=f"{kind.name}, by warehouse"), named
    # Of a channel each; what is there is less than the buffer that all of them must leave.
    of_channels = Target("channels", reserve=_WAIT)
    ledger.tell(_stock(of_channels.sku, names[:1], 1))
    ledger.tell([_rules(of_channels.sku, **_MAY_WAIT), *of_channels.reserves(["all"])])
    ledger.tell(_in_classes(of_channels, size, lambda number: {"channel": "web" if not number else f"c{number}"}))
    for kind in kinds.GIVING:
        yield kind._replace(name=f"{kind.name}, by channel"), of_channels
    buffer = of_channels.command("set_policy", "buffer", **{**_MAY_WAIT, "buffer": 2 * _ON_HAND})
    ledger.tell([buffer, *_stock(of_channels.sku, names[:1])])
    for kind in kinds.OF_A_QUEUE:
        yield kind._replace(name=f"{kind.name}, by channel"), of_channels


def _in_classes(target: Target, size: int, of: Callable[[int], Fields]) -> Iterator[Fields]:
    for number in range(_IN_CLASSES):
        yield from target.reserves([f"hold-{number:07d}"], **of(number % size))


_SETTINGS = {WAREHOUSES: _with_warehouses, OPEN: _with_open, WAITING: _with_waiting, CLASSES: _with_classes}
_PLAIN_KINDS = {
    kind.name: kind
    for kind in (
        *kinds.PLAIN,
        *kinds.OF_A_BOOK,
        *kinds.BETWEEN_WAREHOUSES,
        kinds.QUERY,
        kinds.LIST_OPEN,
        kinds.SETTLE,
    )
}


# The plain SKUs of a ledger: one, one that has a book, and one in two warehouses.
_PLAIN, _PLAIN_BOOKED, _PLAIN_IN_TWO = Target("plain"), Target("plain-booked"), Target("plain-in-two", "w001")


def _make_plain(ledger: InProcess) -> None:
    for target, warehouses in ((_PLAIN, 1), (_PLAIN_BOOKED, 1), (_PLAIN_IN_TWO, 2)):
        ledger.tell(_stock(target.sku, _names(warehouses)))
        ledger.tell(_holds(target, 10))


def _plain_for(kind: Kind) -> Target:
    if kind in kinds.OF_A_BOOK:
        return _PLAIN_BOOKED
    return _PLAIN_IN_TWO if kind in kinds.BETWEEN_WAREHOUSES else _PLAIN


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Measure each kind of command at each size, and the receipt for many who wait."""
    sizes = _QUICK_SIZES if options.quick else _SIZES
    watcher.steps(sum(map(len, sizes.values())) + receipt.steps_of(options))
    curves = {name: _curve(stage, name, sizes[name], options, watcher) for name in sizes}
    return {
        "quick": options.quick,
        "unit": "processor microseconds per result, its share of the transaction included; medians of the rounds",
        "aim": AIM,
        "growth": "times plain at the most costly of the larger sizes, over times plain at the smallest",
        "curves": curves,
        "receipt": receipt.measure(stage, options, watcher),
    }


def _curve(stage: Stage, name: str, sizes: Sequence[int], options: Options, watcher: Watcher) -> dict[str, Any]:
    """Return the figures of every kind of command over the sizes of one thing."""
    found: dict[str, dict[str, Any]] = {}
    for size in sizes:
        watcher.step(f"{size:,} {name}")
        for kind, figures in _at_size(stage.new_folder("ledger") / "store", name, size, options).items():
            found.setdefault(kind, {"plain_us": {}, "us": {}, "results": {}, "times_plain": {}})
            for figure, value in figures.items():
                found[kind][figure][str(size)] = value
    for of_sizes in found.values():
        of_sizes["growth"] = _growth(list(of_sizes["times_plain"].values()))
    return {"sizes": list(sizes), "kinds": found}


def _growth(times: Sequence[float]) -> float:
    """Return how many times as much a command costs at most on the larger SKUs as on the smallest.

    Args:
        times: what it costs in plain ones of the same round, so the machine's ups and downs are not in it.
    """
    return round(max(times[1:], default=times[0]) / times[0], 2)


def _at_size(folder: Path, name: str, size: int, options: Options) -> dict[str, dict[str, float]]:
    ledger, found = InProcess(folder), {}
    ids = map("i{:07d}".format, itertools.count())
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    try:
        _make_plain(ledger)
        with no_garbage_collection():
            for kind, target in _SETTINGS[name](ledger, size):
                plain = _PLAIN_KINDS[kind.plain or kind.name.partition(",")[0].partition(" from ")[0]]
                pairs = ((plain, _plain_for(plain)), (kind, target))
                costs = [[_cost(ledger, *pair, ids, options) for pair in pairs] for _ in range(rounds)]
                found[kind.name] = _figures(kind, size, costs)
    finally:
        ledger.close()
    return found


def _cost(ledger: InProcess, kind: Kind, target: Target, ids: Iterator[str], options: Options) -> Cost:
    count = _QUICK_COMMANDS if options.quick else _TICKS if kind in kinds.STEPS else _COMMANDS
    commands = kind.make(target, list(itertools.islice(ids, count)))
    ledger.tell(commands.before)
    cost = ledger.measure(commands.measured)
    ledger.tell(commands.after)
    return cost


def _figures(kind: Kind, size: int, costs: Sequence[Sequence[Cost]]) -> dict[str, float]:
    own = size if kind.shows else 1
    plain_us = median([plain.us_per_result for plain, _ in costs], 1)
    us = median([cost.us_per_result / own for _, cost in costs], 1)
    results = median([cost.results / cost.commands for _, cost in costs], 2)
    times = median([cost.us_per_result / own / plain.us_per_result for plain, cost in costs], 2)
    return {"plain_us": plain_us, "us": us, "results": results, "times_plain": times}


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    found = []
    for name, curve in document["curves"].items():
        sizes = [str(size) for size in curve["sizes"]]
        rows = [
            (
                kind,
                median(list(figures["plain_us"].values()), 1),
                *(f"{figures['us'][it]} ({figures['times_plain'][it]})" if it in figures["us"] else "" for it in sizes),
                max(figures["results"].values()),
                figures["growth"],
            )
            for kind, figures in curve["kinds"].items()
        ]
        columns = (
            "command",
            "plain, us",
            *(f"{int(it):,}, us (times plain)" for it in sizes),
            "results each",
            "growth",
        )
        found.append(Table(title=f"Cost of a command per result by {name} (median)", columns=columns, rows=rows))
    return [*found, receipt.table(document["receipt"])]
