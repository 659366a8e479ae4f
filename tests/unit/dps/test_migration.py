"""Figure 3 of the report, step by step; live migration; and what becomes of a cache whose time is up (F18-F21, X1, X5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dove_ryu.dps import Dps
from dove_ryu.features import IDLE_TIMEOUT, NEGATIVE_TTL, TOMBSTONE_TIMEOUT
from dove_ryu.model.entities import Encapsulation, Endpoint, Location, Place, Service
from dove_ryu.model.facts import Change
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import VNI, Cookie, Kind
from dove_ryu.openflow.flow import End, Flow, FlowEnd, PacketIn
from dove_ryu.openflow.match import Match
from dove_ryu.openflow.pipeline import DELIVER

from .pipeline import Fabric
from .scenario import holds_standing_flows, is_tombstone
from .test_dps import (
    A_AT_1,
    B_AT_2,
    EVERYTHING,
    NETWORK,
    PING,
    PORTS,
    RED_TO_BLUE,
    A,
    B,
    arrives,
    cached,
    cookies_of,
    fabric,
)
from .wire import announcement, frame

__all__ = ["fabric"]

ROUTED = replace(PING, to_mac=NETWORK.gateways[0].mac)
LOCATIONS = {"a": A_AT_1, "b": B_AT_2}


def moves(fabric: Fabric, endpoint: Endpoint, dpid: int, port: str = "p1") -> None:
    """An endpoint appears at another dSwitch."""
    before = fabric.dps.world.tables["n"].locations[endpoint.name]
    fabric.apply([Change.put(replace(before, dpid=dpid, port=port, tracking=before.tracking + 1))])


def reached(fabric: Fabric, ping: object = PING) -> list[int]:
    """The dSwitches at which a's ping comes out."""
    return [delivery.dpid for delivery in fabric.send(1, "p1", frame(ping))]  # type: ignore[arg-type]


def tombstones(fabric: Fabric, dpid: int) -> int:
    """How many tombstones a dSwitch holds."""
    return sum(map(is_tombstone, fabric.switches[dpid].flows))


# Figure 3: a moved endpoint.


@pytest.mark.parametrize("ping", [PING, ROUTED], ids=["by MAC", "routed"])
@pytest.mark.parametrize("service", Service)
def test_one_packet_goes_by_the_tombstone_and_corrects_its_sender(
    fabric: Fabric, ping: object, service: Service
) -> None:
    """F18-F20: none is lost, one invalidation, no policy request, and only the dSwitches of the move are told."""
    fabric.apply([Change.put(replace(NETWORK, service=service))])
    assert reached(fabric, ping) == [2]
    asked = fabric.dps.requests.copy()
    effects = fabric.dps.apply([Change.put(replace(B_AT_2, dpid=3, tracking=2))])
    assert set(effects) == {2, 3}
    fabric.carry_out(effects)
    assert [reached(fabric, ping) for _ in range(3)] == [[3], [3], [3]]
    assert (fabric.dps.invalidations, fabric.dps.requests) == (1, asked)
    assert cookies_of(fabric, Kind.LOCATION) == Cookie(Kind.LOCATION, 22, 2)


def test_an_endpoint_that_moves_on_is_followed_through_all_its_tombstones(fabric: Fabric) -> None:
    fabric.connect(4, PORTS)
    fabric.apply([Change.put(replace(fabric.dps.world.dswitches[3], dpid=4, name="s4", encap_ips=("10.9.0.4",)))])
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    moves(fabric, B, 4)
    assert [reached(fabric), reached(fabric)] == [[4], [4]]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_dswitch_that_an_endpoint_has_left_gets_another_address(fabric: Fabric, at_once: bool) -> None:
    """Who has not been corrected yet sends to the old one, where no tombstone is any more."""
    assert reached(fabric) == [2]
    moved = Change.put(replace(B_AT_2, dpid=3, tracking=2))
    readdressed = Change.put(replace(fabric.dps.world.dswitches[2], encap_ips=("10.9.0.99",)))
    for batch in ([moved, readdressed],) if at_once else ([moved], [readdressed]):
        fabric.apply(batch)
    assert reached(fabric) == [3]


