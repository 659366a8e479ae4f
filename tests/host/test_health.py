"""Whether an appliance's instances work, and where they are, as their own ports and answers say (X10, X15).

An appliance is a namespace with nftables between two ports.  Its rules are what fails here, or its cable, or it is moved.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator

import namespace
import pytest
from emulated_node import ip
from emulation import Appliance, Hypervisor, wait_until

from .datacenter import DataCenter, Document, dpid, ipv4, machine
from .streams import Stream

MOST_LOST = 20
"""Datagrams, that is milliseconds, that a move may cost, as of an endpoint."""

WITHIN = 1.0
"""Seconds within which a probed instance that has died is known to be down."""

AT_ONCE = 0.3
"""Seconds within which the DPS has heard of a port without a link, whatever else this machine does."""

NOTHING, ALL = "drop", ""
"""Rules of an appliance that passes nothing, and of one that passes all."""

_names = (f"h{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        for number, name in enumerate(("near", "far"), 2):
            net.add_server(name, f"10.0.0.{number}/24")
        net.start()
        yield net


@pytest.fixture
def box(net: DataCenter) -> Iterator[Appliance]:
    """An appliance of one instance, probed by frames."""
    made = net.add_appliance(net["near"], next(_names))
    net.register(made.name, made, probe="frame")
    wait_for_probes(net, 3)
    assert health(net, made)["up"]
    yield made
    net.delete(f"/v1/appliances/{made.name}")


def health(net: DataCenter, box: Appliance) -> Document:
    """How it stands with the one instance of the appliance of a box's name."""
    return health_of(net, box.name)


def health_of(net: DataCenter, name: str) -> Document:
    shown: Document = net.read(f"/v1/appliances/{name}")["instances"][0]["health"]
    return shown


def changes(net: DataCenter) -> int:
    """How often any instance was found to be down, or up again."""
    count: int = net.read("/v1/status")["probes"]["changes"]
    return count


def wait_for_probes(net: DataCenter, more: int) -> None:
    """Until so many more probes have been sent."""
    enough = net.read("/v1/status")["probes"]["sent"] + more
    wait_until(lambda: net.read("/v1/status")["probes"]["sent"] >= enough, f"{more} more probes")


def until_it_is(net: DataCenter, box: Appliance, up: bool, deadline: float = 5.0) -> float:
    """Wait until an instance is known to be up or down; the seconds that it took."""
    return wait_until(lambda: health(net, box)["up"] is up, f"{box.name} {'up' if up else 'down'}", deadline)


@contextlib.contextmanager
def stopped(process: int, seconds: float) -> Iterator[None]:
    """A process that is given no time for a while; then the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        wait(seconds)
    finally:
        os.kill(process, signal.SIGCONT)
    yield


def wait(seconds: float) -> None:
    """The time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def test_an_instance_that_passes_nothing_on_is_down_within_a_second(net: DataCenter, box: Appliance) -> None:
    for _ in range(3):
        box.load(NOTHING)
        assert until_it_is(net, box, up=False) < WITHIN
        reason = f"no probe that goes in at port {box.name}-in comes back at port {box.name}-out"
        assert health(net, box)["reason"] == reason
        box.load(ALL)
        assert until_it_is(net, box, up=True) < WITHIN


def test_a_port_without_a_link_is_known_at_once(net: DataCenter, box: Appliance) -> None:
    for device in box.devices:
        with box.inside():
            ip(f"link set {device} down")
        assert until_it_is(net, box, up=False) < AT_ONCE
        assert health(net, box)["reason"].startswith(f"port {box.name}-{device} of dSwitch ")
        with box.inside():
            ip(f"link set {device} up")
        assert until_it_is(net, box, up=True) < WITHIN


def test_an_instance_that_is_not_probed_lives_and_dies_with_its_ports(net: DataCenter, box: Appliance) -> None:
    net.register(box.name, box)
    port = f"{box.name}-out"
    box.server.vsctl("del-port", port)
    assert until_it_is(net, box, up=False) < AT_ONCE
    assert health(net, box)["reason"].endswith(f"has no port {port}")
    box.server.vsctl("add-port", Hypervisor.DSWITCH, port)
    assert until_it_is(net, box, up=True) < AT_ONCE
    box.load(NOTHING)
    before = changes(net)
    wait(WITHIN)
    assert changes(net) == before


def test_who_asks_may_stall_and_nobody_is_taken_for_dead(net: DataCenter, box: Appliance) -> None:
    """The DPS is given no time for two seconds, then the dSwitch."""
    before = changes(net)
    for process in (net.dps.process_id, box.server.vswitchd_id):
        with stopped(process, 2.0):
            wait_for_probes(net, 5)
        assert changes(net) == before


