"""Owns the command line of webhooks: `holdfast webhooks`, and its `status` and `replay`."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ops.options import DEFAULT_BOOTSTRAP, DEFAULT_PARTITIONS, Bootstrap, Json, Partitions
from ops.service import prepare_service

webhooks_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)

WebhooksFile = Annotated[
    Path,
    typer.Option("--file", envvar="HOLDFAST_WEBHOOKS_FILE", dir_okay=False, help="The file of endpoints, JSON."),
]


@webhooks_app.callback()
def webhooks(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Option("--file", envvar="HOLDFAST_WEBHOOKS_FILE", dir_okay=False, help="The file of endpoints, JSON."),
    ] = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    partitions: Partitions = DEFAULT_PARTITIONS,
) -> None:
    """Send stock changes and results that nobody asked for to the endpoints of a file, until SIGTERM.

    Prints `ready ...` when it delivers. Several processes share the partitions. Each endpoint goes on where it was; a
    new one begins now.

    Example: `holdfast webhooks --file webhooks.json`
    """
    if context.invoked_subcommand is not None:
        return
    from ops.webhooks import endpoints_in, serve_webhooks

    endpoints = endpoints_in(file)
    prepare_service(bootstrap, partitions, "webhooks")
    serve_webhooks(endpoints, bootstrap=bootstrap, partitions=partitions)


@webhooks_app.command("status")
def show_status(
    file: WebhooksFile,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    partitions: Partitions = DEFAULT_PARTITIONS,
    as_json: Json = False,
) -> None:
    """Show how far each endpoint is, and whether it fails or has stopped, and why. The exit code is then 1.

    Example: `holdfast webhooks status --file webhooks.json`
    """
    from ops.webhooks import endpoints_in, print_states

    code = print_states(endpoints_in(file), bootstrap=bootstrap, partitions=partitions, as_json=as_json)
    raise typer.Exit(asyncio.run(code))


@webhooks_app.command("replay")
def send_again(
    endpoint: Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id.")],
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="PARTITION:OFFSET|TIME", help="Where to begin: a position, or a time (ISO 8601 or ms)."
        ),
    ],
    file: WebhooksFile,
    type_: Annotated[
        str | None, typer.Option("--type", help="With a position of an endpoint with two types: which one it is of.")
    ] = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    partitions: Partitions = DEFAULT_PARTITIONS,
) -> None:
    """Send again what an endpoint got once, with the header `holdfast-replay: true`; its position stays.

    It ends at the endpoint's position. A position is of one partition; a time is of all. The exit code is 1 when the
    endpoint refuses a message.

    Example: `holdfast webhooks replay shop --from 3:4711 --file webhooks.json`
    """
    from ops.webhooks import endpoints_in, replay_to

    code = replay_to(endpoints_in(file), endpoint, start=start, type_=type_, bootstrap=bootstrap, partitions=partitions)
    raise typer.Exit(asyncio.run(code))
