"""What GET shows: an object's document from the store with its version, and beside it what the DPS observes.

Document and version come from the store together, so neither is ever newer than the other. What is observed of an
object (where an endpoint is, who is in a domain) is asked of the world after the version was read: it may be newer
than the version, never older, and an edit made on sight of it is refused rather than made in error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dove_ryu.dps import Dps, Observation
from dove_ryu.figures import Connection
from dove_ryu.model.blueprint import render
from dove_ryu.model.documents import Document, document_of, key_of, network_key
from dove_ryu.model.entities import DSwitch, Endpoint, Learned, Location, dpid_text, policy_name
from dove_ryu.model.tables import NetworkTables
from dove_ryu.northbound.connections import NEVER, shown
from dove_ryu.northbound.drafts import version_of
from dove_ryu.northbound.intent import network_as_it_is
from dove_ryu.northbound.interface import Service, await_revision
from dove_ryu.northbound.missing import member_key, no_network, no_object
from dove_ryu.northbound.placement import location_key, places_at
from dove_ryu.northbound.problems import Refusal
from dove_ryu.store import Item

Shown = dict[str, Any]
"""An object as JSON has it."""

Versioned = tuple[int, Shown]
"""The version of an object's own document, and the object."""

WITH_OBSERVED = ("domains", "endpoints", "dswitches", "appliances")
"""The kinds of objects that show more than their document has; see :mod:`dove_ryu.northbound.versions`."""


