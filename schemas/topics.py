"""Owns the topics: their names and exact configuration. All have the same number of partitions."""

from typing import Final

COMMANDS: Final = "inventory.commands"
RESULTS: Final = "inventory.results"
STOCK_CHANGES: Final = "inventory.stock-changes"
REFERENCE: Final = "inventory.reference"
DEAD_LETTERS: Final = "inventory.dead-letters"
CHANGELOG: Final = "holdfast-ledger-changelog"

GROUP: Final = "holdfast"

_DAY_MS = 24 * 60 * 60 * 1000
# A reader that was away shorter than this still sees every tombstone; a local store older than it is rebuilt.
DELETE_RETENTION_MS = _DAY_MS
# One transaction writes at most one record batch per topic, and a batch is checked against this as a whole.
# 1 MiB and a batch header of 12 bytes is Kafka's default; dead letters carry a whole record and its headers.
MAX_BATCH_BYTES = 1_048_588

TOPICS: Final[dict[str, dict[str, str]]] = {
    COMMANDS: {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_BATCH_BYTES),
    },
    RESULTS: {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * _DAY_MS),
        "max.message.bytes": str(MAX_BATCH_BYTES),
    },
    STOCK_CHANGES: {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(7 * _DAY_MS),
        "max.message.bytes": str(MAX_BATCH_BYTES),
    },
    REFERENCE: {
        "cleanup.policy": "compact",
        "max.message.bytes": str(MAX_BATCH_BYTES),
    },
    DEAD_LETTERS: {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * _DAY_MS),
        "max.message.bytes": str(2 * MAX_BATCH_BYTES),
    },
    CHANGELOG: {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(DELETE_RETENTION_MS),
        "max.message.bytes": str(MAX_BATCH_BYTES),
    },
}
