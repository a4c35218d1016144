"""Owns the options of `holdfast broker`; `ops.kafka.foreground` does its work."""

from pathlib import Path
from typing import Annotated

import typer

from ops.options import BROKER_PORT, DEFAULT_HOST, DataDir, Host, Port


def broker(
    data_dir: DataDir = Path(".holdfast/broker"),
    port: Port = BROKER_PORT,
    host: Host = DEFAULT_HOST,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure",
            envvar="HOLDFAST_BROKER_SECURE",
            help="With TLS, a user for each kind of process, and the rights that it needs.",
        ),
    ] = False,
) -> None:
    """Run a real Kafka on this machine: one node, in the foreground. The first start downloads it.

    Prints `ready HOST:PORT` when it serves. SIGTERM stops it cleanly. Port 0 takes a free port. With `--secure` the
    data directory holds a file of settings for each kind of process, such as `gateway.env`.

    Example: `holdfast broker --data-dir /var/lib/holdfast/broker`
    """
    from ops.kafka.foreground import serve_broker  # noqa: PLC0415 - as in ops/cli.py

    raise typer.Exit(serve_broker(data_dir=data_dir, host=host, port=port, secure=secure))
