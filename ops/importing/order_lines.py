"""Owns how a row of order lines becomes commands. Pure: no Kafka, no clock, no files.

    an order line           -> reserve, then commit
    a cancellation          -> adjust, reason `return`, what came back
    a write-off             -> adjust, reason `shrinkage` (or `damage`), what is gone
    a SKU's first line      -> before it, adjust, reason `receipt`: the opening stock
    a week of recorded time -> adjust, reason `receipt`, for every SKU seen so far: the replenishment

Ids consist of the import's name and the line number alone, so importing the same file again repeats the same commands,
and the ledger answers each from memory.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ops.problems import CannotDo
from schemas import codec
from schemas.fields import MAX_QUANTITY

WEEK_MS = 7 * 24 * 60 * 60 * 1000
COMMIT_SUFFIX = ":commit"
MAX_NAME = 24  # with a line number, an order id and separators, an id has at most 64 characters
_MAX_IDENTIFIER = 64
_MAX_PLACE = 32
_MAX_SKU = 64
_NOT_IDENTIFIER = re.compile(r"[^A-Za-z0-9._:-]+")
_NOT_PLACE = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_PRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


class Unusable(Exception):
    """A line cannot become a command; the message says which field is wrong and why."""


class MissingColumn(Exception):
    """The file has no such column. `role` is the field of `Columns` that names it."""

    def __init__(self, column: str, header: Sequence[str], role: str) -> None:
        self.column = column
        self.role = role
        super().__init__(f"no column {column!r}; the file has {', '.join(header) or 'none'}")


class Step(NamedTuple):
    """A command to send. `asked` is the quantity of a reserve, else 0; `at` is the recorded time (ms)."""

    sku: str
    command_id: str
    asked: int
    at: int
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of the file's columns. `country` may be empty: then every line has the default channel."""

    order: str = "order_id"
    sku: str = "sku"
    quantity: str = "quantity"
    time: str = "ordered_at"
    country: str = "country"

    def picker(self, header: Sequence[str]) -> Callable[[Sequence[str]], "OrderLine"]:
        """Return the function that picks an order line's fields from a row.

        Raises:
            MissingColumn: a column is not in the header.
        """
        names = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        for role, name in names.items():
            if name not in header:
                raise MissingColumn(name, header, role)
        indexes = [header.index(name) for name in names.values()]

        def pick(row: Sequence[str]) -> OrderLine:
            try:
                return OrderLine(*[row[index] for index in indexes])
            except IndexError:
                raise Unusable(f"it has {len(row)} fields, not {len(header)}") from None

        return pick


