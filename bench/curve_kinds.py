"""Owns the kinds of commands whose cost is measured on SKUs of several sizes."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bench.in_process import START_MS, Fields

DAY_MS = 24 * 60 * 60 * 1000
# A tail gives what has come to so many reservations: each takes two of its 16 units of work.
STEPS_A_TAIL = 8
_TICK: Fields = {"type": "tick"}
_FOR_EVER: Fields = {"ttl_ms": 0}


class Target(NamedTuple):
    """A SKU, what commands that name a warehouse name, and with what its reservations are made."""

    sku: str
    warehouse: str = "w000"
    reserve: Fields = _FOR_EVER

    def command(self, type_: str, command_id: str, **fields: object) -> Fields:
        """Return a command to the SKU."""
        return {"type": type_, "command_id": command_id, "sku": self.sku, **fields}

    def reserves(self, ids: Sequence[str], **fields: object) -> list[Fields]:
        """Return reserves, named by their reservations."""
        fields = {"quantity": 1} | dict(self.reserve) | fields
        return [self.command("reserve", f"{it}-reserve", reservation_id=it, **fields) for it in ids]


class Sample(NamedTuple):
    """What is measured, and what has to come before and after it."""

    measured: Iterable[Fields]
    before: Iterable[Fields] = ()
    after: Iterable[Fields] = ()


Make = Callable[[Target, Sequence[str]], Sample]


class Kind(NamedTuple):
    """A kind of command.

    Args:
        name: says what it does.
        make: returns commands, one for each id.
        plain: the kind to compare it with on a plain SKU; None: itself.
        shows: the part of its own work that grows with the size: what it shows of each warehouse.
    """

    name: str
    make: Make
    plain: str | None = None
    shows: str | None = None


def alone(type_: str, **fields: object) -> Make:
    """Make commands that need nothing before them."""
    return lambda target, ids: Sample([target.command(type_, it, **fields) for it in ids])


def in_warehouse(type_: str, **fields: object) -> Make:
    """Make commands to the target's warehouse."""
    return lambda target, ids: Sample([target.command(type_, it, warehouse=target.warehouse, **fields) for it in ids])


def reserving(**fields: object) -> Make:
    """Make reserves."""
    return lambda target, ids: Sample(target.reserves(ids, **fields))


def of_a_hold(type_: str, units: int = 1, **fields: object) -> Make:
    """Make commands each to a reservation of its own, of so many units."""

    def make(target: Target, ids: Sequence[str]) -> Sample:
        measured = [target.command(type_, it, reservation_id=it, **fields) for it in ids]
        return Sample(measured, target.reserves(ids, quantity=units))

    return make


def _counting(target: Target, ids: Sequence[str]) -> Sample:
    """Make counts that each differ by a unit from the one before."""
    counts = enumerate(ids)
    return Sample(
        [
            target.command("reconcile", it, warehouse=target.warehouse, counted_on_hand=10**6 + at % 2)
            for at, it in counts
        ]
    )


def _moving(type_: str, **fields: object) -> Make:
    """Make commands that take one unit from the first warehouse to the target's."""

    def make(target: Target, ids: Sequence[str]) -> Sample:
        ends = {"from": "w000", "to": target.warehouse, "quantity": 1}
        if type_ == "reallocate":
            measured = [target.command(type_, it, reservation_id=it, **ends, **fields) for it in ids]
            return Sample(measured, target.reserves(ids))
        return Sample([target.command(type_, it, **ends, **fields) for it in ids])

    return make


def _expect(target: Target, it: str, units: int) -> Fields:
    fields = {"inbound_id": it, "warehouse": target.warehouse, "quantity": units, "eta_at": START_MS + 9 * DAY_MS}
    return target.command("expect_inbound", f"{it}-expect", **fields)


def _of_an_inbound(type_: str, **fields: object) -> Make:
    """Make commands each to announced goods of its own, a single unit; those that are left are cancelled."""

    def make(target: Target, ids: Sequence[str]) -> Sample:
        expects = [_expect(target, it, 1) for it in ids]
        cancels = [target.command("cancel_inbound", f"{it}-end", inbound_id=it) for it in ids]
        if type_ == "expect_inbound":
            return Sample(expects, (), cancels)
        return Sample([target.command(type_, it, inbound_id=it, **fields) for it in ids], expects, cancels)

    return make


def _steps(first: Callable[[Target, str, int], list[Fields]]) -> Make:
    """Make ticks that each do a full tail for as many more that wait; `first` returns what gives the steps."""

    def make(target: Target, ids: Sequence[str]) -> Sample:
        units = STEPS_A_TAIL * (len(ids) + 1)
        waits = target.reserves([f"{ids[0]}-{number}" for number in range(units)])
        more = [_TICK] * (len(ids) + 1)
        return Sample([_TICK] * len(ids), [*waits, *first(target, ids[0], units)], more)

    return make


