"""Owns how a row of counted stock becomes commands. Pure: no Kafka, no clock, no files.

Each quantity of a row becomes one `adjust` to an absolute `count`; an empty cell gives none. Ids are `NAME:ROW:BUCKET`,
so importing the same file again repeats the same commands.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from ops.importing.order_lines import MissingColumn, Step, Unusable
from ops.importing.stock_cells import Header, check_sku, units_in
from schemas import codec
from schemas.commands import Adjust, AdjustReason, Bucket

BUCKETS: tuple[Bucket, ...] = get_args(Bucket)


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
    quarantine: str = "quarantine"


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
        self._header = Header(header)
        self._sku = self._header.index("sku", columns.sku)
        self._warehouse = self._header.index("warehouse", columns.warehouse)
        self._quantities: list[tuple[Bucket, int]] = [
            (bucket, index)
            for bucket in BUCKETS
            if (name_ := getattr(columns, bucket)) and (index := self._header.find(name_)) is not None
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
        self._header.check_width(row)
        sku, warehouse = row[self._sku].strip(), row[self._warehouse].strip()
        check_sku(sku)
        given = [(bucket, row[index].strip()) for bucket, index in self._quantities]
        counts = [(bucket, units_in(bucket, text)) for bucket, text in given if text]
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
