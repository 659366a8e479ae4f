"""The resources of the REST interface and what each method of them does.

A GET reads through :mod:`views`, a PUT or DELETE is carried out by :mod:`intent`, :mod:`placement` or
:mod:`appliances`; all that remains here is to take the request apart and to put the answer together.
"""

from __future__ import annotations

from collections.abc import Iterator

from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.metrics import Metrics
from dove_ryu.northbound.resources.appliances import ApplianceResources
from dove_ryu.northbound.resources.networks import NetworkResources
from dove_ryu.northbound.resources.placement import PlacementResources
from dove_ryu.northbound.resources.resource import Handler, Names, Resource
from dove_ryu.northbound.resources.service import ServiceResources
from dove_ryu.northbound.views import Views

__all__ = ["Handler", "Names", "Resource", "table"]


def table(service: Service, metrics: Metrics) -> Iterator[Resource]:
    """Every resource of one DPS."""
    views = Views(service)
    yield from NetworkResources(service, views).table()
    yield from PlacementResources(service, views).table()
    yield from ApplianceResources(service).table()
    yield from ServiceResources(service, metrics).table()