class Views:
    """Reads what there is.  Every method raises :class:`Refusal` for what is not there."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store

    def networks(self) -> list[Versioned]:
        """All networks, by name."""
        names = self._service.ask(lambda dps: [tables.name for tables in dps.world.networks()])
        items = {name: self._store.get(network_key(name)) for name in names}
        await_revision(self._service, max((version_of(item) for item in items.values()), default=0))
        shown = self._service.ask(lambda dps: [_network(tables) for tables in dps.world.networks()])
        return [(version_of(items.get(each["name"])), each) for each in shown]

    def network(self, name: str) -> Versioned:
        """A network as it describes itself."""
        version = self._version_of_network(name)

        def question(dps: Dps) -> Shown | None:
            tables = dps.world.network(name)
            return None if tables is None else _network(tables)

        shown = self._service.ask(question)
        if shown is None:
            raise no_network(self._service, name)
        return version, shown

    def blueprint(self, name: str) -> Versioned:
        """A network as a blueprint."""
        version, tables = network_as_it_is(self._service, name)
        if tables is None:
            raise no_network(self._service, name)
        return version, render(tables)

    def objects(self, network: str, kind: str) -> list[Versioned]:
        """All objects of a kind in a network, by name."""
        self._version_of_network(network)
        items = self._store.list(f"{network_key(network)}/{kind}/").items
        observed = self._observed(network, kind)
        return [(item.version, _object(kind, item, observed)) for item in items]

    def object(self, network: str, kind: str, name: str) -> Versioned:
        """One object of a network."""
        item = self._store.get(member_key(network, kind, name))
        if item is None:
            raise no_object(self._service, network, kind, name)
        await_revision(self._service, item.version)
        return item.version, _object(kind, item, self._observed(network, kind, name))

    def location(self, network: str, endpoint: str) -> Versioned:
        """Where an endpoint is."""
        item = self._store.get(location_key(network, endpoint))
        if item is not None and self._store.get(member_key(network, "endpoints", endpoint)) is not None:
            return item.version, _location(item.document)
        self.object(network, "endpoints", endpoint)
        raise Refusal(404, f"endpoint '{endpoint}' of network '{network}' is not attached to any dSwitch")

    def dswitches(self) -> list[Versioned]:
        """All dSwitches that are registered, connected, or host an endpoint, by datapath id.

        One question each: a long one would keep policy requests waiting.
        """
        dpids = self._service.ask(_known_dswitches)
        connections = self._service.connections()
        return [self._dswitch(dpid, connections.get(dpid, NEVER)) for dpid in sorted(dpids)]

    def dswitch(self, dpid: int) -> Versioned:
        """One dSwitch."""
        self.require_dswitch(dpid)
        return self._dswitch(dpid, self._service.connections().get(dpid, NEVER))

    def require_dswitch(self, dpid: int) -> None:
        """See that a dSwitch is known."""
        if dpid not in self._service.ask(_known_dswitches):
            raise Refusal(404, f"no dSwitch {dpid_text(dpid)} is registered, connected or host to an endpoint")

    def _dswitch(self, dpid: int, connection: Connection) -> Versioned:
        item = self._store.get(key_of(DSwitch(dpid)))
        await_revision(self._service, version_of(item))
        return version_of(item), self._service.ask(lambda dps: _dswitch(dps, dpid, connection))

    def _version_of_network(self, name: str) -> int:
        item = self._store.get(network_key(name))
        if item is None:
            raise no_network(self._service, name)
        await_revision(self._service, item.version)
        return item.version

    def _observed(self, network: str, kind: str, name: str | None = None) -> dict[str, Shown]:
        """What is observed of the objects of a kind, or of the one called *name*."""
        observe = _OBSERVERS.get(kind)
        return {} if observe is None else observe(self._service, network, name)


def _network(tables: NetworkTables) -> Shown:
    assert tables.network is not None, "the world gives tables of networks that exist"
    itself = NetworkTables(tables.name)
    itself.network = tables.network
    default = policy_name(None, None)
    itself.policies = {default: tables.policies[default]} if default in tables.policies else {}
    document = render(itself)
    return {
        "name": tables.name,
        "number": tables.network.number,
        **{field: document[field] for field in ("vni", "service", "default_policy", "gateways")},
        "counts": {
            "domains": len(tables.domains),
            "actions": len(tables.actions),
            "policies": len(tables.policies),
            "endpoints": len(tables.declared),
        },
    }


def _object(kind: str, item: Item, observed: dict[str, Shown]) -> Shown:
    name = item.key.rpartition("/")[2]
    document = item.document
    if (kind, name) == ("policies", policy_name(None, None)):
        verdict = "deny" if "deny" in document["actions"] else "allow"
        document = {
            "number": document["number"],
            "verdict": verdict,
            "ttl": document["ttl"],
            "tracking": document["tracking"],
        }
    return {"name": name, **document, **observed.get(name, _NOTHING_OBSERVED.get(kind, {}))}


def _members(service: Service, network: str, name: str | None) -> dict[str, Shown]:
    """The endpoints of each domain, or of one."""
    members: dict[str, list[str]] = {}
    for endpoint in service.ask(lambda dps: list(_declared(dps, network))):
        if name in (None, endpoint.domain):
            members.setdefault(endpoint.domain, []).append(endpoint.name)
    return {domain: {"members": sorted(names)} for domain, names in members.items()}


def _places(service: Service, network: str, name: str | None) -> dict[str, Shown]:
    """Where each endpoint is and what was learned of it, or of one."""
    places, learned = service.ask(lambda dps: _places_in(dps, network, name))
    return {
        endpoint: {
            "location": _location(document_of(places[endpoint])) if endpoint in places else None,
            "learned": document_of(learned.get(endpoint, Learned(network, endpoint))),
        }
        for endpoint in places.keys() | learned.keys()
    }


def _declared(dps: Dps, network: str) -> Iterable[Endpoint]:
    tables = dps.world.network(network)
    return () if tables is None else tables.declared.values()


def _places_in(dps: Dps, network: str, name: str | None) -> tuple[dict[str, Location], dict[str, Learned]]:
    """Copies, so that what is made of them does not keep policy requests waiting."""
    tables = dps.world.network(network)
    if tables is None:
        return {}, {}
    if name is None:
        return dict(tables.locations), dict(tables.learned)
    place, learned = tables.locations.get(name), tables.learned.get(name)
    return {} if place is None else {name: place}, {} if learned is None else {name: learned}


_OBSERVERS: dict[str, Callable[[Service, str, str | None], dict[str, Shown]]] = {
    "domains": _members,
    "endpoints": _places,
}
_NOTHING_OBSERVED: dict[str, Shown] = {
    "domains": {"members": []},
    "endpoints": {"location": None, "learned": {"macs": [], "ips": []}},
}


def _location(document: Document) -> Shown:
    target = document.get("migrating_to")  # a document of before there were live migrations has none
    return {
        "dswitch": document["dpid"],
        "port": document["port"],
        "tracking": document["tracking"],
        "observed": document["observed"],
        "migrating_to": None if target is None else {"dswitch": target["dpid"], "port": target["port"]},
    }


def _known_dswitches(dps: Dps) -> set[int]:
    hosting = {dpid for tables in dps.world.networks() for dpid in tables.hosts()}
    return {*dps.world.dswitches, *dps.connected, *hosting}


def _dswitch(dps: Dps, dpid: int, connection: Connection) -> Shown:
    registered = dps.world.dswitches.get(dpid)
    places = places_at(dps, dpid)
    return {
        "dpid": dpid_text(dpid),
        **document_of(registered or DSwitch(dpid, encap_types=())),
        "registered": registered is not None,
        "connections": shown(dps.observations.get(dpid, Observation()), connection),
        "metered": dpid in dps.connected and dpid not in dps.world.unmetered,
        "ports": dict(sorted(dps.world.ports.get(dpid, {}).items())),
        "endpoints": [
            _hosted(dps.world.tables[place.network].endpoints[place.endpoint], place, dpid) for place in places
        ],
    }


def _hosted(endpoint: Endpoint, place: Location, dpid: int) -> Shown:
    """An endpoint as a dSwitch hosts it, which a live migration may be bringing there."""
    return {
        "network": endpoint.network,
        "name": endpoint.name,
        "port": place.port_at(dpid),
        "domain": endpoint.domain,
        "macs": list(endpoint.macs),
        "ips": list(endpoint.ips),
        "tracking": place.tracking,
        "observed": place.observed,
        "arriving": place.dpid != dpid,
    }
