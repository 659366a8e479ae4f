"""The pipeline: every table, declared once, in order.

A declaration says what the table is for, what its flows may match, what they may write, where a packet may go from it
and what happens on a miss.  Numbers follow from the order.
"""

from __future__ import annotations

from functools import cache

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    Goto,
)
from dove_ryu.openflow.fields import (
    APPLIANCE,
    BEGINS,
    BY_ADDRESS,
    CHAINED,
    DESTINATION_DOMAIN,
    DESTINATION_ENDPOINT,
    DSCP,
    HANDED_BACK,
    OUTPUT_PORT,
    REPLY,
    SEGMENT_LABEL,
    SLOT,
    SOURCE_DOMAIN,
    SOURCE_ENDPOINT,
    VNI,
    ZONE,
)
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.table import DECLARED, IllegalFlow, Miss, Table, _number_of, declare

_ONWARD = (oxm.TUN_ID, oxm.TUN_DST, oxm.TUN_IPV6_DST, oxm.IN_PORT_NXM)

_ADDRESSES = (oxm.ETH_SRC, oxm.ETH_DST, oxm.IPV4_SRC, oxm.IPV4_DST, oxm.IPV6_SRC, oxm.IPV6_DST)

CLASSIFY = declare(
    "CLASSIFY",
    "Tells from the port whose packet it is: an endpoint's (network, domain, endpoint), a tunnel's or an appliance's.",
    matches=(oxm.IN_PORT, oxm.VLAN_VID),
    writes=(VNI, SOURCE_DOMAIN, SOURCE_ENDPOINT),
    leads_to=("TUNNEL_IN", "SOURCE_GUARD", "CHAIN_RETURN", "EXTERNAL_IN"),
)

TUNNEL_IN = declare(
    "TUNNEL_IN",
    "Tells from the tunnel identifier which network a packet from another dSwitch is in, or which segment it is on.",
    matches=(oxm.TUN_ID,),
    writes=(VNI, SEGMENT_LABEL, APPLIANCE, SLOT, HANDED_BACK, ZONE),
    leads_to=("DELIVER", "INSTANCE", "REPLIES"),
    looks_into=("BEGINNINGS",),
)

SOURCE_GUARD = declare(
    "SOURCE_GUARD",
    "Lets an endpoint send from its own MAC and IP addresses only.",
    matches=(SOURCE_ENDPOINT, *_ADDRESSES, oxm.ARP_SPA, oxm.ARP_SHA, oxm.ND_TARGET, oxm.ND_SLL, oxm.ND_TLL),
    leads_to=("NEIGHBOUR",),
    miss=Miss.REPORT,
)

NEIGHBOUR = declare(
    "NEIGHBOUR",
    "Answers ARP requests and neighbour solicitations as far as policy lets the asker know; asks the DPS for others.",
    matches=(
        VNI,
        SOURCE_DOMAIN,
        SOURCE_ENDPOINT,
        oxm.ARP_OP,
        oxm.ARP_TPA,
        oxm.IPV6_SRC,
        oxm.ICMPV6_TYPE,
        oxm.ND_TARGET,
    ),
    writes=(
        oxm.ETH_SRC,
        oxm.ETH_DST,
        oxm.ARP_OP,
        oxm.ARP_SHA,
        oxm.ARP_THA,
        oxm.ARP_SPA,
        oxm.ARP_TPA,
        oxm.IPV6_SRC,
        oxm.IPV6_DST,
        oxm.ICMPV6_TYPE,
        oxm.ND_RESERVED,
        oxm.ND_OPTIONS_TYPE,
    ),
    leads_to=("NEIGHBOUR_REPLY", "SERVICES"),
    answers=True,
    miss=Miss.NEXT,
)

NEIGHBOUR_REPLY = declare(
    "NEIGHBOUR_REPLY",
    "Writes the link-layer address into an advertisement and sends it back; only an advertisement has that field.",
    matches=(oxm.ICMPV6_TYPE,),
    writes=(oxm.ND_TLL,),
    answers=True,
)

SERVICES = declare(
    "SERVICES",
    "Place of the services an endpoint expects from its network: DHCP, IGMP and MLD, router solicitations, DNS.",
    leads_to=("GROUPCAST",),
    miss=Miss.NEXT,
)

