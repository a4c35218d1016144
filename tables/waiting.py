"""Owns the local rows of settling: who waits, by rank, and which SKUs are pending.

They follow from the reservations and the books, so they are not in the changelog.
"""

from collections.abc import Iterator, Mapping

import msgspec

from tables.core.queue import Rank, WaitsFor, rank_of, waiting_for
from tables.core.rows import RESERVATION, Class, FullReservation, decode_book
from tables.store import Item, Store

_WAITING, _PENDING = b"DQ", b"DP"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[tuple[str | None, int | None], ...]).decode


def queue_prefix(sku: str) -> bytes:
    """Return what the keys of all that wait for a SKU begin with."""
    return _WAITING + sku.encode() + b"\0"


def has_queues(store: Store) -> bool:
    """Return whether anybody waits for any SKU."""
    return next(store.scan(_WAITING, _WAITING + b"\xff"), None) is not None


def waiting_key(sku: str, of: Class, rank: Rank) -> bytes:
    """Return the key of one that waits; keys of a class sort by rank."""
    channel, only = of
    place = rank.priority.to_bytes(2, "big") + rank.placed.to_bytes(8, "big")
    return queue_prefix(sku) + f"{channel}\0{only or ''}\0".encode() + place + rank.reservation_id.encode()


def waiting_value(waiting: WaitsFor) -> bytes:
    """Return the value of one that waits: what its claims wait for."""
    return _encode(waiting.claims)


def waiting_of(rest: bytes, value: bytes) -> tuple[Rank, WaitsFor]:
    """Return the rank of one that waits and what the queue knows of it.

    Args:
        rest: what follows the prefix in its key.
        value: its value.
    """
    channel, _, rest = rest.partition(b"\0")
    only, _, rest = rest.partition(b"\0")
    rank = Rank(int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:10], "big"), rest[10:].decode())
    return rank, WaitsFor((channel.decode(), only.decode() or None), _decode(value))


def pending_key(sku: str) -> bytes:
    """Return the key of a pending SKU; its value is `since`, 8 bytes."""
    return _PENDING + sku.encode()


def pending_in(store: Store) -> Iterator[tuple[str, int]]:
    """Yield the pending SKUs of a store, each with `since`."""
    for key, value in store.scan(_PENDING, _PENDING + b"\xff"):
        yield key[len(_PENDING) :].decode(), int.from_bytes(value, "big")


def settling_items(store: Store, rows: Mapping[bytes, bytes | None]) -> Iterator[Item]:
    """Yield the items of the queues and of what is pending that follow from rows, in the order to write them.

    Args:
        store: what it held before the rows.
        rows: by key; None for those that were removed.
    """
    yield from _no_longer_waiting(store, rows)
    for key, value in rows.items():
        letter = key[:1]
        if value is None or letter not in {b"R", b"S"}:
            continue
        sku, _, rest = key[1:].decode().partition("\0")
        if letter == b"S" and not rest:
            since = decode_book(value).since
            yield pending_key(sku), None if since is None else since.to_bytes(8, "big")
        elif letter == b"R":
            row = RESERVATION.decode(value)
            if (ranked := rank_of(rest, row)) is not None and isinstance(row, FullReservation):
                waiting = WaitsFor(ranked[0], waiting_for(row.claims))
                yield waiting_key(sku, *ranked), waiting_value(waiting) if row.claims else None


def _no_longer_waiting(store: Store, rows: Mapping[bytes, bytes | None]) -> Iterator[Item]:
    """Yield the items that remove those from the queues of a store who have another row now, or none.

    Their new row does not say what place they had: meanwhile one may have been closed and forgotten, and its id used
    again.
    """
    if not has_queues(store):
        return
    for key in rows:
        if key[:1] == b"R" and (value := store.get(key)) is not None:
            sku, _, reservation_id = key[1:].decode().partition("\0")
            if (ranked := rank_of(reservation_id, RESERVATION.decode(value))) is not None:
                yield waiting_key(sku, *ranked), None
