"""Service chains: every appliance in order, wherever it is, whatever it does to a packet, or nothing at all (F16, F17).

Appliances are boxes at ports of the simulated dSwitches: what comes out of an ingress port goes back in at the egress
port, as it was or rewritten.  The proof is what each box has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.consequences import built_on
from dove_ryu.dps import Dps
from dove_ryu.model.amendment import FIRST_LABEL
from dove_ryu.model.appliances import Appliance, Health, Instance, Probe, ProbeKind, Seat, Sharing
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
    Service,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.pools import lost
from dove_ryu.model.resolution import PolicyRequest, resolve
from dove_ryu.openflow.fields import Cookie
from dove_ryu.openflow.flow import Flow, FlowDelete
from dove_ryu.openflow.pipeline import POOL
from dove_ryu.standing import appliance_scope

from .oracle import Ping
from .pipeline import Delivery, Fabric
from .scenario import holds_standing_flows, patient
from .wire import frame, seen

DPIDS = (1, 2, 3)
APPLIANCES = ("fw", "ssl", "zip")
PORTS = {"dove-geneve": 20, "dove-vxlan": 21, "a": 1, "b": 2, "c": 3} | {
    f"{name}-{side}": 30 + 2 * place + at
    for place, name in enumerate(APPLIANCES)
    for at, side in enumerate(("in", "out"))
}
MACS = {"a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b", "c": "02:00:00:00:00:0c"}
IPS = {"a": "10.0.0.10", "b": "10.0.0.11", "c": "10.0.0.12"}
CHAINS = [("fw",), ("fw", "ssl"), ("zip", "accept", "fw", "ssl"), ("fw", "fw"), ("fw", "ssl", "fw")]
NUMBERS = {name: 900 + place for place, name in enumerate(APPLIANCES)}
FW_PORTS = "fw-in", "fw-out"
MOST_VISITS = 20
ROUTERS_MAC = "02:00:00:00:99:99"

Box = Callable[[bytes], bytes]


def network(name: str, own: int, actions: tuple[str, ...], service: Service = Service.L2) -> list[Entity]:
    """A network in which a (red) sends to b (blue) through *actions*, and c is grey; a and b may not answer."""
    entities: list[Entity] = [
        VirtualNetwork(name, own, own, service),
        *(PolicyDomain(name, domain, own + at) for at, domain in enumerate(("red", "blue", "grey"), 1)),
        Policy(name, None, None, own + 4, ("deny",)),
        Policy(name, "red", "blue", own + 5, actions),
        *(PolicyAction(name, each, own + 10 + at, "appliance", each) for at, each in enumerate(APPLIANCES)),
    ]
    for at, (endpoint, domain) in enumerate((("a", "red"), ("b", "blue"), ("c", "grey"))):
        ips = (IPS[endpoint],)
        entities.append(Endpoint(name, endpoint, own + 20 + at, domain, (MACS[endpoint],), ips))
    return entities


def segments(name: str, own: int, actions: Iterable[str], dedicated: Iterable[str] = ()) -> list[Segment]:
    """The segments of red's policy towards blue; labels and VLANs that no other network's have."""
    led = enumerate((each for each in actions if each in APPLIANCES), 1)
    return [
        Segment(name, "red>blue", hop, FIRST_LABEL + 2 * (own + hop), each, 0 if each in dedicated else own + hop)
        for hop, each in led
    ]


def appliance(name: str, *places: int, sharing: Sharing = Sharing.VLAN, routed: bool = False) -> Appliance:
    """An appliance with an instance at each of some dSwitches."""
    instances = (Instance(f"at{dpid}", dpid, f"{name}-in", f"{name}-out", 1, ROUTERS_MAC) for dpid in places)
    return Appliance(name, "appliance", tuple(instances), sharing, routed, number=NUMBERS[name])


@dataclass
class Journey:
    """What became of a packet.

    :ivar passed: the appliances that it came to, each with the dSwitch and the frame that it saw.
    :ivar arrived: where it came out at last.
    """

    passed: list[tuple[str, int, bytes]]
    arrived: list[Delivery]

    @property
    def names(self) -> list[str]:
        """The names of the appliances."""
        return [name for name, _, _ in self.passed]

    @property
    def ends(self) -> list[tuple[int, str]]:
        """dSwitches and ports where it arrived."""
        return [(each.dpid, each.port) for each in self.arrived]


def travel(fabric: Fabric, dpid: int, port: str, sent: bytes, box: Box = bytes) -> Journey:
    """Send a frame, and let appliances do their work until it is somewhere."""
    journey, waiting = Journey([], []), fabric.send(dpid, port, sent)
    while waiting:
        delivery = waiting.pop(0)
        name, _, side = delivery.port.rpartition("-")
        if name not in APPLIANCES:
            journey.arrived.append(delivery)
            continue
        assert side == "in", "a packet is handed to an appliance at the wrong side"
        journey.passed.append((name, delivery.dpid, delivery.frame))
        assert len(journey.passed) <= MOST_VISITS, "a packet goes from appliance to appliance for ever"
        waiting += fabric.send(delivery.dpid, f"{name}-out", box(delivery.frame))
    return journey


def ping(to: str = "b") -> bytes:
    """What a sends."""
    return frame(Ping("n", "a", MACS["a"], IPS["a"], MACS[to], IPS[to]))


def fabric_of(entities: Iterable[Entity]) -> Fabric:
    """Three dSwitches in a world."""
    fabric = Fabric(Dps())
    for dpid in DPIDS:
        fabric.connect(dpid, PORTS)
    fabric.apply([Change.put(DSwitch(dpid, f"s{dpid}", (f"10.9.0.{dpid}",), tuple(Encapsulation))) for dpid in DPIDS])
    fabric.apply(list(map(Change.put, entities)))
    return fabric


def chained(*actions: str, at: tuple[int, int, int] = (1, 2, 3), ends: tuple[int, int] = (1, 2)) -> Fabric:
    """One network with a chain, its appliances and endpoints at some dSwitches."""
    return fabric_of(
        [
            *network("n", 100, actions),
            *segments("n", 100, actions),
            *(appliance(name, dpid) for name, dpid in zip(APPLIANCES, at, strict=True)),
            Location("n", "a", ends[0], "a"),
            Location("n", "b", ends[1], "b"),
        ]
    )


def change(fabric: Fabric, *entities: Entity) -> None:
    """Change some of the world; the standing flows follow."""
    fabric.apply(list(map(Change.put, entities)))
    holds_standing_flows(fabric)


@pytest.mark.parametrize("ends", [(1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("at", [(1, 2, 3), (1, 1, 1), (3, 2, 3)])
@pytest.mark.parametrize("actions", CHAINS)
def test_a_packet_passes_the_appliances_in_order(
    actions: tuple[str, ...], at: tuple[int, int, int], ends: tuple[int, int]
) -> None:
    fabric = chained(*actions, at=at, ends=ends)
    for _ in range(2):  # with nothing cached, and with all
        journey = travel(fabric, ends[0], "a", ping())
        assert journey.names == [name for name in actions if name != "accept"]
        assert journey.ends == [(ends[1], "b")]
        assert journey.arrived[0].frame == ping(), "tags and addresses are as they were"
    assert travel(fabric, ends[1], "b", frame(Ping("n", "b", MACS["b"], IPS["b"], MACS["a"], IPS["a"]))).ends == []


def test_a_shared_appliance_sees_a_vlan_for_each_segment() -> None:
    """F17: two networks of equal addresses, and a network's two hops, are told apart by their tags."""
    both = [*network("n", 100, ("fw", "fw")), *segments("n", 100, ("fw", "fw"))]
    both += [*network("m", 300, ("fw",)), *segments("m", 300, ("fw",)), appliance("fw", 3)]
    both += [
        Location("n", "a", 1, "a"),
        Location("n", "b", 2, "b"),
        Location("m", "a", 2, "a"),
        Location("m", "b", 1, "b"),
    ]
    fabric = fabric_of(both)
    journeys = [travel(fabric, 1, "a", ping()), travel(fabric, 2, "a", ping())]
    tags = [[int.from_bytes(seen[14:16], "big") for _, _, seen in journey.passed] for journey in journeys]
    assert tags == [[101, 102], [301]]
    assert [journey.ends for journey in journeys] == [[(2, "b")], [(1, "b")]]