GROUPCAST = declare(
    "GROUPCAST",
    "Broadcast and multicast, none of which crosses the overlay unasked.",
    matches=(VNI, oxm.ETH_DST),
    leads_to=("ROUTER",),
    miss=Miss.NEXT,
)

ROUTER = declare(
    "ROUTER",
    "The distributed virtual router: answers pings, ends packets whose TTL is used up, takes a hop off the others.",
    matches=(VNI, oxm.ETH_DST, oxm.IPV4_DST, oxm.IPV6_DST, oxm.IP_TTL, oxm.ICMP_TYPE, oxm.ICMPV6_TYPE),
    writes=(BY_ADDRESS, *_ADDRESSES, oxm.IP_TTL, oxm.ICMP_TYPE, oxm.ICMPV6_TYPE),
    leads_to=("LOCATION",),
    answers=True,
    miss=Miss.NEXT,
)

CHAIN_RETURN = declare(
    "CHAIN_RETURN",
    "Takes a packet back from an appliance: its tag tells the segment that it was on. Answers to probes go to the DPS.",
    matches=(
        oxm.IN_PORT,
        oxm.VLAN_VID,
        oxm.ETH_TYPE,
        oxm.ARP_OP,
        oxm.ARP_SPA,
        oxm.ARP_TPA,
        oxm.ICMPV6_TYPE,
        oxm.ND_TARGET,
    ),
    writes=(oxm.VLAN_VID, SEGMENT_LABEL),
    leads_to=("NEXT_HOP",),
)

NEXT_HOP = declare(
    "NEXT_HOP",
    "Leads a packet that has its appliance behind it to the next segment or, after the last, to its destination.",
    matches=(SEGMENT_LABEL,),
    writes=(VNI, SEGMENT_LABEL, SOURCE_DOMAIN, BY_ADDRESS, CHAINED),
    leads_to=("LOCATION", "CHAIN"),
)

LOCATION = declare(
    "LOCATION",
    "The location half of the policy cache: where a destination address is, and in which domain.",
    matches=(VNI, BY_ADDRESS, oxm.ETH_DST, oxm.IPV4_DST, oxm.IPV6_DST),
    writes=(
        DESTINATION_DOMAIN,
        DESTINATION_ENDPOINT,
        OUTPUT_PORT,
        oxm.TUN_DST,
        oxm.TUN_IPV6_DST,
        oxm.ETH_DST,
    ),
    leads_to=("POLICY",),
    miss=Miss.REQUEST,
)

POLICY = declare(
    "POLICY",
    "The policy half of the cache: what the source domain's packets to the destination domain may do.",
    matches=(VNI, SOURCE_DOMAIN, DESTINATION_DOMAIN, CHAINED),
    writes=(DSCP, REPLY, SEGMENT_LABEL, ZONE),
    leads_to=("CHAIN", "OUTPUT"),
    looks_into=("RATE", "MARK", "COMMIT"),
    miss=Miss.REQUEST,
)

CHAIN = declare(
    "CHAIN",
    "Tells from the segment which appliance is next, and from the connection which slot of it; a tap gets a copy.",
    matches=(SEGMENT_LABEL,),
    writes=(APPLIANCE, SLOT),
    leads_to=("POOL",),
    looks_into=("BEGINNINGS", "POOL", "NEXT_HOP"),
)

POOL = declare(
    "POOL",
    "Sends a packet to where the instance is that takes its slot: here, through a tunnel, or nowhere; or past it.",
    matches=(APPLIANCE, SLOT),
    writes=_ONWARD,
    leads_to=("INSTANCE",),
    looks_into=("NEXT_HOP",),
    answers=True,
)

INSTANCE = declare(
    "INSTANCE",
    "Chooses among the instances that are here.",
    matches=(APPLIANCE, SLOT, HANDED_BACK),
    writes=(OUTPUT_PORT,),
    leads_to=("TAKEOVER", "CHAIN_HOP"),
    looks_into=("CONNECTIONS",),
)

TAKEOVER = declare(
    "TAKEOVER",
    "Gives a new connection to the instance that takes a drained one's place, and an old one back to the drained one.",
    matches=(APPLIANCE, SLOT, BEGINS, OUTPUT_PORT, oxm.ETH_TYPE, oxm.IP_PROTO),
    writes=(OUTPUT_PORT, *_ONWARD),
    leads_to=("CHAIN_HOP",),
    looks_into=("CONNECTIONS",),
    answers=True,
)

