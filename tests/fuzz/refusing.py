"""Owns gateways in this process that refuse every request: Kafka is away, nothing answers, a route fails."""

import asyncio
import contextlib

import httpx
from structlog.testing import capture_logs

import gateway.app
from gateway import body_clock
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.loads import Loads
from gateway.problems import ResultTimeout, TooManyRequests
from tests.fuzz.directed import BY_NAME, STREAM, asked, valid
from tests.fuzz.stage import PARTITIONS


class RefusingLedger:
    """Raises the same error at everything that is asked of it."""

    unavailable = None
    in_flight = 0

    def __init__(self, error):
        self._error = error
        self.loads = Loads(PARTITIONS, shed_after_ms=1_000)

    async def ask(self, *_):
        raise self._error

    ask_everywhere = post = ask

    async def ask_all(self, commands, answered):
        if not isinstance(self._error, ResultTimeout):
            raise self._error
        for number in range(len(commands)):
            answered(number, self._error)

    post_all = ask_all

    def watching(self, *_):
        return contextlib.nullcontext(asyncio.Event())


async def refused(reached):
    """Ask gateways that refuse of every route, and note the statuses."""
    with capture_logs():  # a line for each request
        await _ask_those_that_refuse(reached)


async def _ask_those_that_refuse(reached):
    timeout, many = ResultTimeout(command_id="k"), TooManyRequests(1)
    for ledger in (RefusingLedger(timeout), RefusingLedger(many), None):
        await _ask_all(Gateway(_config(), ledger), reached)
    ended = Gateway(_config(), RefusingLedger(timeout))
    ended.stopping.set()
    await _ask_all(ended, reached, at_once=True)
    behind = Gateway(_config(), RefusingLedger(timeout))
    for reader in (behind.reader, behind.rules_reader):
        reader.complete.set()
    await _ask_all(behind, reached, min_seq=9)
    await _ask_all(_failing(), reached, at_once=True)
    await _too_slowly(Gateway(_config(), RefusingLedger(timeout)), reached)


def _config():
    return GatewayConfig(partitions=PARTITIONS, request_timeout_s=0.05)


def _failing():
    """Return a gateway whose every route has a bug."""

    async def fail(_request):
        raise RuntimeError("a bug")

    routes = tuple(route._replace(act=lambda _: fail, read=None) for route in gateway.app.ROUTES)
    own, gateway.app.ROUTES = gateway.app.ROUTES, routes
    try:
        return Gateway(_config(), RefusingLedger(RuntimeError("a bug")))
    finally:
        gateway.app.ROUTES = own


async def _ask_all(gateway_, reached, min_seq=None, *, at_once=False):
    async with _client(gateway_) as client:
        for name, route in BY_NAME.items():
            if route.answer == STREAM and not at_once:
                continue  # it would not end
            request = valid(route)
            if min_seq is not None and "availability" in name:
                request.setdefault("json_body" if route.body else "query", {})["min_seq"] = min_seq
            path, options = asked(name, **request)
            answer = await client.request(route.method, path, **options)
            reached[name, answer.status_code] += 1


async def _too_slowly(gateway_, reached):
    """Send bodies that do not arrive in time."""

    async def endless():
        yield b"{"
        await asyncio.sleep(10)

    async def send(client, name, route):
        path, options = asked(name, **valid(route) | {"json_body": None})
        options["headers"] = {"content-type": "application/json"}
        answer = await client.request(route.method, path, **options, content=endless())
        reached[name, answer.status_code] += 1

    within_s, body_clock.BODY_WITHIN_S = body_clock.BODY_WITHIN_S, 0.01
    try:
        async with _client(gateway_) as client:
            await asyncio.gather(*(send(client, *it) for it in BY_NAME.items() if it[1].body is not None))
    finally:
        body_clock.BODY_WITHIN_S = within_s


def _client(gateway_):
    transport = httpx.ASGITransport(gateway_.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
