"""Networks, their blueprints, and the objects in them."""

from __future__ import annotations

from collections.abc import Iterator

from webob import Request, Response

from dove_ryu.model.edits import KINDS
from dove_ryu.northbound.answers import as_json, collection, single
from dove_ryu.northbound.bodies import document_of, flag
from dove_ryu.northbound.intent import Intent
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.resources.resource import Names, Resource, shown_change
from dove_ryu.northbound.versions import Precondition, etag
from dove_ryu.northbound.views import Views


class NetworkResources:
    """Networks and what is in them."""

    def __init__(self, service: Service, views: Views) -> None:
        self._views = views
        self._intent = Intent(service)

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
            return as_json({"changes": list(map(shown_change, self._intent.foresee(network, value, precondition)))})
        created, changes = self._intent.put_blueprint(network, value, precondition)
        version, blueprint = self._views.blueprint(network)
        shown = {"changes": list(map(shown_change, changes)), "blueprint": blueprint}
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
