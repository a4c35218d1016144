"""Owns the options that several commands share, with their environment variables; see `docs/settings.md`."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
DEFAULT_PARTITIONS = 4
DEFAULT_HOST = "127.0.0.1"
BROKER_PORT = 9092
GATEWAY_PORT = 8080
_LAST_PORT = 65_535


def _addresses(text: str) -> str:
    for address in text.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port[:6]) <= _LAST_PORT:
            raise typer.BadParameter(f"{address!r} is no HOST:PORT, such as 127.0.0.1:9092.")
    return text


Bootstrap = Annotated[
    str,
    typer.Option(
        envvar="HOLDFAST_BOOTSTRAP",
        metavar="HOST:PORT",
        callback=_addresses,
        help="Kafka's address; several with commas.",
    ),
]
Partitions = Annotated[
    int,
    typer.Option(envvar="HOLDFAST_PARTITIONS", min=1, help="Partitions of every topic; it can never be changed."),
]
DataDir = Annotated[
    Path,
    typer.Option(
        envvar="HOLDFAST_DATA_DIR",
        file_okay=False,
        help="The data directory of this process; no two processes may share one.",
    ),
]
Port = Annotated[int, typer.Option(envvar="HOLDFAST_PORT", min=0, max=65535, help="The port to listen on.")]
Host = Annotated[str, typer.Option(envvar="HOLDFAST_HOST", help="The address to listen on.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
