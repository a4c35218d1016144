"""Owns how long a webhook is tried: the pauses between tries, when a message is given up, when an endpoint stops."""

import random
from typing import Final, Literal

from gateway.webhooks.requests import Reaction

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
TRIES_OF_REFUSED: Final = 3
STOP_AFTER_S: Final = 24 * 60 * 60.0
# Many endpoints of one receiver must not come back in the same moment.
_JITTER = 0.25

Next = Literal["next", "again", "dead_letter", "stop"]


class Patience:
    """The tries of one message.

    Args:
        failing_since: when (s) the endpoint's partition failed first, without a success since; None: it did not.
    """

    def __init__(self, failing_since: float | None = None) -> None:
        self.failing_since = failing_since
        self.tries = 0
        self._refusals = 0

    def after(self, answer: Reaction, now: float) -> Next:
        """Return what comes after an answer: the next message, this one again or never again, or nothing at all."""
        self.tries += 1
        if answer.kind == "delivered":
            return "next"
        if answer.kind == "gone":
            return "stop"
        if answer.kind == "refused":
            self._refusals += 1
            if self._refusals >= TRIES_OF_REFUSED:
                return "dead_letter"
        if self.failing_since is None:
            self.failing_since = now
        return "stop" if now - self.failing_since >= STOP_AFTER_S else "again"

    def pause_s(self, answer: Reaction) -> float:
        """Return the seconds until the next try; those that the receiver asked for, if it did, and at least 1."""
        if answer.wait_s is not None:
            return min(max(answer.wait_s, FIRST_PAUSE_S), STOP_AFTER_S)
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.tries - 1, 20))
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)