def test_an_endpoint_that_comes_back_finds_no_tombstone_in_its_way(fabric: Fabric) -> None:
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    moves(fabric, B, 2)
    assert reached(fabric) == [2]
    fabric.apply([Change.gone(B)])
    assert reached(fabric) == []


def test_a_tombstone_ends_when_nobody_uses_it_and_a_miss_makes_it_anew(fabric: Fabric) -> None:
    """Somebody else of the network lives at the old dSwitch, or its packets would not come as far as DELIVER."""
    assert reached(fabric) == [2]
    stale = cached(fabric)[Kind.LOCATION]
    moves(fabric, B, 3)
    assert tombstones(fabric, 2) == 2
    fabric.pass_time(TOMBSTONE_TIMEOUT)
    assert tombstones(fabric, 2) == 0
    neighbour = replace(A, name="c", number=30, macs=("02:00:00:00:00:0c",), ips=())
    fabric.apply([Change.put(neighbour), Change.put(Location("n", "c", 2, "p2"))])
    assert reached(fabric) == [3]
    fabric.switches[1].carry_out([stale])
    assert [reached(fabric), reached(fabric)] == [[3], [3]]
    assert (tombstones(fabric, 2), fabric.dps.invalidations) == (2, 1)


def test_a_sender_whom_nobody_knows_makes_its_dswitch_ask_anew(fabric: Fabric) -> None:
    """Without a guard an endpoint may send from any address; whose domain it is in is not to be seen at the other end."""
    fabric.apply([Change.put(replace(A, guard=False))])
    forged = replace(PING, mac="02:00:00:00:00:66", ip="10.0.0.66")
    assert reached(fabric, forged) == [2]
    moves(fabric, B, 3)
    assert reached(fabric, forged) == [3]
    assert Kind.LOCATION not in cached(fabric)
    assert reached(fabric, forged) == [3]
    assert fabric.dps.invalidations == 1


@pytest.mark.parametrize("located", [True, False], ids=["somewhere", "nobody's"])
def test_by_whom_nobody_knows_for_whom_nobody_knows_no_entry_is_stale(fabric: Fabric, located: bool) -> None:
    """An address that is somewhere, the sender's dSwitch asks for anew; of nobody's there is nothing to forget."""
    fields = {VNI.field: 5, oxm.TUN_SRC: oxm.TUN_SRC.parse("10.9.0.1")}
    forged = replace(PING, mac="02:00:00:00:00:66", to_mac=B.macs[0] if located else "02:00:00:00:00:99")
    report = PacketIn(int(Cookie(Kind.MISS)), DELIVER.number, fields, frame(forged))
    moves(fabric, B, 3)
    ((dpid, changes),) = fabric.dps.packet_in(2, report).elsewhere
    assert (dpid, bool(changes)) == (1, located)


def test_a_routed_packet_of_nobody_that_comes_up_says_nothing(fabric: Fabric) -> None:
    fields = {VNI.field: 5, oxm.TUN_SRC: oxm.TUN_SRC.parse("10.9.0.1")}
    noise = bytes.fromhex("020000000099") + bytes.fromhex(ROUTED.to_mac.replace(":", "")) + b"\x88\xcc"
    report = PacketIn(int(Cookie(Kind.MISS)), DELIVER.number, fields, noise)
    assert fabric.dps.packet_in(2, report).elsewhere == ()


def test_a_stale_dswitch_that_is_not_connected_is_not_corrected(fabric: Fabric) -> None:
    """It goes on with what it has, and its packets arrive by the tombstone as long as they come."""
    assert reached(fabric) == [2]
    fabric.lose(1)
    moves(fabric, B, 3)
    assert [reached(fabric), reached(fabric)] == [[3], [3]]
    assert fabric.dps.invalidations == 2
    fabric.connect(1, PORTS)
    assert reached(fabric) == [3]
    assert fabric.dps.invalidations == 2


# Who cannot be told by a tombstone is told at once.


def test_who_leaves_a_dswitch_that_is_not_connected_is_looked_up_anew(fabric: Fabric) -> None:
    assert reached(fabric) == [2]
    fabric.lose(2)
    moves(fabric, B, 3)
    assert reached(fabric) == [3]
    assert fabric.dps.invalidations == 0


