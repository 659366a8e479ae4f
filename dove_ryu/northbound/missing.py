"""What is not there, with the name that was perhaps meant."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dove_ryu.model.documents import key_of_change
from dove_ryu.model.edits import KINDS
from dove_ryu.model.entities import Endpoint, Policy, PolicyAction, PolicyDomain
from dove_ryu.model.facts import Change
from dove_ryu.model.reading import suggestion
from dove_ryu.model.tables import NetworkTables
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.problems import Refusal

CLASSES = {"domains": PolicyDomain, "actions": PolicyAction, "policies": Policy, "endpoints": Endpoint}
"""The entities behind the kinds of objects that a network has."""

_TABLES: dict[str, Callable[[NetworkTables], Collection[str]]] = {
    "domains": lambda tables: tables.domains,
    "actions": lambda tables: tables.actions,
    "policies": lambda tables: tables.policies,
    "endpoints": lambda tables: tables.declared,
}


def member_key(network: str, kind: str, name: str) -> str:
    """The key of one object in a network."""
    return key_of_change(Change(CLASSES[kind], network, name, None))


def no_network(service: Service, network: str) -> Refusal:
    """There is no such network."""
    known = service.ask(lambda dps: [tables.name for tables in dps.world.networks()])
    return Refusal(404, f"no network '{network}'{suggestion(network, known)}")


def no_object(service: Service, network: str, kind: str, name: str) -> Refusal:
    """There is no such object, or not even the network."""

    def names(tables: NetworkTables | None) -> list[str] | None:
        return None if tables is None else list(_TABLES[kind](tables))

    known = service.ask(lambda dps: names(dps.world.network(network)))
    if known is None:
        return no_network(service, network)
    return Refusal(404, f"no {KINDS[kind]} '{name}' in network '{network}'{suggestion(name, known)}")
