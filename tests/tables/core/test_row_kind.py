"""A kind of row is declared once: what the ledger does with a kind follows, and a wrong declaration is named."""

import re

import msgspec
import pytest

from tables.core.decision import Decision
from tables.core.row_kind import RowKind, collect_kinds
from tables.core.rows import KINDS, RESERVATION, SEEN, STOCK, Position, Reservation, Seen, SeenHead
from tables.due import FORGET_BUCKET_MS
from tables.ledger import Ledger, load
from tables.store import MemoryStore
from tests.tidy.repository import document

HELD = Reservation("held", 5, 1, 0, (("w", 4),), "web", None, 70_000, None)
CLOSED = msgspec.structs.replace(HELD, state="expired", released=4, allocations=(), closed_at=9_000)
SEEN_ROW = Seen(b"", "query", None, 0, 9_000, 3, None, None, (), None, None, None)


class Note(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True):
    text: str
    at: int | None = None


class NoLayout(msgspec.Struct, array_like=True):
    at: int


def apply(ledger, *writes):
    ledger.apply(Decision("S", None, None, (), writes))


def test_the_documents_have_a_line_for_each_kind_of_row():
    layout = document("docs/semantics.md").partition("## Ledger rows")[2].partition("Some rows have another layout")[0]
    assert re.findall(r"^\| `(.)`", layout, re.MULTILINE) == [kind.letter for kind in KINDS.values()]


def test_a_key_is_the_letter_the_sku_and_the_id_within_it():
    assert [kind.key("é", "x") for kind in (STOCK, RESERVATION, SEEN)] == [
        "Sé\0x".encode(), "Ré\0x".encode(), "Cé\0x".encode(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "row", "due", "forgotten"),
    [
        (RESERVATION, HELD, 70_000, None),
        (RESERVATION, CLOSED, None, 9_000 + 7 * 24 * 3_600_000),
        (RESERVATION, msgspec.structs.replace(HELD, expires_at=None), None, None),
        (SEEN, SEEN_ROW, None, 9_000 + 24 * 3_600_000),
    ],
)
def test_the_head_of_a_row_tells_when_it_is_due_and_when_it_is_forgotten(kind, row, due, forgotten):
    head = kind.decode_head(msgspec.msgpack.encode(row))
    assert (kind.due_at(head), kind.forgotten_at(head)) == (due, forgotten)


def test_a_seen_command_is_read_no_further_than_its_time():
    assert type(SEEN.decode_head(msgspec.msgpack.encode(SEEN_ROW))) is SeenHead


@pytest.mark.parametrize(("kind", "row"), [(RESERVATION, HELD), (RESERVATION, CLOSED), (SEEN, SEEN_ROW)])
def test_a_row_is_found_in_the_overlay_and_on_disk(kind, row):
    ledger = Ledger(MemoryStore())
    key = kind.key("S", "id")
    apply(ledger, (key, row))
    assert ledger.row(kind, key) == row
    assert ledger.pending() == [(key, msgspec.msgpack.encode(row))]
    ledger.checkpoint(Position(1, 9_000, "x"), 0)
    assert Ledger(ledger._store).row(kind, key) == row


@pytest.mark.parametrize(("kind", "row"), [(RESERVATION, CLOSED), (SEEN, SEEN_ROW)])
@pytest.mark.parametrize("loaded", [False, True])
def test_a_row_is_dropped_when_its_retention_is_over_and_not_before(kind, row, loaded):
    key, store = kind.key("S", "id"), MemoryStore()
    if loaded:
        load(store, [(0, key, msgspec.msgpack.encode(row))])
        ledger = Ledger(store)
    else:
        ledger = Ledger(store)
        apply(ledger, (key, row))
        ledger.checkpoint(Position(1, 9_000, "x"), 0)
    over = 9_000 + kind.retention_ms
    for now_ms, pending in ((over - 1, []), (over + FORGET_BUCKET_MS, [(key, None)])):
        ledger.position = Position(1, now_ms, "x")
        ledger.forget(10)
        assert ledger.pending() == pending


def test_a_held_reservation_falls_due_whether_it_was_decided_or_loaded():
    store, decided = MemoryStore(), Ledger(MemoryStore())
    key = RESERVATION.key("S", "r\N{SNOWMAN}")
    load(store, [(0, key, msgspec.msgpack.encode(HELD))])
    apply(decided, (key, HELD))
    for ledger in (decided, Ledger(store)):
        assert ledger.expiries.pop_due(69_999) is None
        assert ledger.expiries.pop_due(70_000) == (70_000, "S", "r\N{SNOWMAN}")


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"row_type": NoLayout}, "NoLayout must be array_like"),
        ({"due": "expires_at"}, "Note has no field expires_at"),
        ({"ended": "at"}, "Note needs both `ended` and `retention_ms`"),
        ({"ended": "at", "retention_ms": 1, "head": NoLayout}, "NoLayout must be array_like"),
        ({"due": "at", "kept": "encoded"}, "Note falls due, so it must be kept decoded"),
    ],
)
def test_a_wrong_declaration_is_named(declared, sentence):
    with pytest.raises(TypeError, match=sentence):
        RowKind("N", **({"row_type": Note} | declared))


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        ((RowKind("S", Note),), "Stock and Note have one letter, 'S'"),
        ((RowKind("D", Note),), "'D' cannot be the letter of Note"),
        ((RowKind("N", Note, due="at"),), "Reservation and Note fall due"),
    ],
)
def test_kinds_that_do_not_go_together_are_named(kinds, sentence):
    with pytest.raises(TypeError, match=sentence):
        collect_kinds([*KINDS.values(), *kinds])
