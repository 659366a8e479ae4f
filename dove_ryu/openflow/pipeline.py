"""The pipeline: every table, declared once, in order.

A declaration says what the table is for, what its flows may match, what they may write, where a packet may go from it
and what happens on a miss.  Numbers follow from the order.  :meth:`Table.flow` is the only way to make a flow for a
table, and it refuses what the declaration does not allow, so an illegal flow dies in a unit test and not in a switch.

``python -m dove_ryu.openflow.pipeline`` prints the manual's page of the tables.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dove_ryu.openflow import oxm
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
    Bits,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import (
    Action,
    Clone,
    Flow,
    Goto,
    Learn,
    Match,
    Meter,
    Metered,
    Move,
    Multipath,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    Track,
    Value,
    match,
)
from dove_ryu.openflow.oxm import Field


class IllegalFlow(ValueError):
    """A flow that its table's declaration does not allow."""


class Miss(enum.Enum):
    """What a table does with a packet that no flow matches; each case is a counted flow of priority 0."""

    DROP = "dropped, counted"
    NEXT = "goes on"
    REQUEST = "to the DPS: policy request"
    REPORT = "to the DPS: address report"
    INVALIDATE = "to the DPS: location invalidation, metered"
    RETURN = "nothing limits it"
    UNKNOWN = "goes on where it was looked up from"


INVALIDATIONS = Meter(1, rate=100, burst=100)
"""Limits what a dSwitch tells of stale senders (F19); the packets themselves pass."""

ADDRESS_REPORTS = Meter(2, rate=200, burst=1000)
"""Limits how many new addresses of its endpoints a dSwitch reports (F24): each one is a commit to the store."""

EXPIRED_PACKETS = Meter(3, rate=100, burst=100)
"""Limits the packets whose TTL is used up, as every router does (RFC 4443, 2.4)."""

NEIGHBOUR_REQUESTS = Meter(4, rate=5000, burst=5000)
"""Limits what a dSwitch asks in all of neighbours."""

METERS = (INVALIDATIONS, ADDRESS_REPORTS, EXPIRED_PACKETS, NEIGHBOUR_REQUESTS)
"""Every meter of a dSwitch but those of its endpoints: one for each kind of packet that takes the DPS's time."""

_FIRST_PORT_METER = 16
FIRST_RATE_METER = 1 << 16
"""Meters of policies' rates have their numbers from here on: a port's number has 16 bits."""


def port_meter(port: int) -> int:
    """The number of the meter of the endpoint at a port: what it may ask the DPS, whatever the kind (X3)."""
    return _FIRST_PORT_METER + port


