"""Owns `holdfast doctor`: checks of everything that the service depends on, with a remedy for each failure."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.rules import Behind
from ops.kafka.cluster import Cluster, GroupState, TopicState, connect
from ops.kafka.open_transactions import OpenTransaction
from ops.kafka.runtime import KAFKA_VERSION, cache_dir, is_fetched
from ops.problems import FOUND_WRONG, CannotDo
from ops.reference import read_view
from ops.screen import print_json, print_table, say
from ops.stock import time_text
from ops.times import duration_text
from schemas.reference import FeedState
from schemas.topics import COMMANDS, GROUP, REFERENCE, TOPICS

NEEDED_TRANSACTION_VERSION = 2
# A million commands take one worker half a minute; a smaller lag may be a load that has just come.
MAX_LAG = 1_000_000
# A transaction is usually open for moments; while one stays open, its partition stands still.
MAX_OPEN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check. `found` is its result for people, `data` for programs."""

    name: str
    ok: bool
    found: str
    to_do: str = ""
    data: dict[str, object] = field(default_factory=dict)


async def doctor(*, bootstrap: str, partitions: int, data_dir: Path, as_json: bool) -> int:
    """Run all checks and print them.

    Returns:
        The exit code: 1 when a check failed.
    """
    checks = [check_data_dir(data_dir), check_runtime()]
    try:
        async with connect(bootstrap) as cluster:
            checks.append(Check(name="Kafka", ok=True, found=f"answers at {bootstrap}"))
            checks.extend(await check_cluster(cluster, partitions))
            if REFERENCE in await cluster.partition_counts():
                view = await read_view(bootstrap)
                checks.append(check_reference([*view.all()]))
                checks.extend(check_feeds(view.feeds().values(), now_ms=time.time_ns() // 1_000_000))
    except CannotDo as problem:
        checks.append(Check(name="Kafka", ok=False, found=f"no answer at {bootstrap}", to_do=str(problem)))
    healthy = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        rows = [("ok" if check.ok else "FAILED", check.name, check.found) for check in checks]
        print_table(("", "check", "found"), rows)
        for check in checks:
            if not check.ok:
                say(f"{check.name}: {check.to_do}")
    return 0 if healthy else FOUND_WRONG


async def check_cluster(cluster: Cluster, partitions: int) -> list[Check]:
    """Check a running Kafka, its topics and its workers."""
    states = await cluster.topics(TOPICS)
    checks = [check_features(await cluster.features())]
    checks.extend(check_topic(name, states.get(name), partitions) for name in TOPICS)
    if COMMANDS in states:
        ends = await cluster.ends(COMMANDS, range(states[COMMANDS].partitions))
        checks.extend(check_group(await cluster.group(GROUP, COMMANDS), ends))
        found = await cluster.open_transactions(COMMANDS, ends)
        checks.append(check_open_transactions(found, now_ms=time.time_ns() // 1_000_000))
    return checks


def check_data_dir(data_dir: Path) -> Check:
    """Check that the data directory can be written, without leaving anything there."""
    nearest = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".holdfast-doctor-"):
            pass
    except OSError as error:
        return Check(
            name="data directory",
            ok=False,
            found=f"{data_dir} cannot be written ({error.strerror})",
            to_do=f"make {nearest} writable, or set HOLDFAST_DATA_DIR to another directory",
        )
    where = "" if nearest == data_dir.absolute() else ", made when it is needed"
    return Check(name="data directory", ok=True, found=f"{data_dir} can be written{where}")


def check_runtime() -> Check:
    """Check the Kafka that `holdfast broker` and `holdfast demo` start. It may not be downloaded yet."""
    home = cache_dir() / f"kafka-{KAFKA_VERSION}"
    if is_fetched():
        return Check(name="embedded Kafka", ok=True, found=f"Kafka {KAFKA_VERSION} is in {home}")
    nearest = next(folder for folder in home.parents if folder.exists())
    if os.access(nearest, os.W_OK):
        return Check(name="embedded Kafka", ok=True, found="not fetched yet; the first `holdfast broker` does")
    return Check(
        name="embedded Kafka",
        ok=False,
        found=f"{home} cannot be made",
        to_do="set HOLDFAST_CACHE_DIR to a directory that can be written",
    )


def check_features(features: dict[str, int]) -> Check:
    """Check that the cluster has transactions version 2 (KIP-890)."""
    level = features.get("transaction.version", 0)
    upgrade = f"kafka-features.sh upgrade --feature transaction.version={NEEDED_TRANSACTION_VERSION}"
    return Check(
        name="transactions",
        ok=level >= NEEDED_TRANSACTION_VERSION,
        found=f"transaction.version {level}",
        data=dict(features),
        to_do="" if level >= NEEDED_TRANSACTION_VERSION else f"use Kafka 4.0 or later and run `{upgrade}`",
    )


def check_topic(name: str, state: TopicState | None, partitions: int) -> Check:
    """Check one topic's partition count and configuration against the contract."""
    if state is None:
        return Check(name=name, ok=False, found="does not exist", to_do="make all topics with `holdfast topics`")
    if state.partitions != partitions:
        return Check(
            name=name,
            ok=False,
            found=f"{state.partitions} partitions, not {partitions}",
            to_do=f"set HOLDFAST_PARTITIONS to {state.partitions}, or use a fresh cluster: the count never changes",
        )
    wrong = {key: value for key, value in TOPICS[name].items() if state.configs.get(key) != value}
    if wrong:
        found = ", ".join(f"{key} is {state.configs.get(key)}" for key in wrong)
        wanted = ",".join(f"{key}={value}" for key, value in wrong.items())
        alter = f"`kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {wanted}`"
        return Check(name=name, ok=False, found=found, to_do=alter)
    found = f"{state.partitions} partitions, configured as the contract says"
    return Check(name=name, ok=True, found=found, data={"partitions": state.partitions, "configs": state.configs})


def check_group(group: GroupState, ends: dict[int, int]) -> Iterator[Check]:
    """Check that every partition has a worker, and that none is far behind.

    The lag comes from the group's offsets. Workers store these now and then, so a busy partition looks further behind
    than it is.
    """
    held = sorted(partition for partitions in group.members.values() for partition in partitions)
    orphans = sorted(set(ends) - set(held))
    members = "; ".join(f"{name}: {partitions}" for name, partitions in sorted(group.members.items()))
    yield Check(
        name="workers",
        ok=not orphans,
        found=f"{len(group.members)} in group {GROUP} ({group.state or 'unknown'}) {members}".rstrip(),
        to_do=f"no worker holds partitions {orphans}: start one with `holdfast worker`" if orphans else "",
        data={"state": group.state, "members": group.members},
    )
    for partition, end in sorted(ends.items()):
        lag = end - group.positions.get(partition, 0)
        yield Check(
            name=f"lag of partition {partition}",
            ok=lag <= MAX_LAG,
            found=f"{lag:,} commands (end {end:,})",
            to_do="" if lag <= MAX_LAG else "add workers, or look at the log of the one that holds it",
            data={"partition": partition, "lag": lag, "end": end},
        )


def check_open_transactions(found: list[OpenTransaction], *, now_ms: int) -> Check:
    """Check that no transaction is open on the commands for long: workers see no command behind its first record.

    Args:
        found: the open transactions.
        now_ms: the time, in ms since 1970.
    """
    wrong = [it for it in found if _is_long(it, now_ms)]
    return Check(
        name="open transactions",
        ok=not wrong,
        found="; ".join(_told(it, now_ms) for it in found) or f"none on {COMMANDS}",
        to_do="; ".join(_remedy(it) for it in wrong),
        data={"transactions": [{**asdict(it), "is_hanging": it.is_hanging} for it in found]},
    )


def check_reference(found: list[Behind]) -> Check:
    """Check that every partition has the reference data that any partition has, with the same content."""
    behind = [it for it in found if it.partitions]
    shown = "; ".join(f"{it.key} in partitions {', '.join(map(str, it.partitions))}" for it in behind)
    found_wrong = f"missing, older or of other content: {shown}"
    return Check(
        name="reference data",
        ok=not behind,
        found=found_wrong if behind else f"{len(found)} keys, the same in every partition",
        to_do="run `holdfast reference resend`; it changes nothing where they are in force" if behind else "",
        data={"behind": {it.key: it.partitions for it in behind}},
    )


def check_feeds(feeds: Iterable[FeedState], *, now_ms: int) -> Iterator[Check]:
    """Check that no feed of counts is late: its last counts are no older than its interval.

    Args:
        feeds: the feeds; without any there is no check.
        now_ms: the time, in ms since 1970.
    """
    for feed in feeds:
        age_ms = max(now_ms - feed.as_of_at, 0)
        late = age_ms > feed.interval_ms
        yield Check(
            name=f"feed {feed.id}",
            ok=not late,
            found=f"last counted {duration_text(age_ms)} ago, comes every {duration_text(feed.interval_ms)}; "
            f"{feed.rows:,} rows, {feed.refused:,} of them refused",
            to_do=f"find out why no counts came since {time_text(feed.as_of_at)} (docs/runbook.md)" if late else "",
            data={"as_of_at": feed.as_of_at, "interval_ms": feed.interval_ms, "age_ms": age_ms},
        )


def _told(it: OpenTransaction, now_ms: int) -> str:
    since = datetime.fromtimestamp(it.since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    hangs = ", hangs" if it.is_hanging else ""
    stands = "stands still at" if _is_long(it, now_ms) else "has an open transaction from"
    return (
        f"partition {it.partition} {stands} offset {it.first_offset} since {since} "
        f"({max(now_ms - it.since_ms, 0) // 1000} s): {_who(it)}{hangs}"
    )


def _is_long(it: OpenTransaction, now_ms: int) -> bool:
    return it.is_hanging or now_ms - it.since_ms > MAX_OPEN_S * 1000


def _who(it: OpenTransaction) -> str:
    producer = f"producer {it.producer_id}, epoch {it.epoch}"
    return producer if it.transactional_id is None else f"transactional id {it.transactional_id} ({producer})"


def _remedy(it: OpenTransaction) -> str:
    if it.is_hanging:
        place = f"--topic {COMMANDS} --partition {it.partition} --start-offset {it.first_offset}"
        return f"nobody will end it: `kafka-transactions.sh --bootstrap-server HOST:PORT abort {place}` does"
    return (
        f"end the transaction of {_who(it)}, or start that producer anew, which aborts it; Kafka aborts it "
        f"{it.timeout_ms // 1000} s after its beginning"
    )
