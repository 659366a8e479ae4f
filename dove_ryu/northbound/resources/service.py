"""The DPS itself: what it would decide, how it is, what it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from webob import Request, Response

from dove_ryu.dps import Dps, Refused
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.resolution import Outcome
from dove_ryu.northbound import instances
from dove_ryu.northbound.answers import as_json, plain
from dove_ryu.northbound.connections import LIVE, STALE, Connections, states
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.live import trace_live
from dove_ryu.northbound.metrics import Metrics
from dove_ryu.northbound.missing import no_network
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.resources.resource import Names, Resource
from dove_ryu.northbound.trace import connection_of, trace

_TRACED = ("network", "source", "destination")
_OF_CONNECTION = ("protocol", "ports")


class ServiceResources:
    """Trace, status, metrics and health."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    def table(self) -> Iterator[Resource]:
        """Every resource."""
        yield Resource(
            "/v1/trace", {"GET": self._get_trace, "POST": self._post_trace}, parameters=(*_TRACED, *_OF_CONNECTION)
        )
        yield Resource("/v1/status", {"GET": self._get_status})
        yield Resource("/metrics", {"GET": self._get_metrics}, parameters=None)
        yield Resource("/healthz", {"GET": self._get_health}, parameters=None, always=True)
        yield Resource("/readyz", {"GET": self._get_readiness}, parameters=None, always=True)

    def _get_trace(self, request: Request, names: Names) -> Response:
        network, source, destination = _traced(request)
        connection = connection_of(*map(request.GET.get, _OF_CONNECTION))

        def question(dps: Dps) -> dict[str, Any] | None:
            tables = dps.world.network(network)
            return None if tables is None else trace(dps, tables, source, destination, connection)

        shown = self._service.ask(question)
        if shown is None:
            raise no_network(self._service, network)
        return as_json(shown)

    def _post_trace(self, request: Request, names: Names) -> Response:
        network, source, destination = _traced(request)
        if any(map(request.GET.get, _OF_CONNECTION)):
            raise Refusal(400, f"what is sent is a ping, which has no ports; leave out {' and '.join(_OF_CONNECTION)}")
        shown = trace_live(self._service, network, source, destination)
        if shown is None:
            raise no_network(self._service, network)
        return as_json(shown)

    def _get_status(self, request: Request, names: Names) -> Response:
        started = self._service.started
        connections, figures = self._service.connections(), self._service.ask(_figures)
        lane, probes = self._service.lane(), self._service.probes()
        return as_json(
            {
                "version": self._service.version,
                "ready": self._service.ready,
                "revision": self._service.revision,
                "started": started.isoformat(timespec="seconds"),
                "uptime": round((datetime.now(UTC) - started).total_seconds(), 3),
                **figures,
                **_sums(connections),
                "lane": asdict(lane),
                "probes": asdict(probes),
            }
        )

    def _get_metrics(self, request: Request, names: Names) -> Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        response = Response(body=body)
        response.headers["Content-Type"] = content_type
        return response

    def _get_health(self, request: Request, names: Names) -> Response:
        return plain("alive", 200)

    def _get_readiness(self, request: Request, names: Names) -> Response:
        return plain("ready", 200) if self._service.ready else plain("not ready", 503)


def _traced(request: Request) -> Iterator[str]:
    """The parameters of a trace."""
    for name in _TRACED:
        if not request.GET.get(name):
            raise Refusal(400, f"parameter '{name}' is missing; give {', '.join(_TRACED)}")
    return (request.GET[name] for name in _TRACED)


def _figures(dps: Dps) -> dict[str, Any]:
    tables = list(dps.world.networks())
    known = {*dps.world.dswitches, *dps.connected}
    by_state = Counter(states(dps).values())
    return {
        "networks": len(tables),
        "endpoints": sum(len(each.declared) for each in tables),
        "attached": sum(each.attached for each in tables),
        "dswitches": {
            "known": len(known),
            "connected": len(dps.connected),
            "live": by_state[LIVE],
            "stale": by_state[STALE],
        },
        "instances": dict.fromkeys(instances.STATES, 0) | Counter(instances.states(dps).values()),
        "disconnected": [dpid_text(dpid) for dpid in sorted(known - dps.connected)],
        "policy_requests": {outcome.value: dps.requests[outcome] for outcome in Outcome},
        "refused": {refusal.value: dps.refused[refusal] for refusal in Refused},
        "invalidations": dps.invalidations,
        "refreshed": dps.refreshed,
    }


def _sums(connections: Connections) -> dict[str, Any]:
    return {
        "outstanding": sum(each.outstanding for each in connections.values()),
        "flow_changes": sum(each.flow_changes for each in connections.values()),
        "lag": max((each.lag for each in connections.values() if each.lag is not None), default=0),
    }
