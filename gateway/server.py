"""Owns the process of a gateway: granian in the gateway's event loop, the ready line, the stop on SIGTERM.

Granian's embedded server was measured against its worker processes (raw ASGI, 1 and 8 connections): no difference
beyond noise. In one loop Kafka's clients and the app share their state without changing threads.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.server.embed import Server

from gateway.access.config import check_certificate, check_listen
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.connections import MOST_CONNECTIONS, allow_open_files, http1_settings, limit_unread_answers
from gateway.in_hand import RequestsInHand

# Waiting requests may still get their results, and streams check once a second whether they should end.
_FINISH_WITHIN_S = 1.5
# A client with an open connection does not prevent the end of the process.
_GRACE_S = 2
_ANSWERS_WITHIN_S = 5.0
_STDERR = {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"}
_GRANIAN_LOGS = {"handlers": {"console": _STDERR, "access": _STDERR}}  # granian's own logs go to standard output
_log = structlog.get_logger("holdfast.gateway")


class Ended(NamedTuple):
    """How serving ended: whether by a signal, and whether granian's threads have ended."""

    on_a_signal: bool
    with_all_threads: bool


class CannotListenError(OSError):
    """The gateway cannot listen on the address."""


def run(config: GatewayConfig) -> None:
    """Serve in the foreground until SIGTERM or SIGINT: logs to standard error, the ready line to standard output.

    Args:
        config: the settings.

    Raises:
        AccessError: the settings of who may use the gateway, or the files that they name, cannot be used.
        CannotListenError: the gateway cannot listen on the address.
        SystemExit: with 1, when a part of the gateway ended by itself.
    """
    try:
        ended = uvloop.run(serve(config))
    except KeyboardInterrupt:  # the signal came before `serve` handled signals: nothing was started yet
        _log.info("stopped")
        return
    if not ended.on_a_signal:
        _log.error("a part of the gateway ended by itself; start it again")
    if not ended.with_all_threads:
        # Nothing else is left to do, and a granian thread that wakes up while the interpreter ends would abort it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if ended.on_a_signal else 1)
    if not ended.on_a_signal:
        raise SystemExit(1)


async def serve(config: GatewayConfig) -> Ended:
    """Serve in the running loop until SIGTERM or SIGINT. Ready when Kafka answers and the view is complete.

    Args:
        config: the settings.

    Raises:
        AccessError: the settings of who may use the gateway, or the files that they name, cannot be used.
        CannotListenError: the gateway cannot listen on the address.
    """
    check_listen(config.host, config.access)
    check_certificate(config.access)
    draining, stopping = asyncio.Event(), asyncio.Event()
    _listen_to_signals(draining, stopping)
    # A Ctrl-C before that has cancelled this task: end here, before granian's threads start.
    await asyncio.sleep(0)
    allow_open_files()
    port = _free_port(config.host, config.port)
    gateway = Gateway(config, draining=draining, stopping=stopping)
    _keep_from_collection()
    async with gateway.running():
        beside = asyncio.ensure_future(_announce(gateway, port))
        try:
            in_hand = RequestsInHand(gateway.app)
            ended = await _serve_until_stopped(gateway, in_hand, _server(gateway.config, in_hand, port))
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
    _log.info("stopped")
    return ended


def _listen_to_signals(draining: asyncio.Event, stopping: asyncio.Event) -> None:
    def told(number: int) -> None:
        if number == signal.SIGINT or draining.is_set():
            stopping.set()  # somebody waits at a terminal
        draining.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)


def _server(config: GatewayConfig, app: RequestsInHand, port: int) -> Server:
    server = Server(
        app,
        address=config.host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=MOST_CONNECTIONS,
        http1_settings=http1_settings(),
        log_level=LogLevels.error,
        log_dictconfig=_GRANIAN_LOGS,
        ssl_cert=config.access.tls_cert,
        ssl_key=config.access.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    server.workers_kill_timeout = _GRACE_S
    return server


async def _serve_until_stopped(gateway: Gateway, in_hand: RequestsInHand, server: Server) -> Ended:
    """Run granian until a signal comes or a part of the gateway ends, and then until every request is answered.

    After SIGTERM requests are served for a while, for a balancer to notice. A second signal ends that.

    Granian has its own threads. A stop before they answer is lost, and threads that outlive the interpreter panic or
    hang. So it is stopped only after it has answered a request, and its end is always awaited.
    """
    waiting = [asyncio.ensure_future(event.wait()) for event in (gateway.draining, gateway.failed)]
    serving = asyncio.ensure_future(server.serve())
    try:
        await _answered(gateway.config.host, server.bind_port)
        limit_unread_answers(server.bind_port)
        await asyncio.wait({serving, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        on_a_signal = gateway.draining.is_set()
        if on_a_signal and not serving.done():
            await _first_of((gateway.stopping, gateway.failed), gateway.config.drain_ms / 1000)
        gateway.stopping.set()
        await in_hand.finish(_FINISH_WITHIN_S)
        server.stop()  # type: ignore[no-untyped-call]
        try:
            await serving
        except TimeoutError:
            _log.warning("a client keeps its connection open with an unfinished request; stopping without it")
            return Ended(on_a_signal, with_all_threads=False)
        return Ended(on_a_signal, with_all_threads=True)
    finally:
        for task in waiting:
            task.cancel()


async def _first_of(events: Sequence[asyncio.Event], within_s: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def _answered(host: str, port: int) -> None:
    """Wait until granian answers a request, for a limited time because it may be busy with others."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            # Granian opens its socket in the loop's first iteration and listens in the second.
            for _ in range(2):
                await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
                await reader.readline()
            finally:
                writer.close()


async def _announce(gateway: Gateway, port: int) -> None:
    await gateway.until_ready()
    _keep_from_collection()
    host = gateway.config.host
    address = f"[{host}]" if ":" in host else host
    scheme = "http" if gateway.config.access.tls_cert is None else "https"
    sys.stdout.write(f"ready {scheme}://{address}:{port} (docs at /docs, {len(gateway.view)} SKUs in view)\n")
    sys.stdout.flush()


def _keep_from_collection() -> None:
    # Modules, routes and the view stay. Searching them for garbage again and again stopped all requests for 80 to 90 ms
    # at a time, even with an empty view.
    gc.collect()
    gc.freeze()


def _free_port(host: str, port: int) -> int:
    """Check that the gateway can listen on the address; granian would only log an error.

    Returns:
        The port; a free one when `port` is 0.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotListenError(*error.args) from error
        bound: int = probe.getsockname()[1]
    return bound
