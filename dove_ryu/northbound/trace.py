"""``dove trace``: what becomes of a packet from here to there, and why, in names (X2).

The decision is that of the policy request which the packet would cause, made by the very function that answers it.
What comes after the decision, the way through the dSwitches, is told as the DPS knows it: nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from dove_ryu.dps import Dps
from dove_ryu.model.addresses import BadAddress, canonical_ip, canonical_mac
from dove_ryu.model.chains import Hop, chain
from dove_ryu.model.entities import DSwitch, Endpoint, Location, Policy, Seat, dpid_text
from dove_ryu.model.reading import suggestion
from dove_ryu.model.resolution import Outcome, PolicyReply, PolicyRequest, resolve
from dove_ryu.model.tunnel import tunnel_between
from dove_ryu.model.world import NetworkTables

SOURCE_UNKNOWN = "source unknown"
"""The decision where no endpoint sends."""

GATEWAY = "gateway"
"""The decision where the network's own router is the destination."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an allowed packet gets from one location to another.

    :ivar delivery: ``local`` on one dSwitch, ``tunnel`` between two; None where there is no way. Behind appliances it
        is from the last of them.
    :ivar tunnel: its protocol and the address that it is sent to.
    :ivar reason: why there is no way; empty where there is one.
    :ivar path: the appliances on the way, as they are shown.
    """

    delivery: str | None = None
    tunnel: tuple[str, str] | None = None
    reason: str = ""
    path: tuple[dict[str, Any], ...] = ()


def trace(dps: Dps, tables: NetworkTables, source: str, destination: str) -> dict[str, Any]:
    """The trace as the REST interface shows it.

    :param source: name or address of an endpoint.
    :param destination: likewise, or any address at all.
    """
    sender = _endpoint(tables, source)
    if sender is None:
        reason = f"{_nobody(tables, source)}: a dSwitch drops what comes from a port that is no endpoint's"
        return _shown(dps, tables, SOURCE_UNKNOWN, reason)
    gateway = _gateway(tables, destination)
    if gateway is not None:
        place = tables.locations.get(sender.name)
        reason = f"{gateway} is the network's own gateway, which every dSwitch is"
        way = Way("local", None, reason) if place else Way(reason=_not_attached(sender))
        return _shown(dps, tables, GATEWAY, way.reason, sender, way=way)
    reply = _reply(tables, sender, destination)
    if reply.outcome is not Outcome.ALLOWED or reply.location is None:
        return _shown(dps, tables, reply.outcome.value, reply.reason, sender, reply)
    hops = () if reply.policy is None else chain(tables, reply.policy)
    assert not isinstance(hops, str), "a policy that lacks something does not allow"
    way = _way(dps, tables, sender, reply.location, hops)
    reason = "".join((reply.reason, _onward(reply.location), f"; but {way.reason}" if way.reason else ""))
    return _shown(dps, tables, reply.outcome.value, reason, sender, reply, way)


def _endpoint(tables: NetworkTables, text: str) -> Endpoint | None:
    """The endpoint that is called so or has that address."""
    address = _address(text)
    return tables.endpoints.get(text) or (None if address is None else tables.owner(address))


def _address(text: str) -> str | None:
    for canonical in (canonical_mac, canonical_ip):
        try:
            return canonical(text)
        except BadAddress:
            continue
    return None


def _nobody(tables: NetworkTables, text: str) -> str:
    if _address(text) is not None:
        return f"no endpoint of network '{tables.name}' has {text}"
    return f"no endpoint '{text}' in network '{tables.name}'{suggestion(text, tables.endpoints)}"


def _gateway(tables: NetworkTables, destination: str) -> str | None:
    address = _address(destination)
    gateways = () if tables.network is None else tables.network.gateways
    return next((address for each in gateways if address in (each.mac, *each.ips)), None)


def _reply(tables: NetworkTables, sender: Endpoint, destination: str) -> PolicyReply:
    """The reply to the policy request that the packet would cause."""
    named = tables.endpoints.get(destination)
    if named is None:
        address = _address(destination)
        if address is None:
            return PolicyReply(Outcome.UNKNOWN, _nobody(tables, destination))
    else:
        address = next((each.partition("/")[0] for each in (*named.ips, *named.macs)), None)
        if address is None:
            reason = f"endpoint '{destination}' has no address yet: none is declared, and none was learned"
            return PolicyReply(Outcome.UNKNOWN, reason, named)
    return resolve(tables, PolicyRequest(sender.domain, address))


def _onward(there: Location) -> str:
    """Where a live migration takes a destination (X5)."""
    target = there.migrating_to
    if target is None:
        return ""
    port = f"port {target.port}" if target.port else "a port"
    return f", and a live migration takes it to {port} of dSwitch {dpid_text(target.dpid)}, which gets a copy"


def _not_attached(sender: Endpoint) -> str:
    return f"endpoint '{sender.name}' is not attached to any dSwitch and cannot send"


def _way(dps: Dps, tables: NetworkTables, sender: Endpoint, there: Location, hops: Sequence[Hop]) -> Way:
    """The way from a sender through appliances to a location."""
    here = tables.locations.get(sender.name)
    if here is None:
        return Way(reason=_not_attached(sender))
    seats = [_seat(dps, hop) for hop in hops]
    ports = [(each.dpid, port) for each in seats for port in (each.ingress, each.egress)]
    for dpid, port in ((here.dpid, here.port), *ports, (there.dpid, there.port)):
        if dpid not in dps.connected:
            return Way(reason=f"dSwitch {dpid_text(dpid)} is not connected; what it has cached it still does")
        if port not in dps.world.ports[dpid]:
            return Way(reason=f"dSwitch {dpid_text(dpid)} has no port {port} now")
    stops = [here.dpid, *(seat.dpid for seat in seats), there.dpid]
    legs = [_leg(dps, one, other) for one, other in pairwise(stops)]
    broken = next((leg for leg in legs if leg.reason), None)
    return broken or replace(legs[-1], path=tuple(map(_hop, hops, seats, legs)))


def _leg(dps: Dps, here: int, there: int) -> Way:
    """The way from one dSwitch to another."""
    if here == there:
        return Way("local")
    ours, theirs = (dps.world.dswitches.get(dpid, DSwitch(dpid)) for dpid in (here, there))
    tunnel = tunnel_between(ours, theirs)
    if tunnel is None:
        return Way(
            reason=f"dSwitches {dpid_text(ours.dpid)} and {dpid_text(theirs.dpid)} have no tunnel protocol or no "
            "family of underlay addresses in common; see their encap_types and encap_ips"
        )
    return Way("tunnel", (tunnel[0].value, tunnel[1]))


def _seat(dps: Dps, hop: Hop) -> Seat:
    seat = dps.world.seat(hop.appliance, hop.instance)
    assert seat is not None, "a chain leads to instances that are somewhere"
    return seat


def _hop(hop: Hop, seat: Seat, leg: Way) -> dict[str, Any]:
    """An appliance on the way, and how a packet gets to it."""
    label = f"{hop.segment.label:#x}"
    tunnel = None if leg.tunnel is None else {"type": leg.tunnel[0], "remote_ip": leg.tunnel[1], "label": label}
    return {
        "action": hop.action.name,
        "appliance": hop.appliance.name,
        "instance": hop.instance.name,
        "dswitch": dpid_text(seat.dpid),
        "ingress": seat.ingress,
        "egress": seat.egress,
        "label": label,
        "vlan": hop.segment.vlan or None,
        "tunnel": tunnel,
    }


def _shown(
    dps: Dps,
    tables: NetworkTables,
    decision: str,
    reason: str,
    sender: Endpoint | None = None,
    reply: PolicyReply | None = None,
    way: Way | None = None,
) -> dict[str, Any]:
    way = way or Way()
    network = tables.network
    tunnel = None
    if way.tunnel is not None and network is not None:
        tunnel = {"type": way.tunnel[0], "remote_ip": way.tunnel[1], "vni": network.vni}
    return {
        "network": tables.name,
        "decision": decision,
        "delivered": way.delivery is not None,
        "reason": reason,
        "source": _end(dps, tables, sender),
        "destination": _end(dps, tables, None if reply is None else reply.endpoint),
        "policy": _policy(None if reply is None else reply.policy),
        "path": list(way.path),
        "delivery": way.delivery,
        "tunnel": tunnel,
    }


def _end(dps: Dps, tables: NetworkTables, endpoint: Endpoint | None) -> dict[str, Any] | None:
    if endpoint is None:
        return None
    place = tables.locations.get(endpoint.name)
    location, dswitch = None, None
    if place is not None:
        location = {
            "dswitch": dpid_text(place.dpid),
            "port": place.port,
            "tracking": place.tracking,
            "migrating_to": _target(place),
        }
        known = dps.world.dswitches.get(place.dpid, DSwitch(place.dpid, encap_types=()))
        dswitch = {
            "dpid": dpid_text(place.dpid),
            "name": known.name,
            "encap_ips": list(known.encap_ips),
            "encap_types": [each.value for each in known.encap_types],
            "connected": place.dpid in dps.connected,
        }
    return {
        "endpoint": endpoint.name,
        "domain": endpoint.domain,
        "macs": list(endpoint.macs),
        "ips": list(endpoint.ips),
        "location": location,
        "dswitch": dswitch,
    }


def _target(place: Location) -> dict[str, str] | None:
    target = place.migrating_to
    return None if target is None else {"dswitch": dpid_text(target.dpid), "port": target.port}


def _policy(policy: Policy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    return {"name": policy.name, "tracking": policy.tracking, "ttl": policy.ttl, "actions": list(policy.actions)}
