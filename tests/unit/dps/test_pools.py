"""Pools of instances: a connection has one of them, both ways, whatever else comes, goes, fails or is drained (X10).

Instances are boxes at ports of the simulated dSwitches.  The proof is what each has seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.dps import Dps
from dove_ryu.model.amendment import FIRST_LABEL
from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.flow import Flow, FlowDelete
from dove_ryu.openflow.pipeline import CHAIN, CONNECTIONS, POOL, TAKEOVER
from tests.pipeline.frames import tcp_segment

from .pipeline import Fabric
from .scenario import holds_standing_flows, patient

DPIDS = (1, 2, 3)
APPLIANCES = ("fw", "ids")
NAMES = ("one", "two", "three")
NUMBERS = {name: 900 + place for place, name in enumerate(APPLIANCES)}
BOXES = [f"{appliance}.{name}" for appliance in APPLIANCES for name in NAMES]
PORTS = {"dove-geneve": 20, "dove-vxlan": 21, "a": 1, "b": 2} | {
    f"{box}-{side}": 30 + 2 * place + at for place, box in enumerate(BOXES) for at, side in enumerate(("in", "out"))
}
A, B = ("02:00:00:00:00:0a", "10.0.0.10"), ("02:00:00:00:00:0b", "10.0.0.11")
A6, B6 = (A[0], "fd00::a"), (B[0], "fd00::b")
MOST_VISITS = 10
CONNECTIONS_OF_A_TEST = range(40000, 40040)


def member(appliance: str, name: str, dpid: int) -> Instance:
    """An instance with two ports of its own."""
    return Instance(name, dpid, f"{appliance}.{name}-in", f"{appliance}.{name}-out")


def pool(appliance: str, *places: int, on_failure: OnFailure = OnFailure.STOP, drained: str = "") -> Appliance:
    """An appliance with an instance at each of some dSwitches, one of them drained."""
    members = (member(appliance, name, dpid) for name, dpid in zip(NAMES, places, strict=False))
    instances = tuple(replace(each, drain=each.name == drained) for each in members)
    return Appliance(appliance, "x", instances, on_failure=on_failure, number=NUMBERS[appliance])


def tap(appliance: str, dpid: int) -> Appliance:
    """A tap of one port."""
    port = f"{appliance}.one-in"
    return Appliance(appliance, "x", (Instance("one", dpid, port, port),), tap=True, number=NUMBERS[appliance])


def network(actions: tuple[str, ...]) -> list[Entity]:
    """A network in which a (red) and b (blue) speak through a chain, the other way in reverse."""
    entities: list[Entity] = [
        VirtualNetwork("n", 1, 100),
        PolicyDomain("n", "red", 2),
        PolicyDomain("n", "blue", 3),
        Policy("n", None, None, 4, ("deny",)),
        *(PolicyAction("n", each, 10 + at, "x", each) for at, each in enumerate(APPLIANCES)),
        Endpoint("n", "a", 20, "red", (A[0],), (A[1], A6[1])),
        Endpoint("n", "b", 21, "blue", (B[0],), (B[1], B6[1])),
    ]
    label = FIRST_LABEL
    for at, (ends, chain) in enumerate(((("red", "blue"), actions), (("blue", "red"), actions[::-1]))):
        policy = Policy("n", *ends, 5 + at, chain)
        entities.append(policy)
        for hop, each in enumerate(chain, 1):
            entities.append(Segment("n", policy.name, hop, label, each, label - FIRST_LABEL + 1))
            label += 2
    return entities


def fabric_of(*entities: Entity) -> Fabric:
    """Three dSwitches in a world."""
    fabric = Fabric(Dps())
    for dpid in DPIDS:
        fabric.connect(dpid, PORTS)
    fabric.apply([Change.put(DSwitch(dpid, f"s{dpid}", (f"10.9.0.{dpid}",), tuple(Encapsulation))) for dpid in DPIDS])
    fabric.apply(list(map(Change.put, entities)))
    holds_standing_flows(fabric)
    return fabric


def chained(*pools: Appliance, ends: tuple[int, int] = (1, 2)) -> Fabric:
    """A chain through some pools, a and b at two dSwitches."""
    names = tuple(each.name for each in pools)
    return fabric_of(*network(names), *pools, Location("n", "a", ends[0], "a"), Location("n", "b", ends[1], "b"))


def change(fabric: Fabric, *entities: Entity) -> None:
    """Change some of the world; the standing flows follow."""
    fabric.apply(list(map(Change.put, entities)))
    holds_standing_flows(fabric)


@dataclass
class Journey:
    """What became of a packet: the boxes that it came to, those that got a copy, and where it arrived."""

    passed: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)


def travel(fabric: Fabric, sender: str, frame: bytes) -> Journey:
    """Let an endpoint send, and boxes give back what they get, until the packet is somewhere."""
    world = fabric.dps.world
    place = world.tables["n"].locations[sender]
    journey, waiting = Journey(), fabric.send(place.dpid, sender, frame)
    while waiting:
        delivery = waiting.pop(0)
        box, _, side = delivery.port.rpartition("-")
        if box not in BOXES:
            journey.arrived.append(delivery.port)
        elif world.appliances[box.partition(".")[0]].tap:
            journey.copied.append(box)
        else:
            assert side == "in", "a packet is handed over at the wrong side"
            journey.passed.append(box)
            assert len(journey.passed) <= MOST_VISITS, "a packet goes from box to box for ever"
            waiting += fabric.send(delivery.dpid, f"{box}-out", delivery.frame)
    return journey


def forth(fabric: Fabric, port: int, flags: int = oxm.ACK, six: bool = False) -> Journey:
    """A segment of a's connection from a port."""
    return travel(fabric, "a", tcp_segment(A6 if six else A, B6 if six else B, (port, 80), flags))


