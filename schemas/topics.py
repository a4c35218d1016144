"""Owns the topics: their names and exact configuration. All have the same number of partitions."""

from typing import Final, NamedTuple

COMMANDS: Final = "inventory.commands"
RESULTS: Final = "inventory.results"
STOCK_CHANGES: Final = "inventory.stock-changes"
REFERENCE: Final = "inventory.reference"
DEAD_LETTERS: Final = "inventory.dead-letters"
STATUS: Final = "inventory.status"
WEBHOOK_DEAD_LETTERS: Final = "inventory.webhook-dead-letters"
CHANGELOG: Final = "holdfast-ledger-changelog"

GROUP: Final = "holdfast"

_DAY_MS = 24 * 60 * 60 * 1000
# A reader that was away for less than this still sees every tombstone; an older local store is rebuilt.
DELETE_RETENTION_MS = _DAY_MS
# Kafka's default, and the most a caller's record may have.
MAX_COMMAND_BYTES = 1_048_588
# The limit of the unpacked records of a compressed batch of commands, without the batch's header. A batch of 1 MiB
# above it is compressed 16:1 or more; 3 KB of zstd can hold 100 MB. A worker keeps two or three batches in memory.
MAX_UNPACKED_BYTES = 16 * 1024 * 1024
# One transaction writes at most one record batch per topic. It closes after the command with which it passes
# BATCH_BYTES; the largest record (a release in 1,000 warehouses, every text 256 characters of 4 bytes, and in its
# tail a fill that takes all of it) adds 0.4 MB to the results and 0.6 MB to the ledger's rows, so these may pass twice
# BATCH_BYTES. To the stock changes it adds 5.0 MB; each of the tail's other 15 steps may add a book of 0.25 MB.
BATCH_BYTES = 900_000
_MAX_OUTPUT_BYTES = 5 * 1024 * 1024
_MAX_STOCK_CHANGES_BYTES = 12 * 1024 * 1024
# A dead letter carries a whole record and its headers, after BATCH_BYTES of others. In bytes: 899,999 of others, 61 of
# the batch itself, 1,150,000 of key and value (`schemas/dead_letters.py`), 140 of headers and lengths and 270 of the
# longest reason make 2,050,470 of 2,097,152.
_MAX_DEAD_LETTER_BYTES = 2 * 1024 * 1024

# Output records have the time of the log's clock, which never goes back. After a broker's clock was far ahead, it stays
# ahead of the time of day. By default a broker refuses records more than an hour ahead; the partition would then stand
# still.
_ANY_TIME = str((1 << 63) - 1)


class About(NamedTuple):
    """What a reader or writer of a topic has to know beside its configuration."""

    key: str
    holds: str
    writer: str
    placed_by: str


_AS_COMMAND = "the command's partition"
ABOUT: Final[dict[str, About]] = {
    COMMANDS: About(
        "SKU", "commands, the only input", "callers, the gateway; workers their ticks", "the key's murmur2"
    ),
    RESULTS: About("SKU", "one result per command, and one per expiry", "the partition's owner", _AS_COMMAND),
    STOCK_CHANGES: About(
        "`SKU/warehouse`", "every change of a stock row, with the row after it", "the partition's owner", _AS_COMMAND
    ),
    REFERENCE: About(
        "`warehouse/ID`, `channel/ID`, `feed/ID`, `policy/CHANNEL/SKU`",
        "the reference data in force in the partition",
        "the partition's owner",
        _AS_COMMAND,
    ),
    DEAD_LETTERS: About(
        "the record's own", "records and batches that could not be read", "the partition's owner", _AS_COMMAND
    ),
    STATUS: About(
        "`inventory/PARTITION`",
        "who owns the partition and how far it is, each second",
        "the partition's owner, outside transactions",
        "the partition it is about",
    ),
    WEBHOOK_DEAD_LETTERS: About(
        "the record's own", "what an endpoint of a webhook refused", "`holdfast webhooks`", "the record's partition"
    ),
    CHANGELOG: About("internal", "the ledger's rows; no interface", "the partition's owner", _AS_COMMAND),
}
TOPICS: Final[dict[str, dict[str, str]]] = {
    COMMANDS: {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_COMMAND_BYTES),
    },
    RESULTS: {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY_MS),
        "message.timestamp.after.max.ms": _ANY_TIME,
        "max.message.bytes": str(_MAX_OUTPUT_BYTES),
    },
    STOCK_CHANGES: {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(7 * _DAY_MS),
        "message.timestamp.after.max.ms": _ANY_TIME,
        "max.message.bytes": str(_MAX_STOCK_CHANGES_BYTES),
    },
    REFERENCE: {
        "cleanup.policy": "compact",
        "message.timestamp.after.max.ms": _ANY_TIME,
        "max.message.bytes": str(_MAX_OUTPUT_BYTES),
    },
    DEAD_LETTERS: {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * _DAY_MS),
        "message.timestamp.after.max.ms": _ANY_TIME,
        "max.message.bytes": str(_MAX_DEAD_LETTER_BYTES),
    },
    STATUS: {
        "cleanup.policy": "compact",
        # Only the latest record of a partition counts, and a gateway reads the topic from its beginning.
        "segment.ms": str(10 * 60 * 1000),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_COMMAND_BYTES),
    },
    WEBHOOK_DEAD_LETTERS: {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * _DAY_MS),
        # A stock change, which is a part of its topic's largest batch, with seven headers.
        "max.message.bytes": str(_MAX_STOCK_CHANGES_BYTES),
    },
    CHANGELOG: {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(DELETE_RETENTION_MS),
        "message.timestamp.after.max.ms": _ANY_TIME,
        "max.message.bytes": str(_MAX_OUTPUT_BYTES),
    },
}
