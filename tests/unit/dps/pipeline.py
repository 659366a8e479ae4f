"""dSwitches simulated: tables of flows that packets go through, tunnels between them, and the DPS that they ask.

Small enough to be believed by reading it.  A lookup that two flows of one priority would answer differently is an error
here, though a real switch would take either.  So is a packet that tunnels carry for ever.  Time passes when told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dove_ryu.consequences import Effects
from dove_ryu.dps import Dps
from dove_ryu.fairness import Admission
from dove_ryu.features import TUNNEL_PORTS
from dove_ryu.model.entities import Learned, Location
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    IN_PORT,
    Action,
    Clone,
    DecrementTtl,
    FinTimeout,
    Goto,
    Learn,
    Metered,
    Move,
    Multipath,
    Output,
    OutputTo,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    Track,
)
from dove_ryu.openflow.flow import End, Flow, FlowChange, FlowDelete, FlowEnd, FlowKey, FlowStrictDelete, PacketIn
from dove_ryu.openflow.match import Match, Term
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.symmetric import connection_hash

CARRIED = (oxm.METADATA, *oxm.REGISTERS)
OF_THE_TUNNEL = (oxm.TUN_ID, oxm.TUN_DST, oxm.TUN_IPV6_DST)
TAGGED = 0x8100
ECHO_REQUESTS = (8, 128)
NEW = 1
Connection = tuple[int, tuple[int | None, int | None], tuple[int | None, int | None]]
"""A zone, who began, and who was meant."""

MOST_QUESTIONS = 5
MOST_TUNNELS = 4
"""Through how many tunnels a packet may go: one, and one more for each tombstone that it meets."""

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
    oxm.IP_TOS: (15, 16),
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
ICMP: dict[Field, Span] = {oxm.ICMP_TYPE: (34, 35), oxm.ICMP_CODE: (35, 36)}
ICMPV6: dict[Field, Span] = {oxm.ICMPV6_TYPE: (54, 55), oxm.ICMPV6_CODE: (55, 56)}
TCP: dict[Field, Span] = {oxm.TCP_SRC: (34, 36), oxm.TCP_DST: (36, 38), oxm.TCP_FLAGS: (46, 48)}
TCP6 = {what: (low + 20, high + 20) for what, (low, high) in TCP.items()}
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
        """Where the fields are that this very frame has; what is behind a tag is there all the same."""
        if not self.tagged:
            return self._spans(self.frame)
        spans = self._spans(self.frame[:12] + self.frame[16:])
        return {what: (low + 4, high + 4) if low >= 12 else (low, high) for what, (low, high) in spans.items()}

    @staticmethod
    def _spans(frame: bytearray) -> dict[Field, Span]:
        kind = int.from_bytes(frame[12:14], "big")
        layers = {oxm.ARP: ARP, oxm.IPV4: IPV4, oxm.IPV6: IPV6}.get(kind, {})
        spans = ETHERNET | layers
        if kind == oxm.IPV4 and frame[23] == oxm.ICMP:
            spans |= ICMP
        if kind == oxm.IPV4 and frame[23] == oxm.TCP:
            spans |= TCP
        if kind == oxm.IPV6 and frame[20] == oxm.TCP:
            spans |= TCP6
        if kind == oxm.IPV6 and frame[20] == oxm.ICMPV6:
            spans |= ICMPV6
            if frame[54] in (oxm.NEIGHBOUR_SOLICITATION, oxm.NEIGHBOUR_ADVERTISEMENT):
                spans |= NEIGHBOUR | LINK_LAYER.get((frame[54], frame[78]), {})
        return spans

    @property
    def tagged(self) -> bool:
        """Whether it carries a VLAN tag."""
        return int.from_bytes(self.frame[12:14], "big") == TAGGED

    def push(self) -> None:
        """Put a tag in."""
        self.frame[12:12] = bytes((*TAGGED.to_bytes(2, "big"), 0, 0))

    def pop(self) -> None:
        """Take the tag out."""
        assert self.tagged, "a tag is taken off where there is none"
        del self.frame[12:16]

    def values(self) -> dict[Field, int]:
        """Every field of the packet; the pipeline's own are 0 until something is known."""
        spans = self.spans().items()
        inside = {what: int.from_bytes(self.frame[low:high], "big") & what.full_mask for what, (low, high) in spans}
        tag = int.from_bytes(self.frame[14:16], "big") & 0xFFF | oxm.TAGGED if self.tagged else 0
        if inside[oxm.ETH_TYPE] == oxm.IPV6:
            inside[oxm.IP_TOS] = int.from_bytes(self.frame[14:16], "big") >> 4 & 0xFF
        return dict.fromkeys((*CARRIED, oxm.CT_STATE), 0) | self.known | inside | {oxm.VLAN_VID: tag}

    def write(self, what: Field, value: int) -> None:
        """Give a field a value; KeyError where this frame has no such field."""
        if what is oxm.IN_PORT_NXM:
            self.known[oxm.IN_PORT] = value
        elif what in CARRIED or what in OF_THE_TUNNEL:
            self.known[what] = value
        elif what is oxm.VLAN_VID:
            assert self.tagged, "a VID is written where there is no tag"
            assert value & oxm.TAGGED, "a tag cannot be written away"
            self.frame[14:16] = (value & 0xFFF).to_bytes(2, "big")
        elif what is oxm.IP_TOS and self.frame[12:14] == oxm.IPV6.to_bytes(2, "big"):  # it is half in either octet
            first = int.from_bytes(self.frame[14:16], "big")
            self.frame[14:16] = (first & ~0xFF0 | value << 4).to_bytes(2, "big")
        else:
            low, high = self.spans()[what]
            self.frame[low:high] = value.to_bytes(high - low, "big")