def _come(target: Target, it: str, units: int) -> list[Fields]:
    return [target.command("adjust", it, warehouse=target.warehouse, delta=units, reason="receipt")]


def _are_expected(target: Target, it: str, units: int) -> list[Fields]:
    return [_expect(target, it, units)]


def _after_they_were_expected(type_: str, **fields: object) -> Callable[[Target, str, int], list[Fields]]:
    def first(target: Target, it: str, units: int) -> list[Fields]:
        told = [_TICK] * (units // STEPS_A_TAIL)
        counted = {"quantity": units} if type_ == "receive_inbound" else {}
        return [_expect(target, it, units), *told, target.command(type_, it, inbound_id=it, **counted, **fields)]

    return first


PLAIN = (
    Kind("adjust", in_warehouse("adjust", delta=1, reason="receipt")),
    Kind("reserve", reserving()),
    Kind("commit", of_a_hold("commit")),
    Kind("release", of_a_hold("release")),
    Kind("extend", of_a_hold("extend", ttl_ms=0)),
    Kind("amend to more", of_a_hold("amend", quantity=2)),
    Kind("amend to less", of_a_hold("amend", 2, quantity=1)),
    Kind("return", in_warehouse("return", quantity=1, disposition="restock")),
    Kind("move", in_warehouse("move", quantity=1, **{"from": "on_hand", "to": "damaged"})),
    Kind("reconcile", _counting),
)
# These give a SKU a book, so what they are compared with is a SKU of their own.
OF_A_BOOK = (
    Kind("expect_inbound", _of_an_inbound("expect_inbound")),
    Kind("receive_inbound", _of_an_inbound("receive_inbound", quantity=1)),
    Kind("amend_inbound", _of_an_inbound("amend_inbound", eta_at=START_MS + 20 * DAY_MS)),
    Kind("cancel_inbound", _of_an_inbound("cancel_inbound")),
    Kind("set_policy", alone("set_policy", channel="other", cap=9)),
)
BETWEEN_WAREHOUSES = (
    Kind("transfer", _moving("transfer")),
    Kind("reallocate", _moving("reallocate")),
)
RESERVE = Kind("reserve", reserving())
QUERY = Kind("query", alone("query"), shows="warehouse")
QUERY_OF_A_CHANNEL = Kind("query of a channel", alone("query", channel="web"), "query", shows="warehouse")
LIST_OPEN = Kind("query of 10 reservations", alone("query", reservations=10, after="hold-0000004"))
SETTLE = Kind("settle", alone("settle"))
LIST_WAITING = Kind("query of 10 that wait", alone("query", waiting=10), "query of 10 reservations")
DAMAGE = Kind("adjust that frees nothing", in_warehouse("adjust", bucket="damaged", delta=1, reason="damage"), "adjust")
OF_A_QUEUE = (
    Kind("reserve that waits", reserving(), "reserve"),
    Kind("release of one that waits", of_a_hold("release"), "release"),
    Kind("extend of one that waits", of_a_hold("extend", ttl_ms=0), "extend"),
    Kind("amend to more that wait", of_a_hold("amend", quantity=2, wait="any"), "amend to more"),
    Kind("amend to fewer that wait", of_a_hold("amend", 2, quantity=1), "amend to less"),
    DAMAGE,
    SETTLE,
    LIST_WAITING,
)
GIVING = (
    Kind("adjust that fills one", in_warehouse("adjust", delta=1, reason="receipt"), "adjust"),
    Kind("expect_inbound that dates one", _of_an_inbound("expect_inbound"), "expect_inbound"),
    Kind("receive_inbound that lands one", _of_an_inbound("receive_inbound", quantity=1), "receive_inbound"),
    Kind(
        "amend_inbound that tells one", _of_an_inbound("amend_inbound", eta_at=START_MS + 20 * DAY_MS), "amend_inbound"
    ),
    Kind("cancel_inbound that cuts one", _of_an_inbound("cancel_inbound"), "cancel_inbound"),
)
STEPS = (
    Kind("steps that fill", _steps(_come), "reserve"),
    Kind("steps that give a date", _steps(_are_expected), "reserve"),
    Kind("steps that land", _steps(_after_they_were_expected("receive_inbound")), "reserve"),
    Kind(
        "steps that tell another date",
        _steps(_after_they_were_expected("amend_inbound", eta_at=START_MS + 20 * DAY_MS)),
        "reserve",
    ),
    Kind("steps that take a date", _steps(_after_they_were_expected("cancel_inbound")), "reserve"),
)
