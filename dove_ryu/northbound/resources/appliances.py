"""The provider's appliances."""

from __future__ import annotations

from collections.abc import Iterator

from webob import Request, Response

from dove_ryu.northbound.answers import as_json, collection, single
from dove_ryu.northbound.appliances import Appliances
from dove_ryu.northbound.bodies import document_of, flag
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.resources.resource import Names, Resource, shown_change
from dove_ryu.northbound.versions import Precondition


class ApplianceResources:
    """Appliances."""

    def __init__(self, service: Service) -> None:
        self._appliances = Appliances(service)

    def table(self) -> Iterator[Resource]:
        """Every resource."""
        yield Resource("/v1/appliances", {"GET": self._get_appliances})
        yield Resource(
            "/v1/appliances/{name}",
            {"GET": self._get_appliance, "PUT": self._put_appliance, "DELETE": self._delete_appliance},
            parameters=("dry_run",),
        )

    def _get_appliances(self, request: Request, names: Names) -> Response:
        return collection(request, "appliances", self._appliances.all())

    def _get_appliance(self, request: Request, names: Names) -> Response:
        return single(request, "appliances", self._appliances.one(names["name"]))

    def _put_appliance(self, request: Request, names: Names) -> Response:
        name, dry_run = names["name"], flag(request, "dry_run")
        value, precondition = document_of(request), Precondition.of(request)
        if dry_run:
            return as_json({"changes": list(map(shown_change, self._appliances.foresee(name, value, precondition)))})
        created = self._appliances.put(name, value, precondition)
        return single(request, "appliances", self._appliances.one(name), created)

    def _delete_appliance(self, request: Request, names: Names) -> Response:
        self._appliances.delete(names["name"], Precondition.of(request))
        return Response(status=204)
