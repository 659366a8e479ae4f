"""dSwitches simulated: tables of flows that packets go through, tunnels between them, and the DPS that they ask.

Small enough to be believed by reading it.  A lookup that two flows of one priority would answer differently is an error
here, though a real switch would take either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dove_ryu.dps import Dps, Effects
from dove_ryu.features import TUNNEL_PORTS
from dove_ryu.model.entities import Learned
from dove_ryu.model.world import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.flow import (
    IN_PORT,
    Action,
    DecrementTtl,
    Flow,
    FlowChange,
    FlowDelete,
    FlowKey,
    FlowStrictDelete,
    Goto,
    Match,
    Move,
    Output,
    OutputTo,
    PacketIn,
    Resubmit,
    SetField,
    ToController,
)
from dove_ryu.openflow.oxm import Field

CARRIED = (oxm.METADATA, *oxm.REGISTERS)
TAGGED = 0x8100
MOST_QUESTIONS = 5

Span = tuple[int, int]
ETHERNET: dict[Field, Span] = {oxm.ETH_DST: (0, 6), oxm.ETH_SRC: (6, 12), oxm.ETH_TYPE: (12, 14)}
ARP: dict[Field, Span] = {
    oxm.ARP_OP: (20, 22),
    oxm.ARP_SHA: (22, 28),
    oxm.ARP_SPA: (28, 32),
    oxm.ARP_THA: (32, 38),
    oxm.ARP_TPA: (38, 42),
}
IPV4: dict[Field, Span] = {
    oxm.IP_TTL: (22, 23),
    oxm.IP_PROTO: (23, 24),
    oxm.IPV4_SRC: (26, 30),
    oxm.IPV4_DST: (30, 34),
}
IPV6: dict[Field, Span] = {
    oxm.IP_PROTO: (20, 21),
    oxm.IP_TTL: (21, 22),
    oxm.IPV6_SRC: (22, 38),
    oxm.IPV6_DST: (38, 54),
}
ICMP: dict[Field, Span] = {oxm.ICMP_TYPE: (34, 35)}
ICMPV6: dict[Field, Span] = {oxm.ICMPV6_TYPE: (54, 55)}
NEIGHBOUR: dict[Field, Span] = {oxm.ND_RESERVED: (58, 62), oxm.ND_TARGET: (62, 78), oxm.ND_OPTIONS_TYPE: (78, 79)}
LINK_LAYER: dict[tuple[int, int], dict[Field, Span]] = {
    (oxm.NEIGHBOUR_SOLICITATION, 1): {oxm.ND_SLL: (80, 86)},
    (oxm.NEIGHBOUR_ADVERTISEMENT, 2): {oxm.ND_TLL: (80, 86)},
}


@dataclass
class Packet:
    """A frame with what the pipeline knows of it."""

    frame: bytearray
    known: dict[Field, int] = field(default_factory=dict)

    def spans(self) -> dict[Field, Span]:
        """Where the fields are that this very frame has."""
        kind = int.from_bytes(self.frame[12:14], "big")
        layers = {oxm.ARP: ARP, oxm.IPV4: IPV4, oxm.IPV6: IPV6}.get(kind, {})
        spans = ETHERNET | layers
        if kind == oxm.IPV4 and self.frame[23] == oxm.ICMP:
            spans |= ICMP
        if kind == oxm.IPV6 and self.frame[20] == oxm.ICMPV6:
            spans |= ICMPV6
            if self.frame[54] in (oxm.NEIGHBOUR_SOLICITATION, oxm.NEIGHBOUR_ADVERTISEMENT):
                spans |= NEIGHBOUR | LINK_LAYER.get((self.frame[54], self.frame[78]), {})
        return spans

    def values(self) -> dict[Field, int]:
        """Every field of the packet; the pipeline's own are 0 until something is known."""
        inside = {what: int.from_bytes(self.frame[low:high], "big") for what, (low, high) in self.spans().items()}
        tag = int.from_bytes(self.frame[14:16], "big") & 0xFFF | 0x1000 if inside[oxm.ETH_TYPE] == TAGGED else 0
        return dict.fromkeys(CARRIED, 0) | self.known | inside | {oxm.VLAN_VID: tag}

    def write(self, what: Field, value: int) -> None:
        """Give a field a value; KeyError where this frame has no such field."""
        if what in CARRIED or what in (oxm.TUN_ID, oxm.TUN_DST, oxm.TUN_IPV6_DST):
            self.known[what] = value
        else:
            low, high = self.spans()[what]
            self.frame[low:high] = value.to_bytes(high - low, "big")


