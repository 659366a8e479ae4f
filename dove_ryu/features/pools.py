"""Pools: which instance of an appliance a connection passes, where that is, and what becomes of it when it fails (X10).

CHAIN has given a packet the number of its next appliance and the slot of its connection.  POOL sends it to the dSwitch of
the instance that takes the slot, and INSTANCE there chooses among the instances that it hosts.  It never sends a packet on
to another dSwitch, so that dSwitches which are not told of a change at the same moment cannot pass one around.

The one exception is an instance that is drained.  Where another takes its place, TAKEOVER tells connections that begin,
which are the other's from then on and are noted in CONNECTIONS in both directions, from those that have begun before: they
are the drained one's, and go there under the odd label of their segment, by which they can only be handed over.

First packets are told from others at every dSwitch and at all times, though it matters while an instance is drained only.
For Open vSwitch remembers what it did with a connection's first packet, and does that with all those for which the answer
could not have been another; when flows change it works the answer out anew, from the packet that it remembers.  It would
take old connections for new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from dove_ryu.features import Feature, onward, seated
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.pools import Share, choose, lost, shares
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Learn, Move, Resubmit, SetField, put
from dove_ryu.openflow.fields import (
    APPLIANCE,
    BEGINS,
    HANDED_BACK,
    OUTPUT_PORT,
    SEGMENT_LABEL,
    SLOT,
    VNI,
    Bits,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.match import Match, Term, Terms, Value, match
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.pipeline import BEGINNINGS, CHAIN_HOP, CONNECTIONS, INSTANCE, NEXT_HOP, POOL, TAKEOVER, goto
from dove_ryu.openflow.table import Table

BY_SEGMENT = (Move(SEGMENT_LABEL.field, oxm.TUN_ID, SEGMENT_LABEL.width),)
"""Lets a tunnel carry the label of the segment that a packet is on."""

TO_THE_DRAINED = (*BY_SEGMENT, SetField(oxm.TUN_ID, 1, 1))
"""The same for a packet that belongs to an instance that is drained: the odd label of the pair."""

CONNECTION_TIMEOUT = 3600
"""Seconds that a connection which began while an instance was drained may be silent."""

ENDED_TIMEOUT = 10
"""Seconds that it is known after its end."""

Actions = tuple[Action, ...]

Here = Mapping[Instance, int | None]
"""The instances that a dSwitch hosts, each with the number of its ingress port, None where none is shown."""

TO_NOBODY = 0
"""In OUTPUT_PORT: nobody is known to have taken this connection."""


class Pools(Feature):
    """Flows of POOL, INSTANCE and TAKEOVER, and those that they make in CONNECTIONS."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """What the first packet of a connection looks like."""
        for eth_type in LEARNED:
            first: Terms = {oxm.ETH_TYPE: eth_type, oxm.TCP_FLAGS: (oxm.SYN, oxm.SYN | oxm.ACK)}
            yield BEGINNINGS.flow(100, first, [put(BEGINS, 1)], Cookie(Kind.BASE))

    def appliance_flows(self, world: World, dpid: int, appliance: Appliance) -> Iterable[Flow]:
        """Where each slot's packets go and, at a dSwitch that hosts instances, to which of them."""
        taken = shares(appliance, lost(world.provider, appliance))
        ways = {share: _lead(world, dpid, appliance, share) for share in {*taken}}
        yield from _slotwise(POOL, appliance, {}, [ways[share] for share in taken])
        here = seated(world, dpid, appliance)
        if here:
            yield from _choose(world, dpid, appliance, taken, here)

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """A connection that began while an instance was drained stays known for as long as it lasts."""
        return installed if installed.table == CONNECTIONS.number else None


def _lead(world: World, dpid: int, appliance: Appliance, share: Share) -> Actions:
    """To the dSwitch where a slot's instance is, past the appliance, or nowhere."""
    seat = None if share.taker is None else world.seat(appliance, share.taker)
    if seat is None:
        return (Resubmit(NEXT_HOP.number),) if share.left_out else ()
    return (goto(INSTANCE),) if seat.dpid == dpid else tuple(onward(world, dpid, seat.dpid, BY_SEGMENT) or ())