def test_who_goes_where_its_old_dswitch_cannot_send_is_looked_up_anew(fabric: Fabric) -> None:
    """The old dSwitch speaks one protocol, the new one another, and the sender's both."""
    for dpid, protocol in ((2, Encapsulation.GENEVE), (3, Encapsulation.VXLAN)):
        fabric.apply([Change.put(replace(fabric.dps.world.dswitches[dpid], encap_types=(protocol,)))])
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    assert Kind.LOCATION not in cached(fabric)
    assert reached(fabric) == [3]


def test_a_dswitch_that_goes_takes_its_tombstones_with_it(fabric: Fabric) -> None:
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    fabric.lose(2)
    assert Kind.LOCATION not in cached(fabric)
    fabric.switches[2].restart()
    assert reached(fabric) == [3]


def test_a_dswitch_is_relied_on_as_long_as_it_has_tombstones(fabric: Fabric) -> None:
    """And nobody relies any more on one that is in doubt: they have all forgotten."""
    assert reached(fabric) == [2]
    assert not fabric.dps.relied_on(2)
    moves(fabric, B, 3)
    assert [fabric.dps.relied_on(dpid) for dpid in (1, 2, 3)] == [False, True, False]
    fabric.carry_out(fabric.dps.doubt(2))
    assert Kind.LOCATION not in cached(fabric)
    assert not fabric.dps.relied_on(2)
    moves(fabric, B, 2)
    moves(fabric, B, 3)
    assert fabric.dps.relied_on(2)
    fabric.pass_time(TOMBSTONE_TIMEOUT)
    assert not fabric.dps.relied_on(2)


def test_what_a_restarted_dps_reads_of_tombstones_it_remembers(fabric: Fabric) -> None:
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    fabric.dps = Dps()
    fabric.apply(map(Change.put, [*EVERYTHING, replace(B_AT_2, dpid=3, tracking=2)]))
    fabric.connect(2, PORTS)
    fabric.connect(3, PORTS)
    assert [reached(fabric), tombstones(fabric, 2)] == [[3], 2]
    fabric.connect(1, PORTS)
    assert cookies_of(fabric, Kind.LOCATION) == Cookie(Kind.LOCATION, 22, 2)


def test_who_goes_nowhere_or_whose_tombstones_are_over_is_nobodys_concern(fabric: Fabric) -> None:
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    fabric.pass_time(TOMBSTONE_TIMEOUT)
    assert fabric.dps.lose(2) == {}
    fabric.connect(2, PORTS)
    moves(fabric, B, 2)
    moves(fabric, B, 3)
    fabric.apply([Change.gone(replace(B_AT_2, dpid=3))])
    assert fabric.dps.lose(2) == {}


# Live migration.


def test_a_packet_reaches_both_places_until_the_endpoint_speaks_at_the_new_one(fabric: Fabric) -> None:
    """F45, X5."""
    assert reached(fabric) == [2]
    fabric.apply([Change.put(replace(B_AT_2, migrating_to=Place(3, "p1")))])
    holds_standing_flows(fabric)
    assert reached(fabric) == [2, 3]
    fabric.send(3, "p1", announcement(B.macs[0]))
    assert fabric.arrivals == [replace(B_AT_2, migrating_to=Place(3, "p1"))]
    fabric.apply([Change.put(replace(B_AT_2, dpid=3, tracking=2))])
    assert [reached(fabric), reached(fabric)] == [[3], [3]]
    assert fabric.dps.invalidations == 1


def test_an_aborted_migration_leaves_everything_as_it_was(fabric: Fabric) -> None:
    before = set(fabric.switches[2].flows)
    fabric.apply([Change.put(replace(B_AT_2, migrating_to=Place(3, "p1")))])
    assert set(fabric.switches[2].flows) != before
    fabric.apply([Change.put(B_AT_2)])
    assert set(fabric.switches[2].flows) == before
    assert (reached(fabric), tombstones(fabric, 3)) == ([2], 0)


