"""Owns the model's rule for `query`."""

from itertools import islice

from audit.model.documents import Hold, Json, decode_hold
from audit.model.parts import CommandRefused
from audit.model.policies import available_to
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState, is_of
from schemas.codes import Code
from schemas.commands import Query
from schemas.results import ReservationView, Result, Waiting

# How many reservations a list looks at, and after how many allocations in it no other reservation is shown.
LOOKED_AT = 1_000
ALLOCATIONS = 2_000


def query(state: PartitionState, command: Query) -> Effect:
    """Show a SKU's rows, and a reservation when one is named."""
    item = state.items.get(command.sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    rows = list(item.rows.items())
    hold: Hold | bytes | None = None
    if command.reservation_id is not None:
        hold = state.holds.get(f"{command.sku}\0{command.reservation_id}")
        if hold is None or not is_of(command.channels, hold):
            raise CommandRefused(Code.UNKNOWN_RESERVATION)
    if command.channel is not None:
        state.shown["availability"] = _availability(state, command.sku, command.channel)
    if command.sku in state.books and state.books[command.sku].says_something():
        state.shown["book"] = state.books[command.sku].document_of_query()
    if command.waiting:
        state.shown["waiting"] = _list_waiting(state, command, command.waiting)
    return decode_hold(hold) if isinstance(hold, bytes) else hold, rows


def _availability(state: PartitionState, sku: str, channel: str) -> Json:
    policy, supply = state.policy_of(sku, channel), state.supply_of(sku, channel)
    found = available_to(supply, policy, state.register.warehouses, state.now)
    promises = [{"at": at, "available_to_promise": units} for at, units in found.promises]
    return {"channel": channel, **found._asdict(), "promises": promises}


def _list_waiting(state: PartitionState, command: Query, number: int) -> list[Waiting]:
    """Return the first so many that wait, by rank."""
    book = state.books.get(command.sku)
    keys = book.queue.by_rank() if book else iter(())
    mine = (key for key in keys if is_of(command.channels, state.holds[key]))
    return [_show_waiting(key, state.held(key)) for key in islice(mine, number)]


def _show_waiting(key: str, hold: Hold) -> Waiting:
    reservation_id = key.partition("\0")[2]
    rank = (hold.priority or 0, hold.placed_at or 0)  # both are given with the first claim
    return Waiting(reservation_id, hold.channel, hold.order_id, *rank, hold.waiting, hold.promised_at)


def list_held(state: PartitionState, command: Query, result: Result) -> None:
    """Put the SKU's held reservations into the result, when they are asked for."""
    if command.reservations is None:
        return
    prefix = f"{command.sku}\0"
    after = prefix + (command.after or "")
    later = sorted(key for key in state.holds if key.startswith(prefix) and key > after)
    result.reservations = []
    result.next = None
    allocations = 0
    for number, key in enumerate(later):
        hold = state.holds[key]
        if isinstance(hold, Hold) and is_of(command.channels, hold):
            result.reservations.append(_view(key, prefix, hold))
            allocations += len(hold.allocations)
        is_full = len(result.reservations) == command.reservations or allocations >= ALLOCATIONS
        if is_full or number + 1 == LOOKED_AT:
            result.next = key.removeprefix(prefix) if number + 1 < len(later) else None
            return


def _view(key: str, prefix: str, hold: Hold) -> ReservationView:
    return hold.view(key.removeprefix(prefix))


def _content(command: Query) -> tuple[object, ...]:
    return (command.reservation_id, command.of_command_id, command.reservations, command.after)


RULE = Rule(Query, query, _content)