def agrees(where: Match, values: Mapping[Field, int]) -> bool:
    """Whether a packet of *values* has every field of *where*, and they are so."""
    return all(term.field in values and values[term.field] & term.mask == term.value for term in where)


def selects(deletion: FlowDelete, flow: Flow) -> bool:
    """Whether a flow is at least as specific as a deletion (OpenFlow 1.3.5, 6.4)."""
    terms = {term.field: term for term in flow.match}
    return (
        (flow.cookie ^ deletion.cookie) & deletion.cookie_mask == 0
        and deletion.table in (None, flow.table)
        and all(
            wanted.field in terms
            and wanted.mask & ~terms[wanted.field].mask == 0
            and terms[wanted.field].value & wanted.mask == wanted.value
            for wanted in deletion.match
        )
    )


@dataclass
class Entry:
    """A flow that a dSwitch holds.

    :ivar born: when it was added.
    :ivar used: when a packet last met it, or when it was added.
    :ivar packets: how many packets have met it.
    """

    flow: Flow
    born: int
    used: int
    packets: int = 0

    @property
    def end(self) -> tuple[float, End]:
        """When it goes if no packet meets it any more, and why."""
        idle = self.used + self.flow.idle_timeout if self.flow.idle_timeout else math.inf
        hard = self.born + self.flow.hard_timeout if self.flow.hard_timeout else math.inf
        return (hard, End.HARD) if hard <= idle else (idle, End.IDLE)


@dataclass(frozen=True)
class Copy:
    """A copy of a packet that goes out of a port, while the packet itself goes elsewhere."""

    port: int
    packet: Packet


