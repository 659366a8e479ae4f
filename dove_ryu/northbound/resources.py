"""The resources of the REST interface and what each method of them does.

A GET reads through :mod:`views`, a PUT or DELETE is carried out by :mod:`intent` or :mod:`placement`; all that
remains here is to take the request apart and to put the answer together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from webob import Request, Response

from dove_ryu.dps import Dps, Refused
from dove_ryu.model.edits import KINDS, Difference
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.resolution import Outcome
from dove_ryu.northbound import instances
from dove_ryu.northbound.answers import as_json, collection, plain, single
from dove_ryu.northbound.appliances import Appliances
from dove_ryu.northbound.audits import audit
from dove_ryu.northbound.bodies import document_of, flag
from dove_ryu.northbound.connections import LIVE, STALE, Connections, states
from dove_ryu.northbound.intent import Intent
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.metrics import Metrics
from dove_ryu.northbound.missing import no_network
from dove_ryu.northbound.placement import Placement, dpid_of
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.trace import trace
from dove_ryu.northbound.versions import Precondition, etag
from dove_ryu.northbound.views import Views

Names = Mapping[str, str]
"""What the URL has in place of the pattern's names, and the resource's ``kind``."""

Handler = Callable[[Request, Names], Response]


@dataclass(frozen=True, slots=True)
class Resource:
    """What answers at the URLs of a pattern.

    :ivar methods: by name; HEAD is GET's.
    :ivar kind: of the objects that it has, where they are in a network.
    :ivar parameters: those that the URL may have; None for any, which are not looked at.
    :ivar always: whether it answers before the DPS is ready.
    """

    pattern: str
    methods: Mapping[str, Handler]
    kind: str = ""
    parameters: tuple[str, ...] | None = ()
    always: bool = False

    @property
    def allow(self) -> str:
        """The methods for the header ``Allow``."""
        return ", ".join([*self.methods, *(["HEAD"] if "GET" in self.methods else [])])


class Resources:
    """The resources of one DPS."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._views = Views(service)
        self._intent = Intent(service)
        self._placement = Placement(service)
        self._appliances = Appliances(service)

    def table(self) -> Iterator[Resource]:
        """Every resource."""
        network = "/v1/networks/{network}"
        yield Resource("/v1/networks", {"GET": self._get_networks})
        yield Resource(network, {"GET": self._get_network, "PUT": self._put_network, "DELETE": self._delete_network})
        yield Resource(
            f"{network}/blueprint",
            {"GET": self._get_blueprint, "PUT": self._put_blueprint},
            parameters=("dry_run",),
        )
        for kind in KINDS:
            yield Resource(f"{network}/{kind}", {"GET": self._get_objects}, kind)
            yield Resource(
                f"{network}/{kind}/{{name}}",
                {"GET": self._get_object, "PUT": self._put_object, "DELETE": self._delete_object},
                kind,
            )
        yield Resource(
            f"{network}/endpoints/{{name}}/location",
            {"GET": self._get_location, "PUT": self._put_location, "DELETE": self._delete_location},
        )
        yield Resource("/v1/dswitches", {"GET": self._get_dswitches})
        yield Resource(
            "/v1/dswitches/{dpid}",
            {"GET": self._get_dswitch, "PUT": self._put_dswitch, "DELETE": self._delete_dswitch},
        )
        yield Resource("/v1/dswitches/{dpid}/audit", {"POST": self._audit_dswitch}, parameters=("repair",))
        yield Resource("/v1/appliances", {"GET": self._get_appliances})
        yield Resource(
            "/v1/appliances/{name}",
            {"GET": self._get_appliance, "PUT": self._put_appliance, "DELETE": self._delete_appliance},
        )
        yield Resource("/v1/trace", {"GET": self._get_trace}, parameters=_TRACED)
        yield Resource("/v1/status", {"GET": self._get_status})
        yield Resource("/metrics", {"GET": self._get_metrics}, parameters=None)
        yield Resource("/healthz", {"GET": self._get_health}, parameters=None, always=True)
        yield Resource("/readyz", {"GET": self._get_readiness}, parameters=None, always=True)

    # Networks and what is in them.

    def _get_networks(self, request: Request, names: Names) -> Response:
        return collection(request, "networks", self._views.networks())

    def _get_network(self, request: Request, names: Names) -> Response:
        return single(request, "networks", self._views.network(names["network"]))

    def _put_network(self, request: Request, names: Names) -> Response:
        network = names["network"]
        created = self._intent.put_network(network, document_of(request), Precondition.of(request))
        return single(request, "networks", self._views.network(network), created)

    def _delete_network(self, request: Request, names: Names) -> Response:
        self._intent.delete_network(names["network"], Precondition.of(request))
        return Response(status=204)

    def _get_blueprint(self, request: Request, names: Names) -> Response:
        return single(request, "blueprints", self._views.blueprint(names["network"]))

    def _put_blueprint(self, request: Request, names: Names) -> Response:
        network, dry_run = names["network"], flag(request, "dry_run")
        value, precondition = document_of(request), Precondition.of(request)
        if dry_run:
            return as_json({"changes": list(map(_change, self._intent.foresee(network, value, precondition)))})
        created, changes = self._intent.put_blueprint(network, value, precondition)
        version, blueprint = self._views.blueprint(network)
        shown = {"changes": list(map(_change, changes)), "blueprint": blueprint}
        return as_json(shown, etag(version), 201 if created else 200)

    def _get_objects(self, request: Request, names: Names) -> Response:
        kind = names["kind"]
        return collection(request, kind, self._views.objects(names["network"], kind))

    def _get_object(self, request: Request, names: Names) -> Response:
        return single(request, names["kind"], self._views.object(names["network"], names["kind"], names["name"]))

    def _put_object(self, request: Request, names: Names) -> Response:
        place = names["network"], names["kind"], names["name"]
        created = self._intent.put_object(*place, document_of(request), Precondition.of(request))
        return single(request, names["kind"], self._views.object(*place), created)

    def _delete_object(self, request: Request, names: Names) -> Response:
        self._intent.delete_object(names["network"], names["kind"], names["name"], Precondition.of(request))
        return Response(status=204)

    # Where things are.

    def _get_location(self, request: Request, names: Names) -> Response:
        return single(request, "locations", self._views.location(names["network"], names["name"]))

    def _put_location(self, request: Request, names: Names) -> Response:
        place = names["network"], names["name"]
        created = self._placement.put_location(*place, document_of(request), Precondition.of(request))
        return single(request, "locations", self._views.location(*place), created)

    def _delete_location(self, request: Request, names: Names) -> Response:
        self._placement.delete_location(names["network"], names["name"], Precondition.of(request))
        return Response(status=204)

    def _get_dswitches(self, request: Request, names: Names) -> Response:
        return collection(request, "dswitches", self._views.dswitches())

    def _get_dswitch(self, request: Request, names: Names) -> Response:
        return single(request, "dswitches", self._views.dswitch(_dpid(names)))

    def _put_dswitch(self, request: Request, names: Names) -> Response:
        dpid = _dpid(names)
        created = self._placement.put_dswitch(dpid, document_of(request), Precondition.of(request))
        return single(request, "dswitches", self._views.dswitch(dpid), created)

    def _delete_dswitch(self, request: Request, names: Names) -> Response:
        self._placement.delete_dswitch(_dpid(names), Precondition.of(request))
        return Response(status=204)

    def _audit_dswitch(self, request: Request, names: Names) -> Response:
        dpid, repair = _dpid(names), flag(request, "repair")
        self._views.require_dswitch(dpid)
        return as_json(audit(self._service, dpid, repair))

    def _get_appliances(self, request: Request, names: Names) -> Response:
        return collection(request, "appliances", self._appliances.all())

    def _get_appliance(self, request: Request, names: Names) -> Response:
        return single(request, "appliances", self._appliances.one(names["name"]))

    def _put_appliance(self, request: Request, names: Names) -> Response:
        name = names["name"]
        created = self._appliances.put(name, document_of(request), Precondition.of(request))
        return single(request, "appliances", self._appliances.one(name), created)

    def _delete_appliance(self, request: Request, names: Names) -> Response:
        self._appliances.delete(names["name"], Precondition.of(request))
        return Response(status=204)

    # The DPS itself.

    def _get_trace(self, request: Request, names: Names) -> Response:
        for name in _TRACED:
            if not request.GET.get(name):
                raise Refusal(400, f"parameter '{name}' is missing; give {', '.join(_TRACED)}")
        network, source, destination = (request.GET[name] for name in _TRACED)

        def question(dps: Dps) -> dict[str, Any] | None:
            tables = dps.world.network(network)
            return None if tables is None else trace(dps, tables, source, destination)

        shown = self._service.ask(question)
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


_TRACED = ("network", "source", "destination")


def _dpid(names: Names) -> int:
    dpid = dpid_of(names["dpid"])
    if dpid is None:
        raise Refusal(404, f"'{names['dpid']}' is no datapath id; write up to 16 hexadecimal digits, not all zero")
    return dpid


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


def _change(difference: Difference) -> dict[str, Any]:
    return {
        "line": str(difference),
        "sign": difference.sign,
        "path": difference.path,
        "old": difference.old,
        "new": difference.new,
    }
