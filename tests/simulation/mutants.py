"""Owns the mutants: the protocol with one rule broken, to see whether the simulation notices.

A mutant is a piece of a function's source, replaced; the function is compiled anew in its own module.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from agents import changelog, hanging, local_store, partition, reading, transactions


class Mutant(NamedTuple):
    """What is replaced, by what, and where."""

    module: Any
    function: str  # its qualified name
    replaced: str
    by: str


_CHECKPOINT = "ledger.checkpoint(position, offsets[CHANGELOG] + len(rows) - 1)"
_END = "await transactions.end()"
_FENCE = "await transactions.begin([TopicPartition(topic, self.number) for topic in _OUTPUTS])"
_ASK = "log_start, log_end = await transactions.log_range(CHANGELOG, self.number)"

MUTANTS = {
    "the store is written before EndTxn": [
        Mutant(partition, "Partition._commit", _END, f"{_CHECKPOINT}\n    {_END}"),
    ],
    "the end of the changelog is asked for before fencing": [
        Mutant(partition, "Partition._recover", _ASK, "pass"),
        Mutant(partition, "Partition._recover", _FENCE, f"{_ASK}\n    {_FENCE}"),
    ],
    "an error in one partition's Produce answer is ignored": [
        Mutant(
            transactions,
            "TransactionClient._produce_once",
            "await self._raise_produce_error(topic.name, written)",
            "found[topic.name] = written.base_offset",
        ),
    ],
    "EndTxn without an answer counts as committed": [
        Mutant(
            transactions,
            "TransactionClient.end",
            'raise UnknownOutcomeError(f"EndTxn of {self._id} got no answer: {error!r}") from error',
            "return",
        ),
    ],
    "one fetch is taken for the whole changelog": [
        Mutant(changelog, "read_changelog", "position = fetched.position", "position = end"),
    ],
    "a store of another life of the changelog is taken": [
        Mutant(local_store, "LocalStore._read", "                return False", "                pass"),
        Mutant(local_store, "LocalStore._read", "return proven", "return True"),
    ],
    "what hangs is not looked for": [
        Mutant(hanging, "end_hanging", "if not hanging:", "if True:"),
    ],
    "logs are read with read_uncommitted": [
        Mutant(reading, "LogReader.fetch", "isolation=READ_COMMITTED,", "isolation=0,"),
        Mutant(reading, "LogReader.fetch", "fetched, position, READ_COMMITTED", "fetched, position, 0"),
    ],
}


@contextmanager
def mutated(mutants: list[Mutant]) -> Iterator[None]:
    """Break a rule for a while; none, when there is nothing to replace.

    Raises:
        AssertionError: the code has changed, and the mutant has to follow.
    """
    if not mutants:
        yield
        return
    module = mutants[0].module
    owner: Any = module
    *path, name = mutants[0].function.split(".")
    for part in path:
        owner = getattr(owner, part)
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    for mutant in mutants:
        assert source.count(mutant.replaced) == 1, f"{mutant.function} has no (or more than one) {mutant.replaced!r}"
        source = source.replace(mutant.replaced, mutant.by)
    made: dict[str, Any] = {}
    exec(compile(source, inspect.getsourcefile(module) or "", "exec"), vars(module), made)  # noqa: S102 - that is what a mutant is
    with patch.object(owner, name, made[name]):
        if name == "read_changelog":
            with patch.object(local_store, name, made[name]):
                yield
        else:
            yield