class Switch:
    """One dSwitch: its ports, and its flows.

    :ivar now: seconds since the beginning.
    :ivar ends: flows that have ended, of which the DPS is still to hear.
    """

    def __init__(self, dpid: int, ports: Mapping[str, int], now: int = 0) -> None:
        self.dpid = dpid
        self.ports = dict(ports)
        self.now = now
        self.ends: list[FlowEnd] = []
        self._connections: set[Connection] = set()
        self._tables: dict[int, dict[FlowKey, Entry]] = {}
        self._by_priority: dict[int, list[Entry]] = {}

    @property
    def flows(self) -> list[Flow]:
        """All that it holds."""
        return [entry.flow for entry in self._entries()]

    def _entries(self) -> Iterator[Entry]:
        return (entry for entries in self._tables.values() for entry in entries.values())

    def carry_out(self, changes: Iterable[FlowChange]) -> None:
        """Take flow changes in."""
        self._by_priority.clear()
        for change in changes:
            match change:
                case Flow():
                    self._tables.setdefault(change.table, {})[change.key] = Entry(change, self.now, self.now)
                case FlowStrictDelete(key):
                    self._remove([each for each in self._entries() if each.flow.key == key], End.DELETED)
                case FlowDelete():
                    self._remove([each for each in self._entries() if selects(change, each.flow)], End.DELETED)

    def _remove(self, entries: Iterable[Entry], why: End) -> None:
        self._by_priority.clear()
        for entry in entries:
            del self._tables[entry.flow.table][entry.flow.key]
            if entry.flow.notify:
                self.ends.append(FlowEnd(entry.flow._replace(actions=()), why, entry.packets))

    def next_end(self) -> float:
        """When the next flow ends by itself."""
        return min((entry.end[0] for entry in self._entries()), default=math.inf)

    def come_to(self, now: int) -> None:
        """It is later now; flows whose time is up go."""
        self.now = now
        for why in (End.IDLE, End.HARD):
            self._remove([entry for entry in self._entries() if entry.end[0] <= now and entry.end[1] is why], why)

    def restart(self) -> None:
        """The tables are empty, and nobody is told."""
        self._tables.clear()
        self._by_priority.clear()
        self.ends.clear()

    def lookup(self, table: int, packet: Packet) -> Flow | None:
        """The flow that a packet meets in a table."""
        values = packet.values()
        best: list[Entry] = []
        for entry in self._in_order(table):
            if best and entry.flow.priority < best[0].flow.priority:
                break
            if agrees(entry.flow.match, values):
                best.append(entry)
        if not best:
            return None
        told = "\n".join(str(entry.flow) for entry in best)
        assert len({entry.flow.actions for entry in best}) == 1, f"either of two flows:\n{told}"
        best[0].packets += 1
        best[0].used = self.now
        return best[0].flow

    def _in_order(self, table: int) -> list[Entry]:
        """A table's entries, the highest priority first; kept until something changes."""
        if table not in self._by_priority:
            entries = self._tables.get(table, {}).values()
            self._by_priority[table] = sorted(entries, key=lambda entry: -entry.flow.priority)
        return self._by_priority[table]

    def run(self, packet: Packet, table: int = 0) -> Iterator[int | PacketIn | Copy]:
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
                elif isinstance(action, Resubmit):
                    yield from self.run(packet, action.table)
                elif isinstance(action, Track):
                    at = self._track(packet, action)
                elif isinstance(action, Clone):
                    yield from self._copy(packet, action)
                elif isinstance(action, Learn):
                    self.carry_out([learned(action, packet.values())])
                elif not isinstance(action, Metered):  # no packet here is one too many
                    yield from act(packet, action)

    def _track(self, packet: Packet, action: Track) -> int | None:
        """Keep the connection that a ping begins, or tell whether it answers one."""
        values = packet.values()
        zone = values[action.zone] & (1 << action.width) - 1
        kind = values.get(oxm.ICMP_TYPE, values.get(oxm.ICMPV6_TYPE))
        source = (values.get(oxm.IPV4_SRC), values.get(oxm.IPV6_SRC))
        target = (values.get(oxm.IPV4_DST), values.get(oxm.IPV6_DST))
        assert zone, "a connection is of some network"
        if action.table is None and kind in ECHO_REQUESTS:
            self._connections.add((zone, source, target))
        elif action.table is not None:
            known = kind not in ECHO_REQUESTS and (zone, target, source) in self._connections
            packet.known[oxm.CT_STATE] = oxm.TRACKED | (oxm.ESTABLISHED | oxm.REPLYING if known else NEW)
        return action.table

    def _copy(self, packet: Packet, clone: Clone) -> Iterator[PacketIn | Copy]:
        copied = Packet(bytearray(packet.frame), dict(packet.known))
        for action in clone.actions:
            doing = self.run(copied, action.table) if isinstance(action, Resubmit) else act(copied, action)
            for out in doing:
                yield Copy(out, copied) if isinstance(out, int) else out


def connection(values: Mapping[Field, int]) -> int:
    """The hash of the connection that a packet is of; of what is no IP it does not matter here."""
    for source, destination in ((oxm.IPV4_SRC, oxm.IPV4_DST), (oxm.IPV6_SRC, oxm.IPV6_DST)):
        if source in values:
            ends = (values[each].to_bytes(each.octets, "big") for each in (source, destination))
            ports = (values[oxm.TCP_SRC], values[oxm.TCP_DST]) if oxm.TCP_SRC in values else None
            return connection_hash(next(ends), next(ends), values[oxm.IP_PROTO], ports)
    return 0