class OrderLine(NamedTuple):
    """The needed fields of a row, as in the file."""

    order_id: str
    sku: str
    quantity: str
    ordered_at: str
    country: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How lines become commands.

    Args:
        name: the import's name, with which every id begins.
        warehouse: the warehouse where goods arrive and are written off.
        opening_stock: units that each SKU has at the start; 0 for none.
        replenish: units that each SKU receives after each week of recorded time; 0 for none.
        cancel_prefix: the beginning of a cancellation's order id.
        write_off_reason: the reason of a write-off.
    """

    name: str
    warehouse: str = "main"
    opening_stock: int = 0
    replenish: int = 0
    cancel_prefix: str = "C"
    write_off_reason: Literal["shrinkage", "damage"] = "shrinkage"


def check_rules(rules: Rules) -> None:
    """Check that the rules make valid commands.

    Raises:
        CannotDo: a setting is not allowed in a command.
    """
    if not 1 <= len(rules.name) <= MAX_NAME or _NOT_IDENTIFIER.search(rules.name):
        raise CannotDo(f"the import's name must be 1 to {MAX_NAME} characters of [A-Za-z0-9._:-], not {rules.name!r}.")
    if not rules.warehouse or len(rules.warehouse) > _MAX_PLACE or _NOT_PLACE.search(rules.warehouse):
        raise CannotDo(f"a warehouse is 1 to {_MAX_PLACE} characters of [A-Za-z0-9._-], not {rules.warehouse!r}.")
    if max(rules.opening_stock, rules.replenish) > MAX_QUANTITY:
        raise CannotDo(f"opening stock and replenishment may be {MAX_QUANTITY:,} units at most.")


class Planner:
    """Makes commands from order lines, in the order of the file. It remembers the SKUs so far and the week."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._first_lines: dict[str, int] = {}
        self._week = 0
        self._next_week_at: int | None = None

    def steps(self, number: int, line: OrderLine) -> list[Step]:
        """Return the commands of a line.

        Args:
            number: the line's number; the first after the header is 1.
            line: its fields.

        Raises:
            Unusable: the line cannot become a command; nothing of it is remembered.
        """
        quantity, at, order_id = _quantity(line.quantity), time_of(line), identifier(line.order_id)
        if not is_sku(line.sku):
            raise Unusable(f"sku {line.sku!r} is not 1 to {_MAX_SKU} characters without control characters")
        steps = self._receipts(number, line.sku, at)
        command_id = f"{self._rules.name}:{number}"
        if line.order_id.startswith(self._rules.cancel_prefix):
            steps.append(self._adjust(command_id, line.sku, abs(quantity), "return", order_id, at))
        elif quantity < 0:
            steps.append(self._adjust(command_id, line.sku, quantity, self._rules.write_off_reason, order_id, at))
        else:
            steps.extend(_order(command_id, order_id, quantity, line, at))
        return steps

    def _receipts(self, number: int, sku: str, at: int) -> list[Step]:
        steps: list[Step] = []
        if self._next_week_at is None:
            self._next_week_at = at + WEEK_MS
        while at >= self._next_week_at:
            self._week += 1
            self._next_week_at += WEEK_MS
            if self._rules.replenish:
                steps.extend(self._replenishment(at))
        if sku not in self._first_lines:
            self._first_lines[sku] = number
            if self._rules.opening_stock:
                command_id = f"{self._rules.name}:{number}:opening"
                steps.append(self._adjust(command_id, sku, self._rules.opening_stock, "receipt", "opening stock", at))
        return steps

    def _replenishment(self, at: int) -> Iterator[Step]:
        reference = f"week {self._week}"
        for sku, first_line in self._first_lines.items():
            command_id = f"{self._rules.name}:{first_line}:week-{self._week}"
            yield self._adjust(command_id, sku, self._rules.replenish, "receipt", reference, at)

    def _adjust(self, command_id: str, sku: str, delta: int, reason: str, reference: str, at: int) -> Step:
        command = {
            "command_id": command_id,
            "type": "adjust",
            "sku": sku,
            "warehouse": self._rules.warehouse,
            "delta": delta,
            "reason": reason,
            "reference": reference,
            "issued_at": at,
        }
        return Step(sku, command_id, 0, at, codec.encode(command))


def _order(command_id: str, order_id: str, quantity: int, line: OrderLine, at: int) -> tuple[Step, Step]:
    reservation_id = f"{command_id}:{order_id}"[:_MAX_IDENTIFIER]
    reserve = {
        "command_id": command_id,
        "type": "reserve",
        "sku": line.sku,
        "reservation_id": reservation_id,
        "quantity": quantity,
        "order_id": order_id,
        "issued_at": at,
    }
    if line.country:
        reserve["channel"] = channel_of(line.country)
    commit = {
        "command_id": command_id + COMMIT_SUFFIX,
        "type": "commit",
        "sku": line.sku,
        "reservation_id": reservation_id,
        "issued_at": at,
    }
    return (
        Step(line.sku, command_id, quantity, at, codec.encode(reserve)),
        Step(line.sku, command_id + COMMIT_SUFFIX, 0, at, codec.encode(commit)),
    )


def _quantity(text: str) -> int:
    try:
        quantity = int(text)
    except ValueError:
        raise Unusable(f"quantity {text!r} is no whole number") from None
    if quantity == 0:
        raise Unusable("quantity is 0: nothing to do")
    if abs(quantity) > MAX_QUANTITY:
        raise Unusable(f"quantity {quantity:,} is more than {MAX_QUANTITY:,}")
    return quantity


def is_sku(text: str) -> bool:
    """Return whether a text may be a SKU."""
    return 1 <= len(text) <= _MAX_SKU and _NOT_PRINTABLE.search(text) is None


def time_of(line: OrderLine) -> int:
    """Return a line's recorded time (ms since the epoch); a time without a zone is taken as UTC.

    Raises:
        Unusable: it is no ISO 8601 time.
    """
    try:
        moment = datetime.fromisoformat(line.ordered_at)
    except ValueError:
        raise Unusable(f"time {line.ordered_at!r} is not like 2011-08-31 17:15:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    at = int(moment.timestamp() * 1000)
    if at < 0:
        raise Unusable(f"time {line.ordered_at!r} is before 1970")
    return at


def identifier(text: str) -> str:
    """Return a valid id for any text: other characters become hyphens.

    Raises:
        Unusable: the text is empty.
    """
    if not text:
        raise Unusable("order_id is empty")
    return _NOT_IDENTIFIER.sub("-", text)[:_MAX_IDENTIFIER]


def channel_of(text: str) -> str:
    """Return a valid channel for any text, such as `United-Kingdom` for `United Kingdom`."""
    return _NOT_PLACE.sub("-", text)[:_MAX_PLACE]