def test_a_dedicated_appliance_sees_no_tag() -> None:
    fabric = chained("fw")
    change(fabric, appliance("fw", 3, sharing=Sharing.DEDICATED), *segments("n", 100, ["fw"], ["fw"]))
    journey = travel(fabric, 1, "a", ping())
    assert [passed[2] for passed in journey.passed] == [ping()]
    assert journey.ends == [(2, "b")]


@pytest.mark.parametrize("service", Service)
def test_after_the_last_appliance_a_packet_goes_where_its_destination_now_says(service: Service) -> None:
    fabric = chained("fw")
    change(fabric, VirtualNetwork("n", 100, 100, service), Location("n", "c", 3, "c"))

    def redirect(seen: bytes) -> bytes:
        ip = bytes(map(int, IPS["c"].split(".")))
        return bytes.fromhex(MACS["c"].replace(":", "")) + seen[6:34] + ip + seen[38:]

    assert travel(fabric, 1, "a", ping(), redirect).ends == [(3, "c")]


def test_a_routed_appliance_takes_packets_at_its_own_address() -> None:
    fabric = chained("fw", "ssl")
    change(fabric, appliance("fw", 3, routed=True))
    seen_at: list[str] = []

    def router(seen: bytes) -> bytes:
        seen_at.append(seen[:6].hex(":"))
        return b"\x02\x00\x00\x00\x98\x98" + seen[6:]

    journey = travel(fabric, 1, "a", ping(), router)
    assert seen_at == [ROUTERS_MAC, "02:00:00:00:98:98"]
    assert journey.ends == [(2, "b")]
    assert seen(journey.arrived[0]).eth_dst == MACS["b"]