def _choose(world: World, dpid: int, appliance: Appliance, taken: Sequence[Share], here: Here) -> Iterator[Flow]:
    """To the instance that takes a slot; where it is elsewhere, as whoever sent the packet did not know, to one here."""
    ordinary: list[Actions] = []
    handed_back: list[Actions] = []
    drained_here = [instance for instance in here if instance.drain]
    for slot, share in enumerate(taken):
        handed_back.append(_hand_over(here, choose(appliance, slot, drained_here or here)))
        if share.taker not in here:
            ordinary.append(_hand_over(here, choose(appliance, slot, here)))
        elif share.drained is None:
            ordinary.append(_hand_over(here, share.taker))
        else:
            ordinary.append((put(OUTPUT_PORT, TO_NOBODY), Resubmit(CONNECTIONS.number), goto(TAKEOVER)))
            yield from _take_over(world, dpid, appliance, slot, share, here)
    if any(share.drained is not None for share in taken):
        yield TAKEOVER.flow(100, {APPLIANCE: appliance.number}, [goto(CHAIN_HOP)], _cookie(appliance))
    yield from _slotwise(INSTANCE, appliance, {HANDED_BACK: 0}, ordinary)
    yield from _slotwise(INSTANCE, appliance, {HANDED_BACK: 1}, handed_back)


def _take_over(world: World, dpid: int, appliance: Appliance, slot: int, share: Share, here: Here) -> Iterator[Flow]:
    """What is new is the taker's; what is not, and is not known to be, is the drained one's.

    Only TCP says of a packet that it is the first of its connection, so that all else stays with the drained one.
    """
    terms: Terms = {APPLIANCE: appliance.number, SLOT: slot}
    to_taker = _hand_over(here, share.taker)
    for eth_type, learned in LEARNED.items():
        begins: Terms = {BEGINS: 1, oxm.ETH_TYPE: eth_type, oxm.IP_PROTO: oxm.TCP}
        keep = (*to_taker[:1], *learned, *to_taker[1:]) if to_taker else ()
        yield TAKEOVER.flow(300, terms | begins, keep, _cookie(appliance))
    assert share.drained is not None, "a slot that is taken over was somebody's"
    seat = world.seat(appliance, share.drained)
    assert seat is not None, "who is nowhere has lost its slots"
    away = tuple(onward(world, dpid, seat.dpid, TO_THE_DRAINED) or ())
    back = _hand_over(here, share.drained) if seat.dpid == dpid else away
    yield TAKEOVER.flow(200, terms | {OUTPUT_PORT: TO_NOBODY}, back, _cookie(appliance))


def _hand_over(here: Here, instance: Instance | None) -> Actions:
    """To an instance that is here; nowhere while its port is not shown."""
    port = None if instance is None else here[instance]
    return () if port is None else (put(OUTPUT_PORT, port), goto(CHAIN_HOP))


def _slotwise(table: Table, appliance: Appliance, terms: Terms, chosen: Sequence[Actions]) -> Iterator[Flow]:
    """A flow for each slot or, where all are alike, for all of them.

    That one comes before the others, so that while they are being replaced by it, or it by them, one or the other holds.
    """
    every: Terms = terms | {APPLIANCE: appliance.number}
    if len({*chosen}) == 1:
        yield table.flow(110, every, chosen[0], _cookie(appliance))
        return
    made = {actions: table.flow(100, every | {SLOT: 0}, actions, _cookie(appliance)) for actions in {*chosen}}
    for slot, actions in enumerate(chosen):
        yield made[actions]._replace(match=_slot_match(tuple(every.items()), slot))


@lru_cache(maxsize=1 << 13)
def _slot_match(every: tuple[tuple[Field | Bits, Value], ...], slot: int) -> Match:
    """What the flow of a slot matches: every dSwitch has the same, and they are many when an instance fails."""
    return match({**dict(every), SLOT: slot})


def _cookie(appliance: Appliance) -> Cookie:
    return Cookie(Kind.CHAIN, appliance.number)


def _learned(eth_type: int, source: Field, destination: Field) -> tuple[Action, Action]:
    """What notes a connection in CONNECTIONS, in both directions, with the port of the instance that has it."""
    fixed = tuple(
        Term(field, value, field.full_mask) for field, value in ((oxm.ETH_TYPE, eth_type), (oxm.IP_PROTO, oxm.TCP))
    )
    known = ((APPLIANCE.field, APPLIANCE.field), (VNI.field, VNI.field))
    forward = ((source, source), (destination, destination), (oxm.TCP_SRC, oxm.TCP_SRC), (oxm.TCP_DST, oxm.TCP_DST))
    backward = ((source, destination), (destination, source), (oxm.TCP_SRC, oxm.TCP_DST), (oxm.TCP_DST, oxm.TCP_SRC))
    one, other = (
        Learn(
            CONNECTIONS.number,
            100,
            int(Cookie(Kind.CONNECTION)),
            CONNECTION_TIMEOUT,
            ENDED_TIMEOUT,
            fixed,
            (*known, *direction),
            OUTPUT_PORT.field,
        )
        for direction in (forward, backward)
    )
    return one, other


LEARNED = {
    oxm.IPV4: _learned(oxm.IPV4, oxm.IPV4_SRC, oxm.IPV4_DST),
    oxm.IPV6: _learned(oxm.IPV6, oxm.IPV6_SRC, oxm.IPV6_DST),
}
"""By Ethernet type, what notes a connection."""
