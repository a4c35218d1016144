"""Owns the command line of keys: `holdfast keys new`, `list` and `revoke`."""

# ruff: noqa: PLC0415 - see ops/cli.py

from pathlib import Path
from typing import Annotated

import typer

from ops.options import Json

keys_app = typer.Typer(no_args_is_help=True, help="The keys of a gateway, in the file HOLDFAST_KEYS_FILE.")

KeysFile = Annotated[
    Path,
    typer.Option("--keys-file", envvar="HOLDFAST_KEYS_FILE", dir_okay=False, help="The file of keys."),
]


@keys_app.command("new")
def new_in_file(
    keys_file: KeysFile,
    scopes: Annotated[str, typer.Option(help="What it may do, with commas: read, reserve, adjust, admin.")],
    channels: Annotated[str | None, typer.Option(help="The only channels it may have, with commas.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Its name in logs and stock changes; made when absent.")
    ] = None,
    rate_per_s: Annotated[float | None, typer.Option(help="How many requests a second it may make.")] = None,
    burst: Annotated[int | None, typer.Option(help="How many of them at once; one second's worth by default.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="Until when it holds: ISO 8601, or milliseconds since 1970.")
    ] = None,
) -> None:
    """Make a key, add it to the file, and print it: this once, because the file has only its SHA-256.

    Gateways read the file again within 5 s.

    Example: `holdfast keys new --keys-file keys.json --id shop --scopes read,reserve --channels web`
    """
    from ops.keys import make_key
    from ops.times import time_ms

    key = make_key(
        keys_file,
        id_=id_,
        scopes=scopes,
        channels=channels,
        rate_per_s=rate_per_s,
        burst=burst,
        expires_at=None if expires is None else time_ms(expires),
    )
    typer.echo(key)


@keys_app.command("list")
def list_in_file(keys_file: KeysFile, as_json: Json = False) -> None:
    """List the keys of the file: ids, scopes, channels, rates and expiry, never a secret.

    Example: `holdfast keys list --keys-file keys.json`
    """
    from ops.keys import list_keys

    list_keys(keys_file, as_json=as_json)


@keys_app.command("revoke")
def revoke_in_file(
    keys_file: KeysFile,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
) -> None:
    """Take a key out of the file; gateways refuse it within 5 s, and end its streams.

    Example: `holdfast keys revoke shop --keys-file keys.json`
    """
    from ops.keys import revoke_key

    revoke_key(keys_file, id_)
