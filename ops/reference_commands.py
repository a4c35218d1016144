"""Owns the command line of reference data: `holdfast reference list`, `set`, `resend`, and `holdfast policy`."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from typing import Annotated

import typer

from ops.options import DEFAULT_BOOTSTRAP, Bootstrap, Json

reference_app = typer.Typer(no_args_is_help=True, help="Warehouses, channels and feeds, as each partition has them.")

Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for Kafka, and for a result.")]


@reference_app.command("list")
def list_reference(bootstrap: Bootstrap = DEFAULT_BOOTSTRAP, as_json: Json = False) -> None:
    """Show what is in force, and which partitions lack it or have an older one (then the exit code is 1).

    Example: `holdfast reference list`
    """
    from ops.reference import list_all

    raise typer.Exit(asyncio.run(list_all(bootstrap=bootstrap, as_json=as_json)))


@reference_app.command("set")
def set_reference(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="JSON lines; - for standard input.")],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    timeout_s: Timeout = 30,
) -> None:
    """Send the reference commands of a file to every partition, and print each partition's result.

    Sending a file again is safe: what is in force already changes nothing, and what is older is `stale_version`.

    Example: `holdfast reference set warehouses.jsonl`
    """
    from ops.reference import set_from

    raise typer.Exit(asyncio.run(set_from(file, bootstrap=bootstrap, timeout_s=timeout_s)))


@reference_app.command("resend")
def resend_reference(bootstrap: Bootstrap = DEFAULT_BOOTSTRAP, timeout_s: Timeout = 30) -> None:
    """Send what is in force again to every partition that lacks it, as after a sender that died half-way.

    Example: `holdfast reference resend`
    """
    from ops.reference import resend

    raise typer.Exit(asyncio.run(resend(bootstrap=bootstrap, timeout_s=timeout_s)))


def policy(
    sku: Annotated[str, typer.Argument(help="The SKU, written as in the commands.")],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    channel: Annotated[
        str | None, typer.Option(help="Resolve for this channel; by default for those with a policy of the SKU.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a channel's policy for a SKU resolves to, and which record gives each field.

    Example: `holdfast policy 85123A --channel web`
    """
    from ops.reference import show_policy

    raise typer.Exit(asyncio.run(show_policy(sku, bootstrap=bootstrap, channel=channel, as_json=as_json)))
