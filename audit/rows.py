"""Owns the comparison of the ledger's rows, as its changelog has them, with those of the model."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from audit.documents import ROW_VERSION
from audit.model import CLOSED_MS, SEEN_MS
from audit.report import Difference, PartitionReport
from audit.streams import canonical, parse

POSITION = b"P"
# Places in decoded rows, the version counted.
_FINGERPRINT, _AT, _RESERVATION_ID, _RESERVATION, _OF_COMMAND = 1, 5, 7, 8, 12
_CLOSED_AT = 9

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_position_decoder = msgspec.msgpack.Decoder(tuple[int, int, int, Any])


class Ledger(NamedTuple):
    """The last value of every key of a partition's changelog, and what its position row says.

    Args:
        rows: without the position row.
        next_offset: the first command that is not applied, None before the first transaction.
        now_ms: the partition's clock.
    """

    rows: dict[bytes, bytes]
    next_offset: int | None
    now_ms: int

    @classmethod
    def of(cls, values: dict[bytes, bytes]) -> "Ledger":
        """Read the position row out of a changelog's last values; it is taken out of them.

        Raises:
            ValueError: the position row is not laid out as documented.
        """
        value = values.pop(POSITION, None)
        if value is None:
            return cls(values, None, 0)
        try:
            version, next_offset, now_ms, _incarnation = _position_decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"the ledger's position row cannot be read: {value!r}") from error
        if version != ROW_VERSION:
            raise ValueError(f"the ledger's position row has version {version}; this audit knows {ROW_VERSION}")
        return cls(values, next_offset, now_ms)


def compare_rows(expected: Iterable[tuple[bytes, list[Any]]], ledger: Ledger, report: PartitionReport) -> int:
    """Compare all live rows; differences are added to the report. Uses up the ledger's rows.

    Returns:
        How many rows were compared.
    """
    compared = 0
    for key, row in expected:
        compared += 1
        value = ledger.rows.pop(key, None)
        if value is None:
            report.add(_difference(report.partition, "lost", key, row, None))
        elif value != _encode(row) and not _same_but_for_the_ledgers_own(row, found := read_row(value)):
            report.add(_difference(report.partition, "altered", key, row, found))
    for key, value in ledger.rows.items():
        row = read_row(value)
        if not _is_over(key, row, ledger.now_ms):
            compared += 1
            report.add(_difference(report.partition, "doubled", key, None, row))
    ledger.rows.clear()
    return compared


def read_row(value: bytes) -> Any:
    """Decode a row; bytes that are no msgpack are given as they are."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value


def show_key(key: bytes) -> str:
    r"""Give a row's key in print, its NUL as `\0`."""
    return key.decode(errors="backslashreplace").replace("\0", "\\0")


def _same_but_for_the_ledgers_own(row: list[Any], found: Any) -> bool:
    """Compare a remembered command without what the audit cannot know or need not: see the comments."""
    if len(row) != _OF_COMMAND + 1 or not isinstance(found, list) or len(found) != len(row):
        return False
    found = list(found)
    found[_FINGERPRINT] = None  # the core's own business
    if found[_RESERVATION] is None:
        found[_RESERVATION_ID] = None  # names the reservation shown; without one it says nothing
    of_command, found[_OF_COMMAND] = found[_OF_COMMAND], None
    expected_of_command = row[_OF_COMMAND]
    if of_command or expected_of_command:
        if not (of_command and expected_of_command):
            return False
        if canonical(parse(of_command)) != canonical(parse(expected_of_command)):
            return False
        row = [*row[:-1], None]
    return _encode(found) == _encode(row)


def _is_over(key: bytes, row: Any, now_ms: int) -> bool:
    """Whether the row's time is over by the ledger's clock: it may still be there, and is none of the state."""
    try:
        if key[:1] == b"C":
            return bool(row[_AT] + SEEN_MS <= now_ms)
        if key[:1] == b"R":
            return bool(row[_CLOSED_AT] is not None and row[_CLOSED_AT] + CLOSED_MS <= now_ms)
    except (TypeError, LookupError):
        return False  # not laid out as documented: let it be reported
    return False


def _difference(partition: int, what: Any, key: bytes, expected: Any, found: Any) -> Difference:
    return Difference(kind="row", what=what, partition=partition, key=show_key(key), expected=expected, found=found)
