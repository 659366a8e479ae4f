"""Standing flows follow whatever they are built on, and nothing that they are not built on is computed (F22, F54)."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import replace

import pytest

from dove_ryu.consequences import built_on
from dove_ryu.features import Feature
from dove_ryu.model.appliances import Appliance
from dove_ryu.model.entities import (
    DSwitch,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Place,
    Policy,
    PolicyDomain,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.world import World
from dove_ryu.openflow.flow import Flow, text
from dove_ryu.openflow.pipeline import miss_flows
from dove_ryu.standing import WHOLE_DSWITCH, Parts, StandingFlows

from .pipeline import Fabric
from .scenario import holds_standing_flows
from .test_dps import A_AT_1, B_AT_2, BLUE, DEFAULT, DSWITCHES, NETWORK, PORTS, A, B, fabric

__all__ = ["fabric"]

ON_THE_MOVE = replace(A_AT_1, migrating_to=Place(2, "p2"))


class Watching(Feature):
    """Looks whether the garbage collector is at work."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def dswitch_flows(self, world: World, dpid: int) -> Iterable[Flow]:
        """None; only to be asked."""
        self.seen.append(gc.isenabled())
        return ()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_all_flows_are_computed_and_is_then_as_it_was(enabled: bool) -> None:
    was, feature = gc.isenabled(), Watching()
    standing = StandingFlows(World(), [feature])
    (gc.enable if enabled else gc.disable)()
    try:
        assert len(standing.begin(1, [], [])) == len(standing.compute(1)) == len(miss_flows())
        assert feature.seen == [False, False]
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


def whole(dpid: int) -> Parts:
    """The part that is a dSwitch's own."""
    return {dpid: {WHOLE_DSWITCH: set()}}


def of(*placed: tuple[int, str]) -> Parts:
    """Parts of network n: names of endpoints at dSwitches."""
    parts: Parts = {}
    for dpid, name in placed:
        parts.setdefault(dpid, {}).setdefault("n", set()).add(name)
    return parts


@pytest.mark.parametrize(
    ("entity", "parts"),
    [
        (replace(NETWORK, gateways=()), of((1, "a"), (2, "b"))),
        (VirtualNetwork("m", 99, NETWORK.vni), of((1, "a"), (2, "b"))),
        (VirtualNetwork("m", 99, 6), {}),
        (PolicyDomain("n", "red", 99), of((1, "a"))),
        (PolicyDomain("n", "green", 99), {}),
        (PolicyDomain("m", "red", 99), {}),
        (replace(A, domain="blue"), of((1, "a"))),
        (replace(A, name="c", number=99), {}),
        (Learned("n", "b", (), ("10.0.0.77",)), of((2, "b"))),
        (replace(A_AT_1, dpid=3), of((1, "a"), (3, "a"))),
        (ON_THE_MOVE, of((1, "a"), (2, "a"))),
        (Location("m", "c", 3, "p1"), {3: {"m": {"c"}}}),
        (replace(DSWITCHES[0], encap_ips=("10.9.0.99",)), whole(1)),
        (replace(DEFAULT, ttl=1), {}),
        (Policy("n", "blue", "red", 99, ("accept",)), {}),
        (Appliance("fw", "firewall"), {}),
        *((entity, {}) for entity in (NETWORK, BLUE, A, A_AT_1, DSWITCHES[0])),
    ],
)
def test_a_change_names_what_is_built_on_it(fabric: Fabric, entity: Entity, parts: Parts) -> None:
    assert built_on(fabric.dps.world, [Change.put(entity)]) == parts


@pytest.mark.parametrize("entity", [A, A_AT_1, PolicyDomain("n", "red", 11)])
def test_so_does_its_end(fabric: Fabric, entity: Entity) -> None:
    assert built_on(fabric.dps.world, [Change.gone(entity)]) == of((1, "a"))


def test_what_is_said_again_renews_nothing(fabric: Fabric) -> None:
    """Not even where an endpoint has left a dSwitch that is registered again as it was."""
    moved = replace(B_AT_2, dpid=3, tracking=2)
    fabric.apply([Change.put(moved)])
    said: list[Entity] = [NETWORK, BLUE, A, B, A_AT_1, moved, *DSWITCHES]
    assert fabric.dps.apply(map(Change.put, said)) == {}


def test_only_what_differs_is_sent(fabric: Fabric) -> None:
    """An address more: the flows of the others, and those of the network, are as they were."""
    more = replace(A, ips=(*A.ips, "10.0.0.77"))
    effects = fabric.dps.apply([Change.put(more)])
    assert "10.0.0.77" in text(effects[1])
    assert A.macs[0] in text(effects[1])
    assert not [line for line in text(effects[1]).splitlines() if line.startswith("cookie") and "10.0.0.77" not in line]


@pytest.mark.parametrize("address", ["10.9.0.99", "fd00:9::99"])
def test_copies_for_an_endpoint_on_the_move_follow_its_target(fabric: Fabric, address: str) -> None:
    """X5: the dSwitch that it goes to is reached at another address from now on, or not at all."""
    fabric.apply([Change.put(ON_THE_MOVE)])
    there: DSwitch = DSWITCHES[1]
    for changed in (replace(there, encap_ips=(address,)), replace(there, encap_ips=()), there):
        fabric.apply([Change.put(changed)])
        holds_standing_flows(fabric)


def test_copies_for_an_endpoint_on_the_move_follow_the_tunnel_ports(fabric: Fabric) -> None:
    fabric.apply([Change.put(ON_THE_MOVE)])
    for shown in (PORTS | {"dove-geneve": 20}, {"p1": 1, "p2": 2}, PORTS):
        fabric.show_ports(1, shown)
        holds_standing_flows(fabric)


def test_an_address_that_changes_hands_is_delivered_to_the_first_in_the_alphabet(fabric: Fabric) -> None:
    """Two of a network at one dSwitch claim it for a moment, whoever comes first; the other then has it."""
    other = Endpoint("n", "c", 33, "blue", ("02:00:00:00:00:0c",), ())
    fabric.apply([Change.put(other), Change.put(Location("n", "c", 2, "p2"))])
    for taker, giver in ((other, B), (B, other)):
        for changed in (replace(taker, macs=B.macs), replace(giver, macs=())):
            fabric.apply([Change.put(changed)])
            holds_standing_flows(fabric)


def test_a_gateway_that_comes_is_everywhere_where_its_network_is(fabric: Fabric) -> None:
    second = Gateway("02:00:00:00:ff:02", ("10.0.1.254/24",))
    fabric.apply([Change.put(replace(NETWORK, gateways=(*NETWORK.gateways, second)))])
    holds_standing_flows(fabric)
    assert [second.mac in text(fabric.switches[dpid].flows) for dpid in (1, 2, 3)] == [True, True, False]
