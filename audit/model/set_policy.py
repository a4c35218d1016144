"""Owns the model's rule for `set_policy`."""

from audit.model.book import MAX_POLICIES, Book, policy_document
from audit.model.parts import CommandRefused
from audit.model.policies import policy_as_set
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import SetPolicy


def set_policy(state: PartitionState, command: SetPolicy) -> Effect:
    """Set the policy of a channel for this SKU, as a whole; without any field, remove it."""
    sku, channel, policy = command.sku, command.channel, policy_as_set(command)
    key = f"policy/{channel}/{sku}"
    policies = state.books[sku].policies if sku in state.books else {}
    before = policies.get(channel)
    state.shown["reference"] = None
    if any(value is not None for value in policy):
        if channel not in policies and len(policies) >= MAX_POLICIES:
            raise CommandRefused(Code.LIMIT_EXCEEDED)
        state.books.setdefault(sku, Book()).policies[channel] = policy
        state.shown["reference"] = policy_document(sku, channel, policy, state.now)
    else:
        policies.pop(channel, None)
    state.touch(f"K{sku}\0{channel}")
    state.touch(f"S{sku}\0")
    state.publish_reference(key, state.shown["reference"])
    if sku in state.books and state.books[sku].policies.get(channel) != before:
        state.await_settling(sku)
    return None, []


def _content(command: SetPolicy) -> tuple[object, ...]:
    return (command.channel, *policy_as_set(command))


RULE = Rule(SetPolicy, set_policy, _content)
