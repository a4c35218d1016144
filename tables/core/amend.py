"""Owns the rule for `amend`: the quantity of a held reservation changes."""

import msgspec

from schemas.availability import is_allowed, room_of
from schemas.codes import Code
from schemas.commands import Amend
from schemas.policies import Policy
from tables.core.book import has_place_for, held_of, owed_to_queue
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import find_hold, give_back, hold, home_of, shaped
from tables.core.placing import Demand, place
from tables.core.reserve import opens_too_many, ranked, waits_for
from tables.core.rows import FullReservation, full
from tables.core.rule import Rule


def amend(rows: Rows, sku: Sku | None, command: Amend, record: Record) -> Outcome | Refusal:
    """Give units back, or place further ones, until the reservation has the new total."""
    found = find_hold(rows, sku, command, record.now_ms)
    if type(found) is Refusal:
        return found
    sku, _, reservation = found
    held = full(reservation)
    more = command.quantity - held.quantity
    if not more:
        return Outcome((), (), command.reservation_id, reservation)
    if more > 0:
        return _grow(rows, sku, command, held, record)
    if -more >= held.left:
        return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    after = msgspec.structs.replace(give_back(draft, held, -more), quantity=command.quantity)
    return draft.outcome(command.reservation_id, shaped(after))


def _grow(rows: Rows, sku: Sku, command: Amend, held: FullReservation, record: Record) -> Outcome | Refusal:
    policy = rows.register.policy(held.channel, sku.policies)
    asked = command.quantity - held.quantity
    forbidden = _forbidden(policy, command.quantity, held)
    if forbidden is not None:
        return forbidden
    room = _room(sku, policy, held)
    more = asked
    if room is not None and room < asked:
        if not (command.partial and room >= 1):
            return Refusal(Code.CHANNEL_CAP_EXCEEDED, command.quantity, held.quantity + max(room, 0))
        more = room
    if room is not None and not has_place_for(sku.book, held.channel):
        return Refusal(Code.LIMIT_EXCEEDED)
    placing = place(_demand(rows, sku, command, held, more, record.now_ms), policy, sku, rows.register)
    if placing.waits and opens_too_many(rows, command.sku, held.channel, held.only):
        return Refusal(Code.LIMIT_EXCEEDED)
    if not placing.is_given:
        return Refusal(Code.INSUFFICIENT_STOCK, command.quantity, held.quantity + placing.possible)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    counted = held.counted or policy.cap is not None
    given = placing.possible
    newly_counted = held.left if counted and not held.counted else 0
    draft.count(held.channel, held=given + newly_counted if counted else 0)
    after = msgspec.structs.replace(hold(draft, held, placing), quantity=held.quantity + given, counted=counted)
    if placing.waits:
        after = ranked(after, policy, record)
    requested = command.quantity if given < asked else None
    return draft.outcome(command.reservation_id, shaped(after), requested=requested)


def _forbidden(policy: Policy, quantity: int, held: FullReservation) -> Refusal | None:
    """Return why a policy does not let the reservation grow to a quantity; None when it does."""
    may_name = held.only is None or policy.warehouses is None or held.only in policy.warehouses
    if not (is_allowed(policy) and may_name):
        return Refusal(Code.CHANNEL_NOT_ALLOWED)
    if policy.max_per_reservation is not None and quantity > policy.max_per_reservation:
        return Refusal(Code.QUANTITY_ABOVE_LIMIT)
    return None


def _room(sku: Sku, policy: Policy, held: FullReservation) -> int | None:
    """Return by how much the reservation may grow under its channel's cap; None without one."""
    room = room_of(policy, held_of(sku.book, held.channel))
    # One that was not counted so far is counted whole.
    return room if room is None or held.counted else room - held.left


def _demand(rows: Rows, sku: Sku, command: Amend, held: FullReservation, more: int, now_ms: int) -> Demand:
    policy = rows.register.policy(held.channel, sku.policies)
    supplies, backorders = waits_for(rows, sku, policy, held.channel, command, held.only, now_ms)
    owed, holding = owed_to_queue(sku.book), tuple(warehouse for warehouse, _ in held.allocations)
    home = home_of(held, sku.book)
    return Demand(more, held.only, held.region, bool(command.partial), supplies, backorders, owed, holding, home)


def _content(c: Amend) -> tuple[object, ...]:
    return ("amend", c.reservation_id, c.quantity, c.partial or False, c.wait or "none", c.promise_by)


RULE = Rule(Amend, amend, content=_content)