def test_one_port_may_serve_both_ways() -> None:
    """Even where a packet comes back to the appliance that it has just left."""
    fabric = chained("fw", "fw")
    one = replace(appliance("fw", 3), instances=(Instance("one", 3, "fw-in", "fw-in"),))
    change(fabric, one)
    passed = []
    waiting = fabric.send(1, "a", ping())
    while waiting and waiting[0].port == "fw-in":
        passed.append(waiting[0])
        waiting = fabric.send(3, "fw-in", waiting[0].frame)
    assert len(passed) == 2
    assert [(each.dpid, each.port) for each in waiting] == [(2, "b")]


def gone(entity: Entity) -> Callable[[Fabric], None]:
    return lambda fabric: fabric.apply([Change.gone(entity)])


def put(entity: Entity) -> Callable[[Fabric], None]:
    return lambda fabric: fabric.apply([Change.put(entity)])


LACKS = {
    "needs appliance 'ssl' for its action 'ssl', and none is registered": gone(appliance("ssl", 2)),
    "needs an instance of appliance 'ssl' for its action 'ssl', and none takes packets": put(appliance("ssl")),
    "has no segment to appliance 'ssl' for its action 'ssl'; apply the blueprint again": gone(
        segments("n", 100, ["fw", "ssl"])[1]
    ),
    "needs an appliance for its action 'ssl', and none is registered": put(PolicyAction("n", "ssl", 111, "appliance")),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_cannot_be_carried_out_is_denied_and_never_sent_around(lack: str) -> None:
    """F6, fail-closed: at once, whatever is cached; and the reason says what is missing."""
    fabric = chained("fw", "ssl")
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]
    LACKS[lack](fabric)
    holds_standing_flows(fabric)
    assert travel(fabric, 1, "a", ping()) == Journey([], [])
    reply = resolve(fabric.dps.world.tables["n"], PolicyRequest("red", IPS["b"]))
    assert reply.reason.endswith(lack)
    change(fabric, appliance("ssl", 2), *segments("n", 100, ["fw", "ssl"]), PolicyAction("n", "ssl", 111, "x", "ssl"))
    assert travel(fabric, 1, "a", ping()).names == ["fw", "ssl"]


def test_a_default_policy_leads_through_nothing() -> None:
    fabric = chained("fw")
    change(fabric, Policy("n", None, None, 104, ("fw",)))
    assert travel(fabric, 1, "a", ping("c")).ends == []
    reply = resolve(fabric.dps.world.tables["n"], PolicyRequest("red", IPS["c"]))
    assert "needs a source domain, which no default policy has" in reply.reason


def test_without_its_source_domain_a_chain_ends_at_its_last_appliance() -> None:
    fabric = chained("fw")
    fabric.apply([Change.gone(PolicyDomain("n", "red", 101))])
    holds_standing_flows(fabric)
    assert fabric.send(3, "fw-out", ping()) == []


def test_a_port_that_is_not_there_ends_the_chain() -> None:
    fabric = chained("fw")
    fabric.show_ports(1, {name: number for name, number in PORTS.items() if name != "fw-in"})
    holds_standing_flows(fabric)
    assert travel(fabric, 1, "a", ping()) == Journey([], [])
    fabric.show_ports(1, PORTS)
    holds_standing_flows(fabric)
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]


def test_a_dswitch_that_cannot_be_reached_ends_the_chain() -> None:
    fabric = chained("fw", "ssl")
    change(fabric, DSwitch(2, "s2", ()))
    assert travel(fabric, 1, "a", ping()) == Journey([], [])
    change(fabric, DSwitch(2, "s2", ("fd00::2",)), *(DSwitch(dpid, "", (f"fd00::{dpid}",)) for dpid in (1, 3)))
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]


