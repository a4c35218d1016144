"""Owns the file of an import: opening it, packed or not, its digest, and its rows with how far it is read."""

import contextlib
import csv
import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ops.problems import CannotDo

_DIGEST_CHARACTERS = 12
_CHUNK_BYTES = 1 << 20


class OrderFile:
    """A CSV file that is being read, row by row; use `open_orders`.

    Bytes that are no UTF-8 are kept as lone surrogates: the line that holds them is refused, not the whole file.
    """

    def __init__(self, path: Path, raw: BinaryIO, content: BinaryIO) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._raw = raw
        text = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._reader = csv.reader(text)
        self.header: Sequence[str] = next(self._reader, [])

    @property
    def position(self) -> int:
        """Return how many of the file's bytes are read, of `size`."""
        return self._raw.tell()

    @property
    def line(self) -> int:
        """Return the number of the file's line that was read last, the header's being 1."""
        return self._reader.line_num

    def rows(self) -> Iterator[list[str]]:
        """Return the rows after the header; empty lines are none.

        Raises:
            CannotDo: the file is no CSV, or is damaged.
        """
        try:
            yield from (row for row in self._reader if row)
        except (csv.Error, OSError, EOFError) as error:
            raise CannotDo(f"{self.path}, line {self.line}: {error}") from error


@contextlib.contextmanager
def open_orders(path: Path) -> Iterator[OrderFile]:
    """Open a file of order lines, `.gz` or not.

    Raises:
        CannotDo: it cannot be read, or begins with no header.
    """
    try:
        with path.open("rb") as raw:
            content = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            orders = OrderFile(path, raw, io.BufferedReader(content, _CHUNK_BYTES))
            if not orders.header:
                raise CannotDo(f"{path} is empty: the first line must name the columns.")
            yield orders
    except (gzip.BadGzipFile, FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CannotDo(f"{path} cannot be read: {error.strerror or error}") from error


def digest_of(path: Path) -> str:
    """Return the beginning of the SHA-256 of a file's content, the same packed and unpacked.

    Raises:
        CannotDo: it cannot be read.
    """
    try:
        with path.open("rb") as raw:
            content = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            digest = hashlib.sha256()
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, EOFError) as error:
        raise CannotDo(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return digest.hexdigest()[:_DIGEST_CHARACTERS]
