"""What a host says of where things are, and what is to be recorded of it beside what is (F24, X15).

An interface with an iface-id of ``NETWORK/NAME`` places that endpoint at its port.  Two of
``appliance/NAME/INSTANCE/ingress`` and ``.../egress``, or one of ``appliance/NAME/INSTANCE`` for both, seat an instance of
an appliance at theirs; one of the two alone does not.
"""

from __future__ import annotations

from dataclasses import replace

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Seat
from dove_ryu.model.documents import key_of
from dove_ryu.model.entities import Entity, Learned, Location, Place, dpid_text
from dove_ryu.southbound.ovsdb import HostView

Spot = Location | Seat
Spots = dict[str, Spot]
"""Where things are, by the key that each is kept under."""

INGRESS, EGRESS = "ingress", "egress"


def spots(view: HostView) -> Spots:
    """What a host says of where things are."""
    ports: dict[tuple[str, str], dict[str, str]] = {}
    found: list[Spot] = []
    for interface in view.interfaces:
        match interface.iface_id.split("/"):
            case ["appliance", appliance, instance, *side]:
                for each in side or (INGRESS, EGRESS):
                    ports.setdefault((appliance, instance), {})[each] = interface.name
            case [network, endpoint]:
                found.append(Location(network, endpoint, view.dpid, interface.name, observed=True))
    for machine, sides in ports.items():
        if sides.keys() == {INGRESS, EGRESS}:
            found.append(Seat(*machine, view.dpid, sides[INGRESS], sides[EGRESS]))
    return {key_of(spot): spot for spot in found}


def attached(view: HostView) -> list[Learned]:
    """The MAC addresses that a host says endpoints have."""
    found = []
    for interface in view.interfaces:
        match interface.iface_id.split("/"), interface.attached_mac:
            case [network, endpoint], str(mac):
                found.append(Learned(network, endpoint, (mac,)))
    return found


def observed(dps: Dps, dpid: int) -> Spots:
    """What is recorded to be at a dSwitch because its host has said so."""
    located = (tables.locations[name] for tables in dps.world.hosted(dpid) for name in sorted(tables.hosted[dpid]))
    seats = (each for seat in dps.world.provider.seats.values() for each in (seat, seat.former) if each is not None)
    here: list[Spot] = [place for place in located if place.observed]
    here += [seat for seat in seats if seat.dpid == dpid]
    return {key_of(spot): spot for spot in here}


def beside(present: Entity | None, wanted: Entity) -> Entity:
    """*wanted* as it is to be recorded where *present* is."""
    match present, wanted:
        case Location(), Location():
            return _moved(present, wanted)
        case Seat(), Seat():
            return _reseated(present, wanted)
        case Learned(), Learned():
            macs, ips = (dict.fromkeys(both) for both in (present.macs + wanted.macs, present.ips + wanted.ips))
            return replace(wanted, macs=tuple(macs), ips=tuple(ips))
    return wanted


def without(present: Seat, said: Seat) -> Seat | None:
    """Where an instance is once a host no longer says what it *said*; None for nowhere."""
    if present.former is not None and _same_place(present.former, said):
        return replace(present, former=None)
    return present.former if _same_place(present, said) else present


def named(spot: Spot) -> str:
    """What is at a place, for people to read."""
    if isinstance(spot, Location):
        return f"endpoint {spot.network}/{spot.endpoint}"
    return f"instance {spot.instance} of appliance {spot.appliance}"


def at(spot: Spot | None) -> str:
    """Where something is, for people to read."""
    match spot:
        case None:
            return "nowhere"
        case Location():
            return f"at port {spot.port} of dSwitch {dpid_text(spot.dpid)}"
    word = "port" if len(spot.ports) == 1 else "ports"
    return f"at {word} {' and '.join(spot.ports)} of dSwitch {dpid_text(spot.dpid)}"


def _moved(present: Location, wanted: Location) -> Location:
    """*wanted* as it is after *present*: moved, as it was, or the target of a live migration."""
    target = present.migrating_to
    if (present.dpid, present.port) == (wanted.dpid, wanted.port):
        return replace(wanted, tracking=present.tracking, migrating_to=target)
    if target is not None and target.dpid == wanted.dpid:
        return replace(present, migrating_to=Place(wanted.dpid, wanted.port))
    return replace(wanted, tracking=present.tracking + 1)


def _reseated(present: Seat, wanted: Seat) -> Seat:
    """*wanted* as it is after *present*: while its ports are still at the other dSwitch, they take what is on its way."""
    if present.dpid == wanted.dpid:
        return replace(wanted, former=present.former)
    return replace(wanted, former=replace(present, former=None))


def _same_place(one: Seat, other: Seat) -> bool:
    return (one.dpid, one.ingress, one.egress) == (other.dpid, other.ingress, other.egress)
