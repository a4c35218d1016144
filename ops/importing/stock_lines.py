"""Owns how a row of counted stock becomes commands. Pure: no Kafka, no clock, no files.

Each quantity of a row becomes one `adjust` to an absolute `count`; an empty cell gives none. Ids are `NAME:ROW:BUCKET`,
so importing the same file again repeats the same commands.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from ops.importing.order_lines import MissingColumn, Step, Unusable, is_sku
from ops.problems import CannotDo
from schemas import codec
from schemas.commands import Adjust, AdjustReason, Bucket
from schemas.fields import MAX_QUANTITY

BUCKETS: tuple[Bucket, ...] = get_args(Bucket)
_FIRST_SURROGATE, _LAST_SURROGATE = "\ud800", "\udfff"


@dataclass(frozen=True, kw_only=True)
class StockColumns:
    """The names of the file's columns, in capitals or not; spaces around a name are ignored.

    A file needs at least one of the quantities; a missing column leaves its bucket unchanged.
    """

    sku: str = "sku"
    warehouse: str = "warehouse"
    on_hand: str = "on_hand"
    damaged: str = "damaged"
    safety_stock: str = "safety_stock"


class StockPlanner:
    """Makes commands from rows of counted stock. It remembers the stock rows so far.

    Args:
        name: the import's name, with which every id begins.
        reason: the reason of each adjust.
        columns: the names of the columns.
        header: the file's first line.

    Raises:
        MissingColumn: the file has no SKU, no warehouse or no quantity.
        CannotDo: two columns of the file have the same name.
    """

    def __init__(self, *, name: str, reason: AdjustReason, columns: StockColumns, header: Sequence[str]) -> None:
        self._name = name
        self._reason = reason
        self._width = len(header)
        places = _places(header)
        self._sku = _place("sku", columns.sku, places, header)
        self._warehouse = _place("warehouse", columns.warehouse, places, header)
        self._quantities: list[tuple[Bucket, int]] = [
            (bucket, places[_plain(name_)])
            for bucket in BUCKETS
            if (name_ := getattr(columns, bucket)) and _plain(name_) in places
        ]
        if not self._quantities:
            raise MissingColumn(columns.on_hand, header, "on_hand")
        self._first_lines: dict[tuple[str, str], int] = {}
        self.units: Counter[Bucket] = Counter({bucket: 0 for bucket, _ in self._quantities})

    def steps(self, number: int, row: Sequence[str]) -> list[Step]:
        """Return the commands of a line.

        Args:
            number: the row's number; the first after the header is 1.
            row: its fields.

        Raises:
            Unusable: the row cannot become commands; none of its quantities is used, and nothing of it is remembered.
        """
        if len(row) != self._width:
            raise Unusable(f"it has {len(row)} fields, not {self._width}")
        sku, warehouse = row[self._sku].strip(), row[self._warehouse].strip()
        _check_sku(sku)
        given = [(bucket, row[index].strip()) for bucket, index in self._quantities]
        counts = [(bucket, _count(bucket, text)) for bucket, text in given if text]
        if not counts:
            raise Unusable("it has no quantity")
        steps = [self._adjust(number, sku, warehouse, bucket, count) for bucket, count in counts]
        first = self._first_lines.setdefault((sku, warehouse), number)
        if first != number:
            raise Unusable(
                f"{sku!r} in {warehouse!r} was counted before, in row {first} after the header; that count stands"
            )
        self.units.update(dict(counts))
        return steps

    def _adjust(self, number: int, sku: str, warehouse: str, bucket: Bucket, count: int) -> Step:
        command_id = f"{self._name}:{number}:{bucket}"
        command = Adjust(
            command_id=command_id, sku=sku, warehouse=warehouse, reason=self._reason, count=count, bucket=bucket
        )
        value = codec.encode(codec.json_object_of(command))
        try:
            codec.decode_command(value)
        except codec.Unreadable:
            # All other fields were checked or made here.
            raise Unusable(f"warehouse {warehouse!r} is not 1 to 32 characters of [A-Za-z0-9._-]") from None
        return Step(sku, command_id, 0, 0, value)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _places(header: Sequence[str]) -> dict[str, int]:
    names = [_plain(name) for name in header]
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise CannotDo(f"the file has more than one column named {', '.join(doubled)}; rename all but one.")
    return {name: index for index, name in enumerate(names)}


def _place(role: str, name: str, places: dict[str, int], header: Sequence[str]) -> int:
    if _plain(name) not in places:
        raise MissingColumn(name, header, role)
    return places[_plain(name)]


def _check_sku(sku: str) -> None:
    if any(_FIRST_SURROGATE <= character <= _LAST_SURROGATE for character in sku):
        shown = sku.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise Unusable(
            f"sku {shown!r} holds bytes that are not UTF-8; name the file's encoding, such as `--encoding latin-1`"
        )
    if not is_sku(sku):
        raise Unusable(f"sku {sku!r} is not 1 to 64 characters without control characters")


def _count(bucket: str, text: str) -> int:
    # Python would also accept `1_000` and digits of other scripts, which may mean something else.
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise Unusable(f"{bucket} {text[:40]!r} is no whole number")
    if text.startswith("-") and text.strip("-0"):
        raise Unusable(f"{bucket} {text[:40]} is below 0; a count cannot be")
    digits = text.lstrip("-0") or "0"
    if len(digits) > len(str(MAX_QUANTITY)) or int(digits) > MAX_QUANTITY:
        raise Unusable(f"{bucket} {text[:40]} is more than {MAX_QUANTITY:,}")
    return int(digits)
