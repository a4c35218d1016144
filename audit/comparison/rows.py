"""Owns the comparison of the changelog's rows with those of the model."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from audit.comparison.digest import Digest
from audit.comparison.streams import canonical, parse
from audit.model.documents import CLOSED_MS, ROW_VERSION, encode_row, hold_of
from audit.model.oracle import SEEN_MS, Model
from audit.report.report import Difference, PartitionReport

POSITION = b"P"
# Indexes into decoded rows; the version is at 0.
_TYPE, _AT, _RESERVATION_ID, _RESERVATION, _OF_COMMAND, _EXTRA = 2, 5, 7, 8, 12, 13  # of a remembered command
_CLOSED_AT = 9  # of closed announced goods

_decode = msgspec.msgpack.Decoder().decode
_position_decoder = msgspec.msgpack.Decoder(tuple[int, int, int, Any])


class LedgerSnapshot(NamedTuple):
    """The last value of every key of a partition's changelog, and its position.

    Args:
        rows: all rows but the position; None for a removed row.
        next_offset: the first command that is not applied; None before the first transaction.
        now_ms: the partition's clock.
        incarnation: the ledger's incarnation.
        end: the changelog's offset up to which it was read.
    """

    rows: dict[bytes, bytes | None]
    next_offset: int | None
    now_ms: int
    incarnation: Any = None
    end: int = 0

    @classmethod
    def of(cls, values: dict[bytes, bytes | None], end: int = 0) -> "LedgerSnapshot":
        """Return the snapshot of a changelog's last values; the position row is removed from them.

        Raises:
            ValueError: the position row is not laid out as documented.
        """
        value = values.pop(POSITION, None)
        if value is None:
            return cls(values, None, 0, None, end)
        try:
            version, next_offset, now_ms, incarnation = _position_decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"the ledger's position row cannot be read: {value!r}") from error
        if version != ROW_VERSION:
            raise ValueError(f"the ledger's position row has version {version}; this audit knows {ROW_VERSION}")
        return cls(values, next_offset, now_ms, incarnation, end)


def compare_rows(model: Model, ledger: LedgerSnapshot, report: PartitionReport) -> int:
    """Compare the ledger's rows with the model's and add differences to the report. Empties the rows.

    When the model has noted which rows were touched, only these rows and those of the changelog are compared.

    Returns:
        How many rows were compared.
    """
    compared = 0
    for key, row in model.rows() if model.touched is None else _touched(model, model.touched):
        compared += 1
        value = ledger.rows.pop(key, None)
        if value != row and (value is None or not _same_but_for_the_ledgers_own(row, value)):
            what = "lost" if value is None else "altered"
            report.add(_difference(report.partition, what, key, row, value))
    for key, value in ledger.rows.items():
        row_or_none = model.row(key)
        if value == row_or_none or (
            value is not None and row_or_none is None and _may_be_left(model, key, value, ledger.now_ms)
        ):
            continue
        compared += 1
        what = "doubled" if row_or_none is None else "lost" if value is None else "altered"
        report.add(_difference(report.partition, what, key, row_or_none, value))
    ledger.rows.clear()
    return compared


def digest_rows(model: Model) -> Digest:
    """Return the digest of the expected rows, each as key, line feed and value, in the model's order."""
    digest = Digest()
    for number, (key, value) in enumerate(model.rows()):
        digest.pending.append(key + b"\n" + value)
        if number % 1024 == 0:
            digest.fold()
    digest.fold()
    return digest


def _touched(model: Model, keys: Iterable[str]) -> Iterable[tuple[bytes, bytes]]:
    for name in keys:
        key = name.encode()
        if (row := model.row(key)) is not None:
            yield key, row


def read_row(value: bytes) -> Any:
    """Return a decoded row; bytes that are no msgpack are returned unchanged."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value


def show_key(key: bytes) -> str:
    r"""Return a row's key as text, its NUL as `\0`."""
    return key.decode(errors="backslashreplace").replace("\0", "\\0")


def _same_but_for_the_ledgers_own(row: bytes, value: bytes) -> bool:
    """Compare a remembered command without the fields that the model does not have; see the comments."""
    expected, found = read_row(row), read_row(value)
    if len(expected) not in {_OF_COMMAND + 1, _EXTRA + 1} or not isinstance(found, list) or len(found) != len(expected):
        return False
    if found[_RESERVATION] is None:
        found[_RESERVATION_ID] = None  # of the reservation shown; without one it has no meaning
    if len(expected) > _EXTRA and isinstance(found[_EXTRA], bytes):
        # The fields of a JSON object may stand in any order.
        expected[_EXTRA], found[_EXTRA] = (canonical(parse(row[_EXTRA])) for row in (expected, found))
    return encode_row(found) == encode_row(expected)


def _may_be_left(model: Model, key: bytes, value: bytes, now_ms: int) -> bool:
    """Return whether a row may still exist and does not count.

    Its time is over by the ledger's clock, or it is of a query, which earlier releases remembered.
    """
    row = read_row(value)
    try:
        if key[:1] == b"C":
            return bool(row[_TYPE] == "query" or row[_AT] + SEEN_MS <= now_ms)
        if key[:1] == b"R":
            hold = hold_of(row)
            return hold.closed_at is not None and hold.forgotten_at() <= now_ms
        if key[:1] == b"I":
            return bool(row[_CLOSED_AT] + CLOSED_MS <= now_ms)
        if key[:1] == b"J":
            return model.is_over(key)
    except (TypeError, ValueError, LookupError):
        return False  # not laid out as documented: report it
    return False


def _difference(partition: int, what: Any, key: bytes, expected: bytes | None, found: bytes | None) -> Difference:
    both = [None if value is None else read_row(value) for value in (expected, found)]
    return Difference(kind="row", what=what, partition=partition, key=show_key(key), expected=both[0], found=both[1])
