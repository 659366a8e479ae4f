"""What policies do to packets with no appliance for it: on simulated dSwitches, and in the flow log (F31, X8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from dove_ryu.dps import Dps
from dove_ryu.flow_log import Total
from dove_ryu.model import meter_numbers
from dove_ryu.model.entities import Entity, Location, Policy, PolicyAction, PolicyDomain
from dove_ryu.model.facts import Change
from dove_ryu.model.qos import Mark, Per, Rate
from dove_ryu.openflow.action import Metered
from dove_ryu.openflow.meters import FIRST_RATE_METER
from dove_ryu.openflow.pipeline import POLICY, RATE

from .oracle import Ping
from .pipeline import Fabric
from .scenario import fabric_of, holds_standing_flows
from .states import IPV4, IPV6, MACS, State, usual
from .wire import frame

RED_TO_BLUE: tuple[str, ...] = ("policy", "n1", "red", "blue")
NUMBER = 777
GOVERNING = Policy("n1", "red", "blue", NUMBER, ("accept",))
EACH = replace(GOVERNING, rate=Rate(1000, 200, Per.ENDPOINT))
ALL = replace(GOVERNING, rate=Rate(1000, 200))
LOGGED = replace(GOVERNING, actions=("log",))


def with_policy(policy: Policy) -> State:
    return usual() | {RED_TO_BLUE: policy}


def put(fabric: Fabric, *entities: Entity) -> None:
    fabric.apply(map(Change.put, entities))
    holds_standing_flows(fabric)


def ping(fabric: Fabric, to: int = 3, six: bool = False, sender: int = 0) -> list[bytes]:
    """What arrives of a ping of e1's, or another's at the first dSwitch."""
    ips = IPV6 if six else IPV4
    sent = Ping("n1", f"e{sender + 1}", MACS[sender], ips[sender], MACS[to], ips[to])
    return [each.frame for each in fabric.send(1, f"p{sender + 1}", frame(sent))]


# Marks.


@pytest.mark.parametrize(
    ("policy", "extra"),
    [
        (replace(GOVERNING, dscp=46), ()),
        (replace(GOVERNING, actions=("urgent",)), (PolicyAction("n1", "urgent", 900, "mark", None, Mark(46)),)),
    ],
)
def test_packets_are_marked_in_either_version_of_ip(policy: Policy, extra: Iterable[Entity]) -> None:
    fabric = fabric_of(with_policy(policy))
    put(fabric, *extra)
    (four,), (six,) = ping(fabric), ping(fabric, six=True)
    assert four[15] == 46 << 2
    assert int.from_bytes(six[14:16], "big") >> 4 & 0xFF == 46 << 2


# Meters.


def meters(fabric: Fabric, dpid: int) -> dict[tuple[int, ...], int]:
    """The numbers of a dSwitch's meters for rates, by what their flows match."""
    found = {}
    for flow in fabric.switches[dpid].flows:
        for action in flow.actions if flow.table == RATE.number else ():
            assert isinstance(action, Metered)
            found[tuple(term.value for term in flow.match)] = action.meter - FIRST_RATE_METER
    return found


def test_the_meters_follow_the_policies_and_their_senders() -> None:
    fabric = fabric_of(with_policy(EACH))
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [1, 1, 0], "e1 and e3 are red"
    put(fabric, ALL)
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [1, 1, 1]
    put(fabric, GOVERNING)
    assert [meters(fabric, dpid) for dpid in (1, 2, 3)] == [{}, {}, {}]
    put(fabric, replace(GOVERNING, actions=("slow",)))
    put(fabric, PolicyAction("n1", "slow", 900, "rate", None, Rate(5, 6, Per.ENDPOINT)))
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [1, 1, 0]
    put(fabric, Location("n1", "e3", 1, "p3"))
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [2, 0, 0]
    put(fabric, PolicyDomain("n1", "blue", 901))
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [2, 0, 0]
    put(fabric, PolicyAction("n1", "slow", 900, "firewall"))
    assert [meters(fabric, dpid) for dpid in (1, 2, 3)] == [{}, {}, {}]