def test_who_cannot_be_told_to_take_copies_gets_none_until_it_is_back(fabric: Fabric) -> None:
    """X5: it holds a tombstone, which would send each copy back to where it came from, to be copied again."""
    assert reached(fabric) == [2]
    moves(fabric, B, 3)
    fabric.lose(2)
    fabric.apply([Change.put(replace(B_AT_2, dpid=3, tracking=2, migrating_to=Place(2, "p1")))])
    assert reached(fabric) == [3]
    fabric.connect(2, PORTS)
    assert sorted(reached(fabric)) == [2, 3]
    fabric.lose(2)
    assert reached(fabric) == [3], "what is on its way there may be anywhere by now"
    holds_standing_flows(fabric)


def test_a_neighbours_packets_reach_both_places_too(fabric: Fabric) -> None:
    moves(fabric, B, 1, "p2")
    fabric.apply([Change.put(Location("n", "b", 1, "p2", 2, migrating_to=Place(3, "p1")))])
    assert reached(fabric) == [1, 3]


# Time.


def test_what_nobody_uses_goes_and_what_is_used_is_refreshed_without_a_gap(fabric: Fabric) -> None:
    """F21: a policy of 300 s, a packet each 50 s, and a third party asks nothing."""
    assert reached(fabric) == [2]
    for _ in range(20):
        fabric.pass_time(IDLE_TIMEOUT - 10)
        assert reached(fabric) == [2]
    assert (fabric.questions, fabric.dps.refreshed) == (1, 6)
    fabric.pass_time(IDLE_TIMEOUT)
    assert cached(fabric) == {}
    assert fabric.dps.refreshed == 6


def test_what_was_believed_to_be_nowhere_is_asked_for_again(fabric: Fabric) -> None:
    fabric.apply([Change.gone(B_AT_2)])
    assert reached(fabric) == []
    fabric.pass_time(NEGATIVE_TTL)
    assert cached(fabric).keys() == {Kind.POLICY}


def ended(fabric: Fabric, why: End, packets: int) -> FlowEnd:
    """The end of the entry by which a's packets find b."""
    assert arrives(fabric)
    return FlowEnd(cached(fabric)[Kind.LOCATION]._replace(actions=()), why, packets)


@pytest.mark.parametrize(
    ("why", "packets", "again"),
    [(End.HARD, 9, True), (End.HARD, 0, False), (End.IDLE, 9, False), (End.DELETED, 9, False), (End.OTHER, 9, False)],
)
def test_only_what_was_used_to_the_end_of_its_time_comes_again(
    fabric: Fabric, why: End, packets: int, again: bool
) -> None:
    end = ended(fabric, why, packets)
    assert fabric.dps.hear_end(1, end) == ([cached(fabric)[Kind.LOCATION]] if again else [])
    assert fabric.dps.refreshed == again


def test_what_is_not_true_any_more_does_not_come_again(fabric: Fabric) -> None:
    end = ended(fabric, End.HARD, 9)
    fabric.dps.apply([Change.gone(NETWORK)])
    assert fabric.dps.hear_end(1, end) == []
    assert fabric.dps.hear_end(1, replace(end, flow=end.flow._replace(match=Match()))) == []


def test_a_dswitch_that_is_gone_is_told_nothing_of_its_ends(fabric: Fabric) -> None:
    end = ended(fabric, End.HARD, 9)
    fabric.lose(1)
    assert fabric.dps.hear_end(1, end) == []


# Away.


def test_a_dswitch_that_comes_back_keeps_what_is_true_replaces_what_is_not_and_drops_the_rest(fabric: Fabric) -> None:
    """X1."""
    assert arrives(fabric)
    before = cached(fabric)
    fabric.lose(1)
    fabric.connect(1, PORTS)
    assert cached(fabric) == before
    fabric.lose(1)
    fabric.apply([Change.put(replace(RED_TO_BLUE, tracking=8))])
    changes = fabric.dps.connect(1, PORTS, fabric.switches[1].flows)
    assert [flow.key for flow in changes if isinstance(flow, Flow)] == [before[Kind.POLICY].key]
    fabric.carry_out({1: changes})
    assert cookies_of(fabric, Kind.POLICY) == Cookie(Kind.POLICY, 15, 8)
    assert cached(fabric)[Kind.LOCATION] == before[Kind.LOCATION]
    fabric.lose(1)
    fabric.apply([Change.gone(B)])
    fabric.connect(1, PORTS)
    assert before[Kind.LOCATION] not in fabric.switches[1].flows
    assert not arrives(fabric)