def agrees(where: Match, values: Mapping[Field, int]) -> bool:
    """Whether a packet of *values* has every field of *where*, and they are so."""
    return all(term.field in values and values[term.field] & term.mask == term.value for term in where.terms)


def selects(deletion: FlowDelete, flow: Flow) -> bool:
    """Whether a flow is at least as specific as a deletion (OpenFlow 1.3.5, 6.4)."""
    terms = {term.field: term for term in flow.match.terms}
    return (
        (flow.cookie ^ deletion.cookie) & deletion.cookie_mask == 0
        and deletion.table in (None, flow.table)
        and all(
            wanted.field in terms
            and wanted.mask & ~terms[wanted.field].mask == 0
            and terms[wanted.field].value & wanted.mask == wanted.value
            for wanted in deletion.match.terms
        )
    )


class Switch:
    """One dSwitch: its ports, and its flows."""

    def __init__(self, dpid: int, ports: Mapping[str, int]) -> None:
        self.dpid = dpid
        self.ports = dict(ports)
        self._tables: dict[int, dict[FlowKey, Flow]] = {}

    @property
    def flows(self) -> list[Flow]:
        """All that it holds."""
        return [flow for flows in self._tables.values() for flow in flows.values()]

    def carry_out(self, changes: Iterable[FlowChange]) -> None:
        """Take flow changes in."""
        for change in changes:
            match change:
                case Flow():
                    self._tables.setdefault(change.table, {})[change.key] = change
                case FlowStrictDelete(key):
                    self._tables.get(key.table, {}).pop(key, None)
                case FlowDelete():
                    for flow in [flow for flow in self.flows if selects(change, flow)]:
                        del self._tables[flow.table][flow.key]

    def lookup(self, table: int, packet: Packet) -> Flow | None:
        """The flow that a packet meets in a table."""
        values = packet.values()
        met = [flow for flow in self._tables.get(table, {}).values() if agrees(flow.match, values)]
        if not met:
            return None
        first = max(flow.priority for flow in met)
        best = [flow for flow in met if flow.priority == first]
        assert len({flow.actions for flow in best}) == 1, "either of two flows:\n" + "\n".join(map(str, best))
        return best[0]

    def run(self, packet: Packet, table: int = 0) -> Iterator[int | PacketIn]:
        """Send a packet through the tables: the ports that it goes out of, and what comes up to the DPS."""
        at: int | None = table
        while at is not None:
            flow = self.lookup(at, packet)
            at = None
            for action in flow.actions if flow is not None else ():
                assert flow is not None
                if isinstance(action, Goto):
                    at = action.table
                elif isinstance(action, ToController):
                    known = {what: value for what, value in packet.known.items() if value}
                    yield PacketIn(flow.cookie, flow.table, known, bytes(packet.frame))
                else:
                    yield from act(packet, action)


def act(packet: Packet, action: Action) -> Iterator[int]:
    """Do one action; the port that the packet goes out of, if it does."""
    values = packet.values()
    match action:
        case SetField(what, value, mask):
            packet.write(what, values.get(what, 0) & ~mask | value)
        case Move(source, target, width):
            mask = (1 << width) - 1
            packet.write(target, values.get(target, 0) & ~mask | values[source] & mask)
        case DecrementTtl():
            packet.write(oxm.IP_TTL, values[oxm.IP_TTL] - 1)
        case Output(port) if port == IN_PORT:
            yield values[oxm.IN_PORT]
        case Output() | OutputTo():
            port = action.port if isinstance(action, Output) else values[action.field]
            if port != values[oxm.IN_PORT]:  # a switch sends nothing back by accident
                yield port
        case _:
            raise AssertionError(f"a table has no use for {action}")


@dataclass(frozen=True)
class Delivery:
    """A frame that has come out of an endpoint's port."""

    dpid: int
    port: str
    frame: bytes


