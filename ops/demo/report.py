"""Owns the summary of the demo: its numbers, and whether anything went wrong."""

from dataclasses import dataclass

from audit.report.report import Report
from ops.demo.drive import HTTP_PER_S, KAFKA_PER_S
from ops.demo.http_times import HttpTimes
from ops.importing.tally import Tally
from ops.screen import print_json, print_table


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the demo measured.

    Args:
        tally: the count of all commands sent over Kafka.
        burst_commands: how many of them were sent as fast as possible.
        burst_s: how long those took, to the last result.
        alone: the requests over HTTP while nothing else ran.
        calm: the requests over HTTP beside the load over Kafka, undisturbed.
        fault: the requests over HTTP around the kill.
        served_again_s: seconds from the kill until the killed worker's partitions were served again.
        audit: the verdict of the independent model.
    """

    tally: Tally
    burst_commands: int
    burst_s: float
    alone: HttpTimes
    calm: HttpTimes
    fault: HttpTimes
    served_again_s: float | None
    audit: Report

    @property
    def _http(self) -> tuple[HttpTimes, ...]:
        return self.alone, self.calm, self.fault

    @property
    def http_requests(self) -> int:
        """Return how many requests were answered over HTTP."""
        return sum(len(times.seconds) for times in self._http)

    @property
    def lost(self) -> int:
        """Return how many commands and requests have no answer, by the counts here or by the audit."""
        return self.tally.unanswered + sum(times.unanswered for times in self._http) + self.audit.lost

    @property
    def doubled(self) -> int:
        """Return how many commands were answered or applied twice."""
        return self.tally.doubled + self.audit.doubled

    @property
    def ok(self) -> bool:
        """Return whether nothing was lost, doubled, oversold or different."""
        sound = self.audit.equal and self.audit.complete and self.audit.pending == 0 and self.tally.exactly_once
        return sound and not (self.lost or self.doubled or self.audit.oversold) and self.served_again_s is not None

    def as_json(self) -> dict[str, object]:
        """Return the summary as a JSON object; times in ms where the name says so."""
        return {
            "ok": self.ok,
            "commands": self.tally.commands,
            "sent_again": self.tally.sent_again,
            "accepted": self.tally.accepted,
            "refused": dict(sorted(self.tally.refused.items())),
            "burst_commands_per_s": round(self.burst_commands / self.burst_s),
            "http_requests": self.http_requests,
            "http_alone_p50_ms": self.alone.percentile_ms(0.5),
            "http_alone_p99_ms": self.alone.percentile_ms(0.99),
            "http_p50_ms": self.calm.percentile_ms(0.5),
            "http_p99_ms": self.calm.percentile_ms(0.99),
            "http_max_ms_around_the_kill": self.fault.percentile_ms(1.0),
            "http_asked_again": sum(times.asked_again for times in self._http),
            "kills": 1,
            "served_again_s": self.served_again_s,
            "lost": self.lost,
            "doubled": self.doubled,
            "oversold": self.audit.oversold,
            "audit_equal": self.audit.equal,
            "audited_commands": self.audit.compared.commands,
        }


def print_report(report: DemoReport, *, as_json: bool) -> None:
    """Print the summary on standard output."""
    if as_json:
        print_json(report.as_json())
    else:
        print_table(("", ""), _rows(report), title="Holdfast: what happened")


def _rows(report: DemoReport) -> list[tuple[str, str]]:
    tally = report.tally
    refused = sum(tally.refused.values()) + tally.follow_on
    served = "-" if report.served_again_s is None else f"{report.served_again_s:.1f} s after it"
    rate = f"{report.burst_commands / report.burst_s:,.0f} commands/s"
    slowest, again = _ms(report.fault, 1.0), report.fault.asked_again
    return [
        ("commands over Kafka", f"{tally.commands:,} ({tally.accepted:,} accepted, {refused:,} refused by the rules)"),
        ("sent twice on purpose", f"{tally.sent_again:,}, each answered from memory"),
        ("throughput", f"{rate} ({report.burst_commands:,} in {report.burst_s:.1f} s)"),
        ("requests over HTTP", f"{report.http_requests:,}, {HTTP_PER_S:.0f} a second"),
        ("HTTP by itself", f"p50 {_ms(report.alone, 0.5)}, p99 {_ms(report.alone, 0.99)}"),
        (f"beside {KAFKA_PER_S:,}/s over Kafka", f"p50 {_ms(report.calm, 0.5)}, p99 {_ms(report.calm, 0.99)}"),
        ("kill -9 of a worker", f"1; its partitions were served again {served}"),
        ("HTTP around the kill", f"slowest answer {slowest}; {again:,} asked again with the same key"),
        ("lost", f"{report.lost:,}"),
        ("doubled", f"{report.doubled:,}"),
        ("oversold", f"{report.audit.oversold:,}"),
        ("audit", _verdict(report.audit)),
    ]


def _verdict(audit: Report) -> str:
    compared = audit.compared
    if not audit.equal:
        return f"{audit.difference_count:,} DIFFERENCES in {compared.commands:,} commands"
    published = (
        f"{compared.results:,} results, {compared.stock_changes:,} stock changes and {compared.rows:,} ledger rows"
    )
    return f"EQUAL: {published} are what an independent model makes of {compared.commands:,} commands"


def _ms(times: HttpTimes, share: float) -> str:
    value = times.percentile_ms(share)
    return "-" if value is None else f"{value:,.1f} ms"
