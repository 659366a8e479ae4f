"""Replies of connections that a policy has let begin (X7): policies are one-way, connections are not.

Who may begin a connection is decided at the sender's dSwitch, as for every packet, and there the connection is kept: POLICY
looks into COMMIT.  What comes back has no policy of its own.  POLICY at the answerer's dSwitch lets it go as what it claims
to be, a reply, under a label instead of the network's identifier; and where it arrives the label leads it to REPLIES, which
looks for its connection, and on to CHECKED, which ends all that is no reply.  So a connection is looked for where it was
kept, and no dSwitch has to tell another.  On one dSwitch the way is the same, without the tunnel.

All of it but the decision is standing flows that say nothing of who may talk to whom.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.features import TUNNEL_PORTS, Feature
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, Move, OutputTo, Track, put
from dove_ryu.openflow.fields import OUTPUT_PORT, REPLY, SEGMENT_LABEL, VNI, ZONE, Cookie, Kind
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.pipeline import CHECKED, COMMIT, DELIVER, OUTPUT, REPLIES, TUNNEL_IN, goto

ABOVE_PORTS, INTO_A_TUNNEL = 300, 310
"""In OUTPUT: what claims to be a reply goes nowhere else, whatever its port is."""

REPLY_OF_A_CONNECTION = oxm.TRACKED | oxm.ESTABLISHED | oxm.REPLYING
ERROR_ABOUT_A_CONNECTION = oxm.TRACKED | oxm.RELATED


class Stateful(Feature):
    """Flows of COMMIT, REPLIES and CHECKED, and what leads there."""

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """What is done to whatever may pass as a reply only, of any network."""
        base = Cookie(Kind.BASE)
        for version in (oxm.IPV4, oxm.IPV6):
            yield COMMIT.flow(100, {oxm.ETH_TYPE: version}, [Track(ZONE.field, ZONE.width)], base)
            look_up = Track(ZONE.field, ZONE.width, CHECKED.number)
            yield REPLIES.flow(100, {oxm.ETH_TYPE: version}, [look_up], base)
        for state in (REPLY_OF_A_CONNECTION, ERROR_ABOUT_A_CONNECTION):
            yield CHECKED.flow(100, {oxm.CT_STATE: (state, state | oxm.INVALID)}, [goto(DELIVER)], base)
        yield OUTPUT.flow(ABOVE_PORTS, {REPLY: 1}, [goto(REPLIES)], base)
        for name in TUNNEL_PORTS.values():
            port = world.ports.get(dpid, {}).get(name)
            if port is not None:
                identify = Move(SEGMENT_LABEL.field, oxm.TUN_ID, SEGMENT_LABEL.width)
                out: list[Action] = [identify, OutputTo(OUTPUT_PORT.field)]
                yield OUTPUT.flow(INTO_A_TUNNEL, {REPLY: 1, OUTPUT_PORT: port}, out, base)

    def network_flows(self, world: World, dpid: int, tables: NetworkTables) -> Iterable[Flow]:
        """What comes from a tunnel under a network's label for replies is to be one."""
        network = tables.network
        if network is not None and network.zone:
            known = [put(VNI, network.vni), put(ZONE, network.zone), goto(REPLIES)]
            cookie = Cookie(Kind.NETWORK, network.number)
            yield TUNNEL_IN.flow(100, {oxm.TUN_ID: network.reply_label}, known, cookie)
