"""``/metrics`` for Prometheus (X12).

What the DPS holds is asked of it when somebody collects; only what passes by, the REST requests, is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dove_ryu.dps import Dps, Observation
from dove_ryu.model.resolution import Outcome
from dove_ryu.northbound.interface import Service

UNKNOWN = "unknown"
"""What wild methods and URLs are counted under, so that they make no new series."""

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one DPS."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_State(service))
        self._requests = CounterMetric(
            "dove_rest_requests", "REST requests answered.", ("method", "resource", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "dove_rest_request_seconds", "How long REST requests took.", ("method", "resource"), registry=self._registry
        )

    def observe(self, method: str, resource: str | None, status: int, seconds: float) -> None:
        """A REST request was answered.

        :param resource: the pattern of its URL; None where there is no such resource.
        """
        of = (method if method in METHODS else UNKNOWN, resource or UNKNOWN)
        self._requests.labels(*of, str(status)).inc()
        self._seconds.labels(*of).observe(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Every metric in the form that *accept*, a header, prefers; and that form's content type.

        :raises TimeoutError: when the DPS does not answer.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _State(Collector):
    """What is asked of the DPS at each collection."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def describe(self) -> Iterator[Metric]:
        """The names, without asking for the values."""
        return iter(_families())

    def collect(self) -> Iterator[Metric]:
        """The metrics with their values now."""
        requests, dswitches, networks, endpoints, attached = self._service.ask(_figures)
        by_outcome, by_state, count, declared, located, revision = _families()
        for outcome in Outcome:
            by_outcome.add_metric([outcome.value], requests[outcome])
        for state, number in sorted(dswitches.items()):
            by_state.add_metric([state], number)
        count.add_metric([], networks)
        declared.add_metric([], endpoints)
        located.add_metric([], attached)
        revision.add_metric([], self._service.revision)
        yield from (by_outcome, by_state, count, declared, located, revision)


def _families() -> tuple[
    CounterMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily
]:
    return (
        CounterMetricFamily("dove_policy_requests", "Policy requests answered.", labels=["outcome"]),
        GaugeMetricFamily("dove_dswitches", "dSwitches by the state of their OpenFlow session.", labels=["state"]),
        GaugeMetricFamily("dove_networks", "Virtual networks."),
        GaugeMetricFamily("dove_endpoints", "Endpoints of all networks."),
        GaugeMetricFamily("dove_endpoints_attached", "Endpoints whose location is known."),
        GaugeMetricFamily("dove_revision", "Revision of the store that the DPS is at."),
    )


def _figures(dps: Dps) -> tuple[Counter[Outcome], Counter[str], int, int, int]:
    known = {*dps.world.dswitches, *dps.observations}
    states = Counter(dps.observations.get(dpid, Observation()).openflow for dpid in known)
    tables = list(dps.world.networks())
    endpoints = sum(len(each.declared) for each in tables)
    attached = sum(len(each.locations.keys() & each.declared.keys()) for each in tables)
    return Counter(dps.requests), states, len(tables), endpoints, attached
