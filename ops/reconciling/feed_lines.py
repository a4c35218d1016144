"""Owns how a row of a feed becomes a `reconcile`. Pure: no Kafka, no clock, no files.

A command's id is a digest of the feed, the time of the count, and the row with its tolerance. So a feed that is sent
again repeats the same commands, and the same count with another tolerance is another command.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ops.importing.order_lines import Step, Unusable
from ops.importing.stock_cells import Header, check_sku, units_in
from ops.problems import CannotDo
from ops.times import time_ms
from schemas import codec
from schemas.movements import Reconcile

BUCKETS = ("on_hand", "damaged", "quarantine")
# A WMS whose clock is ahead of the brokers' may send a count of the near future, which the ledger takes as of now. One
# of the far future is a mistake, and as the feed's version it would make every later feed an old one.
MAX_AHEAD_MS = 60 * 60 * 1000
_ID_BYTES = 16


class CountedRow(NamedTuple):
    """A usable row of a feed. `line` is its line in the file, `counted` has the buckets that were counted."""

    line: int
    sku: str
    warehouse: str
    as_of_at: int
    counted: dict[str, int]


class FeedPlanner:
    """Makes commands from the rows of a feed, and remembers the rows by the ids of their commands.

    Args:
        feed: the feed's name.
        header: the file's first line.
        as_of_at: the time (ms) of rows that give none; None when every row has to.
        now_ms: the time.
        as_it_is: whether the rows are held against the ledger as it is when they come; they have no time then.
        tolerance: the most units by which a row may differ; None for any.

    Raises:
        MissingColumn: the file has no SKU, no warehouse or no `on_hand`.
        CannotDo: two columns have the same name, no row can have a time, or `as_of_at` is none that a row may have.
    """

    def __init__(
        self,
        *,
        feed: str,
        header: Sequence[str],
        as_of_at: int | None,
        now_ms: int,
        as_it_is: bool = False,
        tolerance: int | None = None,
    ) -> None:
        self._feed = feed
        self._header = Header(header)
        self._sku, self._warehouse = (self._header.index(name, name) for name in ("sku", "warehouse"))
        self._on_hand = self._header.index("on_hand", "on_hand")
        self._others = [(name, self._header.find(name)) for name in BUCKETS[1:]]
        self._as_of = None if as_it_is else self._header.find("as_of")
        if as_of_at is None and self._as_of is None and not as_it_is:
            raise CannotDo("when was it counted? Give `--as-of TIME`, or a column as_of.")
        self._as_of_at = now_ms if as_it_is else as_of_at
        self._latest = now_ms + MAX_AHEAD_MS
        if as_of_at is not None and (problem := self._problem_of(as_of_at)) is not None:
            raise CannotDo(f"--as-of {as_of_at} {problem}.")
        self._as_it_is = as_it_is
        self._tolerance = tolerance
        self._at_odds: dict[tuple[str, str, int], list[int]] = {}
        self.rows: dict[str, CountedRow] = {}

    def look_through(self, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Find the lines that say different things of one count, as a file with a line for each shelf does.

        None of them is used then: the ledger would take the first and call the others `stale_count`.

        Args:
            rows: line and fields of all rows of the file, before the first of `steps`.
        """
        seen: dict[tuple[str, str, int], tuple[list[int], list[dict[str, int]]]] = {}
        for line, fields in rows:
            with contextlib.suppress(Unusable):
                row = self._read(line, fields)
                lines, counts = seen.setdefault(row[1:4], ([], []))
                lines.append(line)
                counts.append(row.counted)
        self._at_odds = {
            count: lines for count, (lines, counts) in seen.items() if any(it != counts[0] for it in counts)
        }

    @property
    def as_of_at(self) -> int | None:
        """Return the time (ms) of the latest count; None without any row."""
        return max((row.as_of_at for row in self.rows.values()), default=None)

    def steps(self, line: int, row: Sequence[str]) -> list[Step]:
        """Return the command of a row.

        Args:
            line: the row's line in the file.
            row: its fields.

        Raises:
            Unusable: the row cannot become a command; nothing of it is remembered.
        """
        read = self._read(line, row)
        if read[1:4] in self._at_odds:
            other = next(it for it in self._at_odds[read[1:4]] if it != line)
            raise Unusable(
                f"it is at odds with line {other}, which counts the same row: give one line with the sum of all places"
            )
        step = self._step(read)
        self.rows.setdefault(step.command_id, read)
        return [step]

    def _read(self, line: int, row: Sequence[str]) -> CountedRow:
        self._header.check_width(row)
        sku, warehouse = row[self._sku].strip(), row[self._warehouse].strip()
        check_sku(sku)
        return CountedRow(line, sku, warehouse, self._time_of(row), self._counts_of(row))

    def _time_of(self, row: Sequence[str]) -> int:
        text = "" if self._as_of is None else row[self._as_of].strip()
        if not text:
            if self._as_of_at is None:
                raise Unusable("it has no as_of, and no --as-of is given")
            return self._as_of_at
        try:
            at = time_ms(text)
        except CannotDo as error:
            raise Unusable(f"as_of: {error}") from None
        if (problem := self._problem_of(at)) is not None:
            raise Unusable(f"as_of {text} {problem}")
        return at

    def _problem_of(self, at: int) -> str | None:
        if at > self._latest:
            return "is in the future"
        return None if at > 0 else "is before 1970"

    def _counts_of(self, row: Sequence[str]) -> dict[str, int]:
        text = row[self._on_hand].strip()
        if not text:
            raise Unusable("it has no on_hand")
        counts = {"on_hand": units_in("on_hand", text)}
        for name, index in self._others:
            if index is not None and (text := row[index].strip()):
                counts[name] = units_in(name, text)
        return counts

    def _step(self, row: CountedRow) -> Step:
        content = (self._feed, row.as_of_at, row.sku, row.warehouse, sorted(row.counted.items()), self._tolerance)
        command_id = hashlib.blake2b(codec.encode(content), digest_size=_ID_BYTES).hexdigest()
        command = Reconcile(
            command_id=command_id,
            sku=row.sku,
            warehouse=row.warehouse,
            counted_on_hand=row.counted["on_hand"],
            counted_damaged=row.counted.get("damaged"),
            counted_quarantine=row.counted.get("quarantine"),
            as_of_at=None if self._as_it_is else row.as_of_at,
            tolerance=self._tolerance,
            reference=self._feed,
        )
        value = codec.encode(codec.json_object_of(command))
        try:
            codec.decode_command(value)
        except codec.Unreadable:
            # All other fields were checked or made here.
            raise Unusable(f"warehouse {row.warehouse!r} is not 1 to 32 characters of [A-Za-z0-9._-]") from None
        return Step(row.sku, command_id, 0, 0, value)