def test_a_dps_that_starts_believes_the_one_before_it(net: DataCenter, box: Appliance) -> None:
    """Until probes, of which it takes some in a row, say otherwise."""
    box.load(NOTHING)
    until_it_is(net, box, up=False)
    found = health(net, box)
    net.dps.kill()
    box.load(ALL)
    net.dps.start()
    assert health(net, box) == found, "nothing is connected yet"
    until_it_is(net, box, up=True)


def test_a_dswitch_that_is_away_takes_nobody_with_it(net: DataCenter, box: Appliance) -> None:
    """Its dataplane may well go on, and packets with it."""
    before = changes(net)
    box.server.vsctl("del-controller", Hypervisor.DSWITCH)
    wait_until(lambda: net.connections(box.server)["openflow"] == "stale", "end of the connection")
    box.load(NOTHING)
    wait(WITHIN)
    assert changes(net) == before
    box.server.init_dswitch()
    net.wait_live(box.server)
    until_it_is(net, box, up=False)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_a_router_answers_for_its_address(net: DataCenter, address: str) -> None:
    """And it may have one port; a dedicated one is asked without a tag."""
    router = net.add_appliance(net["near"], next(_names), "accept", ports=1)
    with router.inside():
        namespace.allow_ipv6(router.IN)
        ip(f"addr add {address}/{128 if ':' in address else 32} dev {router.IN}{' nodad' * (':' in address)}")
    one = {"name": "one", "dswitch": dpid(router.server), **router.server_ports, "mac": "02:00:00:00:0f:01"}
    probe = {"kind": "arp", "address": address}
    net.put(
        f"/v1/appliances/{router.name}",
        {"kind": "router", "sharing": "dedicated", "routed": True, "probe": probe, "instances": [one]},
    )
    wait_for_probes(net, 5)
    assert health(net, router) == {"up": True, "since": None, "reason": ""}
    router.load(NOTHING)
    assert until_it_is(net, router, up=False) < WITHIN
    assert health(net, router)["reason"] == f"{address} is asked for at port {router.name}-in and does not answer"
    router.load("accept")
    assert until_it_is(net, router, up=True) < WITHIN
    net.delete(f"/v1/appliances/{router.name}")


def test_an_instance_moves_with_its_ports(net: DataCenter) -> None:
    """X15, X1: its ports at another server say that they are its; under a stream, which passes one or the other, and over
    the death of the DPS while both say so."""
    name = next(_names)
    old, new = (net.add_appliance(net[at], f"{name}{at}") for at in ("near", "far"))
    net.put(f"/v1/appliances/{name}", {"kind": "x", "probe": "frame", "instances": [{"name": "one"}]})
    net.apply(
        {
            "network": name,
            "domains": ["a", "b"],
            "actions": [{"name": "x", "kind": "x", "appliance": name}],
            "policies": [{"from": "a", "to": "b", "actions": ["x"]}],
            "endpoints": [machine("a", 1, "a"), machine("b", 2, "b")],
        }
    )
    sender, receiver = net.attach(net["near"], f"{name}/a"), net.attach(net["far"], f"{name}/b")
    place(name, old)
    wait_until(lambda: seat(net, name) == dpid(old.server), "first seat")
    with Stream(sender, receiver, ipv4(2)) as stream:
        wait(0.7)
        place(name, new)
        wait_until(lambda: seat(net, name) == dpid(new.server), "second seat")
        # Who dies in the midst of a change leaves it half done until it is back.
        wait_until(lambda: net.read("/v1/status")["lag"] == 0, "told to all")
        net.dps.kill()
        net.start()
        for each in net.switches:
            net.wait_live(each)
        assert seat(net, name) == dpid(new.server), "what was said before is no news"
        for port in old.server_ports.values():
            old.server.vsctl("remove", "Interface", port, "external_ids", "iface-id")
        wait(0.7)
    delivery = stream.end()
    assert len(delivery.lost) <= MOST_LOST, delivery.story()
    assert all(box.passed().total() for box in (old, new))
    assert health_of(net, name)["up"]
    for port in new.server_ports.values():
        new.server.vsctl("del-port", port)
    wait_until(lambda: seat(net, name) is None, "no seat")
    assert net.trace(name, "a", "b")["reason"].endswith("instance does not work (these do not: 'one')")


def place(name: str, box: Appliance) -> None:
    """Let a box's ports say that they are those of the first instance."""
    for side, port in box.server_ports.items():
        box.server.dswitch("attach", port, "--instance", f"{name}/one/{side}")


def seat(net: DataCenter, name: str) -> str | None:
    """The dSwitch where the first instance is."""
    found = net.read(f"/v1/appliances/{name}")["instances"][0]["seat"]
    return None if found is None else str(found["dswitch"])
