"""Where things are: locations of endpoints, and dSwitches."""

from __future__ import annotations

from collections.abc import Iterator

from webob import Request, Response

from dove_ryu.northbound.answers import as_json, collection, single
from dove_ryu.northbound.audits import audit
from dove_ryu.northbound.bodies import document_of, flag
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.placement import Placement, dpid_of
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.resources.resource import Names, Resource
from dove_ryu.northbound.versions import Precondition
from dove_ryu.northbound.views import Views


class PlacementResources:
    """Locations and dSwitches."""

    def __init__(self, service: Service, views: Views) -> None:
        self._service = service
        self._views = views
        self._placement = Placement(service)

    def table(self) -> Iterator[Resource]:
        """Every resource."""
        yield Resource(
            "/v1/networks/{network}/endpoints/{name}/location",
            {"GET": self._get_location, "PUT": self._put_location, "DELETE": self._delete_location},
        )
        yield Resource("/v1/dswitches", {"GET": self._get_dswitches})
        yield Resource(
            "/v1/dswitches/{dpid}",
            {"GET": self._get_dswitch, "PUT": self._put_dswitch, "DELETE": self._delete_dswitch},
        )
        yield Resource("/v1/dswitches/{dpid}/audit", {"POST": self._audit_dswitch}, parameters=("repair",))

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


def _dpid(names: Names) -> int:
    dpid = dpid_of(names["dpid"])
    if dpid is None:
        raise Refusal(404, f"'{names['dpid']}' is no datapath id; write up to 16 hexadecimal digits, not all zero")
    return dpid
