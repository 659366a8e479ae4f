"""Where a marked packet is to be seen on its way (X2).

The packet is a ping whose ICMP code nobody else uses; who is pinged answers it as any other, and says the code back.  A
*lookout* stands before one of the standing flows by which the packet should go: it matches what that flow does and the
mark, counts the packet, and has it looked up in the same table once more.  Thus nothing of the packet's way is another one,
whether the flow behind the lookout is there or not, and nobody else's packet is touched.  A lookout goes by itself after
some seconds, whatever becomes of whoever put it there, and the dSwitch says how many packets it has seen.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dove_ryu.dps import Dps
from dove_ryu.model.chains import chain
from dove_ryu.model.entities import Endpoint, Location, Policy
from dove_ryu.model.tables import NetworkTables
from dove_ryu.openflow import oxm, packet
from dove_ryu.openflow.action import Resubmit, SetField, put
from dove_ryu.openflow.fields import LOOKED_AT, OUTPUT_PORT, SEGMENT_LABEL, Bits, Cookie, Kind
from dove_ryu.openflow.flow import Flow, PacketOut
from dove_ryu.openflow.match import Match, match
from dove_ryu.openflow.pipeline import CHAIN, CHAIN_HOP, CHAIN_RETURN, CLASSIFY, DELIVER, OUTPUT

FIRST_MARK, MARKS = 0xD0, 16
"""The codes that packets of live traces have, one after the other: so many can be under way at once."""

ABOVE_ALL = 10_000
"""By how much a lookout's priority is above that of the flow that it stands before."""

LONGEST = 5
"""Seconds after which a lookout goes, if nobody has taken it away."""


class Point(enum.Enum):
    """What a lookout sees a packet do."""

    SENT_ON = "sent on to"
    HANDED_OVER = "handed over to"
    GIVEN_BACK = "given back by"
    DELIVERED = "delivered"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Lookout:
    """One of the places where the packet may be seen.

    :ivar hop: which of the policy's appliances it is about, counted from 1; 0 for none.
    """

    dpid: int
    point: Point
    hop: int
    flow: Flow


@dataclass(frozen=True, slots=True)
class MarkedPacket:
    """A packet to send, and where it may be seen.

    :ivar dpid: the dSwitch that is to take it as one that its sender sent.
    """

    dpid: int
    packet: PacketOut
    lookouts: tuple[Lookout, ...]


def marked_packet(
    dps: Dps, tables: NetworkTables, sender: Endpoint, receiver: Endpoint, policy: Policy | None, number: int
) -> MarkedPacket | str:
    """A packet from one endpoint to another, or why none can be sent.

    :param policy: that decides on it.
    :param number: of the trace.
    """
    here, there = tables.locations.get(sender.name), tables.locations.get(receiver.name)
    addresses = _addresses(sender, receiver)
    if here is None or there is None:
        return f"endpoint '{(sender if here is None else receiver).name}' is not attached to any dSwitch"
    port = dps.world.ports.get(here.dpid, {}).get(here.port)
    if port is None:
        return f"port {here.port} of '{sender.name}' is not there now, or its dSwitch is not connected"
    if addresses is None:
        return f"'{sender.name}' and '{receiver.name}' have no addresses of the same version of IP"
    code = FIRST_MARK + number % MARKS
    version = oxm.IPV6 if ":" in addresses[0] else oxm.IPV4
    found = _found(dps, tables, policy, receiver, (here, there), _marks(version, code))
    lookouts = tuple(_numbered(lookout, number, index) for index, lookout in enumerate(found))
    ping = packet.echo_request((sender.macs[0], addresses[0]), (receiver.macs[0], addresses[1]), code)
    return MarkedPacket(here.dpid, PacketOut(ping, (Resubmit(CLASSIFY.number),), port), lookouts)


def _addresses(sender: Endpoint, receiver: Endpoint) -> tuple[str, str] | None:
    """Addresses of both, of one version of IP; none that stand for many."""
    if sender.macs and receiver.macs:
        for source in sender.ips:
            for destination in receiver.ips:
                if "/" not in source + destination and (":" in source) == (":" in destination):
                    return source, destination
    return None


Marks = tuple[Match, Match]
"""How the ping is known, and the reply to it."""


def _marks(version: int, code: int) -> Marks:
    if version == oxm.IPV4:
        return match({oxm.ICMP_TYPE: 8, oxm.ICMP_CODE: code}), match({oxm.ICMP_TYPE: 0, oxm.ICMP_CODE: code})
    return match({oxm.ICMPV6_TYPE: 128, oxm.ICMPV6_CODE: code}), match({oxm.ICMPV6_TYPE: 129, oxm.ICMPV6_CODE: code})


