"""Owns what is left out of aiokafka's reading: the copy of every record into a `ConsumerRecord`.

aiokafka decodes a record in C and then copies it into a dataclass of eleven fields, which costs 2 us a record. The C
record has the fields that are used here (`offset`, `timestamp`, `timestamp_type`, `key`, `value`) and is given as it
is. The change holds for every consumer of the process, so only the worker makes it.
"""

from typing import Any

from aiokafka.consumer import fetcher


def _as_it_is(_records: Any, _tp: Any, record: Any) -> Any:
    return record


def read_raw_records() -> None:
    """Let this process's consumers give records as the decoder made them.

    Raises:
        RuntimeError: aiokafka's fetcher is not the one this was written for.
    """
    if not hasattr(fetcher.PartitionRecords, "_consumer_record"):
        raise RuntimeError("this aiokafka reads records in another way; use the version in requirements.lock")
    fetcher.PartitionRecords._consumer_record = _as_it_is  # noqa: SLF001 - the one place that makes the copy
