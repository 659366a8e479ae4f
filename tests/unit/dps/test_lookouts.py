"""A marked packet goes the way that every other goes, and lookouts say which way that was (X2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from dove_ryu.expeditions import FLIGHT, GRACE, SETTLING, Expeditions
from dove_ryu.lookouts import FIRST_MARK, LONGEST, MarkedPacket, Point, marked_packet
from dove_ryu.model.entities import Location, Policy, Service, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import OBJECT_MASK, Cookie, Kind
from dove_ryu.openflow.flow import End, Flow, FlowChange, FlowDelete, FlowEnd, PacketOut
from dove_ryu.openflow.pipeline import CHAIN_HOP, DELIVER

from .pipeline import Fabric
from .test_chains import CHAINS, Journey, chained, ping, travel

PLACES = [((1, 2, 3), (1, 2)), ((1, 1, 1), (2, 2)), ((3, 2, 3), (3, 1))]
"""Where the appliances are, and where the endpoints."""

NUMBER = 7


def mark(fabric: Fabric) -> MarkedPacket:
    """A packet of a's to b."""
    tables = fabric.dps.world.tables["n"]
    policy = tables.policies["red>blue"]
    made = marked_packet(fabric.dps, tables, tables.endpoints["a"], tables.endpoints["b"], policy, NUMBER)
    assert isinstance(made, MarkedPacket), made
    return made


def put_up(fabric: Fabric, marked: MarkedPacket) -> None:
    for lookout in marked.lookouts:
        fabric.switches[lookout.dpid].carry_out([lookout.flow])


def take_down(fabric: Fabric, marked: MarkedPacket) -> Counter[tuple[int, Point]]:
    """What all lookouts of a kind have seen together."""
    seen: Counter[tuple[int, Point]] = Counter()
    for dpid, switch in fabric.switches.items():
        switch.carry_out([FlowDelete(int(Cookie(Kind.LOOKOUT, NUMBER)), OBJECT_MASK)])
        for end in switch.ends:
            cookie = Cookie.parse(end.flow.cookie)
            assert cookie is not None
            if cookie.kind is Kind.LOOKOUT:
                lookout = marked.lookouts[cookie.tracking]
                assert lookout.dpid == dpid
                seen[lookout.hop, lookout.point] += end.packets
        switch.ends.clear()
    return +seen


def go(fabric: Fabric, marked: MarkedPacket) -> Journey:
    return travel(fabric, marked.dpid, "a", marked.packet.data)


def everywhere(hops: int) -> Counter[tuple[int, Point]]:
    at_appliances = (Point.SENT_ON, Point.HANDED_OVER, Point.GIVEN_BACK)
    passed = [(hop, point) for hop in range(1, hops + 1) for point in at_appliances]
    return Counter([*passed, (0, Point.DELIVERED)])


@pytest.mark.parametrize(("at", "ends"), PLACES)
@pytest.mark.parametrize("actions", [("accept",), *CHAINS])
def test_a_marked_packet_is_seen_once_everywhere_and_goes_the_usual_way(
    actions: tuple[str, ...], at: tuple[int, int, int], ends: tuple[int, int]
) -> None:
    fabric = chained(*actions, at=at, ends=ends)
    marked = mark(fabric)
    usual = go(fabric, marked)
    put_up(fabric, marked)
    assert (go(fabric, marked), usual.ends) == (usual, [(ends[1], "b")])
    assert travel(fabric, marked.dpid, "a", ping()).names == usual.names, "an unmarked ping is not counted"
    assert take_down(fabric, marked) == everywhere(len(usual.names))


def test_the_reply_is_seen_where_it_begins(fabric: Fabric) -> None:
    marked = mark(fabric)
    put_up(fabric, marked)
    request = marked.packet.data
    reply = bytearray(request[6:12] + request[:6] + request[12:26] + request[30:34] + request[26:30] + request[34:])
    reply[34] = 0  # ICMP type: echo reply; the code stays
    fabric.send(2, "b", bytes(reply))
    assert take_down(fabric, marked) == Counter({(0, Point.ANSWERED): 1})


