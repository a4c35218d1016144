"""Owns the worker's settings."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """The settings of one worker.

    Args:
        bootstrap: `HOST:PORT,...` of the Kafka brokers.
        data_dir: the worker's own directory, with its stores and its instance id.
        partitions: the partition count of every topic.
        standbys: how many other workers keep a warm copy of each partition.
        session_timeout_s: a worker without a heartbeat for this long loses its partitions.
        transaction_timeout_ms: the broker aborts a transaction that is open for longer.
        batch_commands: at most this many commands are decided in one transaction.
    """

    bootstrap: str
    data_dir: Path
    partitions: int = 4
    standbys: int = 0
    session_timeout_s: float = 6.0
    transaction_timeout_ms: int = 10_000
    batch_commands: int = 2_000

    def store_path(self, partition: int) -> Path:
        """Return the directory of a partition's local store."""
        return self.data_dir / "ledger" / str(partition)
