"""Owns the ring: the last events of a topic, committed ones only, as its one reader read them.

The reader's batches are the ring's *writes*, numbered from 0. A *place* is the number of the next write. Before each
write the reader had some position in every partition, so a place has positions, and positions have a place: the latest
one that is not beyond any of them.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from gateway.reader import Record
from gateway.streams.events import Event, MakeEvent, as_sent
from gateway.streams.positions import Positions, event_id
from gateway.streams.wanted import Passes, StreamFilter, those_wanted

# What a reader read, by partition.
Batches = Mapping[TopicPartition, Sequence[Record]]

RING_BYTES = 64 * 1024 * 1024
# What Python needs for an event beside its block: the tuple, its numbers and strings, its places in the two indexes.
_EVENT_BYTES = 400
_WRITE_BYTES = 400
_POSITION_BYTES = 40
# Streams that keep up share what is sent from the last few places; who is behind has a place of its own.
_SHARED_WRITES = 8


class _Write(NamedTuple):
    before: Positions
    events: list[Event]
    size: int


class Portion(NamedTuple):
    """What a filter wants of some writes: the events, the place after them, and all as it is sent."""

    events: list[Event]
    end: int
    data: bytes


class Ring:
    """The last events of one topic.

    Args:
        make: makes the events.
        passes: the filter by warehouse and channel.
        most_bytes: how much it may hold.
    """

    def __init__(self, make: MakeEvent, passes: Passes, most_bytes: int = RING_BYTES) -> None:
        self._make = make
        self._passes = passes
        self._most_bytes = most_bytes
        self._writes: deque[_Write] = deque()
        self._by_sku: dict[str, deque[Event]] = {}
        # Streams with the same filter, at the same place, send the same bytes.
        self._portions: dict[tuple[StreamFilter, int], Portion] = {}
        self.positions: dict[int, int] | None = None
        self.first = 0  # the oldest write that is there
        self.next = 0
        self.size = 0
        self.on_write: Callable[[list[Event]], None] = lambda _: None
        self.on_loss: Callable[[], None] = lambda: None

    def take(self, batches: Batches, positions: Mapping[TopicPartition, int]) -> None:
        """Take what the reader read, in the order of each partition.

        Args:
            batches: the records since the last call; the ring begins after those of the first call.
            positions: the reader's, after them.
        """
        before = self.positions
        self.positions = {each.partition: offset for each, offset in positions.items()}
        if before is None:
            return
        for partition, offset in before.items():
            self.positions[partition] = max(offset, self.positions[partition])
        # A reader whose connection broke may read again what the ring has.
        new = {
            place: [it for it in records if it.offset >= before[place.partition]] for place, records in batches.items()
        }
        events = self._made(self.next, new)
        if not events:
            return
        size = _WRITE_BYTES + _POSITION_BYTES * len(before) + sum(len(event.block) + _EVENT_BYTES for event in events)
        self._writes.append(_Write(before, events, size))
        for event in events:
            self._by_sku.setdefault(event.sku, deque()).append(event)
        self.size += size
        self.next += 1
        self._portions.clear()
        while self.size > self._most_bytes:
            self._drop_oldest()
        self.on_write(events)

    def _made(self, write: int, batches: Batches) -> list[Event]:
        made = (self._make(write, place.partition, record) for place, records in batches.items() for record in records)
        return [event for event in made if event is not None]

    def lose(self) -> None:
        """Forget everything: the reader goes on elsewhere, and the ring begins anew with its next call."""
        if self.positions is None:
            return
        self.on_loss()
        self.positions = None
        self._writes.clear()
        self._by_sku.clear()
        self._portions.clear()
        self.first = self.next
        self.size = 0

    def _drop_oldest(self) -> None:
        write = self._writes.popleft()
        for event in write.events:
            of_sku = self._by_sku[event.sku]
            of_sku.popleft()
            if not of_sku:
                del self._by_sku[event.sku]
        self.size -= write.size
        self.first += 1

    def at(self, place: int) -> Positions:
        """Return the positions of a place that is in the ring."""
        if place == self.next:
            assert self.positions is not None  # noqa: S101 - only a ring that began has places
            return self.positions
        return self._writes[place - self.first].before

    def place_of(self, positions: Positions) -> int | None:
        """Return the latest place that is not beyond any of some positions; None when the ring begins later."""
        if self.positions is None or not self._is_not_beyond(self.first, positions):
            return None
        low, high = self.first, self.next
        while low < high:
            middle = (low + high + 1) // 2
            if self._is_not_beyond(middle, positions):
                low = middle
            else:
                high = middle - 1
        return low

    def _is_not_beyond(self, place: int, positions: Positions) -> bool:
        at = self.at(place)
        return all(at[partition] <= offset for partition, offset in positions.items())

    def read(self, place: int, wanted: StreamFilter, most_bytes: int) -> Portion:
        """Return what a filter wants from a place on.

        Args:
            place: a place in the ring.
            wanted: the filter.
            most_bytes: whole writes, until their wanted events have this many bytes.
        """
        found = self._portions.get((wanted, place))
        if found is None:
            of = self._of_all(place, wanted, most_bytes) if wanted.skus is None else self._of_skus(place, wanted)
            events, end = _cut(*of, most_bytes)
            found = Portion(events, end, as_sent(events, event_id(self.at(end), wanted.partitions)))
            if place >= self.next - _SHARED_WRITES:
                self._portions[wanted, place] = found
        return found

    def wanted_of(self, batches: Batches, wanted: StreamFilter) -> list[Event]:
        """Return the events of records that are not in the ring, as far as a filter wants them."""
        return those_wanted(wanted, self._made(-1, batches), self._passes)

    def _of_skus(self, place: int, wanted: StreamFilter) -> tuple[list[Event], int]:
        events: list[Event] = []
        for sku in wanted.skus or ():
            for event in reversed(self._by_sku.get(sku, ())):
                if event.write < place:
                    break
                events.append(event)
        events.sort(key=_in_log)
        return those_wanted(wanted._replace(skus=None), events, self._passes), self.next

    def _of_all(self, place: int, wanted: StreamFilter, most_bytes: int) -> tuple[list[Event], int]:
        events: list[Event] = []
        size = 0
        while place < self.next and size <= most_bytes:
            new = those_wanted(wanted, self._writes[place - self.first].events, self._passes)
            events += new
            size += sum(len(event.block) for event in new)
            place += 1
        return events, place


def _in_log(event: Event) -> tuple[int, int, int]:
    return event.write, event.partition, event.offset


def _cut(events: list[Event], place: int, most_bytes: int) -> tuple[list[Event], int]:
    """Cut a list of events after the write with which it has enough bytes."""
    size = 0
    for index, event in enumerate(events):
        if size > most_bytes and event.write != events[index - 1].write:
            return events[:index], event.write
        size += len(event.block)
    return events, place
