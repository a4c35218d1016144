"""Owns the garbage collector of a process that measures: off while it measures."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector's work out of the times: a process that remembers every command has much to walk through."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
