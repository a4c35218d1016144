"""Owns the file of an import: opening it, compressed or not, its digest, its rows, and how far it is read."""

import contextlib
import csv
import gzip
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from ops.problems import CannotDo

_DIGEST_CHARACTERS = 12
_CHUNK_BYTES = 1 << 20
_DASH, _STANDARD_INPUT = Path("-"), Path("standard input")
DEFAULT_ENCODING, DEFAULT_DELIMITER = "utf-8-sig", ","  # UTF-8, with or without a byte order mark


class OrderFile:
    """An open CSV file, read row by row; made by `open_orders`.

    Bytes that are invalid in the encoding become lone surrogates, so only their line is refused and not the whole file.
    The header must be valid.

    Raises:
        CannotDo: the header is invalid in this encoding.
    """

    def __init__(self, path: Path, raw: BinaryIO, content: BinaryIO, *, encoding: str, delimiter: str) -> None:
        self.path = path
        self.size = os.fstat(raw.fileno()).st_size
        self._raw = raw
        self._text = io.TextIOWrapper(content, encoding=encoding, errors="surrogateescape", newline="")
        self._delimiter = delimiter
        self._reader = csv.reader(self._text, delimiter=delimiter)
        self.header: Sequence[str] = next(self._reader, [])
        if not _is_text("".join(self.header)):
            raise CannotDo(
                f"{path}: its header is not {encoding}. Name the file's encoding, such as `--encoding latin-1`."
            )

    @property
    def position(self) -> int:
        """Return how many of the file's `size` bytes are read."""
        return self._raw.tell()

    def rewind(self) -> None:
        """Go back to the first row after the header."""
        self._text.seek(0)
        self._reader = csv.reader(self._text, delimiter=self._delimiter)
        next(self._reader)

    @property
    def line(self) -> int:
        """Return the number of the last line read; the header is line 1."""
        return self._reader.line_num

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows after the header, without empty lines.

        Raises:
            CannotDo: the file is not CSV, or is damaged.
        """
        try:
            yield from (row for row in self._reader if row)
        except (csv.Error, OSError, EOFError, UnicodeError) as error:
            raise CannotDo(f"{self.path}, line {self.line}: {error}") from error


def _is_text(text: str) -> bool:
    """Return whether a text has no lone surrogates, which stand for invalid bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@contextlib.contextmanager
def open_orders(
    path: Path, *, encoding: str = DEFAULT_ENCODING, delimiter: str = DEFAULT_DELIMITER
) -> Iterator[OrderFile]:
    """Open a CSV file, `.gz` or not.

    Args:
        path: the file; `-` is standard input. What cannot be read twice is copied to its end first.
        encoding: the file's encoding, as Python names it.
        delimiter: the character that separates fields.

    Raises:
        CannotDo: it cannot be read, or has no header.
    """
    try:
        with _opened(path) as raw:
            content = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            path = _STANDARD_INPUT if path == _DASH else path
            buffered = io.BufferedReader(content, _CHUNK_BYTES)
            orders = OrderFile(path, raw, buffered, encoding=encoding, delimiter=delimiter)
            if not orders.header:
                raise CannotDo(f"{path} is empty: the first line must name the columns.")
            yield orders
    except (gzip.BadGzipFile, FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CannotDo(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise CannotDo(f"{path} is not encoded as {encoding}: {error}") from error


def _opened(path: Path) -> io.BufferedReader:
    raw = None if path == _DASH else path.open("rb")
    if raw is not None and raw.seekable():
        return raw
    kept = cast("io.BufferedReader", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    with contextlib.nullcontext(sys.stdin.buffer) if raw is None else raw as source:
        shutil.copyfileobj(source, kept)
    kept.seek(0)
    return kept


def digest_of(path: Path) -> str:
    """Return the beginning of the SHA-256 of a file's content, before compression.

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
