"""Owns the bare servers to compare the gateway with, each with one layer more: they decide nothing and know no Kafka.

- `asgi`: granian and a function that answers.
- `litestar`: a route of Litestar that reads the body and answers.
- `stub`: the gateway itself over a ledger that accepts every command at once, without Kafka.

Run as `python -m bench.bare --bootstrap - --kind KIND`. Granian is set up as the gateway sets it up.
"""

import argparse
import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Sequence

import msgspec
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.app import Gateway
from gateway.compose import Composed
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest
from gateway.loads import Loads
from gateway.pending import Answer, Head
from gateway.replies import JSON, Reply
from gateway.requests import Answered
from ops.kafka.broker import free_port

KINDS = ("asgi", "litestar", "stub")
_HOST = "127.0.0.1"
# As long as the result of a reserve.
_RESULT = {
    "command_id": "h1-500-0000000",
    "type": "reserve",
    "sku": "SKU-00000",
    "status": "accepted",
    "code": None,
    "replayed": False,
    "reservation": {
        "reservation_id": "h1-500-cart-0000000",
        "state": "held",
        "quantity": 1,
        "held": 1,
        "committed": 0,
        "released": 0,
        "expires_at": 1_764_021_600_000,
        "allocations": [{"warehouse": "main", "quantity": 1}],
    },
    "stock": [{"warehouse": "main", "on_hand": 1_000_000, "reserved": 1, "damaged": 0, "available": 999_999}],
    "shortfall": False,
    "seq": 2,
    "at": 1_764_000_000_000,
    "partition": 0,
    "offset": 7,
}
_DOCUMENT = msgspec.json.encode(_RESULT)
# As long as the availability of 10 SKUs in one warehouse each.
_ITEM = {
    "sku": "SKU-00000",
    "available": 999_999,
    "seq": 2,
    "at": 1_764_000_000_000,
    "stock": [
        {
            "warehouse": "main",
            "on_hand": 1_000_000,
            "reserved": 1,
            "damaged": 0,
            "safety_stock": 0,
            "inbound": 0,
            "available": 999_999,
        }
    ],
}
_AVAILABILITY = msgspec.json.encode({"items": [_ITEM] * 10, "lag": 0, "lag_ms": 0})


_HEADERS = [JSON, (b"content-length", b"%d" % len(_DOCUMENT))]


async def _asgi(scope: Scope, receive: Receive, send: Send) -> None:
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _DOCUMENT, "more_body": False})


async def _post(request: HttpRequest) -> Reply:
    await request.body()
    return Reply(201, _DOCUMENT, [JSON])


async def _get(request: HttpRequest) -> Reply:
    del request
    return Reply(200, _AVAILABILITY, [JSON])


def _litestar() -> Litestar:
    return Litestar(
        [
            HTTPRouteHandler("/v1/reservations", http_method="POST")(_post),
            HTTPRouteHandler("/v1/availability", http_method="GET")(_get),
        ],
        openapi_config=None,
        logging_config=None,
    )


class _Stub:
    """A ledger that accepts everything at once."""

    unavailable = None
    in_flight = 0

    def __init__(self, config: GatewayConfig) -> None:
        self.loads = Loads(config.partitions, config.shed_after_ms)

    async def ask(self, command: Composed) -> Answer:
        return Answer(Head(command.command_id, "accepted", None, 7), _DOCUMENT)

    async def ask_everywhere(self, command: Composed) -> list[Answer]:
        return [await self.ask(command)]

    async def post(self, command: Composed) -> None:
        pass

    async def ask_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        for number, command in enumerate(commands):
            answered(number, await self.ask(command))

    async def post_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        for number in range(len(commands)):
            answered(number, None)

    def watching(self, sku: str, command_id: str) -> contextlib.AbstractContextManager[asyncio.Event]:
        del sku, command_id
        return contextlib.nullcontext(asyncio.Event())


def _gateway(port: int) -> ASGIApp:
    config = GatewayConfig(port=port)
    return Gateway(config, _Stub(config)).app


async def serve(kind: str) -> None:
    """Serve until the process is ended."""
    port = free_port()
    apps: dict[str, Callable[[], ASGIApp]] = {
        "asgi": lambda: _asgi,
        "litestar": _litestar,
        "stub": lambda: _gateway(port),
    }
    server = Server(
        apps[kind](),
        address=_HOST,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_level=LogLevels.error,
    )
    serving = asyncio.ensure_future(server.serve())
    gc.collect()
    gc.freeze()
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(_HOST, port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    sys.stdout.write(f"ready http://{_HOST}:{port}\n")
    sys.stdout.flush()
    await serving


def main() -> None:
    """Run a bare server as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap")
    parser.add_argument("--kind", choices=KINDS, required=True)
    uvloop.run(serve(parser.parse_args().kind))


if __name__ == "__main__":
    main()
