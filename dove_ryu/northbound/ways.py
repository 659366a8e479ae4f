"""The way of an allowed packet: from dSwitch to dSwitch, through instances of appliances, to where it is delivered (X2).

Which instance it is depends on the connection.  Where that was not told, all that come into question are named, and the way
is known again only from the next place that does not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Appliance, Seat
from dove_ryu.model.chains import Hop
from dove_ryu.model.entities import DSwitch, Location, dpid_text
from dove_ryu.model.pools import Share, lost, shares
from dove_ryu.model.tunnel import tunnel_between

Tunnel = tuple[str, str]
"""A tunnel's protocol and the address that it is sent to."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an allowed packet gets from one location to another.

    :ivar delivery: ``local`` on one dSwitch, ``tunnel`` between two, ``varies`` by the connection; None where there is no
        way. Behind appliances it is from the last of them.
    :ivar reason: why there is no way; empty where there is one.
    :ivar path: the appliances on the way, as they are shown.
    """

    delivery: str | None = None
    tunnel: Tunnel | None = None
    reason: str = ""
    path: tuple[dict[str, Any], ...] = ()


class NoWay(Exception):
    """The packet gets no further; the message says why."""


def way_through(dps: Dps, here: Location, there: Location, hops: Sequence[Hop], slot: int | None) -> Way:
    """The way from one location through appliances to another.

    :param slot: of the connection at every pool; None where it is not known.
    """
    at: int | None = here.dpid
    path = []
    try:
        _need_port(dps, here.dpid, here.port)
        for hop in hops:
            shown, at = _pass(dps, at, hop, slot)
            path.append(shown)
        _need_port(dps, there.dpid, there.port)
        tunnel = _tunnel(dps, at, there.dpid)
    except NoWay as why:
        return Way(reason=str(why))
    delivery = "varies" if at is None else "local" if tunnel is None else "tunnel"
    return Way(delivery, tunnel, path=tuple(path))


def _pass(dps: Dps, at: int | None, hop: Hop, slot: int | None) -> tuple[dict[str, Any], int | None]:
    """An appliance on the way as it is shown, and the dSwitch that the packet is at behind it.

    :param at: the dSwitch that it is at before; None, as in the answer, where that depends on the connection.
    :raises NoWay: where it gets no further.
    """
    taken = shares(hop.appliance, lost(dps.world.provider, hop.appliance))
    possible = set(taken) if slot is None else {taken[slot % len(taken)]}
    if possible == {Share()} and not hop.appliance.tap:
        raise NoWay(_why_nobody(dps, hop.appliance))
    share = next(iter(possible)) if len(possible) == 1 else None
    seat = None if share is None or share.taker is None else dps.world.seat(hop.appliance, share.taker)
    tunnel = None
    if seat is not None:
        for port in dict.fromkeys((seat.ingress, seat.egress)):
            _need_port(dps, seat.dpid, port)
        tunnel = _tunnel(dps, at, seat.dpid)
    behind = None if share is None else at if seat is None else seat.dpid
    return _shown(hop, possible, seat, tunnel), at if hop.appliance.tap else behind


def _shown(hop: Hop, possible: set[Share], seat: Seat | None, tunnel: Tunnel | None) -> dict[str, Any]:
    """An appliance on the way, and how a packet gets to it."""
    label = f"{hop.segment.label:#x}"
    drained = {share.drained.name for share in possible if share.drained is not None}
    return {
        "action": hop.action.name,
        "appliance": hop.appliance.name,
        "tap": hop.appliance.tap,
        "instance": None if seat is None else seat.instance,
        "candidates": sorted({share.taker.name for share in possible if share.taker is not None}),
        "drained": sorted(drained),
        "left_out": all(share.left_out for share in possible),
        "dswitch": None if seat is None else dpid_text(seat.dpid),
        "ingress": None if seat is None else seat.ingress,
        "egress": None if seat is None or hop.appliance.tap else seat.egress,
        "label": label,
        "vlan": hop.segment.vlan or None,
        "tunnel": None if tunnel is None else {"type": tunnel[0], "remote_ip": tunnel[1], "label": label},
    }


def _why_nobody(dps: Dps, appliance: Appliance) -> str:
    without = sorted(lost(dps.world.provider, appliance))
    names = ", ".join(f"'{name}'" for name in without)
    return f"at appliance '{appliance.name}' the connection's instance does not work (these do not: {names})"


def _need_port(dps: Dps, dpid: int, port: str) -> None:
    if dpid not in dps.connected:
        raise NoWay(f"dSwitch {dpid_text(dpid)} is not connected; what it has cached it still does")
    if port not in dps.world.ports[dpid]:
        raise NoWay(f"dSwitch {dpid_text(dpid)} has no port {port} now")


def _tunnel(dps: Dps, here: int | None, there: int) -> Tunnel | None:
    """The tunnel from one dSwitch to another; None for none, or where it is not known from which.

    :raises NoWay: where there should be one.
    """
    if here is None or here == there:
        return None
    ours, theirs = (dps.world.dswitches.get(dpid, DSwitch(dpid)) for dpid in (here, there))
    found = tunnel_between(ours, theirs)
    if found is None:
        raise NoWay(
            f"dSwitches {dpid_text(ours.dpid)} and {dpid_text(theirs.dpid)} have no tunnel protocol or no "
            "family of underlay addresses in common; see their encap_types and encap_ips"
        )
    return found[0].value, found[1]
