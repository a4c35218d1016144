"""Owns the checkpoints of audits: a directory with the state from which a later audit continues.

`checkpoint.json` names one file per partition and the cluster, topics and ledger that they belong to. It is written
last, by renaming, so the directory always has a complete checkpoint. A partition's file is a sequence of chunks: a
length (4 bytes, big-endian) and a msgpack array that begins with its kind. `checkpoint.json` has the file's SHA-256.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from heapq import heapify, heappush
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from audit.comparison.digest import Digest
from audit.model.book import Book
from audit.model.documents import StockRow, decode_hold, encode_row
from audit.model.inbounds import Inbound
from audit.model.journal import Correction, Counted, Entry, Journal
from audit.model.oracle import Model, row_of
from audit.model.parts import Item
from audit.model.reference import ReferenceRecord
from audit.problems import CannotAudit

# Layout 1, of earlier releases, has no books and no reference data, and queries are among its remembered commands.
LAYOUT = 5
MANIFEST = "checkpoint.json"
_CHUNK = 5000  # entries: some hundred KiB
_LENGTH = 4
# Of a remembered command's decoded row: the places of its type and its time. A query's row has its type in its bytes.
_TYPE, _AT = 2, 5
_QUERY = encode_row("query")

_decode = msgspec.msgpack.Decoder().decode


class Mark(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The offsets of one partition's checkpoint, and the identity of its log and ledger.

    Args:
        partition: its number.
        file: the name of its file.
        sha256: the file's SHA-256.
        next_offset: an offset of `inventory.commands`; the model has all commands before it.
        at: the partition's clock there (ms).
        incarnation: the ledger's incarnation.
        last_command: the `fingerprint` of the last command before `next_offset`; None without one.
        outputs: topic -> the offset behind the last record of a command before `next_offset`.
        changelog: the changelog's offset up to which rows were compared.
    """

    partition: int
    file: str
    sha256: str
    next_offset: int
    at: int
    incarnation: Any
    last_command: str | None
    outputs: dict[str, int]
    changelog: int


class Manifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The content of `checkpoint.json`."""

    layout: int
    cluster: str | None
    partitions: int
    marks: list[Mark]


class State(msgspec.Struct):
    """The state from which an audit continues: the model, and the digests of results and stock changes."""

    model: Model
    results: Digest
    stock_changes: Digest


def fingerprint(offset: int, timestamp_ms: int, value: bytes | None) -> str:
    """Return `OFFSET:DIGEST`, which differs for another record at that offset, in a topic that was made anew."""
    return f"{offset}:{sha256(b'%d ' % timestamp_ms + (value or b'')).hexdigest()[:32]}"


def read_manifest(directory: Path) -> Manifest | None:
    """Return `checkpoint.json`; None when there is none yet.

    Raises:
        CannotAudit: it cannot be read, or a later release wrote it.
    """
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CannotAudit(f"{path} cannot be read: {error}; remove {directory} to audit from the beginning") from error
    if not 1 <= manifest.layout <= LAYOUT:
        raise CannotAudit(f"{path} has layout {manifest.layout}, this audit knows 1 to {LAYOUT}; remove {directory}")
    return manifest


class Writer:
    """Writes one partition's file: first the model at the ledger's position, later the digests.

    Args:
        directory: made if it is missing.
        partition: its number.
    """

    def __init__(self, directory: Path, partition: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._path = directory / f"partition-{partition}.{os.getpid()}.new"
        self._hash = sha256()
        self._file: BinaryIO = self._path.open("wb")

    def write_model(self, model: Model) -> None:
        """Write the model."""
        self._chunk(["model", model.partition, model.partitions, model.now, model.changes])
        items = (
            [sku, item.seq, [[warehouse, row.row()] for warehouse, row in item.rows.items()]]
            for sku, item in model.items.items()
        )
        self._chunks("items", items)
        books = (
            [sku, book.seq, book.since, book.settling, book.policies, [it.row() for it in book.inbounds.values()]]
            for sku, book in model.books.items()
        )
        self._chunks("books", books)
        self._chunks("inbounds", model.closed_inbounds.items())
        journals = ([place, list(journal.entries)] for place, journal in model.journals.items())
        self._chunks("journals", journals)
        self._chunks("counted", ([place, *counted] for place, counted in model.counted.items()))
        self._chunks("reference", model.register.records.values())
        self._chunks("holds", ([key, row_of(hold)] for key, hold in model.holds.items()))
        self._chunks("seen", model.seen.items())
        self._chunks("runs", model.seen_runs)

    def finish(self, results: Digest, stock_changes: Digest, next_offset: int) -> tuple[str, str]:
        """Write the digests, and rename the file to its final name.

        Returns:
            The file's name and its SHA-256.
        """
        self._chunk(["digests", results.state(), stock_changes.state()])
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._hash.hexdigest()
        name = f"{self._path.name.partition('.')[0]}-{next_offset}-{digest[:12]}.model"
        self._path.rename(self._directory / name)
        return name, digest

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _chunks(self, kind: str, entries: Iterable[Any]) -> None:
        entries = iter(entries)
        while chunk := list(islice(entries, _CHUNK)):
            self._chunk([kind, chunk])

    def _chunk(self, content: list[Any]) -> None:
        data = encode_row(content)
        data = len(data).to_bytes(_LENGTH, "big") + data
        self._hash.update(data)
        self._file.write(data)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Make the named files the checkpoint, and remove the files of the earlier one."""
    path, new = directory / MANIFEST, directory / f"{MANIFEST}.{os.getpid()}.new"
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    discard_files(directory, keep={mark.file for mark in manifest.marks})


