"""Owns how every service starts and ends: its logs, waiting for Kafka, and signals."""

# Imports where they are used: see ops/cli.py.
# ruff: noqa: PLC0415

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Literal

import typer

from ops.problems import CannotDo


async def until_signal(work: Coroutine[Any, Any, object]) -> None:
    """Do some work; a signal ends the command with exit code 0, as for every service.

    Raises:
        typer.Exit: a signal came.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        raise typer.Exit from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def prepare_service(bootstrap: str, partitions: int, role: Literal["worker", "gateway", "webhooks"]) -> None:
    """Set up the logs of a service, and wait until Kafka is ready for it.

    Raises:
        CannotDo: a setting is wrong, or Kafka does not let the service work.
        typer.Exit: a signal came before.
    """
    from ops.kafka.refusals import log_refusals
    from ops.kafka.start import PATIENCE_S, prepare_cluster
    from ops.logs import log_to_stderr
    from ops.screen import say

    try:
        log_to_stderr()
    except ValueError as error:
        raise CannotDo(str(error)) from error

    def waiting() -> None:
        say(f"no Kafka answers at {bootstrap} yet; waiting {PATIENCE_S:.0f} s for it")

    asyncio.run(until_signal(prepare_cluster(bootstrap, partitions, role, waiting=waiting)))
    log_refusals()  # what keeps a service from starting was said
