"""Owns the comparison, in order, of the expected records of a topic with the published ones."""

from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, Protocol

import orjson

from audit.comparison.digest import Digest
from audit.model.documents import Json
from audit.report.report import Difference, Kind, PartitionReport, What

# At a difference, how many records ahead are searched for the next one in which both sides agree.
LOOK_AHEAD = 2000
# After this many places that differ, the rest would take minutes and show nothing new.
MAX_PARTINGS = 10_000
# How many missing and how many surplus records are kept, to see whether they only changed places.
MAX_STRAYS = 100_000


class Record(Protocol):
    """The used fields of a record read from Kafka, such as aiokafka's ConsumerRecord."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any  # a sequence of (name, bytes)


class Format(NamedTuple):
    """How the documents of one kind are compared, identified and shown.

    Args:
        kind: its name in the report.
        same: whether a record equals the expected document.
        wanted_id: the identity of an expected document in its topic.
        found_id: the identity of a record.
        alike: whether a record in the document's place is the same document with other content, perhaps with another
            identity. If not, one is lost and the other does not belong there.
        key: the key that the record must have.
        show: the record's document, for the report.
        offset: the offset of the command that a record answers, by its own words, or None.
        repeats: whether the topic may have several equal records of this kind, so that an equal one shows no position.
    """

    kind: Kind
    same: Callable[[Json, Record], bool]
    wanted_id: Callable[[Json], Hashable]
    found_id: Callable[[Record], Hashable]
    alike: Callable[[Json, Record], bool]
    key: Callable[[Json], str]
    show: Callable[[Record], Any]
    offset: Callable[[Record], int | None]
    repeats: Callable[[Record], bool]


# What is expected: the command's offset, the published record's key, and its value: JSON as bytes, or a document where
# the value alone does not say whether a record is the right one (a dead letter's headers).
Entry = tuple[int, bytes | None, bytes | Json]
_KEY_AND_VALUE, _FOUND_KEY_AND_VALUE, _VALUE = itemgetter(1, 2), attrgetter("key", "value"), itemgetter(1)


class Stream:
    """Matches one topic's records with the expected ones; both come in pieces, in order.

    Args:
        format_: the format of the topic's documents.
        report: gets the differences.
        position: the ledger's position. Missing records of later commands count as lost only if a record follows them.
        head_missing: whether the topic has lost its beginning; the first record left then says where to begin.
        digest: goes on over what is expected of the commands before the position, with what was found in its place
            where that differs.
        next_offset: of the topic; goes on to behind the last record that belongs to a command before the position.
    """

    def __init__(
        self,
        format_: Format,
        report: PartitionReport,
        position: int,
        *,
        head_missing: bool = False,
        digest: Digest | None = None,
        next_offset: int = 0,
    ) -> None:
        self.format = format_
        self.report = report
        self.position = position
        self.head_missing = head_missing
        self.digest = digest or Digest()
        self.next_offset = next_offset
        self.compared = self.lost = self.doubled = self.unchecked = 0
        self.wanted: list[Any] = []  # of `Entry`
        self.found: list[Record] = []
        self.wanted_done = self.found_done = False
        self._partings = 0
        self._ids: dict[int, Hashable] = {}  # of the records searched last, by their offset
        # Differences that may turn out to be one record in the wrong place, by identity; None where none was kept.
        self._lost: dict[Hashable, Difference | None] = {}
        self._doubled: dict[Hashable, Difference | None] = {}

    @property
    def hungry(self) -> bool:
        """Return whether `match` needs more records."""
        return not self.found_done and (self.wanted_done or len(self.found) <= len(self.wanted) + LOOK_AHEAD)

    def add(self, records: Iterable[Record]) -> None:
        """Add records that were read from the topic."""
        self.found.extend(records)

    def match(self) -> None:
        """Compare as much as can be decided, and drop what was compared."""
        wanted, found = self.wanted, self.found
        if self._partings >= MAX_PARTINGS:
            wanted.clear()
            found.clear()
        if self.head_missing and not self._find_beginning():
            return
        self._pass_over_equal()
        same, position, digested = self.format.same, self.position, self.digest.pending
        while wanted and found:
            offset, key, value = wanted[0]
            record = found[0]
            # Comparing bytes is faster than decoding them.
            if (record.value == value and record.key == key) or same(document_of(value), record):
                if offset < position:
                    # A dead letter is expected as a document.
                    digested.append(value if isinstance(value, bytes) else record.value or b"")
                    self.next_offset = record.offset + 1
                self.compared += 1
                del wanted[0], found[0]
                self._matched(key)
            elif not self._part():
                self.digest.fold()
                return
        self.digest.fold()
        self._pass_over_rest()

    def _pass_over_equal(self) -> None:
        """Compare everything that both sides have at once: almost always it is equal, and this is faster."""
        wanted, found = self.wanted, self.found
        count = min(len(wanted), len(found))
        if count == 0 or wanted[count - 1][0] >= self.position:
            return
        keys_and_values = list(map(_KEY_AND_VALUE, wanted[:count]))
        if keys_and_values != list(map(_FOUND_KEY_AND_VALUE, found[:count])):
            return
        self.digest.pending.extend(map(_VALUE, keys_and_values))
        self.next_offset = found[count - 1].offset + 1
        self.compared += count
        del wanted[:count], found[:count]
        self._all_matched(keys_and_values)

    def finish(self) -> None:
        """Report what is left; both sides are complete."""
        self.wanted_done = self.found_done = True
        self.match()
        self._pass_over_rest()
        if self._partings >= MAX_PARTINGS:
            self.report.note(f"{self.format.kind}s: stopped comparing after {MAX_PARTINGS} places that differ")
        if self.unchecked:
            self.report.note(f"{self.format.kind}s: the topic has lost the {self.unchecked} first of those expected")

    def _pass_over_rest(self) -> None:
        """Report what one side has left when the other is complete."""
        while self.found_done and self.wanted:
            entry = self.wanted.pop(0)
            if entry[0] < self.position:
                self._lose(entry)
        while self.wanted_done and self.found:
            self._double(self.found.pop(0))

    def _matched(self, key: bytes) -> None:
        """Note that an expected record was found."""

    def _all_matched(self, keys_and_values: list[tuple[bytes, bytes]]) -> None:
        """Note that many expected records were found."""

    def _find_beginning(self) -> bool:
        """Drop expected records before the first record left; return True when both sides meet."""
        while self.found and self.format.repeats(self.found[0]):
            self.found.pop(0)
        if self.found:
            target = self.format.found_id(self.found[0])
            while self.wanted and self._wanted_id(self.wanted[0]) != target:
                self._leave_unchecked()
        elif self.found_done:
            while self.wanted:
                self._leave_unchecked()
        self.head_missing = not (self.found and self.wanted)
        return not self.head_missing

    def _leave_unchecked(self) -> None:
        self.unchecked += 1
        self._digest_expected(self.wanted.pop(0))

    def _digest_expected(self, entry: Entry) -> None:
        if entry[0] < self.position and isinstance(entry[2], bytes):
            self.digest.pending.append(entry[2])

    def _wanted_id(self, entry: Entry) -> Hashable:
        return self.format.wanted_id(document_of(entry[2]))

    def _part(self) -> bool:
        """Report the first difference; return False when more records must be read first."""
        if self._wanted_id(self.wanted[0]) == self._id_of(self.found[0]):
            self._alter(self.wanted.pop(0), self.found.pop(0))
            return True
        if self.hungry or (len(self.wanted) < LOOK_AHEAD and not self.wanted_done):
            return False
        self._partings += 1
        lost, doubled = self._meeting()
        while lost and lost == doubled and self.format.alike(document_of(self.wanted[0][2]), self.found[0]):
            self._alter(self.wanted.pop(0), self.found.pop(0))
            lost, doubled = lost - 1, doubled - 1
        for _ in range(lost):
            self._lose(self.wanted.pop(0))
        for _ in range(doubled):
            self._double(self.found.pop(0))
        return True

    def _meeting(self) -> tuple[int, int]:
        """Return how many expected and how many found records to skip until both agree again."""
        ahead = list(islice(self.found, LOOK_AHEAD))
        self._ids = {record.offset: self._id_of(record) for record in ahead}
        places: dict[Hashable, int] = {}
        for place, record in enumerate(ahead):
            places.setdefault(self._ids[record.offset], place)
        expected = [self._wanted_id(entry) for entry in islice(self.wanted, LOOK_AHEAD)]
        meetings = [(place, places[identity]) for place, identity in enumerate(expected) if identity in places]
        if not meetings:
            # Commands after the position may not have been applied yet, so their records may still come.
            applied = sum(offset < self.position for offset, _, _ in islice(self.wanted, len(expected)))
            return applied, len(ahead)
        return min(meetings, key=sum)

    def _id_of(self, record: Record) -> Hashable:
        identity = self._ids.get(record.offset)
        return self.format.found_id(record) if identity is None else identity

    def _alter(self, entry: Entry, record: Record) -> None:
        self.compared += 1
        self.digest.pending.append(record.value or b"")
        self._say("altered", entry[0], document_of(entry[2]), record)

    def _lose(self, entry: Entry) -> None:
        offset, document = entry[0], document_of(entry[2])
        identity = self.format.wanted_id(document)
        if identity in self._doubled:
            _move(self._doubled.pop(identity), offset=offset, expected=document)
            self.doubled -= 1
            return
        self.lost += 1
        difference = self._say("lost", offset, document, None)
        if self.found and len(self._lost) < MAX_STRAYS:
            self._lost[identity] = difference

    def _double(self, record: Record) -> None:
        self.compared += 1
        self.digest.pending.append(record.value or b"")
        identity = self._id_of(record)
        if identity in self._lost:
            _move(self._lost.pop(identity), record_offset=record.offset, found=self.format.show(record))
            self.lost -= 1
            return
        self.doubled += 1
        difference = self._say("doubled", self.format.offset(record), None, record)
        if self.wanted and len(self._doubled) < MAX_STRAYS:
            self._doubled[identity] = difference

    def _say(self, what: What, offset: int | None, document: Json | None, record: Record | None) -> Difference | None:
        key = self.format.key(document) if document is not None else _text(record.key if record else None)
        difference = Difference(
            kind=self.format.kind,
            what=what,
            partition=self.report.partition,
            offset=offset,
            record_offset=record.offset if record else None,
            key=key,
            expected=document,
            found=self.format.show(record) if record else None,
        )
        return difference if self.report.add(difference) else None


def document_of(value: Any) -> Any:
    """Return an expected value as a document."""
    return orjson.loads(value) if isinstance(value, bytes) else value


def _move(difference: Difference | None, **known: Any) -> None:
    """Join two differences into one: the missing record is in another place."""
    if difference is not None:
        difference.what = "reordered"
        for field, value in known.items():
            setattr(difference, field, value)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")


def canonical(document: Any) -> bytes:
    """Return JSON in a canonical form: 1, 1.0 and true differ, and the order of keys does not count."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def parse(value: bytes | None) -> Any:
    """Return a record's decoded JSON; None when it is no JSON."""
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
