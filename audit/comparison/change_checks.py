"""Owns the checks of stock changes among themselves, for a log that has lost its beginning, so the model is no help."""

from collections.abc import Iterable
from typing import Any

import msgspec

from audit.comparison.changes import difference_of, oversold
from audit.comparison.formats import change_key, show_document
from audit.comparison.rows import LedgerSnapshot, read_row, show_key
from audit.comparison.streams import Record
from audit.model.documents import QUANTITIES, ROW_VERSION, Json
from audit.report.report import Difference, PartitionReport, What
from schemas.codec import stock_change_decoder

_INBOUNDS = 7  # index into the row of a book


class ChangeChecks:
    """Takes the records of `inventory.stock-changes` like a `Stream`, and checks each as it comes.

    It checks that each SKU's sequence has no gap, that each row's quantities follow from those before and the delta,
    that no reserve makes available negative, and that each stock row of the ledger equals its last change.

    Args:
        report: gets the differences.
        ledger: the rows to compare with their last changes.
        compactable_until: compaction may have removed records up to this time (ms).
        head_missing: whether the topic has lost its beginning.
    """

    def __init__(
        self, report: PartitionReport, ledger: LedgerSnapshot, *, compactable_until: int, head_missing: bool
    ) -> None:
        self.report = report
        self.compactable_until = compactable_until
        self.compared = self.rows_compared = 0
        self.wanted_done = self.found_done = False
        self.found: list[Record] = []
        self._head_missing = head_missing
        self._began_at: int | None = None  # time of the topic's first record
        self._last_of_row: dict[str, Json] = {}
        self._last_of_sku: dict[str, tuple[int, int]] = {}  # seq, time of the record
        self._rows: dict[str, tuple[bytes, list[Any]]] = {}
        for key, value in ledger.rows.items():
            if key[:1] != b"S" or value is None:
                continue
            row = read_row(value)
            if isinstance(row, list) and len(row) > 1 and isinstance(row[1], int):
                self._rows[key[1:].decode(errors="backslashreplace").replace("\0", "/")] = key, row
            else:
                self._say_row("altered", key, row, None)

    @property
    def hungry(self) -> bool:
        """Whether there is more to read."""
        return not self.found_done

    def add(self, records: Iterable[Record]) -> None:
        """Check records that were read from the topic."""
        for record in records:
            self.compared += 1
            change = show_document(record)
            if self._began_at is None:
                self._began_at = record.timestamp
                # Compaction does not move a log's start, but leaves a gap before the first record.
                self._head_missing = self._head_missing or record.offset > 0
            try:
                stock_change_decoder.decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._say("altered", record, change, f"a stock change: {error}")
            else:
                self._check(record, change)

    def match(self) -> None:
        """Do nothing: each record was checked when it came."""

    def finish(self) -> None:
        """Report the stock rows without a change; the whole topic has been read."""
        for name, (key, row) in self._rows.items():
            if name.endswith("/") and row[1] == 0:
                continue  # a book of which nothing was published yet
            last = self._last_of_row.get(name)
            # The change is later than the row: the row was read before, and compaction may have removed its own change.
            if last is None or not last["seq"] > row[1]:
                self._say_row("lost", key, row, last)

    def _check(self, record: Record, change: Json) -> None:
        after, seq, key = change["after"], change["seq"], change_key(change)
        if record.key != key.encode():
            self._say("altered", record, change, f"the key {key}")
        self._check_sequence(record, change)
        available = after["on_hand"] - after["reserved"] - after["safety_stock"]
        if after["available"] != available or change["shortfall"] != (after["reserved"] > after["on_hand"]):
            self._say("altered", record, change, {"available": available})
        if oversold(change):
            self.report.oversold += 1
            self._say("oversold", record, change, None)
        self._check_difference(record, change, key)
        self._last_of_row[key] = change
        of_book = not change["warehouse"]
        tells_all = ("book" in change) == of_book
        if not tells_all:
            self._say("altered", record, change, "a book" if of_book else "no book")
        if key in self._rows and self._rows[key][1][1] == seq:
            row_key, row = self._rows.pop(key)
            self.rows_compared += 1
            if tells_all and row != _row_after(change, row):
                self._say_row("altered", row_key, row, change)

    def _check_sequence(self, record: Record, change: Json) -> None:
        sku, seq = change["sku"], change["seq"]
        last, since = self._last_of_sku.get(sku, (0, self._began_at or 0))
        if seq <= last:
            self._say("doubled", record, change, {"seq": last + 1})
            return
        unknown = (last == 0 and self._head_missing) or since <= self.compactable_until
        if seq != last + 1 and not unknown:
            self._say("lost", record, change, {"seq": last + 1})
        self._last_of_sku[sku] = (seq, record.timestamp)

    def _check_difference(self, record: Record, change: Json, key: str) -> None:
        before = self._last_of_row.get(key)
        if before is None or before["seq"] >= change["seq"] or before["at"] <= self.compactable_until:
            return
        delta = change["delta"]
        expected = {name: before["after"].get(name, 0) + delta.get(name, 0) for name in QUANTITIES}
        if any(expected[name] != change["after"].get(name, 0) for name in QUANTITIES):
            self._say("altered", record, change, {"after": expected})

    def _say(self, what: What, record: Record, change: Any, expected: Any) -> None:
        self.report.add(difference_of(self.report.partition, what, record, change, expected))

    def _say_row(self, what: What, key: bytes, row: Any, change: Json | None) -> None:
        difference = Difference(
            kind="row", what=what, partition=self.report.partition, key=show_key(key), expected=change, found=row
        )
        self.report.add(difference)


def _row_after(change: Json, row: list[Any]) -> list[Any]:
    """Return the row that a change leaves; what is not published of a book is as in the row that was found."""
    if change["warehouse"]:
        *usual, quarantine = (change["after"].get(name, 0) for name in QUANTITIES)
        return [2, row[1], *usual, quarantine] if quarantine else [ROW_VERSION, row[1], *usual]
    book = change["book"]
    channels = [[entry["channel"], entry["held"], entry["backordered"]] for entry in book["channels"]]
    inbounds = _inbounds_after(book["inbounds"], row[_INBOUNDS])
    queue = (book.get("settling", False), book["backordered"], book["promised"])
    return [*row[:3], *queue, row[6], inbounds, channels]


def _inbounds_after(shown: list[Json], found: list[Any]) -> list[Any]:
    """Return the announced goods of a book's row; what is not published of each is as in the row that was found."""
    rows = {row[0]: row for row in found}
    inbounds = []
    for entry in shown:
        id_, _, _, quantity, received, damaged, _, landed, _, reference = rows.get(entry["inbound_id"], [None] * 10)
        if None not in {quantity, received, damaged} and max(0, quantity - received - damaged) != entry["remaining"]:
            quantity = None  # what is still to come is published, so it is not as in the row
        coming = [id_, entry["warehouse"], entry["eta_at"], quantity, received, damaged]
        inbounds.append([*coming, entry["claimed"], landed, entry.get("from"), reference])
    return inbounds