@pytest.fixture
def fabric() -> Fabric:
    return chained("fw", "ssl")


def test_a_lookout_does_not_stand_in_for_a_flow_that_is_gone(fabric: Fabric) -> None:
    """It counts what comes to the flow; the packet ends there as any other would."""
    marked = mark(fabric)
    fabric.switches[2].carry_out([FlowDelete(0, 0, CHAIN_HOP.number)])
    put_up(fabric, marked)
    assert go(fabric, marked).names == ["fw"]
    seen = take_down(fabric, marked)
    assert seen[2, Point.HANDED_OVER] == 1
    assert (2, Point.GIVEN_BACK) not in seen


def test_a_lookout_in_words(fabric: Fabric) -> None:
    marked = mark(fabric)
    told = {(each.dpid, each.hop, each.point): str(each.flow) for each in marked.lookouts}
    table = CHAIN_HOP.number
    assert told[2, 2, Point.HANDED_OVER] == (
        f"cookie=0xd070000007000006, table={table}, hard_timeout=5, send_flow_rem "
        f"priority=10100,icmp,reg5=0x20,reg6=0x8000cc/0xffffff,reg15=0/{1 << table:#x},icmp_type=8,icmp_code=215 "
        f"actions=load:0x1->NXM_NX_REG15[{table}],resubmit(,{table})"
    )
    assert FIRST_MARK + NUMBER == 215
    assert {each.flow.hard_timeout for each in marked.lookouts} == {LONGEST}


def test_a_denied_packet_is_sent_and_seen_nowhere(fabric: Fabric) -> None:
    fabric.apply([Change.put(Policy("n", "red", "blue", 105, ("deny",)))])
    marked = mark(fabric)
    put_up(fabric, marked)
    assert go(fabric, marked).ends == []
    assert not take_down(fabric, marked)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([Change.gone(Location("n", "a", 1, "a"))], "endpoint 'a' is not attached to any dSwitch"),
        ([Change.gone(Location("n", "b", 2, "b"))], "endpoint 'b' is not attached to any dSwitch"),
        (
            [Change.put(Location("n", "a", 1, "tap"))],
            "port tap of 'a' is not there now, or its dSwitch is not connected",
        ),
    ],
)
def test_why_no_packet_can_be_sent(fabric: Fabric, changes: list[Change], reason: str) -> None:
    fabric.apply(changes)
    assert refusal(fabric) == reason


@pytest.mark.parametrize("what", [{"ips": ("fd00::b",)}, {"ips": ("10.0.0.0/24",)}, {"ips": ()}, {"macs": ()}])
def test_who_has_no_address_of_its_own_is_sent_none(fabric: Fabric, what: dict[str, tuple[str, ...]]) -> None:
    b = fabric.dps.world.tables["n"].endpoints["b"]
    fabric.apply([Change.put(replace(b, **what))])  # type: ignore[arg-type]
    assert refusal(fabric) == "'a' and 'b' have no addresses of the same version of IP"


def refusal(fabric: Fabric) -> str:
    tables = fabric.dps.world.tables["n"]
    made = marked_packet(fabric.dps, tables, tables.endpoints["a"], tables.endpoints["b"], None, NUMBER)
    assert isinstance(made, str)
    return made


def test_over_ipv6(fabric: Fabric) -> None:
    tables = fabric.dps.world.tables["n"]
    for name in ("a", "b"):
        fabric.apply([Change.put(replace(tables.endpoints[name], ips=(f"fd00::{name}",)))])
    marked = mark(fabric)
    put_up(fabric, marked)
    assert go(fabric, marked).ends == [(2, "b")]
    assert take_down(fabric, marked) == everywhere(2)