def back(fabric: Fabric, port: int, flags: int = oxm.ACK, six: bool = False) -> Journey:
    """A segment that b sends on it."""
    return travel(fabric, "b", tcp_segment(B6 if six else B, A6 if six else A, (80, port), flags))


def instances(fabric: Fabric, ports: Iterable[int] = CONNECTIONS_OF_A_TEST) -> dict[int, str]:
    """Which instances each connection passes, in the order of a's packets; of those that get through."""
    found = {}
    for port in ports:
        journey = forth(fabric, port)
        assert journey.arrived in ([], ["b"])
        if journey.arrived:
            found[port] = " ".join(journey.passed)
    return found


# ---- connections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("places", [(1, 2, 3), (3, 3, 3), (1, 1, 2)])
def test_both_directions_of_a_connection_pass_the_same_instance(places: tuple[int, ...], ends: tuple[int, int]) -> None:
    fabric = chained(pool("fw", *places), pool("ids", *reversed(places)), ends=ends)
    seen = set()
    for port in CONNECTIONS_OF_A_TEST:
        there, here = forth(fabric, port, oxm.SYN), back(fabric, port, oxm.SYN | oxm.ACK)
        assert there.arrived == ["b"]
        assert here.arrived == ["a"]
        assert there.passed == here.passed[::-1]
        assert [box.partition(".")[0] for box in there.passed] == ["fw", "ids"]
        seen |= {*there.passed}
    assert seen == {*BOXES}, "all take part"


def test_one_instance_needs_no_slots() -> None:
    fabric = chained(pool("fw", 3))
    text = "\n".join(str(flow) for switch in fabric.switches.values() for flow in switch.flows)
    assert "multipath" not in text
    assert "learn" not in text
    assert [flow for flow in fabric.switches[1].flows if flow.table == POOL.number and flow.priority == 110]


def test_slots_are_an_appliances_and_not_a_segments() -> None:
    fabric = chained(pool("fw", 1, 2, 3), pool("fw", 1, 2, 3))
    flows = [flow for flow in fabric.switches[1].flows if flow.table == POOL.number and flow.priority]
    assert len(flows) == 64
    assert len([flow for flow in fabric.switches[1].flows if flow.table == CHAIN.number and flow.priority]) == 4


