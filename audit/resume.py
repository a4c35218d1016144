"""Owns continuing from a checkpoint: the check that it belongs to this cluster and log, and the next mark."""

from audit.checkpoint import Manifest, Mark, Writer, fingerprint
from audit.comparison.compare import ModelComparison
from audit.comparison.rows import LedgerSnapshot
from audit.problems import CannotAudit
from audit.reading import Kafka
from schemas.topics import CHANGELOG, COMMANDS

_REMEDY = "give another directory, or remove this checkpoint to audit from the beginning"


def check_cluster(manifest: Manifest, cluster: str | None, partitions: int) -> None:
    """Check that a checkpoint belongs to this cluster.

    Raises:
        CannotAudit: it is not.
    """
    if manifest.cluster != cluster:
        raise CannotAudit(f"the checkpoint belongs to cluster {manifest.cluster}, this is {cluster}: {_REMEDY}")
    if manifest.partitions != partitions:
        raise CannotAudit(
            f"the checkpoint has {manifest.partitions} partitions, the topics have {partitions}: {_REMEDY}"
        )


async def check_log(kafka: Kafka, mark: Mark) -> None:
    """Check that a partition's log of commands is that of the checkpoint and continues it without a gap.

    Raises:
        CannotAudit: it is not.
    """
    partition, place = mark.partition, f"{COMMANDS}/{mark.partition}"
    begin, end = await kafka.begin(COMMANDS, partition), await kafka.end(COMMANDS, partition)
    if not begin <= mark.next_offset <= end:
        raise CannotAudit(
            f"the checkpoint goes up to offset {mark.next_offset} of {place}, which holds {begin} to {end}: "
            f"commands were lost in between, or the topic was made anew; {_REMEDY}"
        )
    if mark.last_command is None:
        return
    offset = int(mark.last_command.partition(":")[0])
    # A command that was deleted cannot be compared; the incarnation still shows a new ledger.
    if offset >= begin and await _fingerprint_at(kafka, partition, offset) != mark.last_command:
        raise CannotAudit(
            f"command {offset} of {place} is not the one that the checkpoint ends with: the topic was made anew; "
            f"{_REMEDY}"
        )


async def ledger_since(kafka: Kafka, partition: int, mark: Mark) -> LedgerSnapshot:
    """Return the rows that the ledger has written since a checkpoint.

    Raises:
        CannotAudit: the checkpoint belongs to another ledger or log.
    """
    await check_log(kafka, mark)
    end = await kafka.end(CHANGELOG, partition)
    if end < mark.changelog:
        raise CannotAudit(
            f"the checkpoint goes up to offset {mark.changelog} of {CHANGELOG}/{partition}, which ends at {end}: "
            f"the topic was made anew; {_REMEDY}"
        )
    ledger = await kafka.ledger(partition, since=mark.changelog)
    if ledger.next_offset is None:
        # No transaction since the checkpoint.
        return ledger._replace(next_offset=mark.next_offset or None, now_ms=mark.at, incarnation=mark.incarnation)
    if mark.incarnation is not None and ledger.incarnation != mark.incarnation:
        raise CannotAudit(
            f"the checkpoint belongs to ledger {mark.incarnation} of partition {partition}, "
            f"this is {ledger.incarnation}: the ledger was made anew; {_REMEDY}"
        )
    if ledger.next_offset < mark.next_offset:
        raise CannotAudit(
            f"the ledger of partition {partition} stands at command {ledger.next_offset}, before the checkpoint's "
            f"{mark.next_offset}: it went back; {_REMEDY}"
        )
    return ledger


def mark_of(comparison: ModelComparison, writer: Writer, ledger: LedgerSnapshot, before: Mark | None) -> Mark:
    """Complete a partition's file, and return its mark."""
    position = comparison.report.position
    name, digest = writer.finish(comparison.results.digest, comparison.changes.digest, position)
    return Mark(
        partition=comparison.report.partition,
        file=name,
        sha256=digest,
        next_offset=position,
        at=ledger.now_ms,
        incarnation=ledger.incarnation,
        last_command=comparison.last_command or (before.last_command if before else None),
        outputs={topic: output.next_offset for topic, output in comparison.outputs.items()},
        changelog=ledger.end,
    )


async def _fingerprint_at(kafka: Kafka, partition: int, offset: int) -> str | None:
    log = kafka.log(COMMANDS, partition, offset, offset + 1)
    records = await log.read()
    await log.close()
    return fingerprint(records[0].offset, records[0].timestamp, records[0].value) if records else None
