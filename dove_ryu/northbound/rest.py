"""The REST interface: URLs to what is read or wanted, and what came of it to HTTP.

Every resource is one line of a table: the pattern of its URL, and for each method what it does.  A GET reads through
:mod:`views`, a PUT or DELETE is carried out by :mod:`intent` or :mod:`placement`; all that remains to do here is
    HTTP's own part. ``docs/rest.rst`` is the specification.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from routes import Mapper
from webob import Request, Response

from dove_ryu.dps import Dps
from dove_ryu.model.edits import KINDS, Difference
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.resolution import Outcome
from dove_ryu.northbound.auth import Door
from dove_ryu.northbound.bodies import check_parameters, document_of, flag
from dove_ryu.northbound.intent import Intent
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.metrics import Metrics
from dove_ryu.northbound.missing import no_network
from dove_ryu.northbound.placement import Placement, dpid_of
from dove_ryu.northbound.problems import Refusal, refusal_of, response_to
from dove_ryu.northbound.trace import trace
from dove_ryu.northbound.versions import Precondition, digest, etag
from dove_ryu.northbound.views import WITH_OBSERVED, Versioned, Views

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Names = Mapping[str, str]
"""What the URL has in place of the pattern's names."""

Handler = Callable[[Request, Names], Response]


def application(service: Service) -> WSGIApplication:
    """The whole interface, behind its door."""
    return Door(Rest(service))


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


