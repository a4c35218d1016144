"""Owns the disks of the simulated machines: what RocksDB would keep, and what becomes of it when a machine fails."""

import bisect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tables.store import Item


class Drive:
    """One store's directory: its items, and the writes they came from, none of which was synced."""

    def __init__(self, writes: Iterable[list[Item]] = ()) -> None:
        self.items: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.writes: list[list[Item]] = []
        self.is_open = False
        for items in writes:
            self.write(items)

    def write(self, items: list[Item]) -> None:
        self.writes.append(items)
        for key, value in items:
            if value is None:
                if self.items.pop(key, None) is not None:
                    del self.keys[bisect.bisect_left(self.keys, key)]
            else:
                if key not in self.items:
                    bisect.insort(self.keys, key)
                self.items[key] = value


class Disk:
    """A machine's disk; `on_write` is told of every write, before it is done."""

    def __init__(self) -> None:
        self.drives: dict[Path, Drive] = {}
        self.on_write: Callable[[Path, list[Item]], Any] = lambda *_: None

    def let_go(self) -> None:
        """The process that had stores open has died."""
        for drive in self.drives.values():
            drive.is_open = False


class DiskStore:
    """In place of `RocksStore`: the store in a directory of the disk of the process that runs."""

    disk_of_this_process: Callable[[], Disk] = staticmethod(Disk)

    def __init__(self, path: Path) -> None:
        self._disk = DiskStore.disk_of_this_process()
        self._path = path
        self._drive = self._disk.drives.setdefault(path, Drive())
        if self._drive.is_open:
            raise RuntimeError(f"IO error: While lock file: {path}/LOCK: it is held by this process")
        self._drive.is_open = True
        self._closed = False

    def _open_drive(self) -> Drive:
        if self._closed:
            raise RuntimeError("DB instance is closed")
        return self._drive

    def get(self, key: bytes) -> bytes | None:
        return self._open_drive().items.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        drive = self._open_drive()
        for key in drive.keys[bisect.bisect_left(drive.keys, start) : bisect.bisect_left(drive.keys, stop)]:
            yield key, drive.items[key]

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        return max(self.scan(start, stop), default=None)

    def write(self, items: Iterable[Item]) -> None:
        items = list(items)
        self._disk.on_write(self._path, items)
        self._open_drive().write(items)

    def close(self) -> None:
        self._closed = True
        self._drive.is_open = False

    @staticmethod
    def destroy(path: Path) -> None:
        DiskStore.disk_of_this_process().drives.pop(path, None)