def test_an_action_and_its_policy_may_come_together() -> None:
    fabric = fabric_of(with_policy(GOVERNING))
    slow = PolicyAction("n1", "slow", 900, "rate", None, Rate(5, 6, Per.ENDPOINT))
    put(fabric, PolicyAction("n1", "slow", 900, "firewall"))
    put(fabric, replace(GOVERNING, actions=("slow",)), slow)
    assert [len(meters(fabric, dpid)) for dpid in (1, 2, 3)] == [1, 1, 0]


def test_meters_have_the_numbers_that_they_had_before_the_dps_restarted() -> None:
    """X1: nothing is sent for them, and their buckets stay as full as they are."""
    fabric = fabric_of(with_policy(EACH))
    put(fabric, replace(EACH, tracking=2))
    before = meters(fabric, 1)
    assert set(before.values()) == {1}, "another form of a policy has another meter"
    later = Dps()
    later.apply(map(Change.put, _entities(with_policy(replace(EACH, tracking=2)))))
    changes = later.connect(1, fabric.switches[1].ports, fabric.switches[1].flows)
    assert changes == []


def _entities(state: State) -> Iterable[Entity]:
    return (held for held in state.values() if held is not None and not isinstance(held, tuple))


def test_numbers_that_are_needed_no_more_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_numbers, "LEAST_GROWTH", 3)
    fabric = fabric_of(with_policy(EACH))
    fabric.connect(1, fabric.switches[1].ports)
    for tracking in range(2, 30):
        put(fabric, replace(EACH, tracking=tracking))
    numbers = fabric.dps.world.meter_numbers(1)
    assert not numbers.overgrown
    assert set(meters(fabric, 1).values()) == {29 - 1}


# The flow log.


def said(fabric: Fabric) -> list[str]:
    """What the flow log says from now on."""
    lines: list[str] = []
    fabric.dps.flow_log.sink = lambda record: lines.append(str(record))
    return lines


def test_a_logged_pair_is_on_record_from_its_first_packet_to_its_last() -> None:
    fabric = fabric_of(with_policy(LOGGED))
    lines = said(fabric)
    assert len(ping(fabric)) == 1
    known = "dswitch=0000000000000001 network=n1 policy=red>blue tracking=1"
    assert lines == [f"event=acquired {known}"]
    assert [len(ping(fabric)), len(ping(fabric, to=1))] == [1, 1], "another destination is the same pair"
    fabric.pass_time(61)
    assert lines[1:] == [f"event=ended {known} why=idle packets=3 bytes=0 seconds=0.0"]
    assert fabric.dps.flow_log.totals == {("n1", "red>blue"): Total(1, 3)}


def test_an_entry_that_is_refreshed_ends_and_begins() -> None:
    fabric = fabric_of(with_policy(replace(LOGGED, ttl=30)))
    lines = said(fabric)
    ping(fabric)
    fabric.pass_time(31)
    assert [line.split()[0] for line in lines] == ["event=acquired", "event=ended", "event=acquired"]
    assert fabric.dps.flow_log.totals["n1", "red>blue"].entries == 2


def test_what_is_denied_is_on_record_too() -> None:
    fabric = fabric_of(with_policy(replace(GOVERNING, actions=("deny", "log"))))
    lines = said(fabric)
    assert ping(fabric) == []
    put(fabric, replace(GOVERNING, tracking=2))
    assert [line.split()[0] for line in lines] == ["event=acquired", "event=ended"]
    assert "why=deleted packets=1" in lines[1]


def test_what_began_before_the_dps_did_ends_on_record() -> None:
    fabric = fabric_of(with_policy(LOGGED))
    ping(fabric)
    lines = said(fabric)
    fabric.lose(1)
    fabric.connect(1, fabric.switches[1].ports)
    fabric.pass_time(61)
    assert [line.split()[0] for line in lines] == ["event=ended"]


def test_who_is_not_logged_is_not_on_record() -> None:
    fabric = fabric_of(with_policy(GOVERNING))
    lines = said(fabric)
    ping(fabric)
    fabric.pass_time(61)
    assert lines == []


def test_an_entry_that_is_asked_for_twice_begins_once() -> None:
    """Two packets come up before the first answer is there."""
    fabric = fabric_of(with_policy(LOGGED))
    lines = said(fabric)
    ping(fabric)
    (entry,) = [flow for flow in fabric.switches[1].flows if flow.table == POLICY.number and flow.notify]
    fabric.dps.flow_log.begin(1, fabric.dps.world.tables["n1"], [entry])
    assert len(lines) == 1