class Rest:
    """The resources and their dispatch."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._views = Views(service)
        self._intent = Intent(service)
        self._placement = Placement(service)
        self._metrics = Metrics(service)
        self._resources = {resource.pattern: resource for resource in self._table()}
        self._mapper = Mapper(explicit=True)
        for pattern in self._resources:
            self._mapper.connect(pattern, resource=pattern)
        self._mapper.create_regs()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request, resource = Request(environ), None
        began = time.monotonic()
        try:
            resource, names = self._match(request)
            response = self._handler(request, resource)(request, names)
        except Exception as error:
            response = response_to(refusal_of(error), request)
        pattern = None if resource is None else resource.pattern
        self._metrics.observe(request.method, pattern, response.status_code, time.monotonic() - began)
        return response(environ, start_response)

    def _table(self) -> Iterable[Resource]:
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
        yield Resource("/v1/trace", {"GET": self._get_trace}, parameters=_TRACED)
        yield Resource("/v1/status", {"GET": self._get_status})
        yield Resource("/metrics", {"GET": self._get_metrics}, parameters=None)
        yield Resource("/healthz", {"GET": self._get_health}, parameters=None, always=True)
        yield Resource("/readyz", {"GET": self._get_readiness}, parameters=None, always=True)

    def _match(self, request: Request) -> tuple[Resource, Names]:
        try:
            path = request.path_info
        except UnicodeDecodeError:
            raise Refusal(400, "the URL is not UTF-8") from None
        names = None if "\0" in path else self._mapper.match(path)  # no store has a key with that
        if names is None:
            raise Refusal(404, f"there is nothing at {path}; the manual lists the resources under 'The REST interface'")
        resource = self._resources[names.pop("resource")]
        return resource, {**names, "kind": resource.kind}

    def _handler(self, request: Request, resource: Resource) -> Handler:
        handler = resource.methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            detail = f"{request.method} is not a method of this resource; it has {resource.allow}"
            raise Refusal(405, detail, headers={"Allow": resource.allow})
        if not resource.always and not self._service.ready:
            raise Refusal(503, "the DPS is not ready: it has not read its store, or can no longer follow it")
        if resource.parameters is not None:
            check_parameters(request, resource.parameters)
        return handler

    # Networks and what is in them.

    def _get_networks(self, request: Request, names: Names) -> Response:
        return _collection(request, "networks", self._views.networks())

    def _get_network(self, request: Request, names: Names) -> Response:
        return _single(request, "networks", self._views.network(names["network"]))

    def _put_network(self, request: Request, names: Names) -> Response:
        network = names["network"]
        created = self._intent.put_network(network, document_of(request), Precondition.of(request))
        return _single(request, "networks", self._views.network(network), created)

    def _delete_network(self, request: Request, names: Names) -> Response:
        self._intent.delete_network(names["network"], Precondition.of(request))
        return Response(status=204)

    def _get_blueprint(self, request: Request, names: Names) -> Response:
        return _single(request, "blueprints", self._views.blueprint(names["network"]))

    def _put_blueprint(self, request: Request, names: Names) -> Response:
        network, dry_run = names["network"], flag(request, "dry_run")
        value, precondition = document_of(request), Precondition.of(request)
        if dry_run:
            return _json({"changes": list(map(_change, self._intent.foresee(network, value, precondition)))})
        created, changes = self._intent.put_blueprint(network, value, precondition)
        version, blueprint = self._views.blueprint(network)
        shown = {"changes": list(map(_change, changes)), "blueprint": blueprint}
        return _json(shown, etag(version), 201 if created else 200)

    def _get_objects(self, request: Request, names: Names) -> Response:
        kind = names["kind"]
        return _collection(request, kind, self._views.objects(names["network"], kind))

    def _get_object(self, request: Request, names: Names) -> Response:
        return _single(request, names["kind"], self._views.object(names["network"], names["kind"], names["name"]))

    def _put_object(self, request: Request, names: Names) -> Response:
        place = names["network"], names["kind"], names["name"]
        created = self._intent.put_object(*place, document_of(request), Precondition.of(request))
        return _single(request, names["kind"], self._views.object(*place), created)

    def _delete_object(self, request: Request, names: Names) -> Response:
        self._intent.delete_object(names["network"], names["kind"], names["name"], Precondition.of(request))
        return Response(status=204)

    # Where things are.

    def _get_location(self, request: Request, names: Names) -> Response:
        return _single(request, "locations", self._views.location(names["network"], names["name"]))

    def _put_location(self, request: Request, names: Names) -> Response:
        place = names["network"], names["name"]
        created = self._placement.put_location(*place, document_of(request), Precondition.of(request))
        return _single(request, "locations", self._views.location(*place), created)

    def _delete_location(self, request: Request, names: Names) -> Response:
        self._placement.delete_location(names["network"], names["name"], Precondition.of(request))
        return Response(status=204)

    def _get_dswitches(self, request: Request, names: Names) -> Response:
        return _collection(request, "dswitches", self._views.dswitches())

    def _get_dswitch(self, request: Request, names: Names) -> Response:
        return _single(request, "dswitches", self._views.dswitch(_dpid(names)))

    def _put_dswitch(self, request: Request, names: Names) -> Response:
        dpid = _dpid(names)
        created = self._placement.put_dswitch(dpid, document_of(request), Precondition.of(request))
        return _single(request, "dswitches", self._views.dswitch(dpid), created)

    def _delete_dswitch(self, request: Request, names: Names) -> Response:
        self._placement.delete_dswitch(_dpid(names), Precondition.of(request))
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
        return _json(shown)

    def _get_status(self, request: Request, names: Names) -> Response:
        started = self._service.started
        figures = self._service.ask(_figures)
        return _json(
            {
                "version": self._service.version,
                "ready": self._service.ready,
                "revision": self._service.revision,
                "started": started.isoformat(timespec="seconds"),
                "uptime": round((datetime.now(UTC) - started).total_seconds(), 3),
                **figures,
            }
        )

    def _get_metrics(self, request: Request, names: Names) -> Response:
        body, content_type = self._metrics.exposition(request.headers.get("Accept", ""))
        response = Response(body=body)
        response.headers["Content-Type"] = content_type
        return response

    def _get_health(self, request: Request, names: Names) -> Response:
        return _plain("alive", 200)

    def _get_readiness(self, request: Request, names: Names) -> Response:
        return _plain("ready", 200) if self._service.ready else _plain("not ready", 503)


_TRACED = ("network", "source", "destination")


def _dpid(names: Names) -> int:
    dpid = dpid_of(names["dpid"])
    if dpid is None:
        raise Refusal(404, f"'{names['dpid']}' is no datapath id; write up to 16 hexadecimal digits, not all zero")
    return dpid


def _figures(dps: Dps) -> dict[str, Any]:
    tables = list(dps.world.networks())
    known = {*dps.world.dswitches, *dps.connected}
    return {
        "networks": len(tables),
        "endpoints": sum(len(each.declared) for each in tables),
        "attached": sum(len(each.locations.keys() & each.declared.keys()) for each in tables),
        "dswitches": {"known": len(known), "connected": len(dps.connected)},
        "disconnected": [dpid_text(dpid) for dpid in sorted(known - dps.connected)],
        "policy_requests": {outcome.value: dps.requests[outcome] for outcome in Outcome},
    }


def _change(difference: Difference) -> dict[str, Any]:
    return {
        "line": str(difference),
        "sign": difference.sign,
        "path": difference.path,
        "old": difference.old,
        "new": difference.new,
    }


def _tag(kind: str, versioned: Versioned) -> str:
    version, shown = versioned
    return etag(version, _encoded(shown) if kind in WITH_OBSERVED else b"")


def _single(request: Request, kind: str, versioned: Versioned, created: bool = False) -> Response:
    """One object with its ETag."""
    tag = _tag(kind, versioned)
    if not created and request.method in ("GET", "HEAD") and tag in request.if_none_match:
        return _unchanged(tag)
    return _json(versioned[1], tag, 201 if created else 200)


def _collection(request: Request, kind: str, members: list[Versioned]) -> Response:
    """Objects, each with its ETag; the collection's own is of all that is shown."""
    shown = [{**each[1], "etag": f'"{_tag(kind, each)}"'} for each in members]
    tag = digest(_encoded(shown))
    return _unchanged(tag) if tag in request.if_none_match else _json(shown, tag)


def _json(shown: Any, tag: str | None = None, status: int = 200) -> Response:
    response = Response(status=status, content_type="application/json", body=_encoded(shown))
    if tag is not None:
        response.etag = tag
    return response


def _unchanged(tag: str) -> Response:
    response = Response(status=304)
    response.etag = tag
    return response


def _plain(text: str, status: int) -> Response:
    return Response(status=status, content_type="text/plain", charset="UTF-8", text=f"{text}\n")


def _encoded(shown: Any) -> bytes:
    return json.dumps(shown, indent=2).encode() + b"\n"
