"""Owns the health of a gateway: the reasons why it cannot serve, or not everything.

A balancer takes a gateway away that is not ready. So what other gateways share (Kafka, the workers) only makes it
`degraded`: its view and its streams still answer.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.problems import LogProgress
from gateway.requests import LedgerClient
from gateway.status_view import StatusView
from gateway.view_reader import ViewReader


class ReasonCode(StrEnum):
    """Why a gateway is not ready, or degraded."""

    VIEW_NOT_READY = "view_not_ready"
    DRAINING = "draining"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    NO_OWNER = "no_owner"
    RECOVERING = "recovering"
    SHEDDING = "shedding"
    CREDENTIALS_STALE = "credentials_stale"


_NOT_READY = frozenset({ReasonCode.VIEW_NOT_READY, ReasonCode.DRAINING})
_DETAILS = {
    ReasonCode.VIEW_NOT_READY: "The view is being read; reads from it are refused until it is complete.",
    ReasonCode.DRAINING: "The gateway ends soon; it still serves.",
    ReasonCode.KAFKA_UNAVAILABLE: "Kafka does not answer; commands and linearizable reads are refused.",
    ReasonCode.NO_OWNER: "No worker serves these partitions; their commands wait.",
    ReasonCode.RECOVERING: "A worker brings these partitions up to date; their commands wait.",
    ReasonCode.SHEDDING: "More is asked than these partitions can answer in time; what is too much is refused.",
    ReasonCode.CREDENTIALS_STALE: "The keys cannot be read anew; the last good ones hold.",
}


class Reason(msgspec.Struct, omit_defaults=True, gc=False):
    """Why the gateway is not ready, or degraded."""

    code: Annotated[ReasonCode, Meta(description="Which reason.")]
    detail: Annotated[str, Meta(description="A sentence for people.")]
    partitions: Annotated[list[int], Meta(description="The partitions it concerns; absent when it concerns all.")] = []
    progress: Annotated[LogProgress, Meta(description="How far it is, where that is known.")] | UnsetType = UNSET


HealthStatus = Literal["ready", "degraded", "not_ready"]


class Readiness(msgspec.Struct):
    """Whether requests can be served, and the reasons if not all can."""

    status: Annotated[HealthStatus, Meta(description="`degraded`: some requests are served.")]
    reasons: Annotated[list[Reason], Meta(description="Why it is not `ready`; empty when it is.")]


class Views(NamedTuple):
    """The readers of what the gateway answers from."""

    stock_changes: ViewReader
    reference: ViewReader


class Health:
    """The health of one gateway.

    Args:
        ledger: knows whether Kafka answers, and which partitions refuse requests.
        views: the readers of the views.
        statuses: the partitions' owners.
        draining: set when the gateway was told to end.
        stopping: set when it ends.
    """

    def __init__(
        self,
        ledger: LedgerClient,
        views: Views,
        statuses: StatusView,
        draining: asyncio.Event,
        stopping: asyncio.Event,
    ) -> None:
        self._ledger = ledger
        self._views = views
        self._statuses = statuses
        self._draining = draining
        self._stopping = stopping
        self.credentials_are_stale: Callable[[], bool] = lambda: False

    def readiness(self) -> Readiness:
        """Return the status with its reasons, the gravest first."""
        reasons = self._reasons()
        if any(reason.code in _NOT_READY for reason in reasons):
            return Readiness("not_ready", reasons)
        return Readiness("degraded" if reasons else "ready", reasons)

    def _reasons(self) -> list[Reason]:
        reasons = []
        unread = [reader for reader in self._views if not reader.complete.is_set()]
        if unread:
            total = sum(reader.read + reader.lag for reader in self._views)
            progress = LogProgress(sum(reader.read for reader in self._views), total)
            reasons.append(_reason(ReasonCode.VIEW_NOT_READY, progress=progress))
        if self._draining.is_set() or self._stopping.is_set():
            reasons.append(_reason(ReasonCode.DRAINING))
        if self._ledger.unavailable is not None:
            reasons.append(_reason(ReasonCode.KAFKA_UNAVAILABLE))
        reasons += self._of_partitions()
        if shedding := self._ledger.loads.shedding:
            reasons.append(_reason(ReasonCode.SHEDDING, shedding))
        if self.credentials_are_stale():
            reasons.append(_reason(ReasonCode.CREDENTIALS_STALE))
        return reasons

    def _of_partitions(self) -> list[Reason]:
        found = self._statuses.all()
        reasons = []
        if orphans := [number for number, owned in found.items() if owned.state == "no_owner"]:
            reasons.append(_reason(ReasonCode.NO_OWNER, orphans))
        if recovering := [number for number, owned in found.items() if owned.state == "recovering"]:
            known = [status for number in recovering if (status := found[number].status) is not None]
            progress = LogProgress(sum(it.recovered for it in known), sum(it.to_recover for it in known))
            reasons.append(_reason(ReasonCode.RECOVERING, recovering, progress))
        return reasons


def _reason(code: ReasonCode, partitions: list[int] | None = None, progress: LogProgress | None = None) -> Reason:
    return Reason(code, _DETAILS[code], partitions or [], UNSET if progress is None else progress)