class Fabric:
    """Some dSwitches, joined by tunnels and served by one DPS.

    :ivar questions: how often the DPS was asked.
    :ivar lessons: what packets taught, for a store that is not here.
    """

    def __init__(self, dps: Dps) -> None:
        self.dps = dps
        self.switches: dict[int, Switch] = {}
        self.questions = 0
        self.lessons: list[Learned] = []

    def connect(self, dpid: int, ports: Mapping[str, int]) -> None:
        """A dSwitch connects, with whatever flows it held before."""
        switch = self.switches.setdefault(dpid, Switch(dpid, ports))
        switch.ports = dict(ports)
        switch.carry_out(self.dps.connect(dpid, ports, switch.flows))

    def show_ports(self, dpid: int, ports: Mapping[str, int]) -> None:
        """A connected dSwitch's ports change."""
        self.switches[dpid].ports = dict(ports)
        self._carry_out(self.dps.show_ports(dpid, ports))

    def apply(self, changes: Iterable[Change]) -> None:
        """Tell the DPS, and the dSwitches what it says."""
        self._carry_out(self.dps.apply(changes))

    def _carry_out(self, effects: Effects) -> None:
        for dpid, changes in effects.items():
            self.switches[dpid].carry_out(changes)

    def fresh(self) -> Fabric:
        """The same dSwitches with nothing cached, their flows computed from the world alone."""
        made = Fabric(self.dps)
        for dpid, switch in self.switches.items():
            made.switches[dpid] = Switch(dpid, switch.ports)
            made.switches[dpid].carry_out(self.dps.standing_flows(dpid))
        return made

    def send(self, dpid: int, port: str, frame: bytes) -> list[Delivery]:
        """An endpoint at a port sends a frame: where it comes out again."""
        switch = self.switches.get(dpid)
        if switch is None or port not in switch.ports:
            return []
        return list(self._enter(switch, Packet(bytearray(frame), {oxm.IN_PORT: switch.ports[port]})))

    def _enter(self, switch: Switch, packet: Packet) -> Iterator[Delivery]:
        held: list[PacketIn] = []
        for out in switch.run(packet):
            if isinstance(out, PacketIn):
                held.append(out)
            else:
                yield from self._leave(switch, packet, out)
        asked = 0
        while held:
            asked += 1
            assert asked <= MOST_QUESTIONS, f"the DPS is asked for ever: {held[0]}"
            yield from self._ask(switch, held.pop(0), held)

    def _ask(self, switch: Switch, question: PacketIn, held: list[PacketIn]) -> Iterator[Delivery]:
        self.questions += 1
        answer = self.dps.packet_in(switch.dpid, question)
        switch.carry_out(answer.flows)
        if answer.learned is not None:
            self.lessons.append(answer.learned)
        for sent in answer.packets:
            packet = Packet(bytearray(sent.data), {oxm.IN_PORT: sent.in_port})
            for action in sent.actions:
                going = switch.run(packet, action.table) if isinstance(action, Resubmit) else act(packet, action)
                for out in going:
                    if isinstance(out, PacketIn):
                        held.append(out)
                    else:
                        yield from self._leave(switch, packet, out)

    def _leave(self, switch: Switch, packet: Packet, port: int) -> Iterator[Delivery]:
        names = [name for name, number in switch.ports.items() if number == port]
        if not names:
            return
        if names[0] not in TUNNEL_PORTS.values():
            yield Delivery(switch.dpid, names[0], bytes(packet.frame))
            return
        assert oxm.TUN_ID in packet.known, "a packet leaves through a tunnel unmarked"
        underlay = [packet.known[what] for what in (oxm.TUN_DST, oxm.TUN_IPV6_DST) if what in packet.known]
        assert len(underlay) == 1, "a packet leaves through a tunnel to one address"
        target = self._at(underlay[0])
        if target is not None and names[0] in target.ports:
            known = {oxm.IN_PORT: target.ports[names[0]], oxm.TUN_ID: packet.known[oxm.TUN_ID]}
            for delivery in self._enter(target, Packet(bytearray(packet.frame), known)):
                assert delivery.dpid == target.dpid, "what came from a tunnel went into one"
                yield delivery

    def _at(self, address: int) -> Switch | None:
        for dpid, dswitch in self.dps.world.dswitches.items():
            for ip in dswitch.encap_ips:
                if address == (oxm.TUN_IPV6_DST if ":" in ip else oxm.TUN_DST).parse(ip):
                    return self.switches.get(dpid)
        return None