def learned(action: Learn, values: Mapping[Field, int]) -> Flow:
    """The flow that an action makes of a packet."""
    like = (Term(target, values[source], target.full_mask) for target, source in action.like)
    terms = sorted((*action.where, *like), key=lambda term: term.field.rank)
    load = SetField(action.load, values[action.load], action.load.full_mask)
    then = (FinTimeout(action.fin_timeout), load)
    return Flow(action.table, action.priority, Match(terms), then, action.cookie, 0, action.idle_timeout)


def act(packet: Packet, action: Action) -> Iterator[int]:
    """Do one action; the port that the packet goes out of, if it does."""
    values = packet.values()
    match action:
        case SetField(what, value, mask):
            packet.write(what, values.get(what, 0) & ~mask | value)
        case Move(source, target, width, low, high):
            mask = (1 << width) - 1
            taken = (values[source] >> low & mask) << high
            packet.write(target, values.get(target, 0) & ~(mask << high) | taken)
        case Multipath(target, width, links):
            mask = (1 << width) - 1
            packet.write(target, values.get(target, 0) & ~mask | connection(values) % links)
        case FinTimeout():
            pass  # connections do not end here
        case PushVlan():
            packet.push()
        case PopVlan():
            packet.pop()
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

    :ivar admission: stands before the DPS, where it does; its clock is the fabric's.
    :ivar questions: how often the DPS was asked.
    :ivar lessons: what packets taught, for a store that is not here.
    :ivar arrivals: endpoints that have spoken where a live migration was taking them.
    :ivar now: seconds since the beginning.
    """

    def __init__(self, dps: Dps, now: int = 0) -> None:
        self.dps = dps
        self.admission: Admission | None = None
        self.switches: dict[int, Switch] = {}
        self.questions = 0
        self.lessons: list[Learned] = []
        self.arrivals: list[Location] = []
        self.now = now

    def connect(self, dpid: int, ports: Mapping[str, int]) -> None:
        """A dSwitch connects, with whatever flows it held before."""
        switch = self.switches.setdefault(dpid, Switch(dpid, ports, self.now))
        switch.ports = dict(ports)
        switch.ends.clear()
        self.carry_out({dpid: self.dps.connect(dpid, ports, switch.flows)})
        self.carry_out(self.dps.confirm(dpid))

    def lose(self, dpid: int) -> None:
        """A dSwitch's connection ends; it goes on with the flows that it has."""
        self.carry_out(self.dps.lose(dpid))

    def show_ports(self, dpid: int, ports: Mapping[str, int]) -> None:
        """A connected dSwitch's ports change."""
        self.switches[dpid].ports = dict(ports)
        self.carry_out(self.dps.show_ports(dpid, ports))

    def apply(self, changes: Iterable[Change]) -> None:
        """Tell the DPS, and the dSwitches what it says."""
        self.carry_out(self.dps.apply(changes))

    def carry_out(self, effects: Effects) -> None:
        """Give the dSwitches what is for them, and tell the DPS of the flows that end thereby."""
        for dpid, changes in effects.items():
            if dpid in self.dps.connected:
                self.switches[dpid].carry_out(changes)
        self._tell_ends()

    def _tell_ends(self) -> None:
        for dpid, switch in self.switches.items():
            ends, switch.ends = switch.ends, []
            for end in ends if dpid in self.dps.connected else ():
                switch.carry_out(self.dps.hear_end(dpid, end))

    def pass_time(self, seconds: int) -> None:
        """Let time pass; flows end, and the DPS hears of those that it wants to hear of."""
        until = self.now + seconds
        while self.now < until:
            self.now = int(min(until, *(switch.next_end() for switch in self.switches.values())))
            for switch in self.switches.values():
                switch.come_to(self.now)
            self._tell_ends()

    def fresh(self) -> Fabric:
        """The same dSwitches with nothing cached, their flows computed from the world alone."""
        made = Fabric(self.dps, self.now)
        for dpid, switch in self.switches.items():
            made.switches[dpid] = Switch(dpid, switch.ports, self.now)
            made.switches[dpid].carry_out(self.dps.standing_flows(dpid))
        return made

    def send(self, dpid: int, port: str, frame: bytes) -> list[Delivery]:
        """An endpoint at a port sends a frame: where it comes out again."""
        switch = self.switches.get(dpid)
        if switch is None or port not in switch.ports:
            return []
        return list(self._enter(switch, Packet(bytearray(frame), {oxm.IN_PORT: switch.ports[port]}), 0))

    def _enter(self, switch: Switch, packet: Packet, tunnels: int) -> Iterator[Delivery]:
        held: list[PacketIn] = []
        for out in switch.run(packet):
            if isinstance(out, PacketIn):
                held.append(out)
            else:
                yield from self._leave(switch, *_going(packet, out), tunnels)
        asked = 0
        while held and switch.dpid in self.dps.connected:
            asked += 1
            assert asked <= MOST_QUESTIONS, f"the DPS is asked for ever: {held[0]}"
            yield from self._ask(switch, held.pop(0), held, tunnels)

    def _ask(self, switch: Switch, question: PacketIn, held: list[PacketIn], tunnels: int) -> Iterator[Delivery]:
        self.questions += 1
        if self.admission is None:
            answer = self.dps.packet_in(switch.dpid, question)
        else:
            answer = self.admission.answer(switch.dpid, question, self.now)
        self.carry_out({switch.dpid: list(answer.flows)})
        for dpid, changes in answer.elsewhere:
            self.carry_out({dpid: list(changes)})
        if answer.learned is not None:
            self.lessons.append(answer.learned)
        if answer.arrived is not None:
            self.arrivals.append(answer.arrived)
        for sent in answer.packets:
            packet = Packet(bytearray(sent.data), {oxm.IN_PORT: sent.in_port})
            for action in sent.actions:
                going = switch.run(packet, action.table) if isinstance(action, Resubmit) else act(packet, action)
                for out in going:
                    if isinstance(out, PacketIn):
                        held.append(out)
                    else:
                        yield from self._leave(switch, *_going(packet, out), tunnels)

    def _leave(self, switch: Switch, packet: Packet, port: int, tunnels: int) -> Iterator[Delivery]:
        names = [name for name, number in switch.ports.items() if number == port]
        if not names:
            return
        if names[0] not in TUNNEL_PORTS.values():
            yield Delivery(switch.dpid, names[0], bytes(packet.frame))
            return
        assert tunnels < MOST_TUNNELS, "a packet goes through tunnels for ever"
        assert packet.known.get(oxm.TUN_ID), "a packet leaves through a tunnel unmarked"
        # As a switch does it: an IPv4 address counts before an IPv6 one, and what a packet came with is still there.
        way = next(what for what in (oxm.TUN_DST, oxm.TUN_IPV6_DST) if packet.known.get(what))
        target, source = self._at(way, packet.known[way]), self._source(switch, way)
        if target is not None and source is not None and names[0] in target.ports:
            known = {oxm.IN_PORT: target.ports[names[0]], oxm.TUN_ID: packet.known[oxm.TUN_ID]}
            known |= {way: packet.known[way]} | source
            yield from self._enter(target, Packet(bytearray(packet.frame), known), tunnels + 1)

    def _at(self, way: Field, address: int) -> Switch | None:
        """The dSwitch that an underlay address of a family leads to."""
        for dpid, dswitch in self.dps.world.dswitches.items():
            for ip in dswitch.encap_ips:
                if (":" in ip) == (way is oxm.TUN_IPV6_DST) and address == way.parse(ip):
                    return self.switches.get(dpid)
        return None

    def _source(self, switch: Switch, way: Field) -> dict[Field, int] | None:
        """What a packet says of where it came from, from a dSwitch's first address of a family."""
        dswitch = self.dps.world.dswitches.get(switch.dpid)
        what = oxm.TUN_IPV6_SRC if way is oxm.TUN_IPV6_DST else oxm.TUN_SRC
        for ip in () if dswitch is None else dswitch.encap_ips:
            if (":" in ip) == (what is oxm.TUN_IPV6_SRC):
                return {what: what.parse(ip)}
        return None


def _going(packet: Packet, out: int | Copy) -> tuple[Packet, int]:
    """What goes out, and of which port."""
    return (packet, out) if isinstance(out, int) else (out.packet, out.port)
