"""Owns the errors of commands: the reason and what to do.

Exit codes of every command: 0 success; 1 a check found something wrong; 2 wrong use, or it could not do its work.
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
INTERRUPTED = 130  # 128 + SIGINT, as in a shell


class CannotDo(Exception):
    """A command could not do its work. The message says what was wrong and what to do; exit code 2."""


def no_kafka(bootstrap: str) -> CannotDo:
    """Return the error for a Kafka that does not answer."""
    return CannotDo(f"no Kafka answers at {bootstrap}; start one with `holdfast broker` or set HOLDFAST_BOOTSTRAP.")


def no_topic(topic: str) -> CannotDo:
    """Return the error for a topic that does not exist."""
    from schemas.kafka_connection import security_protocol  # noqa: PLC0415 - as light as it looks

    if security_protocol() == "PLAINTEXT":
        return CannotDo(f"topic {topic} does not exist; make all topics with `holdfast topics`.")
    return CannotDo(
        f"topic {topic} does not exist, or this process's user has no right on it. Make all topics with `holdfast "
        "topics`; docs/how-to/secure-kafka.md has the rights that each command needs."
    )


@contextlib.contextmanager
def kafka_at(bootstrap: str) -> Iterator[None]:
    """Turn errors of a Kafka client inside the block into a `CannotDo` with a sentence for people.

    Raises:
        CannotDo: Kafka cannot be reached, or answers with an error.
    """
    from aiokafka import errors  # noqa: PLC0415 - costs 0.2 s

    no_rights = (
        errors.TopicAuthorizationFailedError,
        errors.GroupAuthorizationFailedError,
        errors.ClusterAuthorizationFailedError,
        errors.TransactionalIdAuthorizationFailed,
    )

    # A client logs every attempt to connect; one sentence at the end is better.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        yield
    except BrokenPipeError:
        raise  # of our own output: clients raise a KafkaError for theirs
    except (errors.KafkaConnectionError, errors.NodeNotReadyError, ConnectionError) as error:
        from ops.kafka.trouble import trouble_at  # noqa: PLC0415

        trouble = trouble_at(bootstrap)
        raise (no_kafka(bootstrap) if trouble is None else CannotDo(trouble.sentence)) from error
    except no_rights as error:
        raise CannotDo(
            f"Kafka at {bootstrap} does not let this process do that ({error}). docs/how-to/secure-kafka.md has the "
            "rights that each command needs."
        ) from error
    except errors.KafkaError as error:
        raise CannotDo(f"Kafka at {bootstrap} answered with an error: {error}") from error


class Commands(TyperGroup):
    """The group of all subcommands: it turns an error into one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen subcommand.

        Raises:
            typer.Exit: carries the exit code of a command that could not do its work.
        """
        from schemas.kafka_connection import KafkaSettingsError  # noqa: PLC0415

        try:
            return super().invoke(ctx)
        except (CannotDo, KafkaSettingsError) as problem:
            typer.echo(f"holdfast: {problem}", err=True)
            raise typer.Exit(COULD_NOT) from problem
        except BrokenPipeError:
            # The reader of our output (`| head`) has ended. Drop the buffer; otherwise Python would fail again when it
            # flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
