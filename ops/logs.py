"""Owns the logs of worker and gateway: one line an event, on standard error."""

import logging
import os
import sys
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter

from ops.secrets import drop_secrets

FORMATS = ("text", "json")

_ADDED: list[Any] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def log_to_stderr(form: str | None = None) -> None:
    """Set up logging for this process, also for its libraries.

    Args:
        form: `text` for people or `json` for programs (`timestamp`, `level`, `event`, then the event's fields); by
            default `HOLDFAST_LOG`, else `text`.

    Raises:
        ValueError: there is no such format.
    """
    form = form or os.environ.get("HOLDFAST_LOG") or "text"
    if form not in FORMATS:
        raise ValueError(f"HOLDFAST_LOG is {form!r}; it may be {' or '.join(FORMATS)}.")
    # A traceback is text before secrets are dropped. Structlog's own for people would show the variables of every
    # frame, a request's headers among them.
    render: list[Any] = [
        structlog.processors.format_exc_info,
        drop_secrets,
        structlog.processors.JSONRenderer(sort_keys=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=_ADDED, processors=[ProcessorFormatter.remove_processors_meta, *render])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # Kafka's client logs every attempt to connect; worker and gateway log it once themselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*_ADDED, *render],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
