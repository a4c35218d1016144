"""Owns the gateway's metrics, in Prometheus' format."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter, time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.answer_times import AnswerTimes
from schemas.reference import FeedState

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

# Seconds. A round trip through an idle ledger takes 3 ms; 5 s is the default time-out.
_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Observe = Callable[[float, int], None]
# The label of requests that no route answered: callers make up their paths, so the paths are no labels.
NO_ROUTE = "none"


class Metrics:
    """One gateway's metrics, in their own registry.

    Args:
        in_flight: returns how many requests wait.
        view_size: returns how many SKUs the availability view has.
        view_lag: returns how many stock changes the view is behind.
        connected: returns 1 while Kafka is reachable, else 0.
        shed: returns how many requests were refused because their partition would have answered too late.
        partitions: returns how many partitions have a state: `no_owner`, `recovering`.
        feeds: returns the feeds of counts.
    """

    def __init__(
        self,
        *,
        in_flight: Callable[[], float],
        view_size: Callable[[], float],
        view_lag: Callable[[], float],
        connected: Callable[[], float],
        shed: Callable[[], float],
        partitions: Callable[[str], float],
        feeds: Callable[[], Iterable[FeedState]],
    ) -> None:
        self.times = AnswerTimes()
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "holdfast_gateway_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "holdfast_gateway_request_seconds",
            "Time from request to answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        for name, text, value in (
            ("in_flight", "Requests that wait for their results.", in_flight),
            ("view_skus", "SKUs in the availability view.", view_size),
            ("view_lag_records", "Stock changes that the availability view is behind.", view_lag),
            ("kafka_connected", "1 while Kafka is there, else 0.", connected),
        ):
            Gauge(f"holdfast_gateway_{name}", text, registry=self._registry).set_function(value)
        for name, text, state in (
            ("without_owner", "Partitions that no worker serves.", "no_owner"),
            ("recovering", "Partitions that a worker brings up to date.", "recovering"),
        ):
            gauge = Gauge(f"holdfast_partitions_{name}", text, registry=self._registry)
            gauge.set_function(partial(partitions, state))
        text = "Requests refused because their partition would have answered too late."
        self._registry.register(_Count("holdfast_gateway_shed", text, shed))
        self._registry.register(_FeedAges(feeds))

    def observer(self, route: str) -> Observe:
        """Return the function that counts an answered request of a route: (`perf_counter` at its begin, its status)."""
        observe_latency = self._latency.labels(route).observe
        counts: dict[int, Counter] = {}
        note = self.times.add if route.startswith("/v1/") and route != "/v1/status" else None

        def observe(began: float, status: int) -> None:
            observe_latency(perf_counter() - began)
            if note is not None:
                note(began, status)
            count = counts.get(status)
            if count is None:
                count = counts[status] = self._requests.labels(route, str(status))
            count.inc()

        return observe

    def exposition(self) -> bytes:
        """Return all metrics as text for Prometheus."""
        return generate_latest(self._registry)


class _Count(Collector):
    """A count that somebody else keeps."""

    def __init__(self, name: str, text: str, count: Callable[[], float]) -> None:
        self._name, self._text, self._count = name, text, count

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Return the count."""
        yield CounterMetricFamily(self._name, self._text, value=self._count())


class _FeedAges(Collector):
    """How old the counts of each feed are, and how old they may become."""

    def __init__(self, feeds: Callable[[], Iterable[FeedState]]) -> None:
        self._feeds = feeds

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics of all feeds that are known by now."""
        age = GaugeMetricFamily("holdfast_feed_age_seconds", "Time since the last counts of a feed.", labels=["feed"])
        interval = GaugeMetricFamily("holdfast_feed_interval_seconds", "How often a feed comes.", labels=["feed"])
        now_s = time()
        for feed in self._feeds():
            age.add_metric([feed.id], now_s - feed.as_of_at / 1000)
            interval.add_metric([feed.id], feed.interval_ms / 1000)
        yield age
        yield interval
