"""Owns the counts of an import: commands, results, and whether each command was answered exactly once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from ops.importing.order_lines import COMMIT_SUFFIX, Step
from schemas.codes import NOT_REMEMBERED, Code

# How many refused commands are kept with their ids.
_NAMED = 10


class ResultFields(msgspec.Struct, gc=False):
    """As much of a result as the count needs; reading it takes half the time of reading a whole one."""

    command_id: str | None
    status: str
    code: Code | None = None
    replayed: bool = False


_decode = msgspec.json.Decoder(ResultFields).decode


@dataclass(kw_only=True)
class Tally:
    """Counts the commands that are sent and the results that come.

    `follow_on` counts commits that were refused because their reserve was refused. `replayed` counts answers from
    memory: an earlier run of the same import had sent the command. `first_refused` has the ids of the first refused
    commands, with their codes.

    Args:
        prefix: the beginning of this import's ids; other results belong to other callers.
    """

    prefix: str
    commands: int = 0
    answered: int = 0
    accepted: int = 0
    replayed: int = 0
    doubled: int = 0
    follow_on: int = 0
    units_asked: int = 0
    units_allocated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    first_refused: list[tuple[str, Code]] = field(default_factory=list)
    sent_again: int = 0
    _again: Counter[str] = field(default_factory=Counter)
    _open: dict[str, int] = field(default_factory=dict)
    _refused_reserves: set[str] = field(default_factory=set)

    @property
    def unanswered(self) -> int:
        """Return how many commands have no result yet."""
        return len(self._open) + self._again.total()

    @property
    def fill_rate(self) -> float | None:
        """Return the share of the requested units that were allocated; None when no units were requested."""
        return self.units_allocated / self.units_asked if self.units_asked else None

    @property
    def exactly_once(self) -> bool:
        """Return whether every command was answered once, and none was refused as invalid."""
        unsound = sum(self.refused[code] for code in NOT_REMEMBERED)
        return not self.unanswered and not self.doubled and not unsound

    def sent(self, steps: Iterable[Step]) -> None:
        """Count commands before they are sent."""
        for step in steps:
            self.commands += 1
            self.units_asked += step.asked
            self._open[step.command_id] = step.asked

    def sent_twice(self, command_id: str) -> None:
        """Count a command that is repeated on purpose: its second answer must come from memory."""
        self.sent_again += 1
        self._again[command_id] += 1

    def receive_result(self, value: bytes) -> bool:
        """Count a result, and return whether it belongs to this import."""
        outcome = _decode(value)
        command_id = outcome.command_id
        if command_id is None or not command_id.startswith(self.prefix):
            return False
        self.take(command_id, outcome)
        return True

    def take(self, command_id: str, outcome: ResultFields) -> bool:
        """Count the result of a command of this import, and return whether it is its first."""
        asked = self._open.pop(command_id, None)
        if asked is None:
            self._take_another(command_id, outcome)
            return False
        self.answered += 1
        self.replayed += outcome.replayed
        if outcome.code is None:
            self.accepted += 1
            self.units_allocated += asked
        else:
            self._refuse(command_id, outcome.code, asked)
        return True

    def _take_another(self, command_id: str, outcome: ResultFields) -> None:
        if outcome.replayed and self._again[command_id]:
            self._again[command_id] -= 1
        else:
            self.doubled += 1

    def _refuse(self, command_id: str, code: Code, asked: int) -> None:
        if asked:
            self._refused_reserves.add(command_id)
        reserve_id = command_id.removesuffix(COMMIT_SUFFIX)
        # A partition answers in order, so a reserve's answer always comes before its commit's.
        if code is Code.UNKNOWN_RESERVATION and reserve_id != command_id and reserve_id in self._refused_reserves:
            self._refused_reserves.discard(reserve_id)
            self.follow_on += 1
        else:
            self.refused[code] += 1
            if len(self.first_refused) < _NAMED:
                self.first_refused.append((command_id, code))
