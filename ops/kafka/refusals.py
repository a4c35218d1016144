"""Owns what a running service says when Kafka refuses it: aiokafka only logs why, again and again."""

import logging
import time
from typing import Final

from ops.kafka.trouble import trouble_of

AGAIN_AFTER_S: Final = 60.0
_LOGGER: Final = "aiokafka"


class Refusals(logging.Filter):
    """Of aiokafka's messages lets those pass that say why waiting cannot help, each once a minute, as a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; the text of a refusal becomes the sentence."""
        if record.name.partition(".")[0] != _LOGGER:
            return True
        given = record.args if isinstance(record.args, tuple) else ()
        errors = [it for it in given if isinstance(it, BaseException)]
        others = [str(it) for it in given if not isinstance(it, BaseException)]
        where = f"at {':'.join(others)}" if len(others) > 1 else f"(broker {''.join(others)})"
        trouble = trouble_of(errors[0], f"Kafka {where}") if errors else None
        if trouble is None or not trouble.is_certain:
            return False
        now = time.monotonic()
        if now - self._said_at.get(trouble.sentence, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        self._said_at[trouble.sentence] = now
        record.msg, record.args = trouble.sentence, ()
        record.name = "holdfast.kafka"
        return True


def log_refusals() -> None:
    """Log why Kafka refuses this process, while all else that aiokafka logs stays silent."""
    logging.getLogger(_LOGGER).setLevel(logging.ERROR)
    refusals = Refusals()  # one for all handlers: it renames what it lets pass, for those that come after
    for handler in logging.getLogger().handlers:
        for known in [it for it in handler.filters if isinstance(it, Refusals)]:
            handler.removeFilter(known)
        handler.addFilter(refusals)