Names = Iterable[Field | Bits]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One table of the pipeline.

    :ivar number: its OpenFlow table number.
    :ivar matches: fields that its flows may compare; what a field requires is allowed with it.
    :ivar writes: fields that its flows may set.
    :ivar leads_to: names of the tables a packet may go to, all of them later; on a miss that goes on, the last of them.
    :ivar answers: whether its flows may send a packet back to where it came from or out of a port.
    :ivar looks_into: names of tables that its flows may have a packet looked up in, earlier ones too; what the packet
        then does is done before the flow's next action, or is all there is.
    :ivar matchable: the fields of *matches* with what they require.
    :ivar writable: the fields of *writes*.
    """

    number: int
    name: str
    purpose: str
    matches: tuple[Field | Bits, ...]
    writes: tuple[Field | Bits, ...]
    leads_to: tuple[str, ...]
    miss: Miss
    answers: bool
    looks_into: tuple[str, ...] = ()
    matchable: frozenset[Field] = field(init=False, repr=False)
    writable: frozenset[Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matchable", _closure(self.matches))
        object.__setattr__(self, "writable", _holders(self.writes))

    def flow(
        self,
        priority: int,
        values: Mapping[Field | Bits, Value],
        actions: Iterable[Action],
        cookie: Cookie,
        hard_timeout: int = 0,
        idle_timeout: int = 0,
    ) -> Flow:
        """A flow of this table.  Of the end of one with an idle time-out the DPS hears.

        :raises IllegalFlow: naming the field, action or table that the declaration does not allow.
        """
        where = match(values)
        notify = idle_timeout > 0
        made = Flow(
            self.number,
            priority,
            where,
            tuple(actions),
            int(cookie),
            min(hard_timeout, MAX_TIMEOUT),
            idle_timeout,
            notify,
        )
        self._check_match(where)
        for action in made.actions:
            self._check_action(action)
        return made

    def _check_match(self, where: Match) -> None:
        for term in reversed(where.terms):  # a prerequisite, which nobody wrote, is blamed last
            if term.field not in self.matchable:
                raise IllegalFlow(f"table {self.name} may not match {term.field.name}")

    def _check_action(self, action: Action) -> None:
        if isinstance(action, Goto):
            if TABLES[action.table].name not in self.leads_to:
                raise IllegalFlow(f"table {self.name} does not lead to {TABLES[action.table].name}")
        elif isinstance(action, SetField | Move | Multipath | PushVlan | PopVlan):
            written = _written(action)
            if written not in self.writable:
                raise IllegalFlow(f"table {self.name} may not write {written.name}")
        elif isinstance(action, Resubmit | Learn):
            if TABLES[action.table].name not in self.looks_into:
                raise IllegalFlow(f"table {self.name} does not look into {TABLES[action.table].name}")
        elif isinstance(action, Clone):
            for each in action.actions:
                self._check_action(each)
        elif isinstance(action, Metered):
            if self.miss is not Miss.RETURN:
                raise IllegalFlow(f"table {self.name} may not do {action}")
        elif isinstance(action, Track):
            self._check_tracking(action)
        elif not self.answers and not isinstance(action, ToController):
            raise IllegalFlow(f"table {self.name} may not do {action}")

    def _check_tracking(self, action: Track) -> None:
        """A connection is kept where packets come back from, and looked up on the way to a later table."""
        if action.table is None and self.miss is not Miss.UNKNOWN:
            raise IllegalFlow(f"table {self.name} may not do {action}")
        if action.table is not None and TABLES[action.table].name not in self.leads_to:
            raise IllegalFlow(f"table {self.name} does not lead to {TABLES[action.table].name}")

    def ask(self, priority: int, values: Mapping[Field | Bits, Value], meter: Meter | None = None) -> Flow:
        """A flow of this table that sends packets to the DPS, as a miss would.

        :param meter: limits the whole kind, beside what limits each endpoint.
        """
        made = self.flow(priority, values, (), Cookie(Kind.MISS, self.number))
        return replace(made, actions=_asking(meter))

    def miss_flow(self) -> Flow:
        """The flow of priority 0 that makes :attr:`miss` so; its cookie's number is the table's."""
        actions: tuple[Action, ...] = ()
        match self.miss:
            case Miss.NEXT:
                actions = (Goto(_number_of(self.leads_to[-1])),)
            case Miss.REQUEST:
                actions = _asking()
            case Miss.REPORT:
                actions = _asking(ADDRESS_REPORTS)
            case Miss.INVALIDATE:
                actions = (ToController(INVALIDATIONS.number),)
        return Flow(self.number, 0, Match(), actions, int(Cookie(Kind.MISS, self.number)))


MAX_TIMEOUT = 65535
"""The longest time-out that OpenFlow can say, in seconds."""


def _holders(names: Names) -> frozenset[Field]:
    return frozenset(name.field if isinstance(name, Bits) else name for name in names)


def _closure(names: Names) -> frozenset[Field]:
    fields = _holders(names)
    return fields | {needed for field in fields for needed, _ in field.requires}


def _written(action: SetField | Move | Multipath | PushVlan | PopVlan) -> Field:
    if isinstance(action, PushVlan | PopVlan):
        return oxm.VLAN_VID
    return action.field if isinstance(action, SetField) else action.target


def _asking(kind: Meter | None = None) -> tuple[Action, ...]:
    """To the DPS, as far as the endpoint whose packet it is may ask it anything.

    LIMIT comes back here, so that the packet comes up from the table that it missed in.
    """
    return Resubmit(LIMIT.number), ToController(None if kind is None else kind.number)


TABLES: list[Table] = []


def _number_of(name: str) -> int:
    return next(table.number for table in TABLES if table.name == name)


def _table(
    name: str,
    purpose: str,
    *,
    matches: Iterable[Field | Bits] = (),
    writes: Iterable[Field | Bits] = (),
    leads_to: Iterable[str] = (),
    miss: Miss = Miss.DROP,
    answers: bool = False,
    looks_into: Iterable[str] = (),
) -> Table:
    made = Table(
        len(TABLES), name, purpose, tuple(matches), tuple(writes), tuple(leads_to), miss, answers, tuple(looks_into)
    )
    TABLES.append(made)
    return made


_ONWARD = (oxm.TUN_ID, oxm.TUN_DST, oxm.TUN_IPV6_DST, oxm.IN_PORT_NXM)
_ADDRESSES = (oxm.ETH_SRC, oxm.ETH_DST, oxm.IPV4_SRC, oxm.IPV4_DST, oxm.IPV6_SRC, oxm.IPV6_DST)

CLASSIFY = _table(
    "CLASSIFY",
    "Tells from the port whose packet it is: an endpoint's (network, domain, endpoint), a tunnel's or an appliance's.",
    matches=(oxm.IN_PORT, oxm.VLAN_VID),
    writes=(VNI, SOURCE_DOMAIN, SOURCE_ENDPOINT),
    leads_to=("TUNNEL_IN", "SOURCE_GUARD", "CHAIN_RETURN", "EXTERNAL_IN"),
)
TUNNEL_IN = _table(
    "TUNNEL_IN",
    "Tells from the tunnel identifier which network a packet from another dSwitch is in, or which segment it is on.",
    matches=(oxm.TUN_ID,),
    writes=(VNI, SEGMENT_LABEL, APPLIANCE, SLOT, HANDED_BACK, ZONE),
    leads_to=("DELIVER", "INSTANCE", "REPLIES"),
    looks_into=("BEGINNINGS",),
)
SOURCE_GUARD = _table(
    "SOURCE_GUARD",
    "Lets an endpoint send from its own MAC and IP addresses only.",
    matches=(SOURCE_ENDPOINT, *_ADDRESSES, oxm.ARP_SPA, oxm.ARP_SHA, oxm.ND_TARGET, oxm.ND_SLL, oxm.ND_TLL),
    leads_to=("NEIGHBOUR",),
    miss=Miss.REPORT,
)
NEIGHBOUR = _table(
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
NEIGHBOUR_REPLY = _table(
    "NEIGHBOUR_REPLY",
    "Writes the link-layer address into an advertisement and sends it back; only an advertisement has that field.",
    matches=(oxm.ICMPV6_TYPE,),
    writes=(oxm.ND_TLL,),
    answers=True,
)
SERVICES = _table(
    "SERVICES",
    "Place of the services an endpoint expects from its network: DHCP, IGMP and MLD, router solicitations, DNS.",
    leads_to=("GROUPCAST",),
    miss=Miss.NEXT,
)
GROUPCAST = _table(
    "GROUPCAST",
    "Broadcast and multicast, none of which crosses the overlay unasked.",
    matches=(VNI, oxm.ETH_DST),
    leads_to=("ROUTER",),
    miss=Miss.NEXT,
)
ROUTER = _table(
    "ROUTER",
    "The distributed virtual router: answers pings, ends packets whose TTL is used up, takes a hop off the others.",
    matches=(VNI, oxm.ETH_DST, oxm.IPV4_DST, oxm.IPV6_DST, oxm.IP_TTL, oxm.ICMP_TYPE, oxm.ICMPV6_TYPE),
    writes=(BY_ADDRESS, *_ADDRESSES, oxm.IP_TTL, oxm.ICMP_TYPE, oxm.ICMPV6_TYPE),
    leads_to=("LOCATION",),
    answers=True,
    miss=Miss.NEXT,
)
CHAIN_RETURN = _table(
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
NEXT_HOP = _table(
    "NEXT_HOP",
    "Leads a packet that has its appliance behind it to the next segment or, after the last, to its destination.",
    matches=(SEGMENT_LABEL,),
    writes=(VNI, SEGMENT_LABEL, SOURCE_DOMAIN, BY_ADDRESS, CHAINED),
    leads_to=("LOCATION", "CHAIN"),
)
LOCATION = _table(
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
POLICY = _table(
    "POLICY",
    "The policy half of the cache: what the source domain's packets to the destination domain may do.",
    matches=(VNI, SOURCE_DOMAIN, DESTINATION_DOMAIN, CHAINED),
    writes=(DSCP, REPLY, SEGMENT_LABEL, ZONE),
    leads_to=("CHAIN", "OUTPUT"),
    looks_into=("RATE", "MARK", "COMMIT"),
    miss=Miss.REQUEST,
)
CHAIN = _table(
    "CHAIN",
    "Tells from the segment which appliance is next, and from the connection which slot of it; a tap gets a copy.",
    matches=(SEGMENT_LABEL,),
    writes=(APPLIANCE, SLOT),
    leads_to=("POOL",),
    looks_into=("BEGINNINGS", "POOL", "NEXT_HOP"),
)
POOL = _table(
    "POOL",
    "Sends a packet to where the instance is that takes its slot: here, through a tunnel, or nowhere; or past it.",
    matches=(APPLIANCE, SLOT),
    writes=_ONWARD,
    leads_to=("INSTANCE",),
    looks_into=("NEXT_HOP",),
    answers=True,
)
INSTANCE = _table(
    "INSTANCE",
    "Chooses among the instances that are here.",
    matches=(APPLIANCE, SLOT, HANDED_BACK),
    writes=(OUTPUT_PORT,),
    leads_to=("TAKEOVER", "CHAIN_HOP"),
    looks_into=("CONNECTIONS",),
)
TAKEOVER = _table(
    "TAKEOVER",
    "Gives a new connection to the instance that takes a drained one's place, and an old one back to the drained one.",
    matches=(APPLIANCE, SLOT, BEGINS, OUTPUT_PORT, oxm.ETH_TYPE, oxm.IP_PROTO),
    writes=(OUTPUT_PORT, *_ONWARD),
    leads_to=("CHAIN_HOP",),
    looks_into=("CONNECTIONS",),
    answers=True,
)
CHAIN_HOP = _table(
    "CHAIN_HOP",
    "Hands a packet to an appliance, under the tag that its segment has there.",
    matches=(SEGMENT_LABEL, OUTPUT_PORT),
    writes=(oxm.VLAN_VID, oxm.ETH_DST, oxm.IN_PORT_NXM),
    answers=True,
)
EXTERNAL_IN = _table(
    "EXTERNAL_IN",
    "From the outside world into a network: public addresses and their translation.",
    leads_to=("OUTPUT",),
)
EXTERNAL_OUT = _table(
    "EXTERNAL_OUT",
    "From a network to the outside world: translation to a public address.",
    leads_to=("OUTPUT",),
)
OUTPUT = _table(
    "OUTPUT",
    "Out of the local port, or into the tunnel with the network's identifier.",
    matches=(OUTPUT_PORT, REPLY),
    writes=_ONWARD,
    leads_to=("REPLIES",),
    answers=True,
)
REPLIES = _table(
    "REPLIES",
    "At the dSwitch of its destination, looks up the connection of a packet that may pass as a reply only.",
    matches=(oxm.ETH_TYPE,),
    leads_to=("CHECKED",),
)
CHECKED = _table(
    "CHECKED",
    "Lets replies pass of connections that began here.",
    matches=(oxm.CT_STATE,),
    leads_to=("DELIVER",),
)
DELIVER = _table(
    "DELIVER",
    "From the tunnel to the local endpoint that owns the destination address; back into a tunnel only for one that moved.",
    matches=(VNI, oxm.ETH_DST, oxm.IPV4_DST, oxm.IPV6_DST),
    writes=(oxm.ETH_DST, *_ONWARD),
    answers=True,
    miss=Miss.INVALIDATE,
)
LIMIT = _table(
    "LIMIT",
    "What the endpoint at each port may ask the DPS: a meter ends what is over its rate. Looked into before each request.",
    matches=(oxm.IN_PORT,),
    miss=Miss.RETURN,
)
RATE = _table(
    "RATE",
    "What a policy, or each sender under it, may send: a meter ends what is over its rate. POLICY looks into it.",
    matches=(SOURCE_DOMAIN, DESTINATION_DOMAIN, SOURCE_ENDPOINT),
    miss=Miss.RETURN,
)
MARK = _table(
    "MARK",
    "Writes the code point that the policy says into an IP packet. POLICY looks into it.",
    matches=(oxm.ETH_TYPE,),
    writes=(oxm.IP_TOS,),
    miss=Miss.UNKNOWN,
)
COMMIT = _table(
    "COMMIT",
    "Has the connection kept that a packet begins, so that its replies can be told. POLICY looks into it.",
    matches=(oxm.ETH_TYPE,),
    miss=Miss.UNKNOWN,
)
BEGINNINGS = _table(
    "BEGINNINGS",
    "Tells the first packet of a TCP connection from all others.",
    matches=(oxm.ETH_TYPE, oxm.TCP_FLAGS),
    writes=(BEGINS,),
    miss=Miss.UNKNOWN,
)
CONNECTIONS = _table(
    "CONNECTIONS",
    "The connections that began while an instance was drained, each with the port of who took it. Learned, not sent.",
    matches=(VNI, APPLIANCE, *_ADDRESSES, oxm.TCP_SRC, oxm.TCP_DST),
    writes=(OUTPUT_PORT,),
    miss=Miss.UNKNOWN,
)


def _refuse_backward_edges() -> None:
    for table in TABLES:
        for name in table.leads_to:
            if _number_of(name) <= table.number:
                raise IllegalFlow(f"table {table.name} leads back to {name}; OpenFlow only goes forward")


_refuse_backward_edges()


def goto(table: Table) -> Goto:
    """The action that sends a packet on to *table*."""
    return Goto(table.number)


def miss_flows() -> list[Flow]:
    """The flows of priority 0 of all tables."""
    return [table.miss_flow() for table in TABLES]


def manual_page() -> str:
    """The tables as reStructuredText, for the manual."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 5 15 40 25 15", ""]
    rows = [("#", "Table", "Job", "Matches", "On a miss")]
    for table in TABLES:
        names = ", ".join(name.name for name in table.matches) or "–"
        rows.append((str(table.number), table.name, table.purpose, names, table.miss.value))
    for row in rows:
        lines += [f"   {'*' if position == 0 else ' '} - {cell}" for position, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(manual_page(), end="")
