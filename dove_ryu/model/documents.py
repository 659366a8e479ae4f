"""How entities are kept: each one a small JSON document under a key.

A document holds what its key does not say.  Locations and learned addresses have keys of their own, apart
from their network's, because they change without anybody having edited the network.  Two keys carry no entity:
the allocation, from which numbers are drawn, and those of claims: one for each VNI, zone, segment label and VLAN of
an appliance, which two cannot both create.

A million documents are read when a DPS starts: each kind is written and read by a plain function, found by
its class or by the words in the key.  What many of them say, such as the network that they are in, becomes one text
for all through a :class:`Pool`, without which such a world takes half as much memory again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure, Probe, ProbeKind, Seat, Sharing
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Place,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    Service,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.qos import config_of_document, document_of_config, document_of_rate, rate_of_document

Document = dict[str, Any]
"""A JSON object."""

ROOT = "/dove/v1/"
"""What every key begins with."""

ALLOCATION_KEY = f"{ROOT}allocation"
"""Where :class:`dove_ryu.model.amendment.Numbers` are kept."""


class Pool(dict[Any, Any]):
    """One object for all that are equal: ``pool[text]`` is the first text like it.

    Keep one while many documents are read, and let it go then; for a single document a new one does.
    """

    def __missing__(self, key: Any) -> Any:
        self[key] = key
        return key


class BadDocument(ValueError):
    """A document that is not what its key promises; the message names the key and what is wrong."""


def key_of(entity: Entity) -> str:
    """The key that *entity* is kept under."""
    return key_of_change(Change.put(entity))


def key_of_change(change: Change) -> str:
    """The key that *change* puts or deletes."""
    if change.kind is VirtualNetwork:
        return network_key(change.network)
    within = _FOLDERS.get(change.kind)
    if within is not None:
        return f"{ROOT}networks/{change.network}/{within}/{change.name}"
    beside = _BESIDE[change.kind]
    return f"{ROOT}{beside}/{change.network}/{change.name}" if change.network else f"{ROOT}{beside}/{change.name}"


def network_key(network: str) -> str:
    """The key of a network itself; its version is what guards all that is within the network."""
    return f"{ROOT}networks/{network}"


def vni_key(vni: int) -> str:
    """The key whose existence says that *vni* is taken; its document is ``{"network": NAME}``."""
    return f"{ROOT}vnis/{vni}"


def zone_key(zone: int) -> str:
    """The key whose existence says that a network has *zone*; its document is ``{"network": NAME}``."""
    return f"{ROOT}zones/{zone}"


def label_key(label: int) -> str:
    """The key whose existence says that a segment has *label*; its document names the network and the segment."""
    return f"{ROOT}labels/{label}"


def vlan_key(appliance: str, vlan: int) -> str:
    """The key whose existence says that a segment has *vlan* at an appliance; its document is the label's."""
    return f"{ROOT}vlans/{appliance}/{vlan}"


def document_of(entity: Entity) -> Document:
    """What is kept of *entity*, in JSON's own types."""
    match entity:
        case Endpoint():
            return {
                "number": entity.number,
                "domain": entity.domain,
                "macs": list(entity.macs),
                "ips": list(entity.ips),
                "guard": entity.guard,
            }
        case Location():
            return {
                "dpid": f"{entity.dpid:016x}",
                "port": entity.port,
                "tracking": entity.tracking,
                "observed": entity.observed,
                "migrating_to": _place_document(entity.migrating_to),
            }
        case Learned():
            return {"macs": list(entity.macs), "ips": list(entity.ips)}
        case Policy():
            return {
                "number": entity.number,
                "from": entity.source,
                "to": entity.destination,
                "actions": list(entity.actions),
                "ttl": entity.ttl,
                "tracking": entity.tracking,
                "dscp": entity.dscp,
                "rate": document_of_rate(entity.rate),
                "stateful": entity.stateful,
            }
        case PolicyDomain():
            return {"number": entity.number}
        case Segment():
            return {"label": entity.label, "appliance": entity.appliance, "vlan": entity.vlan}
        case PolicyAction():
            return {
                "number": entity.number,
                "kind": entity.kind,
                "appliance": entity.appliance,
                "config": document_of_config(entity.config),
            }
        case VirtualNetwork():
            return _network_document(entity)
        case DSwitch():
            return {
                "name": entity.name,
                "encap_ips": list(entity.encap_ips),
                "encap_types": [encapsulation.value for encapsulation in entity.encap_types],
                "ovsdb": entity.ovsdb,
            }
        case Seat():
            return _seat_document(entity)
        case Health():
            return {"up": entity.up, "reason": entity.reason, "since": entity.since}
        case _:
            return _appliance_document(entity)