# ---- failures ------------------------------------------------------------------------------------

FW_TWO_DOWN = Health("fw", "two", up=False, reason="it is a test")


@pytest.mark.parametrize("places", [(1, 2, 3), (2, 2, 1)])
def test_fail_closed_stops_the_connections_of_who_is_down_and_no_others(places: tuple[int, ...]) -> None:
    fabric = chained(pool("fw", *places))
    before = instances(fabric)
    change(fabric, FW_TWO_DOWN)
    others = {port: box for port, box in before.items() if box != "fw.two"}
    assert instances(fabric) == others
    assert others
    assert others != before
    change(fabric, replace(FW_TWO_DOWN, up=True))
    assert instances(fabric) == before


@pytest.mark.parametrize("places", [(1, 2, 3), (2, 2, 1)])
def test_next_moves_the_connections_of_who_is_down_and_no_others(places: tuple[int, ...]) -> None:
    fabric = chained(pool("fw", *places, on_failure=OnFailure.NEXT))
    before = instances(fabric)
    change(fabric, FW_TWO_DOWN)
    after = instances(fabric)
    assert after.keys() == before.keys()
    assert {after[port] for port in before if before[port] == "fw.two"} == {"fw.one", "fw.three"}
    assert all(after[port] == before[port] for port in before if before[port] != "fw.two")
    change(fabric, *(replace(FW_TWO_DOWN, instance=name) for name in NAMES))
    assert instances(fabric) == {}


@pytest.mark.parametrize("where", [1, 2, 3])
def test_fail_open_leaves_the_appliance_out(where: int) -> None:
    """The first of a chain, the last and the only one; whoever was there before it or comes after it has its turn."""
    down = [Health("fw", "one", up=False), Health("ids", "one", up=False)]
    chain = [pool(name, where, on_failure=OnFailure.LEAVE_OUT) for name in APPLIANCES]
    for failing in ([], down[:1], down[1:], down):
        fabric = chained(*chain)
        change(fabric, *failing)
        left = [f"{each.name}.one" for each in chain if Health(each.name, "one", up=False) not in failing]
        for _ in range(2):
            assert forth(fabric, 40000) == Journey(left, [], ["b"])
            assert back(fabric, 40000) == Journey(left[::-1], [], ["a"])


def test_the_health_of_an_instance_changes_no_more_flows_than_there_are_slots() -> None:
    fabric = chained(pool("fw", 1, 2, 3), ends=(1, 1))
    effects = fabric.dps.apply([Change.put(FW_TWO_DOWN)])
    assert set(effects) == {*DPIDS}
    assert max(map(len, effects.values())) < 64
    assert all(
        change.table == POOL.number for changes in effects.values() for change in changes if isinstance(change, Flow)
    )


def test_an_instance_that_is_nowhere_is_down() -> None:
    roaming = replace(member("fw", "one", 1), dpid=0, ingress="", egress="")
    fabric = chained(replace(pool("fw"), instances=(roaming,), on_failure=OnFailure.LEAVE_OUT))
    assert forth(fabric, 40000) == Journey([], [], ["b"])


# ---- drain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("ends", [(1, 2), (3, 3)])
@pytest.mark.parametrize("places", [(1, 2, 3), (2, 2, 3), (3, 3, 3), (2, 1, 1)])
def test_drain_breaks_no_connection_and_begins_none(places: tuple[int, ...], ends: tuple[int, int], six: bool) -> None:
    fabric = chained(pool("fw", *places), ends=ends)
    old = {port: forth(fabric, port, oxm.SYN, six).passed for port in CONNECTIONS_OF_A_TEST}
    assert ["fw.two"] in old.values()
    change(fabric, pool("fw", *places, drained="two"))
    new = {port: forth(fabric, port, oxm.SYN, six).passed for port in range(50000, 50040)}
    assert ["fw.two"] not in new.values(), "what begins begins elsewhere"
    for _ in range(2):
        for port, boxes in {**old, **new}.items():
            assert forth(fabric, port, six=six) == Journey(boxes, [], ["b"])
            assert back(fabric, port, six=six) == Journey(boxes, [], ["a"])
    change(
        fabric,
        replace(
            pool("fw", *places),
            instances=tuple(member("fw", *each) for each in zip(NAMES, places, strict=True) if each[0] != "two"),
        ),
    )
    for port, boxes in new.items():
        assert forth(fabric, port, six=six) == Journey(boxes, [], ["b"]), "they stay when it is taken out"