def _found(
    dps: Dps,
    tables: NetworkTables,
    policy: Policy | None,
    receiver: Endpoint,
    places: tuple[Location, Location],
    marks: Marks,
) -> Iterator[Lookout]:
    """The lookouts of every dSwitch that the packet can come to."""
    hops = () if policy is None else chain(tables, policy)
    labels = {} if isinstance(hops, str) else {hop.segment.label: n for n, hop in enumerate(hops, 1)}
    passed = tables.passed() if labels else set()
    for dpid in sorted({place.dpid for place in places} | passed):
        if dpid in dps.connected:
            flows = list(dps.flows_about(dpid, tables, receiver))
            if policy is not None:
                yield from _at_appliances(dpid, flows, policy, labels, marks[0])
            if dpid == places[1].dpid:
                port = dps.world.ports[dpid].get(places[1].port, 0)
                yield from _at_destination(dpid, flows, receiver, port, marks)


def _at_appliances(
    dpid: int, flows: Iterable[Flow], policy: Policy, labels: dict[int, int], mark: Match
) -> Iterator[Lookout]:
    for flow in flows:
        if _is_about(flow, Kind.CHAIN, policy.number):
            label = flow.match.value(SEGMENT_LABEL)
            if flow.table in (CHAIN.number, CHAIN_HOP.number) and label in labels:
                point = Point.SENT_ON if flow.table == CHAIN.number else Point.HANDED_OVER
                yield from _before(dpid, point, labels[label], flow, mark)
            elif flow.table == CHAIN_RETURN.number:
                yield from _before(dpid, Point.GIVEN_BACK, labels[_label_given(flow)], flow, mark)


def _label_given(flow: Flow) -> int:
    """The label of the segment that a flow of CHAIN_RETURN takes packets back from."""
    return next(
        SEGMENT_LABEL.read(action.value)
        for action in flow.actions
        if isinstance(action, SetField) and action.field is SEGMENT_LABEL.field
    )


def _at_destination(dpid: int, flows: Iterable[Flow], receiver: Endpoint, port: int, marks: Marks) -> Iterator[Lookout]:
    """Out of a tunnel to the receiver, from elsewhere on its dSwitch, and what it answers."""
    mark, reply = marks
    for flow in flows:
        if flow.table == OUTPUT.number and flow.match.value(OUTPUT_PORT) in (None, port):
            to_port = _joined(match({OUTPUT_PORT: port}), mark)
            assert to_port is not None
            yield from _before(dpid, Point.DELIVERED, 0, flow, to_port)
        elif flow.table == DELIVER.number and _is_about(flow, Kind.ENDPOINT, receiver.number):
            yield from _before(dpid, Point.DELIVERED, 0, flow, mark)
        elif flow.table == CLASSIFY.number and _is_about(flow, Kind.ENDPOINT, receiver.number):
            yield from _before(dpid, Point.ANSWERED, 0, flow, reply)


def _is_about(flow: Flow, kind: Kind, number: int) -> bool:
    cookie = Cookie.parse(flow.cookie)
    return cookie is not None and (cookie.kind, cookie.number) == (kind, number)


def _before(dpid: int, point: Point, hop: int, flow: Flow, mark: Match) -> Iterator[Lookout]:
    """The lookout before a flow; none where the flow is for packets that cannot have the mark."""
    where = _joined(flow.match, mark)
    if where is not None:
        seen = Bits("seen by a lookout here", LOOKED_AT.field, flow.table, 1)
        once = _joined(where, match({seen: 0}))
        assert once is not None, "no flow of the pipeline matches that register"
        again = (put(seen, 1), Resubmit(flow.table))
        lookout = Flow(flow.table, flow.priority + ABOVE_ALL, once, again, 0, LONGEST, notify=True)
        yield Lookout(dpid, point, hop, lookout)


def _joined(one: Match, other: Match) -> Match | None:
    """What both match; None where that is nothing."""
    terms = {term.field: term for term in one}
    for term in other:
        if terms.setdefault(term.field, term) != term:
            return None
    return Match(sorted(terms.values(), key=lambda term: term.field.rank))


def _numbered(lookout: Lookout, number: int, index: int) -> Lookout:
    cookie = int(Cookie(Kind.LOOKOUT, number, index))
    return replace(lookout, flow=lookout.flow._replace(cookie=cookie))