def leading(flows: Iterable[Flow]) -> list[Flow]:
    """Those of some flows that lead to instances."""
    return [flow for flow in flows if flow.table == POOL.number]


def test_an_appliance_that_moves_takes_what_was_on_its_way_to_where_it_was() -> None:
    """A second instance comes, the first takes nothing new, then it goes: nothing is ever lost."""
    fabric = chained("fw", at=(3, 2, 3))
    first, second = (Instance(f"at{dpid}", dpid, "fw-in", "fw-out") for dpid in (3, 2))
    for instances in ((first, second), (replace(first, weight=0), second), (second,)):
        stale = fabric.switches[1]
        held = leading(stale.flows)
        change(fabric, replace(appliance("fw"), instances=instances))
        if len(instances) == 2:
            stale.carry_out([FlowDelete(0, 0, POOL.number), *held])
        assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]
        stale.carry_out([FlowDelete(0, 0, POOL.number), *leading(fabric.dps.standing_flows(1))])


def test_an_instance_that_is_bound_by_iface_id_is_where_its_ports_are_seen() -> None:
    """X15: nowhere, then at one dSwitch, then at another, then nowhere again; and who is not concerned hears nothing."""
    fabric = chained("fw")
    appliance_of_one = replace(appliance("fw"), instances=(Instance("one", 0, "", ""),))
    change(fabric, appliance_of_one)
    assert travel(fabric, 1, "a", ping()) == Journey([], [])
    for dpid in (3, 2):
        change(fabric, Seat("fw", "one", dpid, "fw-in", "fw-out"))
        journey = travel(fabric, 1, "a", ping())
        assert [(name, at) for name, at, _ in journey.passed] == [("fw", dpid)]
        assert journey.ends == [(2, "b")]
    fabric.apply([Change.gone(Seat("fw", "one", 2, "", ""))])
    holds_standing_flows(fabric)
    assert travel(fabric, 1, "a", ping()) == Journey([], [])


def test_what_is_on_its_way_to_where_an_instance_was_still_passes_there() -> None:
    """X15: as long as its ports are there, at which it may also still give back what it had been given."""
    fabric = chained("fw")
    change(
        fabric,
        replace(appliance("fw"), instances=(Instance("one", 0, "", ""),)),
        old := Seat("fw", "one", 3, *FW_PORTS),
    )
    held = leading(fabric.switches[1].flows)
    change(fabric, moved := replace(old, dpid=2, former=old))
    fabric.switches[1].carry_out(held)
    stale = travel(fabric, 1, "a", ping())
    assert [at for _, at, _ in stale.passed] == [3]
    assert stale.ends == [(2, "b")]
    fabric.switches[1].carry_out(leading(fabric.dps.standing_flows(1)))
    fresh = travel(fabric, 1, "a", ping())
    assert ([at for _, at, _ in fresh.passed], fresh.ends) == ([2], [(2, "b")])
    change(fabric, replace(moved, former=None))
    fabric.switches[1].carry_out(held)
    assert travel(fabric, 1, "a", ping()) == Journey([], []), "its ports there are nobody's now"


def test_a_move_makes_nobody_ask_anew() -> None:
    """X15: what the sender's dSwitch has cached leads to the segment, which stays."""
    fabric = chained("fw")
    change(fabric, replace(appliance("fw"), instances=(Instance("one", 0, "", ""),)), Seat("fw", "one", 3, *FW_PORTS))
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]
    before = cached(fabric, 1)
    assert len(before) == 2, "where it is, and what governs"
    change(fabric, Seat("fw", "one", 2, *FW_PORTS))
    assert cached(fabric, 1) == before
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]
    fabric.apply([Change.gone(Seat("fw", "one", 2, *FW_PORTS))])
    assert cached(fabric, 1) == before
    assert travel(fabric, 1, "a", ping()) == Journey([], []), "though it is nowhere, for that may be for a moment"


def cached(fabric: Fabric, dpid: int) -> list[Flow]:
    """The answers that a dSwitch remembers."""
    flows = ((Cookie.parse(flow.cookie), flow) for flow in fabric.switches[dpid].flows)
    return [flow for cookie, flow in flows if cookie is not None and cookie.kind.cached]