def test_what_is_handed_back_at_home_takes_no_tunnel() -> None:
    fabric = chained(pool("fw", 3, 3, 3, drained="two"))
    back_home = [flow for flow in fabric.switches[3].flows if flow.table == TAKEOVER.number and flow.priority]
    assert back_home
    assert not any("output" in str(flow) for flow in back_home)


def test_a_connection_may_begin_at_b() -> None:
    fabric = chained(pool("fw", 1, 2, 3, drained="two"))
    for port in CONNECTIONS_OF_A_TEST:
        boxes = back(fabric, port, oxm.SYN).passed
        assert boxes != ["fw.two"]
        assert forth(fabric, port, oxm.SYN | oxm.ACK).passed == boxes


def test_what_is_not_tcp_stays_with_who_is_drained() -> None:
    """It has no beginning that can be told."""
    fabric = chained(pool("fw", 1, 2, 3))
    frames = [bytes((*frame[:23], 17, *frame[24:])) for frame in (tcp_segment(A, B, (port, 53)) for port in range(9))]
    before = [travel(fabric, "a", frame).passed for frame in frames]
    change(fabric, pool("fw", 1, 2, 3, drained=before[0][0].removeprefix("fw.")))
    assert [travel(fabric, "a", frame).passed for frame in frames] == before


def test_a_dswitch_that_comes_back_knows_its_connections_still() -> None:
    """X1: the DPS makes right what differs, and lets what was learned be."""
    fabric = chained(pool("fw", 1, 2, 3, drained="two"))
    begun = {port: forth(fabric, port, oxm.SYN).passed for port in CONNECTIONS_OF_A_TEST}
    known = [flow for switch in fabric.switches.values() for flow in switch.flows if flow.table == CONNECTIONS.number]
    for dpid in DPIDS:
        fabric.lose(dpid)
        fabric.connect(dpid, PORTS)
        assert fabric.dps.audit(dpid, fabric.switches[dpid].flows) == []
    assert {port: forth(fabric, port).passed for port in begun} == begun
    assert len([flow for flow in known if flow.priority]) >= 2


# ---- taps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", DPIDS)
@pytest.mark.parametrize("position", [0, 1])
def test_a_tap_gets_a_copy_and_nothing_waits_for_it(where: int, position: int) -> None:
    chain = [pool("fw", 1, 2, 3)]
    chain.insert(position, tap("ids", where))
    fabric = chained(*chain)
    for _ in range(2):
        there, here = forth(fabric, 40000), back(fabric, 40000)
        assert (there.arrived, here.arrived) == (["b"], ["a"])
        assert there.copied == here.copied == ["ids.one"]
        assert there.passed == here.passed
    change(fabric, Health("ids", "one", up=False))
    assert forth(fabric, 40000) == replace(there, copied=[])


def test_what_comes_out_of_a_tap_goes_nowhere() -> None:
    fabric = chained(tap("ids", 3))
    (copy,) = (each for each in fabric.send(1, "a", tcp_segment(A, B, (1, 2))) if each.port == "ids.one-in")
    assert fabric.send(3, "ids.one-in", copy.frame) == []


def test_a_tap_without_instances_is_no_obstacle() -> None:
    fabric = chained(replace(tap("ids", 3), instances=()))
    assert forth(fabric, 40000) == Journey([], [], ["b"])


# ---- whatever happens ----------------------------------------------------------------------------

numbered = st.sampled_from(DPIDS)


@dataclass(frozen=True)
class Story:
    """A chain through some appliances, and what then happens to these: instances fail and work again, pools change."""

    chain: tuple[str, ...]
    pools: tuple[Appliance, ...]
    then: tuple[Entity, ...]


