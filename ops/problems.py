"""Owns what a command says when it could not do what was asked: the reason, and what to do about it.

Exit codes of every command: 0 it is done; 1 a check found something wrong; 2 it was used wrongly or could not be done.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

FOUND_WRONG = 1
COULD_NOT = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell says it


class CannotDo(Exception):
    """A command could not do what it was asked to. The message says what was wrong and what to do; exit code 2."""


def no_kafka(bootstrap: str) -> CannotDo:
    """Make the error for a Kafka that is away."""
    return CannotDo(f"no Kafka answers at {bootstrap}; start one with `holdfast broker` or set HOLDFAST_BOOTSTRAP.")


def no_topic(topic: str) -> CannotDo:
    """Make the error for a topic that was never created."""
    return CannotDo(f"topic {topic} does not exist; make all topics with `holdfast topics`.")


@contextlib.contextmanager
def kafka_at(bootstrap: str) -> Iterator[None]:
    """Turn what a Kafka client raises inside the block into a `CannotDo` that a person can act on.

    Raises:
        CannotDo: Kafka cannot be reached, or answers with an error.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError  # noqa: PLC0415 - costs 0.2 s

    # A client logs every attempt to connect; one sentence at the end says it better.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        yield
    except BrokenPipeError:
        raise  # of our own output: the clients turn theirs into errors of Kafka
    except (KafkaConnectionError, NodeNotReadyError, ConnectionError) as error:
        raise no_kafka(bootstrap) from error
    except KafkaError as error:
        raise CannotDo(f"Kafka at {bootstrap} answered with an error: {error}") from error


class Commands(TyperGroup):
    """The group of all subcommands: where an error becomes one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen subcommand.

        Raises:
            typer.Exit: carries the exit code of a command that could not do its work.
        """
        try:
            return super().invoke(ctx)
        except CannotDo as problem:
            typer.echo(f"holdfast: {problem}", err=True)
            raise typer.Exit(COULD_NOT) from problem
        except BrokenPipeError:
            # The reader of our output (`| head`) has seen enough. What is still buffered goes nowhere, or Python would
            # fail once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
