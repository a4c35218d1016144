"""Owns the command line of `holdfast shortfalls`."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from typing import Annotated

import typer

from ops.options import DEFAULT_BOOTSTRAP, Bootstrap, Json


def shortfalls(
    sku: Annotated[
        str | None, typer.Argument(help="Only this SKU, read through the log, with the reservations that hold there.")
    ] = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait for an answer.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the stock rows where more is reserved than on hand, and with a SKU the reservations that hold units there.

    The exit code is 1 when the SKU is unknown.

    Example: `holdfast shortfalls 85123A`
    """
    from ops.shortfalls import list_short_rows, show_short_rows

    if sku is None:
        raise typer.Exit(asyncio.run(list_short_rows(bootstrap=bootstrap, as_json=as_json)))
    of_sku = show_short_rows(sku, bootstrap=bootstrap, timeout_s=timeout_s, as_json=as_json)
    raise typer.Exit(asyncio.run(of_sku))
