"""Owns the plan of a soak: which fault happens when, to whom, for how long; a seed always makes the same plan."""

import random
from dataclasses import dataclass

SLOTS = 3
KINDS = ("kill", "stop", "leave", "kill broker", "freeze broker", "reset offsets", "open transaction", "fence")
# One deck holds this many of each kind; when it is used up the next is shuffled, so that no kind stays out for long.
_DECK = {"kill": 4, "stop": 3, "leave": 2, "fence": 2}
_FIRST_AT_S = 3.0
_WORKER_SLACK_S = 5.0
_BROKER_SLACK_S = 6.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Args:
        at_s: when it begins, in seconds from the start of the load.
        kind: one of `KINDS`.
        slot: which worker it hits; the partition for an open transaction and a fence.
        for_s: how long it lasts; for an open transaction its time-out.
        detail: the disk a killed worker comes back with, or where the operator moves the group's offsets.
    """

    at_s: float
    kind: str
    slot: int
    for_s: float
    detail: str = ""


def plan(seed, seconds, *, partitions):
    """Return the faults of a soak in order of time."""
    rng = random.Random(seed)
    slots_free_at, broker_free_at = [0.0] * SLOTS, 0.0
    deck, faults, at_s = [], [], _FIRST_AT_S
    while at_s < seconds:
        if not deck:
            deck = [kind for kind in KINDS for _ in range(_DECK.get(kind, 1))]
            rng.shuffle(deck)
        # A worker that is already in a fault gets no other; the fault that would hit it waits for a later turn.
        free = [slot for slot in range(SLOTS) if slots_free_at[slot] <= at_s]
        kind = next((kind for kind in deck if _possible(kind, free, broker_free_at <= at_s)), None)
        if kind is not None:
            deck.remove(kind)
            fault = _fault(rng, at_s, kind, free, partitions)
            faults.append(fault)
            until = at_s + fault.for_s
            if kind in ("kill", "stop", "leave"):
                slots_free_at[fault.slot] = until + rng.uniform(0.0, _WORKER_SLACK_S)
            elif kind == "reset offsets":
                slots_free_at = [until + _WORKER_SLACK_S] * SLOTS
            elif kind in ("kill broker", "freeze broker"):
                broker_free_at = until + _BROKER_SLACK_S
        at_s += rng.uniform(1.0, 4.0)
    return faults


def _possible(kind, free, broker_free):
    if kind == "reset offsets":
        return len(free) == SLOTS and broker_free
    if kind in ("kill", "stop", "leave"):
        return bool(free)
    return broker_free  # what needs an answer of the broker, or takes it away


def _fault(rng, at_s, kind, free, partitions):
    at_s = round(at_s, 2)
    match kind:
        case "kill":
            disk = rng.choice(["same disk", "same disk", "wiped disk", "stale disk"])
            return Fault(at_s=at_s, kind=kind, slot=rng.choice(free), for_s=rng.choice([0.0, 0.5, 8.0]), detail=disk)
        case "stop":
            # The session is 6 s: the short ones wake up as members, the long ones as strangers.
            return Fault(at_s=at_s, kind=kind, slot=rng.choice(free), for_s=rng.choice([1.0, 4.0, 7.0, 10.0]))
        case "leave":
            return Fault(at_s=at_s, kind=kind, slot=rng.choice(free), for_s=rng.choice([0.5, 3.0]))
        case "kill broker":
            return Fault(at_s=at_s, kind=kind, slot=0, for_s=rng.choice([0.0, 1.0, 3.0]))
        case "freeze broker":
            return Fault(at_s=at_s, kind=kind, slot=0, for_s=rng.choice([0.5, 2.0, 5.0]))
        case "reset offsets":
            where = rng.choice(["earliest", "latest", "middle"])
            return Fault(at_s=at_s, kind=kind, slot=0, for_s=1.0, detail=where)
        case "open transaction":
            return Fault(at_s=at_s, kind=kind, slot=rng.randrange(partitions), for_s=rng.choice([3.0, 8.0]))
        case _:
            return Fault(at_s=at_s, kind=kind, slot=rng.randrange(partitions), for_s=0.0)
