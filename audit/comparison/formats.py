"""Owns how results, stock changes, reference records and dead letters are compared, identified and shown."""

from collections.abc import Hashable
from typing import Any

from audit.comparison.streams import Format, Record, canonical, parse
from audit.model.documents import Json

_UNREADABLE = "unreadable"  # in place of an identity, with the record's own offset


def result_id(result: Json) -> Hashable:
    """Return the identity of a result; only replays of the same command share one."""
    unsolicited = None
    if result["command_id"] is None and result["reservation"]:
        unsolicited = result["type"], result["reservation"]["reservation_id"]
    return result["offset"], result["sku"], result["command_id"], unsolicited, result["replayed"]


def change_id(change: Json) -> Hashable:
    """Return the identity of a stock change."""
    return change["sku"], change["seq"]


def change_key(change: Json) -> str:
    """Return the key of a stock change's record."""
    return f"{change['sku']}/{change['warehouse']}"


def _alike_result(result: Json, record: Record) -> bool:
    if _id_found(result_id, record) == (_UNREADABLE, record.offset):
        return True
    found = parse(record.value)
    same_command = result["command_id"] is not None and found["command_id"] == result["command_id"]
    return same_command or bool(found["offset"] == result["offset"])


def _alike_change(change: Json, record: Record) -> bool:
    if _id_found(change_id, record) == (_UNREADABLE, record.offset):
        return True
    found, cause = parse(record.value).get("cause"), change["cause"]
    if not isinstance(found, dict):
        return True
    return all(found.get(name) == cause.get(name) for name in ("type", "command_id", "reservation_id"))


def _alike_letter(letter: Json, record: Record) -> bool:
    return record.value == letter["value"] or _letter_offset(record) is None


def _id_found(identify: Any, record: Record) -> Hashable:
    try:
        identity: Hashable = identify(parse(record.value))
        hash(identity)
    except (TypeError, KeyError):
        return _UNREADABLE, record.offset
    return identity


def _same_result(result: Json, record: Record) -> bool:
    if record.key != result["sku"].encode():
        return False
    found = parse(record.value)
    if "problem" in result and isinstance(found, dict) and "problem" not in found:
        # The first release published no `problem`, and its results stay in the log for a week.
        result = {name: value for name, value in result.items() if name != "problem"}
    return canonical(found) == canonical(result)


def _same_change(change: Json, record: Record) -> bool:
    if record.key != change_key(change).encode():
        return False
    return canonical(parse(record.value)) == canonical(change)


def _same_letter(letter: Json, record: Record) -> bool:
    names = ("reason", "partition", "offset", "cut_key", "cut_value", "last_offset")
    headers = sorted((name, str(letter[name]).encode()) for name in names if letter[name] is not None)
    return record.key == letter["key"] and record.value == letter["value"] and sorted(record.headers) == headers


def _same_reference(wanted: Json, record: Record) -> bool:
    found = None if record.value is None else parse(record.value)
    same_kind = (record.value is None) == (wanted["value"] is None)
    return _alike_reference(wanted, record) and same_kind and canonical(found) == canonical(wanted["value"])


def _alike_reference(wanted: Json, record: Record) -> bool:
    return bool(record.key == wanted["key"].encode())


def is_removal(document: Json) -> bool:
    """Return whether a document says that the key of its record is removed."""
    return document.get("value", ...) is None


def _letter_offset(record: Record) -> int | None:
    text = dict(record.headers).get("offset", b"")
    return int(text) if text.isdigit() else None


def _letter_id(record: Record) -> Hashable:
    offset = _letter_offset(record)
    return (_UNREADABLE, record.offset) if offset is None else offset


def _show_letter(record: Record) -> Json:
    shown = {name: value.decode(errors="backslashreplace") for name, value in dict(record.headers).items()}
    return {"key": record.key, "value": record.value, **shown}


def _result_offset(record: Record) -> int | None:
    document = parse(record.value)
    offset = document.get("offset") if isinstance(document, dict) else None
    return offset if isinstance(offset, int) else None


def is_replay(record: Record) -> bool:
    """Whether a result is the second, or a later, answer to a command."""
    document = parse(record.value)
    return isinstance(document, dict) and document.get("replayed") is True


def show_document(record: Record) -> Any:
    """Return a record's JSON, or its bytes if it is no JSON."""
    document = parse(record.value)
    return record.value if document is None else document


RESULT = Format(
    kind="result",
    same=_same_result,
    wanted_id=result_id,
    found_id=lambda record: _id_found(result_id, record),
    alike=_alike_result,
    key=lambda result: str(result["sku"]),
    show=show_document,
    offset=_result_offset,
    repeats=is_replay,
)
STOCK_CHANGE = Format(
    kind="stock_change",
    same=_same_change,
    wanted_id=change_id,
    found_id=lambda record: _id_found(change_id, record),
    alike=_alike_change,
    key=change_key,
    show=show_document,
    offset=lambda _: None,
    repeats=lambda _: False,
)
# What is expected is `key`, `at` (ms) and `value`: a removal has no value that could say what it is of.
REFERENCE_RECORD = Format(
    kind="reference",
    same=_same_reference,
    wanted_id=lambda wanted: (wanted["key"], canonical(wanted["value"])),
    found_id=lambda record: ((record.key or b"").decode(errors="backslashreplace"), canonical(parse(record.value))),
    alike=_alike_reference,
    key=lambda wanted: str(wanted["key"]),
    show=show_document,
    offset=lambda _: None,
    repeats=lambda _: False,
)
DEAD_LETTER = Format(
    kind="dead_letter",
    same=_same_letter,
    wanted_id=lambda letter: letter["offset"],
    found_id=_letter_id,
    alike=_alike_letter,
    key=lambda letter: (letter["key"] or b"").decode(errors="backslashreplace"),
    show=_show_letter,
    offset=_letter_offset,
    repeats=lambda _: False,
)