def test_in_an_l3_network_lookouts_are_of_the_packets_version(fabric: Fabric) -> None:
    tables = fabric.dps.world.tables["n"]
    for name, last in (("a", 10), ("b", 11)):
        both = (f"10.0.0.{last}", f"fd00::{name}")
        fabric.apply([Change.put(replace(tables.endpoints[name], ips=both))])
    fabric.apply([Change.put(VirtualNetwork("n", 100, 100, Service.L3))])
    marked = mark(fabric)
    delivering = [str(each.flow) for each in marked.lookouts if each.flow.table == DELIVER.number]
    assert len(delivering) == 1
    assert "nw_dst=10.0.0.11" in delivering[0]
    put_up(fabric, marked)
    assert go(fabric, marked).ends == [(2, "b")]
    assert take_down(fabric, marked) == everywhere(2)


def test_where_no_dswitch_is_connected_there_is_no_lookout(fabric: Fabric) -> None:
    fabric.lose(2)
    assert {each.dpid for each in mark(fabric).lookouts} == {1}


def test_without_a_policy_only_the_destination_is_watched(fabric: Fabric) -> None:
    tables = fabric.dps.world.tables["n"]
    marked = marked_packet(fabric.dps, tables, tables.endpoints["a"], tables.endpoints["b"], None, NUMBER)
    assert isinstance(marked, MarkedPacket)
    assert {(each.dpid, each.hop) for each in marked.lookouts} == {(2, 0)}


# ---- expeditions ---------------------------------------------------------------------------------


@dataclass
class Told:
    """A link that only notes what is sent."""

    changes: list[FlowChange] = field(default_factory=list)
    packets: list[PacketOut] = field(default_factory=list)

    def send(self, changes: list[FlowChange]) -> None:
        self.changes += changes

    def answer(self, answers: list[tuple[tuple[Flow, ...], tuple[PacketOut, ...]]]) -> None:
        self.packets += [each for _, packets in answers for each in packets]


@dataclass
class Course:
    """An expedition over dSwitches 1 and 2, of which only some are connected, with a clock that stands still."""

    marked: MarkedPacket
    links: dict[int, Told]
    due: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)

    def begin(self) -> Expeditions:
        expeditions = Expeditions(self.links.get)  # type: ignore[arg-type]
        expeditions.later = lambda seconds, act: self.due.append((seconds, act))
        assert [expeditions.next_number() for _ in range(NUMBER)][-1] == NUMBER
        expeditions.begin(NUMBER, self.marked, self.counts.extend)
        return expeditions

    def wait(self) -> float:
        seconds, act = self.due.pop(0)
        act()
        return seconds


@pytest.fixture
def course(fabric: Fabric) -> Course:
    return Course(mark(fabric), {1: Told(), 2: Told()})


def test_an_expedition_puts_lookouts_up_sends_takes_them_down_and_tells(course: Course) -> None:
    expeditions = course.begin()
    lookouts = course.marked.lookouts
    for dpid, told in course.links.items():
        assert told.changes == [each.flow for each in lookouts if each.dpid == dpid]
        told.changes.clear()
    assert course.wait() == SETTLING
    assert [told.packets for told in course.links.values()] == [[course.marked.packet], []]
    assert course.wait() == FLIGHT
    for told in course.links.values():
        assert [str(change) for change in told.changes] == ["delete cookie=0xd070000007000000/0xffffffffff000000"]
    for index, lookout in enumerate(lookouts):
        assert not course.counts
        assert expeditions.hear(FlowEnd(lookout.flow, End.DELETED, index))
    assert course.counts == list(range(len(lookouts)))
    assert course.wait() == GRACE
    assert course.counts == list(range(len(lookouts))), "it is told once"
    assert expeditions.hear(FlowEnd(lookouts[0].flow, End.HARD, 0)), "late, and still a lookout"


def test_who_does_not_say_is_not_waited_for(course: Course) -> None:
    course.links = {2: Told()}
    expeditions = course.begin()
    for _ in range(3):
        course.wait()
    assert course.counts == [None] * len(course.marked.lookouts)
    other = course.marked.lookouts[0].flow._replace(cookie=int(Cookie(Kind.TOMBSTONE, NUMBER)))
    assert not expeditions.hear(FlowEnd(other, End.IDLE, 1))
    assert not expeditions.hear(FlowEnd(other._replace(cookie=1), End.IDLE, 1)), "somebody else's flow"
