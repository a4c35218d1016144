"""Owns the count of an import: what was sent, what became of it, and whether each command was answered exactly once."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from ops.importing.order_lines import COMMIT_SUFFIX, Step
from schemas.codes import NOT_REMEMBERED, Code

# So many refused commands are kept by their ids.
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
    """Counts commands on their way out and results on their way in.

    `follow_on` are commits refused because their reserve was refused just before. `replayed` are answers from memory:
    the command had been applied before, by an earlier run of the same import. `first_refused` are the ids of the first
    refused commands, with their codes.

    Args:
        prefix: how the ids of this import's commands begin; other results are somebody else's.
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
        """Return the share of the units asked for that were allocated; None when none were."""
        return self.units_allocated / self.units_asked if self.units_asked else None

    @property
    def exactly_once(self) -> bool:
        """Tell whether every command was answered, once, and none was refused for what no shop can mean."""
        unsound = sum(self.refused[code] for code in NOT_REMEMBERED)
        return not self.unanswered and not self.doubled and not unsound

    def sent(self, steps: Iterable[Step]) -> None:
        """Count commands that are about to be sent."""
        for step in steps:
            self.commands += 1
            self.units_asked += step.asked
            self._open[step.command_id] = step.asked

    def sent_twice(self, command_id: str) -> None:
        """Count a command that is sent once more on purpose: its second answer has to come from memory."""
        self.sent_again += 1
        self._again[command_id] += 1

    def receive_result(self, value: bytes) -> bool:
        """Count a result. Tells whether it belongs to this import."""
        outcome = _decode(value)
        command_id = outcome.command_id
        if command_id is None or not command_id.startswith(self.prefix):
            return False
        asked = self._open.pop(command_id, None)
        if asked is None:
            self._take_another(command_id, outcome)
            return True
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
        # A partition answers in order, so a reserve's answer is always here before its commit's.
        if code is Code.UNKNOWN_RESERVATION and reserve_id != command_id and reserve_id in self._refused_reserves:
            self._refused_reserves.discard(reserve_id)
            self.follow_on += 1
        else:
            self.refused[code] += 1
            if len(self.first_refused) < _NAMED:
                self.first_refused.append((command_id, code))
