"""Owns `holdfast reference` and `holdfast policy`: reference data as each partition has it, read from its topic."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from gateway.rules import Behind, PartitionRules, ReferenceView
from ops.exchange import Exchange, count_of, exchange, reading, records_until_end
from ops.problems import FOUND_WRONG
from ops.screen import print_json, print_table, say
from ops.send import LineRefused, checked, send
from schemas import codec
from schemas.partitioner import partition_of
from schemas.policies import POLICY_FIELDS
from schemas.reference import MAX_CHANNELS, MAX_FEEDS, MAX_WAREHOUSES, ReferenceCommand, command_of, name_of
from schemas.results import Result
from schemas.topics import COMMANDS, REFERENCE

_MOST = {"warehouse": MAX_WAREHOUSES, "channel": MAX_CHANNELS, "feed": MAX_FEEDS}
_HEAD = ("id", "version", "command_id", "at")


async def read_view(bootstrap: str) -> ReferenceView:
    """Read the reference data of all partitions, up to the present end of their topic.

    Raises:
        CannotDo: no Kafka answers, or the topic does not exist.
    """
    count = await count_of(bootstrap, REFERENCE)
    view = ReferenceView(count)
    async with reading(bootstrap, REFERENCE, range(count), from_beginning=True) as consumer:
        async for record in records_until_end(consumer):
            view.apply(record.partition, record.key, record.value)
    return view


async def list_all(*, bootstrap: str, as_json: bool) -> int:
    """Print what is in force, and which partitions are behind.

    Returns:
        The exit code: 1 when a partition is behind.
    """
    view = await read_view(bootstrap)
    found = [*view.all()]
    if as_json:
        for it in found:
            print_json({"key": it.key, "document": it.document, "behind": it.partitions})
    else:
        heads = ((it.key, it.document.version, it.document.command_id) for it in found)
        rows = [(*head, _given(it.document), _numbers(it)) for head, it in zip(heads, found, strict=True)]
        print_table(("key", "version", "command", "fields", "behind"), rows)
    behind = [it for it in found if it.partitions]
    if behind:
        say(
            f"{len(behind)} of {len(found)} did not reach every partition: `holdfast reference resend` sends them again"
        )
    return FOUND_WRONG if behind else 0


def _given(document: Any) -> str:
    fields = msgspec.to_builtins(document)
    shown = {name: value for name, value in fields.items() if name not in {*_HEAD, "kind"} and value is not None}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _numbers(it: Behind) -> str:
    return ", ".join(map(str, it.partitions)) or "none"


async def set_from(source: BinaryIO, *, bootstrap: str, timeout_s: float) -> int:
    """Send the reference commands of a file, one JSON object a line, to every partition, and print the results.

    Returns:
        The exit code: 1 when a line was not sent.

    Raises:
        CannotDo: Kafka is away, or a result did not come.
    """
    view = await read_view(bootstrap)
    known = {it.key for it in view.all()}

    def read(value: bytes) -> Any:
        line = checked(value)
        if line.sku or line.key is None:
            raise LineRefused(
                "only set_warehouse, set_channel and set_feed are reference commands; use `holdfast send`"
            )
        kind = line.key.partition("/")[0]
        if line.key not in known and sum(name.startswith(f"{kind}/") for name in known) >= _MOST[kind]:
            raise LineRefused(f"there are {_MOST[kind]:,} {kind}s, which is the most")
        known.add(line.key)
        return line

    return await send(bootstrap=bootstrap, source=source, read=read, wait=True, timeout_s=timeout_s)


async def resend(*, bootstrap: str, timeout_s: float) -> int:
    """Send what is in force again to every partition that is behind, with the same ids and versions.

    Raises:
        CannotDo: Kafka is away, or a partition did not answer.
    """
    view = await read_view(bootstrap)
    behind = [it for it in view.all() if it.partitions]
    async with exchange(bootstrap) as link:
        for it in behind:
            await set_in(link, it.partitions, command_of(it.document), timeout_s)
            say(f"{it.key}: sent to partitions {_numbers(it)}")
    say(f"{len(behind)} were behind; nothing else was sent")
    return 0


async def set_in(
    link: Exchange, partitions: Iterable[int], command: ReferenceCommand, timeout_s: float
) -> list[Result]:
    """Send a reference command to some partitions, and return their results.

    Raises:
        CannotDo: a partition did not answer.
    """
    value = codec.encode({k: v for k, v in msgspec.to_builtins(command).items() if v is not None})
    results: list[Result] = []
    for partition in partitions:
        await link.producer.send_and_wait(COMMANDS, value, key=name_of(command).encode(), partition=partition)
        results.append(await link.answer_in(partition, command.command_id, timeout_s))
    return results


async def show_policy(sku: str, *, bootstrap: str, channel: str | None, as_json: bool) -> int:
    """Print the policies of a SKU, resolved for a channel, with the record that gives each field."""
    view = await read_view(bootstrap)
    rules = view.of[partition_of(sku, len(view.of))]
    names = [channel] if channel is not None else [policy.channel for policy in rules.own_policies(sku)] or ["*"]
    for name in names:
        rows = [*_resolved(rules, name, sku)]
        if as_json:
            fields = {field: {"value": value, "given_by": given_by} for field, value, given_by in rows}
            print_json({"sku": sku, "channel": name, "resolved": fields})
        else:
            shown = [(field, _shown(value), given_by or "default") for field, value, given_by in rows]
            print_table(("field", "value", "from"), shown, title=f"{sku} for channel {name}")
    return 0


def _resolved(rules: PartitionRules, channel: str, sku: str) -> Iterator[tuple[str, Any, str | None]]:
    policy, layers = rules.policy(channel, sku), [*rules.layers(channel, sku)]
    for field in POLICY_FIELDS:
        giving = (key for key, document in layers if getattr(document, field) is not msgspec.UNSET)
        yield field, getattr(policy, field), next(giving, None)


def _shown(value: Any) -> Any:
    return ", ".join(value) or "none" if isinstance(value, tuple) else value