def test_the_health_of_an_instance_is_a_fact_about_those_who_hold_its_segments() -> None:
    """X10: no cached answer goes, and nothing that is no instance of a chain's appliance makes anybody look."""
    fabric = chained("fw")
    world = fabric.dps.world
    told = built_on(world, [Change.put(Health("fw", "at3", up=False))])
    assert told == {dpid: {appliance_scope("fw"): set()} for dpid in world.tables["n"].hosts()}
    assert built_on(world, [Change.put(Health("elsewhere", "one", up=False))]) == {}
    assert travel(fabric, 1, "a", ping()).ends == [(2, "b")]
    before = [list(switch.flows) for switch in fabric.switches.values()]
    change(fabric, Health("fw", "elsewhere", up=False))
    assert [list(switch.flows) for switch in fabric.switches.values()] == before


# Random chains, places and failures.

actions = st.lists(st.sampled_from((*APPLIANCES, "accept")), min_size=1, max_size=5).map(tuple)
places = st.lists(st.sampled_from(DPIDS), max_size=3, unique=True)
pools = st.tuples(places, places, places)
numbered = st.sampled_from(DPIDS)


@st.composite
def happenings(draw: st.DrawFn) -> list[Change]:
    """Something changes: a policy with its segments, one half of it, an appliance, a location, a dSwitch."""
    kind = draw(st.integers(0, 8))
    wanted = draw(actions)
    policy: Entity = Policy("n", "red", "blue", 105, wanted)
    over = segments("n", 100 if draw(st.booleans()) else 200, wanted)
    name = draw(st.sampled_from(APPLIANCES))
    if kind == 0:
        return [Change.put(policy), *map(Change.put, over)]
    if kind == 1:
        return [Change.put(policy)]
    if kind == 2:
        return [Change.gone(draw(st.sampled_from(segments("n", 100, APPLIANCES))))]
    if kind == 3:
        made = appliance(name, *draw(places), routed=draw(st.booleans()))
        bound = (Instance("bound", 0, "", "", 1, ROUTERS_MAC),) if draw(st.booleans()) else ()
        probe = draw(st.sampled_from((None, Probe(ProbeKind.FRAME))))
        return [Change.put(replace(made, instances=(*made.instances, *bound), probe=probe))]
    if kind == 4:
        return [Change.gone(appliance(name))]
    if kind == 5:
        who = draw(st.sampled_from("ab"))
        return [Change.put(Location("n", who, draw(numbered), who))]
    if kind == 6:
        seat = Seat(name, "bound", draw(numbered), f"{name}-in", f"{name}-out")
        if draw(st.booleans()):
            seat = replace(seat, former=replace(seat, dpid=draw(numbered)))
        return [draw(st.sampled_from((Change.put, Change.gone)))(seat)]
    if kind == 7:
        return [Change.put(Health(name, "bound", draw(st.booleans())))]
    dpid = draw(numbered)
    return [Change.put(DSwitch(dpid, f"s{dpid}", (f"10.9.{draw(st.integers(0, 1))}.{dpid}",), tuple(Encapsulation)))]


@patient
@given(actions, pools, numbered, numbered, st.lists(happenings(), max_size=8), st.randoms(use_true_random=False))
def test_no_appliance_is_ever_left_out_and_nothing_runs_in_a_circle(
    wanted: tuple[str, ...],
    pool: tuple[list[int], ...],
    source: int,
    target: int,
    then: list[list[Change]],
    random: Random,
) -> None:
    """F16: a packet that arrives has passed exactly its policy's appliances, in order; and one that can arrive does."""
    start: list[Entity] = [*network("n", 100, wanted), *segments("n", 100, wanted)]
    start += [appliance(name, *dpids) for name, dpids in zip(APPLIANCES, pool, strict=True)]
    start += [Location("n", "a", source, "a"), Location("n", "b", target, "b")]
    random.shuffle(start)
    fabric = fabric_of(start)
    for batch in [[], *then]:
        fabric.apply(random.sample(batch, len(batch)))
        holds_standing_flows(fabric)
        world = fabric.dps.world
        tables = world.tables["n"]
        led = [name for name in tables.policies["red>blue"].actions if name in APPLIANCES]
        place = tables.locations["a"]
        journey = travel(fabric, place.dpid, "a", ping())
        reply = resolve(tables, PolicyRequest("red", IPS["b"]))
        if reply.outcome.value == "allowed":
            for _ in range(2):  # the first may meet where b was, and be led on
                journey = travel(fabric, place.dpid, "a", ping())
            everywhere = not any(lost(world.provider, world.appliances[name]) for name in led)
            assert journey.names == led or not (journey.ends or everywhere)
            assert journey.ends == [(tables.locations["b"].dpid, "b")] or not everywhere
        else:
            assert journey == Journey([], [])