CHAIN_HOP = declare(
    "CHAIN_HOP",
    "Hands a packet to an appliance, under the tag that its segment has there.",
    matches=(SEGMENT_LABEL, OUTPUT_PORT),
    writes=(oxm.VLAN_VID, oxm.ETH_DST, oxm.IN_PORT_NXM),
    answers=True,
)

EXTERNAL_IN = declare(
    "EXTERNAL_IN",
    "From the outside world into a network: public addresses and their translation.",
    leads_to=("OUTPUT",),
)

EXTERNAL_OUT = declare(
    "EXTERNAL_OUT",
    "From a network to the outside world: translation to a public address.",
    leads_to=("OUTPUT",),
)

OUTPUT = declare(
    "OUTPUT",
    "Out of the local port, or into the tunnel with the network's identifier.",
    matches=(OUTPUT_PORT, REPLY),
    writes=_ONWARD,
    leads_to=("REPLIES",),
    answers=True,
)

REPLIES = declare(
    "REPLIES",
    "At the dSwitch of its destination, looks up the connection of a packet that may pass as a reply only.",
    matches=(oxm.ETH_TYPE,),
    leads_to=("CHECKED",),
)

CHECKED = declare(
    "CHECKED",
    "Lets replies pass of connections that began here.",
    matches=(oxm.CT_STATE,),
    leads_to=("DELIVER",),
)

DELIVER = declare(
    "DELIVER",
    "From the tunnel to the local endpoint that owns the destination address; back into a tunnel only for one that moved.",
    matches=(VNI, oxm.ETH_DST, oxm.IPV4_DST, oxm.IPV6_DST),
    writes=(oxm.ETH_DST, *_ONWARD),
    answers=True,
    miss=Miss.INVALIDATE,
)

LIMIT = declare(
    "LIMIT",
    "What the endpoint at each port may ask the DPS: a meter ends what is over its rate. Looked into before each request.",
    matches=(oxm.IN_PORT,),
    miss=Miss.RETURN,
)

RATE = declare(
    "RATE",
    "What a policy, or each sender under it, may send: a meter ends what is over its rate. POLICY looks into it.",
    matches=(SOURCE_DOMAIN, DESTINATION_DOMAIN, SOURCE_ENDPOINT),
    miss=Miss.RETURN,
)

MARK = declare(
    "MARK",
    "Writes the code point that the policy says into an IP packet. POLICY looks into it.",
    matches=(oxm.ETH_TYPE,),
    writes=(oxm.IP_TOS,),
    miss=Miss.UNKNOWN,
)

COMMIT = declare(
    "COMMIT",
    "Has the connection kept that a packet begins, so that its replies can be told. POLICY looks into it.",
    matches=(oxm.ETH_TYPE,),
    miss=Miss.UNKNOWN,
)

BEGINNINGS = declare(
    "BEGINNINGS",
    "Tells the first packet of a TCP connection from all others.",
    matches=(oxm.ETH_TYPE, oxm.TCP_FLAGS),
    writes=(BEGINS,),
    miss=Miss.UNKNOWN,
)

CONNECTIONS = declare(
    "CONNECTIONS",
    "The connections that began while an instance was drained, each with the port of who took it. Learned, not sent.",
    matches=(VNI, APPLIANCE, *_ADDRESSES, oxm.TCP_SRC, oxm.TCP_DST),
    writes=(OUTPUT_PORT,),
    miss=Miss.UNKNOWN,
)


TABLES = tuple(DECLARED)
"""All of them; a table's number is its place."""


def _refuse_backward_edges() -> None:
    for table in TABLES:
        for name in table.leads_to:
            if _number_of(name) <= table.number:
                raise IllegalFlow(f"table {table.name} leads back to {name}; OpenFlow only goes forward")


_refuse_backward_edges()


@cache
def goto(table: Table) -> Goto:
    """The action that sends a packet on to *table*."""
    return Goto(table.number)


def miss_flows() -> list[Flow]:
    """The flows of priority 0 of all tables."""
    return [table.miss_flow() for table in TABLES]
