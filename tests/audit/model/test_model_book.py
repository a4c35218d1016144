"""The book of a SKU says what its channels hold, and its rows have the layout of the contract."""

from types import SimpleNamespace

import msgspec

from audit.comparison.invariants import check_state
from audit.model.book import Book, policy_document, policy_row
from audit.model.policies import POLICY_FIELDS, policy_as_set


def as_set(**fields):
    return policy_as_set(SimpleNamespace(**(dict.fromkeys(POLICY_FIELDS) | fields)))


def test_a_new_book_says_nothing():
    assert Book().document() == {"backordered": 0, "promised": 0, "inbounds": [], "channels": []}
    assert not Book().says_something()


def test_a_book_shows_the_channels_that_hold_something_by_name():
    book = Book()
    book.hold("web", 5)
    book.hold("shop", 2)
    book.hold("web", -1)
    book.hold("vip", 3)
    book.hold("vip", -3)
    assert book.document()["channels"] == [
        {"channel": "shop", "held": 2, "backordered": 0},
        {"channel": "web", "held": 4, "backordered": 0},
    ]
    assert list(book.document()) == ["backordered", "promised", "inbounds", "channels"]


def test_the_row_of_a_book():
    book = Book()
    book.seq = 7
    book.hold("web", 5)
    book.policies["web"] = as_set(cap=5)
    assert msgspec.msgpack.decode(book.row()) == [1, 7, None, False, 0, 0, 1, [], [["web", 5, 0]]]


def test_a_policy_shows_what_was_given_and_its_row_has_every_field():
    policy = as_set(split=False, buffer=0)
    assert list(policy_document("mug", "*", policy, 9).items()) == [
        ("kind", "policy"),
        ("channel", "*"),
        ("sku", "mug"),
        ("at", 9),
        ("split", False),
        ("buffer", 0),
    ]
    assert msgspec.msgpack.decode(policy_row(policy)) == [1, None, None, None, False, 0, *[None] * 6]


def test_the_audit_says_when_a_channel_holds_something_else_than_its_counted_reservations_have_left(log):
    log.stocked(a=9).do("set_policy", channel="default", cap=8)
    log.do("reserve", reservation_id="r", quantity=6)
    log.do("commit", reservation_id="r", quantity=2)
    assert all(invariant.holds for invariant in check_state(log.model))
    log.model.books["S"].hold("default", 1)
    (broken,) = [invariant for invariant in check_state(log.model) if not invariant.holds]
    assert (broken.checked, broken.note) == (1, "S of default: held 5, left 4")
