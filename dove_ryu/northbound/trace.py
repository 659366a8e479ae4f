"""``dove trace``: what becomes of a packet from here to there, and why, in names (X2).

The decision is that of the policy request which the packet would cause, made by the very function that answers it.
What comes after the decision, the way through the dSwitches, is told as the DPS knows it: nothing is sent.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from dove_ryu.dps import Dps
from dove_ryu.model.addresses import BadAddress, canonical_ip, canonical_mac, is_mac
from dove_ryu.model.chains import chain
from dove_ryu.model.entities import DSwitch, Endpoint, Location, Policy, dpid_text
from dove_ryu.model.pools import SLOTS
from dove_ryu.model.reading import suggestion
from dove_ryu.model.resolution import Outcome, PolicyReply, PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.ways import Way, way_through
from dove_ryu.openflow.symmetric import connection_hash

SOURCE_UNKNOWN = "source unknown"
"""The decision where no endpoint sends."""

GATEWAY = "gateway"
"""The decision where the network's own router is the destination."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Which of the connections between two ends is asked about.

    :ivar protocol: the number of its IP protocol.
    :ivar ports: at the source and at the destination.
    """

    protocol: int
    ports: tuple[int, int]


PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
"""The IP protocols that have ports."""


def connection_of(protocol: str | None, ports: str | None) -> Connection | None:
    """The connection that a question names, like ``tcp`` and ``40000:443``; None where it names none.

    :raises Refusal: where it is no connection.
    """
    if protocol is None and ports is None:
        return None
    source, _, destination = (ports or "").partition(":")
    if protocol not in PROTOCOLS or not all(each.isdecimal() and int(each) < 1 << 16 for each in (source, destination)):
        known = ", ".join(PROTOCOLS)
        raise Refusal(400, f"a connection is a protocol ({known}) and ports, like protocol=tcp and ports=40000:443")
    return Connection(PROTOCOLS[protocol], (int(source), int(destination)))


def trace(
    dps: Dps, tables: NetworkTables, source: str, destination: str, connection: Connection | None = None
) -> dict[str, Any]:
    """The trace as the REST interface shows it.

    :param source: name or address of an endpoint.
    :param destination: likewise, or any address at all.
    :param connection: which one; None for any.
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
    hops = () if reply.policy is None or reply.replies else chain(tables, reply.policy)
    assert not isinstance(hops, str), "a policy that lacks something does not allow"
    here = tables.locations.get(sender.name)
    slot = None if connection is None else _slot(tables, sender, source, destination, connection)
    way = Way(reason=_not_attached(sender)) if here is None else way_through(dps, here, reply.location, hops, slot)
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


def _slot(tables: NetworkTables, sender: Endpoint, source: str, destination: str, connection: Connection) -> int | None:
    """The slot that a connection is in at every pool; None where the two ends have no IP address of one family."""
    named = tables.endpoints.get(destination)
    theirs = [_address(destination)] if named is None else list(named.addresses)
    ours = [_address(source)] if source not in tables.endpoints else list(sender.addresses)
    for one, other in ((one, other) for other in theirs for one in ours):
        ends = [ipaddress.ip_address(each).packed for each in (one, other) if each is not None and not is_mac(each)]
        if len(ends) == 2 and len(ends[0]) == len(ends[1]):
            return connection_hash(ends[0], ends[1], connection.protocol, connection.ports) % SLOTS
    return None


def _onward(there: Location) -> str:
    """Where a live migration takes a destination (X5)."""
    target = there.migrating_to
    if target is None:
        return ""
    port = f"port {target.port}" if target.port else "a port"
    return f", and a live migration takes it to {port} of dSwitch {dpid_text(target.dpid)}, which gets a copy"


def _not_attached(sender: Endpoint) -> str:
    return f"endpoint '{sender.name}' is not attached to any dSwitch and cannot send"


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
