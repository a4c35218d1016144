"""Owns the work of `holdfast webhooks`: the file and settings, serving, states, sending again."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import TopicPartition

from audit.past import AtTime, moment_of
from gateway.webhooks.endpoints import Endpoint, WebhooksFileError, read_endpoints
from gateway.webhooks.replay import ReplayStoppedError, replay, starts_at
from gateway.webhooks.requests import TYPE_OF
from gateway.webhooks.serve import filtering, sending, serve_endpoints
from gateway.webhooks.states import states_of
from ops.problems import FOUND_WRONG, CannotDo, kafka_at
from ops.screen import print_json, print_table, say

PROXY = "HOLDFAST_WEBHOOKS_PROXY"


def endpoints_in(file: Path | None) -> list[Endpoint]:
    """Return the endpoints of a file.

    Raises:
        CannotDo: there is no file, or it is wrong.
    """
    if file is None:
        raise CannotDo("no file of endpoints: set HOLDFAST_WEBHOOKS_FILE or give --file; docs/how-to/webhooks.md")
    try:
        return read_endpoints(file)
    except WebhooksFileError as error:
        raise CannotDo(str(error)) from error


def proxy_of_all() -> str | None:
    """Return the URL of the proxy that requests take; None without one.

    Raises:
        CannotDo: it is no URL of a proxy.
    """
    proxy = os.environ.get(PROXY, "").strip()
    if proxy and not proxy.startswith(("http://", "https://")):
        raise CannotDo(f"{PROXY} must be the URL of an HTTP proxy: http://HOST:PORT")
    return proxy or None


def serve_webhooks(endpoints: Sequence[Endpoint], *, bootstrap: str, partitions: int) -> None:
    """Deliver until a signal comes."""
    asyncio.run(serve_endpoints(endpoints, bootstrap=bootstrap, partitions=partitions, proxy=proxy_of_all()))


async def print_states(endpoints: Sequence[Endpoint], *, bootstrap: str, partitions: int, as_json: bool) -> int:
    """Print where the endpoints are.

    Returns:
        The exit code: 1 when one fails or has stopped.
    """
    with kafka_at(bootstrap):
        states = await states_of(endpoints, partitions, bootstrap=bootstrap)
    if as_json:
        for state in states:
            print_json(state)
    else:
        rows = [(it.id, it.state, f"{it.behind:,}", it.reason or "", _moment(it.since)) for it in states]
        print_table(("endpoint", "state", "records behind", "reason", "since"), rows)
    return FOUND_WRONG if any(state.state in {"failing", "stopped"} for state in states) else 0


def _moment(since: int | None) -> str:
    return "" if since is None else f"{datetime.fromtimestamp(since / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def replay_to(
    endpoints: Sequence[Endpoint], id_: str, *, start: str, type_: str | None, bootstrap: str, partitions: int
) -> int:
    """Send again to one endpoint.

    Returns:
        The exit code: 1 when it refused a message.

    Raises:
        CannotDo: the endpoint or the start is wrong, or Kafka does not answer.
    """
    endpoint = next((it for it in endpoints if it.id == id_), None)
    if endpoint is None:
        raise CannotDo(f"the file has no endpoint {id_}; it has {', '.join(it.id for it in endpoints)}")
    with kafka_at(bootstrap):
        starts = await _starts(endpoint, start, type_, bootstrap=bootstrap, partitions=partitions)
        async with sending(proxy_of_all()) as sender, filtering(bootstrap, partitions, [endpoint]) as wants:
            try:
                count = await replay(endpoint, starts, bootstrap=bootstrap, sender=sender, wants=wants, said=say)
            except ReplayStoppedError as error:
                say(f"stopped: {error}")
                return FOUND_WRONG
    say(f"{count:,} records were sent again to {id_}")
    return 0


async def _starts(
    endpoint: Endpoint, start: str, type_: str | None, *, bootstrap: str, partitions: int
) -> dict[TopicPartition, int]:
    try:
        moment = moment_of(start)
    except ValueError as error:
        raise CannotDo(str(error)) from None
    if isinstance(moment, AtTime):
        return await starts_at(endpoint, moment.at_ms, partitions, bootstrap=bootstrap)
    topics = [topic for topic, of in TYPE_OF.items() if of in endpoint.types and type_ in {None, of}]
    if len(topics) != 1:
        raise CannotDo(f"a position is of one type: give --type, one of {', '.join(endpoint.types)}")
    if not 0 <= moment.partition < partitions:
        raise CannotDo(f"there is no partition {moment.partition}: there are {partitions}, from 0")
    return {TopicPartition(topics[0], moment.partition): moment.offset}