def change_of(key: str, document: Document | None, pool: Pool | None = None) -> Change | None:
    """The change that *document* under *key* makes, None being a deletion; None where *key* carries no entity.

    :param pool: of what documents read before have said.
    :raises BadDocument: when the document is not of the form that :func:`document_of` gives.
    """
    match key.split("/"):
        case ["", "dove", "v1", "networks", network, folder, name] if folder in _WITHIN:
            kind, read = _WITHIN[folder]
        case ["", "dove", "v1", "networks", network]:
            kind, read, name = VirtualNetwork, _network, network
        case ["", "dove", "v1", "locations" | "learned" as folder, network, name]:
            kind, read = _PLACES[folder]
        case ["", "dove", "v1", "dswitches" | "appliances" as folder, name]:
            kind, read, network = *_INFRASTRUCTURE[folder], ""
        case ["", "dove", "v1", "seats" | "health" as folder, appliance, instance]:
            kind, read, network, name = *_OBSERVED[folder], "", f"{appliance}/{instance}"
        case _:
            return None
    if document is None:
        return Change(kind, network, name, None)
    try:
        pool = Pool() if pool is None else pool
        network, name = pool[network], pool[name]
        return Change(kind, network, name, read(network, name, document, pool))
    except KeyError as missing:
        raise BadDocument(f"{key} lacks {missing}; restore it from a backup, or delete it") from None
    except (TypeError, ValueError) as wrong:
        raise BadDocument(f"{key} cannot be read: {wrong}; restore it from a backup, or delete it") from None


def entry_of(change: Change) -> tuple[str, Document | None]:
    """The key and the document that *change* puts, None for a deletion: the inverse of :func:`change_of`."""
    return key_of_change(change), None if change.entity is None else document_of(change.entity)


def _network_document(network: VirtualNetwork) -> Document:
    return {
        "number": network.number,
        "vni": network.vni,
        "service": network.service.value,
        "gateways": [{"mac": gateway.mac, "ips": list(gateway.addresses)} for gateway in network.gateways],
        "zone": network.zone,
    }


def _network(_: str, name: str, document: Document, pool: Pool) -> VirtualNetwork:
    gateways = tuple(Gateway(item["mac"], tuple(item["ips"])) for item in document["gateways"])
    service, zone = Service(document["service"]), document.get("zone", 0)
    return VirtualNetwork(name, document["number"], document["vni"], service, gateways, zone)


def _domain(network: str, name: str, document: Document, pool: Pool) -> PolicyDomain:
    return PolicyDomain(network, name, document["number"])


def _action(network: str, name: str, document: Document, pool: Pool) -> PolicyAction:
    config = config_of_document(document["config"])
    return PolicyAction(network, name, document["number"], document["kind"], document["appliance"], config)


def _policy(network: str, _: str, document: Document, pool: Pool) -> Policy:
    return Policy(
        network,
        pool[document["from"]],
        pool[document["to"]],
        document["number"],
        pool[tuple(document["actions"])],
        document["ttl"],
        document["tracking"],
        document.get("dscp"),
        rate_of_document(document.get("rate")),
        document.get("stateful", False),
    )


def _endpoint(network: str, name: str, document: Document, pool: Pool) -> Endpoint:
    return Endpoint(
        network,
        name,
        document["number"],
        pool[document["domain"]],
        tuple(document["macs"]),
        tuple(map(pool.__getitem__, document["ips"])),
        document["guard"],
    )


def _location(network: str, endpoint: str, document: Document, pool: Pool) -> Location:
    return Location(
        network,
        endpoint,
        pool[int(document["dpid"], 16)],
        document["port"],
        document["tracking"],
        document["observed"],
        _place(document.get("migrating_to")),
    )


def _place_document(place: Place | None) -> Document | None:
    return None if place is None else {"dpid": f"{place.dpid:016x}", "port": place.port}


def _place(document: Document | None) -> Place | None:
    return None if document is None else Place(int(document["dpid"], 16), document["port"])


