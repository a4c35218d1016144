"""Owns the writing of files that hold secrets: only their owner may read them, from their first byte on."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 600 in one step; a reader finds the old file or the whole new one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    unfinished.replace(path)