def discard_files(directory: Path, keep: set[str]) -> None:
    """Remove the partitions' files, except some."""
    for path in directory.glob("partition-*"):
        if path.name not in keep:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def read_state(directory: Path, mark: Mark) -> State:
    """Read one partition's file.

    Raises:
        CannotAudit: it is missing or damaged.
    """
    path = directory / mark.file
    try:
        with path.open("rb") as file:
            digest = sha256()
            while data := file.read(1 << 20):
                digest.update(data)
            if digest.hexdigest() != mark.sha256:
                raise CannotAudit(f"{path} is damaged; remove {directory} to audit from the beginning")
            file.seek(0)
            return _state_of(_read_chunks(file))
    except OSError as error:
        raise CannotAudit(f"{path} cannot be read: {error}; remove {directory} to audit from the beginning") from error


def _read_chunks(file: BinaryIO) -> Iterator[list[Any]]:
    while length := file.read(_LENGTH):
        yield _decode(file.read(int.from_bytes(length, "big")))


def _state_of(chunks: Iterator[list[Any]]) -> State:
    _, partition, partitions, now, changes = next(chunks)
    model = Model(partition, partitions)
    model.now, model.changes = now, changes
    digests: list[Digest] = []
    for kind, *content in chunks:
        if kind == "digests":
            digests = [Digest(*state) for state in content]
        else:
            add = _ADD[kind]
            for entry in content[0]:
                add(model, *entry)
    heapify(model.expiries)
    if sum(count for _, count in model.seen_runs) != len(model.seen_order):
        _count_runs(model)
    model.since_before.clear()
    for book in model.books.values():
        book.published = book.document()
    return State(model, *digests)


def _add_item(model: Model, sku: str, seq: int, rows: list[tuple[str, list[int]]]) -> None:
    item = model.items[sku] = Item(sku, seq)
    for warehouse, row in rows:
        item.add_row(warehouse, StockRow(*row[1:]))


def _add_book(
    model: Model,
    sku: str,
    seq: int,
    since: int | None,
    settling: bool,
    policies: dict[str, list[Any]],
    inbounds: list[list[Any]],
) -> None:
    book = model.books[sku] = Book()
    book.seq, book.settling = seq, settling
    book.policies = {channel: tuple(policy) for channel, policy in policies.items()}
    book.inbounds = {row[0]: Inbound.of_row(row) for row in inbounds}
    model.set_since(sku, since)


def _add_closed_inbound(model: Model, key: str, row: bytes) -> None:
    model.keep_inbound(key, row)


def _add_journal(model: Model, place: str, entries: list[list[Any]]) -> None:
    journal = model.journals[place] = Journal()
    journal.entries.extend(Entry(at, seq, tuple(units)) for at, seq, units in entries)


def _add_counted(model: Model, place: str, as_of_at: int, corrections: list[list[Any]]) -> None:
    found = (Correction(at, applied_at, tuple(units)) for at, applied_at, units in corrections)
    model.counted[place] = Counted(as_of_at, tuple(found))


def _add_reference(model: Model, *record: Any) -> None:
    type_, id_, version, command_id, at, values, journal_since = record
    model.register.add(ReferenceRecord(type_, id_, version, command_id, at, tuple(values), journal_since))


def _add_hold(model: Model, key: str, row: bytes) -> None:
    hold = decode_hold(row)
    if hold.closed_at is not None:
        model.holds[key] = row
        heappush(model.closed, (hold.forgotten_at(), key))
        return
    model.holds[key] = hold
    model.open += 1
    if hold.counted or hold.claims:
        model.books[key.partition("\0")[0]].count(key, hold)
    if hold.expires_at is not None:
        model.expiries.append((hold.expires_at, key))


def _add_seen(model: Model, key: str, row: bytes) -> None:
    if _QUERY in row and _decode(row)[_TYPE] == "query":
        return  # the ledger ignores it too
    model.seen[key] = row
    model.seen_order.append(key)


def _add_run(model: Model, at: int, count: int) -> None:
    model.seen_runs.append([at, count])


def _count_runs(model: Model) -> None:
    """Count again how many remembered commands are of the same time: queries among them were left out."""
    model.seen_runs.clear()
    for row in map(model.seen.__getitem__, model.seen_order):
        at = _decode(row)[_AT]
        if model.seen_runs and model.seen_runs[-1][0] == at:
            model.seen_runs[-1][1] += 1
        else:
            model.seen_runs.append([at, 1])


# The kind of a chunk -> what adds one of its entries.
_ADD: dict[str, Callable[..., None]] = {
    "items": _add_item,
    "books": _add_book,
    "inbounds": _add_closed_inbound,
    "journals": _add_journal,
    "counted": _add_counted,
    "reference": _add_reference,
    "holds": _add_hold,
    "seen": _add_seen,
    "runs": _add_run,
}
