"""Owns the list of the model's rules, one for each command of a SKU."""

from typing import get_args

from audit.model import (
    adjust,
    amend,
    amend_inbound,
    cancel_inbound,
    commit,
    expect_inbound,
    extend,
    move,
    query,
    reallocate,
    receive_inbound,
    reconcile,
    release,
    reserve,
    return_,
    set_policy,
    settle,
    transfer,
)
from audit.model.rule import Rule
from schemas.commands import SkuCommand

_ALL = (
    adjust.RULE,
    reserve.RULE,
    amend.RULE,
    reallocate.RULE,
    commit.RULE,
    release.RULE,
    extend.RULE,
    query.RULE,
    expect_inbound.RULE,
    amend_inbound.RULE,
    receive_inbound.RULE,
    cancel_inbound.RULE,
    return_.RULE,
    move.RULE,
    transfer.RULE,
    reconcile.RULE,
    settle.RULE,
    set_policy.RULE,
)
RULES: dict[type, Rule] = {rule.command: rule for rule in _ALL}

if missing := set(get_args(SkuCommand)) ^ RULES.keys():
    names = ", ".join(sorted(command.__name__ for command in missing))
    raise TypeError(f"audit/model: each command of schemas.commands.SkuCommand needs one rule; look at {names}")
