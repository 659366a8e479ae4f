"""``/metrics`` for Prometheus (X12).

What the DPS holds is asked of it when somebody collects; only what passes by, the REST requests, is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dove_ryu.dps import Dps, Refused
from dove_ryu.figures import LaneFigures, ProbeFigures
from dove_ryu.flow_log import Total
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.provider import Machine
from dove_ryu.model.resolution import Outcome
from dove_ryu.northbound import instances
from dove_ryu.northbound.connections import LIVE, Connections, states
from dove_ryu.northbound.interface import Service

UNKNOWN = "unknown"
"""What wild methods and URLs are counted under, so that they make no new series."""

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Figures:
    """What the DPS holds at one moment; of an empty one at first.

    :ivar states: of every known dSwitch.
    :ivar refused: packets that came up and were not answered.
    :ivar unmetered: dSwitches that cannot limit what their endpoints ask.
    :ivar instances: of appliances, with how it stands with each.
    :ivar logged: what the flow log has of each policy, by the names of its network and itself.
    """

    requests: Mapping[Outcome, int] = field(default_factory=dict)
    states: Mapping[int, str] = field(default_factory=dict)
    networks: int = 0
    endpoints: int = 0
    attached: int = 0
    invalidations: int = 0
    refreshed: int = 0
    refused: Mapping[Refused, int] = field(default_factory=dict)
    unmetered: int = 0
    instances: Mapping[Machine, str] = field(default_factory=dict)
    logged: Mapping[tuple[str, str], Total] = field(default_factory=dict)


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
        yield from _metrics(Figures(), {}, 0)
        yield from _of_the_lane(LaneFigures())
        yield from _of_appliances({}, ProbeFigures())

    def collect(self) -> Iterator[Metric]:
        """The metrics with their values now."""
        connections, figures = self._service.connections(), self._service.ask(_figures)
        yield from _metrics(figures, connections, self._service.revision)
        yield from _of_the_lane(self._service.lane())
        yield from _of_appliances(figures.instances, self._service.probes())


def _metrics(figures: Figures, connections: Connections, revision: int) -> Iterator[Metric]:
    outcomes = {outcome.value: figures.requests.get(outcome, 0) for outcome in Outcome}
    yield _counter("dove_policy_requests", "Policy requests answered.", "outcome", outcomes)
    refused = {refusal.value: figures.refused.get(refusal, 0) for refusal in Refused}
    yield _counter("dove_policy_requests_refused", "Packets that came up and were refused.", "reason", refused)
    yield GaugeMetricFamily(
        "dove_dswitches_unmetered", "dSwitches that cannot limit what their endpoints ask.", figures.unmetered
    )
    yield _gauge(
        "dove_dswitches",
        "dSwitches by the state of their OpenFlow connection.",
        "state",
        dict(sorted(Counter(figures.states.values()).items())),
    )
    yield GaugeMetricFamily("dove_networks", "Virtual networks.", figures.networks)
    yield GaugeMetricFamily("dove_endpoints", "Endpoints of all networks.", figures.endpoints)
    yield GaugeMetricFamily("dove_endpoints_attached", "Endpoints whose location is known.", figures.attached)
    yield GaugeMetricFamily("dove_revision", "Revision of the store that the DPS is at.", revision)
    yield CounterMetricFamily(
        "dove_location_invalidations", "Location invalidations heard from dSwitches.", figures.invalidations
    )
    yield CounterMetricFamily(
        "dove_entries_refreshed", "Cached entries in use whose time was up, and which were renewed.", figures.refreshed
    )
    yield from _of_the_flow_log(figures.logged)
    yield from _of_each_dswitch(figures.states, connections)


def _of_the_flow_log(logged: Mapping[tuple[str, str], Total]) -> Iterator[Metric]:
    counted: tuple[tuple[str, str, Callable[[Total], int]], ...] = (
        ("entries", "Entries of logged policies that dSwitches have acquired.", lambda total: total.entries),
        ("packets", "Packets that ended entries of logged policies had met.", lambda total: total.packets),
        ("bytes", "Bytes of these packets.", lambda total: total.octets),
    )
    for name, text, value in counted:
        family = CounterMetricFamily(f"dove_logged_{name}", text, labels=["network", "policy"])
        for key, total in sorted(logged.items()):
            family.add_metric(key, value(total))
        yield family


def _of_each_dswitch(known: Mapping[int, str], connections: Connections) -> Iterator[Metric]:
    live = {dpid_text(dpid): int(state == LIVE) for dpid, state in known.items()}
    each = {dpid_text(dpid): connection for dpid, connection in sorted(connections.items())}
    yield _gauge("dove_dswitch_live", "Whether a dSwitch is connected and holds what it should.", "dpid", live)
    yield _gauge(
        "dove_dswitch_lag_revisions",
        "Revisions by which what a dSwitch has confirmed is behind the DPS.",
        "dpid",
        {dpid: connection.lag for dpid, connection in each.items() if connection.lag is not None},
    )
    yield _gauge(
        "dove_dswitch_outstanding",
        "Messages of a dSwitch, policy requests above all, that wait for the DPS.",
        "dpid",
        {dpid: connection.outstanding for dpid, connection in each.items()},
    )
    yield _counter(
        "dove_dswitch_policy_requests",
        "Policy requests of a dSwitch answered.",
        "dpid",
        {dpid: connection.requests for dpid, connection in each.items()},
    )
    yield _counter(
        "dove_dswitch_flow_changes",
        "Flow changes sent to a dSwitch for changes of the world.",
        "dpid",
        {dpid: connection.flow_changes for dpid, connection in each.items()},
    )


def _of_the_lane(lane: LaneFigures) -> Iterator[Metric]:
    yield _counter(
        "dove_lane_requests",
        "Packet-ins by who has dealt with them, the fast lane or the plain way.",
        "outcome",
        {"answered": lane.answered, "left": lane.left},
    )
    yield _gauge("dove_lane_info", "The form in which the fast lane runs.", "form", {lane.form: 1})


def _of_appliances(known: Mapping[Machine, str], probes: ProbeFigures) -> Iterator[Metric]:
    states = dict.fromkeys(instances.STATES, 0) | Counter(known.values())
    yield _gauge("dove_appliance_instances", "Instances of all appliances by whether they work.", "state", states)
    up = GaugeMetricFamily(
        "dove_appliance_instance_up", "Whether an instance works and is anywhere.", labels=["appliance", "instance"]
    )
    for machine, state in known.items():
        up.add_metric(machine, int(state == instances.UP))
    yield up
    yield CounterMetricFamily(
        "dove_appliance_instance_changes", "How often instances were found to be down or up again.", probes.changes
    )
    sent = {"sent": probes.sent, "unanswered": probes.unanswered}
    yield _counter("dove_probes", "Probes of appliances' instances.", "outcome", sent)


def _gauge(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _figures(dps: Dps) -> Figures:
    tables = list(dps.world.networks())
    return Figures(
        Counter(dps.requests),
        states(dps),
        len(tables),
        sum(len(each.declared) for each in tables),
        sum(each.attached for each in tables),
        dps.invalidations,
        dps.refreshed,
        Counter(dps.refused),
        len(dps.world.unmetered & dps.connected),
        instances.states(dps),
        dict(dps.flow_log.totals),
    )