def pools_called(name: str) -> st.SearchStrategy[Appliance]:
    """Pools of up to three instances anywhere, of any weights."""

    def made(places: list[int], weights: list[int], on_failure: OnFailure, drained: str) -> Appliance:
        plain = pool(name, *places, on_failure=on_failure, drained=drained)
        weighed = (replace(each, weight=weight) for each, weight in zip(plain.instances, weights, strict=False))
        return replace(plain, instances=tuple(weighed))

    three = st.lists(st.integers(0, 3), min_size=3, max_size=3)
    places = st.lists(numbered, min_size=1, max_size=3)
    return st.builds(made, places, three, st.sampled_from(OnFailure), st.sampled_from((*NAMES, "")))


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """A story; what is a tap remains one, as it must while it is in use."""
    chain = tuple(draw(st.lists(st.sampled_from(APPLIANCES), min_size=1, max_size=3)))
    taps = draw(st.sets(st.sampled_from(APPLIANCES)))
    kinds = {
        name: st.builds(tap, st.just(name), numbered) if name in taps else pools_called(name) for name in APPLIANCES
    }
    failing = st.builds(Health, st.sampled_from(APPLIANCES), st.sampled_from(NAMES), st.booleans())
    pools = tuple(draw(kinds[name]) for name in APPLIANCES)
    return Story(chain, pools, tuple(draw(st.lists(st.one_of(failing, *kinds.values()), max_size=6))))


def may_lack(chain: tuple[str, ...], journey: Journey, optional: set[str]) -> bool:
    """Whether a packet has passed the chain, in order, without some of those that may be left out."""
    passed = [box.partition(".")[0] for box in journey.passed]
    spare = [place for place, name in enumerate(chain) if name in optional]
    without = (set(gone) for count in range(len(spare) + 1) for gone in combinations(spare, count))
    return any([name for place, name in enumerate(chain) if place not in gone] == passed for gone in without)


@patient
@given(stories(), numbered, numbered, st.randoms(use_true_random=False))
def test_no_appliance_is_left_out_that_may_not_be_whoever_knows_of_what_has_happened(
    story: Story, source: int, target: int, random: Random
) -> None:
    """With every dSwitch as it should be, then with each at some version of the past."""
    fabric = fabric_of(
        *network(story.chain), *story.pools, Location("n", "a", source, "a"), Location("n", "b", target, "b")
    )
    past = {dpid: [fabric.dps.standing_flows(dpid)] for dpid in DPIDS}
    ever = may_be_left_out(fabric)
    for happening in story.then:
        fabric.apply([Change.put(happening)])
        holds_standing_flows(fabric)
        now = may_be_left_out(fabric)
        ever |= now
        for port in (40000, 40001):
            there, here = forth(fabric, port), back(fabric, port)
            assert not there.arrived or may_lack(story.chain, there, now)
            assert not here.arrived or may_lack(story.chain[::-1], here, now)
            if there.arrived and here.arrived:
                assert there.passed == here.passed[::-1]
        for dpid in DPIDS:
            past[dpid].append(fabric.dps.standing_flows(dpid))
            hold(fabric, dpid, random.choice(past[dpid]))
        for port in (40000, 40001):
            there = forth(fabric, port, random.choice((oxm.SYN, oxm.ACK)))
            assert not there.arrived or may_lack(story.chain, there, ever)
        for dpid in DPIDS:
            hold(fabric, dpid, past[dpid][-1])


def hold(fabric: Fabric, dpid: int, flows: list[Flow]) -> None:
    """Let a dSwitch hold these flows and no others."""
    fabric.switches[dpid].carry_out([FlowDelete(0, 0), *flows])


def may_be_left_out(fabric: Fabric) -> set[str]:
    """The appliances without which a packet may go on."""
    known = fabric.dps.world.appliances.values()
    return {each.name for each in known if each.tap or each.on_failure is OnFailure.LEAVE_OUT}