def _learned(network: str, endpoint: str, document: Document, pool: Pool) -> Learned:
    return Learned(network, endpoint, tuple(document["macs"]), tuple(document["ips"]))


def _dswitch(_: str, dpid: str, document: Document, pool: Pool) -> DSwitch:
    return DSwitch(
        int(dpid, 16),
        document["name"],
        tuple(document["encap_ips"]),
        tuple(map(Encapsulation, document["encap_types"])),
        document["ovsdb"],
    )


def _segment(network: str, name: str, document: Document, pool: Pool) -> Segment:
    policy, _, hop = name.rpartition(":")
    return Segment(network, policy, int(hop), document["label"], document["appliance"], document["vlan"])


def _appliance_document(appliance: Appliance) -> Document:
    return {
        "kind": appliance.kind,
        "sharing": appliance.sharing.value,
        "routed": appliance.routed,
        "probe": _probe_document(appliance.probe),
        "on_failure": appliance.on_failure.value,
        "tap": appliance.tap,
        "number": appliance.number,
        "instances": list(map(_instance_document, appliance.instances)),
    }


def _appliance(_: str, name: str, document: Document, pool: Pool) -> Appliance:
    instances = tuple(map(_instance, document["instances"]))
    return Appliance(
        name,
        document["kind"],
        instances,
        Sharing(document["sharing"]),
        document["routed"],
        _probe(document.get("probe")),
        OnFailure(document.get("on_failure", OnFailure.STOP.value)),
        document.get("tap", False),
        document["number"],
    )


def _probe_document(probe: Probe | None) -> Document | None:
    if probe is None:
        return None
    return {
        "kind": probe.kind.value,
        "address": probe.address,
        "interval": probe.interval,
        "down_after": probe.down_after,
        "up_after": probe.up_after,
    }


def _probe(document: Document | None) -> Probe | None:
    if document is None:
        return None
    counts = document["down_after"], document["up_after"]
    return Probe(ProbeKind(document["kind"]), document["address"], document["interval"], *counts)


def _seat(_: str, name: str, document: Document, pool: Pool) -> Seat:
    appliance, _, instance = name.partition("/")
    former = document["former"]
    return Seat(
        appliance,
        instance,
        int(document["dpid"], 16),
        document["ingress"],
        document["egress"],
        None if former is None else _seat("", name, former, pool),
    )


def _seat_document(seat: Seat) -> Document:
    return {
        "dpid": f"{seat.dpid:016x}",
        "ingress": seat.ingress,
        "egress": seat.egress,
        "former": None if seat.former is None else _seat_document(seat.former),
    }


def _health(_: str, name: str, document: Document, pool: Pool) -> Health:
    appliance, _, instance = name.partition("/")
    return Health(appliance, instance, document["up"], document["reason"], document["since"])


def _instance_document(instance: Instance) -> Document:
    return {
        "name": instance.name,
        "dpid": f"{instance.dpid:016x}",
        "ingress": instance.ingress,
        "egress": instance.egress,
        "weight": instance.weight,
        "mac": instance.mac,
        "drain": instance.drain,
    }


def _instance(document: Document) -> Instance:
    return Instance(
        document["name"],
        int(document["dpid"], 16),
        document["ingress"],
        document["egress"],
        document["weight"],
        document["mac"],
        document.get("drain", False),
    )


Read = Callable[[str, str, Document, Pool], Entity]
"""From network, name and document to the entity."""

_WITHIN: dict[str, tuple[type[Entity], Read]] = {
    "domains": (PolicyDomain, _domain),
    "actions": (PolicyAction, _action),
    "policies": (Policy, _policy),
    "segments": (Segment, _segment),
    "endpoints": (Endpoint, _endpoint),
}
_PLACES: dict[str, tuple[type[Entity], Read]] = {
    "locations": (Location, _location),
    "learned": (Learned, _learned),
}
_INFRASTRUCTURE: dict[str, tuple[type[Entity], Read]] = {
    "dswitches": (DSwitch, _dswitch),
    "appliances": (Appliance, _appliance),
}
_OBSERVED: dict[str, tuple[type[Entity], Read]] = {
    "seats": (Seat, _seat),
    "health": (Health, _health),
}
_FOLDERS = {kind: folder for folder, (kind, _) in _WITHIN.items()}
_BESIDE = {kind: folder for folder, (kind, _) in (_PLACES | _INFRASTRUCTURE | _OBSERVED).items()}
