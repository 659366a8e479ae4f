"""Whoever moves, and whoever dies, a chained stream goes on (F16, F18, X1).

A stream of 1,000 datagrams a second passes two appliances while its sender, its receiver or one of the appliances moves to
another server, or the DPS is killed. What arrives has been counted by both appliances.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from emulation import Appliance, Endpoint, wait_until

from .datacenter import DataCenter, ipv4, ipv6
from .guest import GUEST, PEER, Scene, scene
from .streams import Delivery, Stream

MOST_LOST = 20
"""Datagrams, that is milliseconds, that a move may cost."""

BEFORE, AFTER = 0.7, 1.0
"""Seconds of the stream before and after what happens to it."""

CHAIN = ("fw", "ids")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    """Appliance fw is on the server that machines leave, and can be on the one that they come to; ids is on the third."""
    with DataCenter() as net:
        net.add_dps()
        for number, name in enumerate(("source", "old", "new"), 2):
            net.add_server(name, f"10.0.0.{number}/24")
        net.start()
        for name, server in (("fw_old", "old"), ("fw_new", "new"), ("ids", "source")):
            net.add_appliance(net[server], name)
        net.register("ids", net["ids"])
        yield net


@pytest.fixture
def move(net: DataCenter) -> Scene:
    net.start()  # what an earlier test left dead
    net.register("fw", net["fw_old"])
    for appliance in net.appliances:
        appliance.load("")  # and forgets what it has counted
    return scene(
        net,
        f"k{next(_numbers)}",
        *net.switches,
        actions=[{"name": name, "kind": name, "appliance": name} for name in CHAIN],
        policies=[{"from": "peers", "to": "guests", "actions": CHAIN, "symmetric": True}],
    )


def wait(seconds: float) -> None:
    """Let the stream run: the time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def streamed(move: Scene, happens: Callable[[], None], *, by_guest: bool = False) -> Delivery:
    """What becomes of a stream to the machine that moves, or by it, while something happens. Whatever arrived has
    passed both appliances."""
    ends: tuple[Endpoint, Endpoint] = (move.guest, move.peer) if by_guest else (move.peer, move.guest)
    addresses = [ipv4(GUEST), ipv4(PEER)] if by_guest else [ipv4(PEER), ipv4(GUEST)]
    with Stream(*ends, addresses[1]) as stream:
        wait(BEFORE)
        happens()
        wait(AFTER)
    delivery = stream.end()
    firewalls, ids = (move.net["fw_old"], move.net["fw_new"]), (move.net["ids"],)
    for appliances in (firewalls, ids):
        assert counted(appliances, *addresses) >= len({number for number, _ in delivery.received})
    return delivery


def counted(appliances: tuple[Appliance, ...], source: str, destination: str) -> int:
    """Packets of one address to another that appliances have let pass."""
    return sum(
        packets
        for appliance in appliances
        for passage, packets in appliance.passed().items()
        if (passage.source, passage.destination) == (source, destination)
    )


def relocate(move: Scene) -> None:
    """The machine's new port is bound, it resumes there, the old one goes: nobody has announced it."""
    move.guest.attach(move.new)
    move.guest.resume(move.new)
    move.wait_at(move.new)
    move.guest.detach(move.old)


@pytest.mark.parametrize("by_guest", [False, True], ids=["the receiver", "the sender"])
def test_an_endpoint_of_a_chain_moves(move: Scene, by_guest: bool) -> None:
    delivery = streamed(move, lambda: relocate(move), by_guest=by_guest)
    assert len(delivery.lost) <= MOST_LOST, delivery.story()


def test_an_appliance_moves(net: DataCenter, move: Scene) -> None:
    """Its machine is elsewhere from one moment to the next, and REST says so."""

    def relocate_it() -> None:
        net.register("fw", net["fw_new"])

    delivery = streamed(move, relocate_it)
    assert len(delivery.lost) <= MOST_LOST, delivery.story()
    assert counted((net["fw_new"],), ipv4(PEER), ipv4(GUEST)) > 0


def test_an_appliance_is_drained_and_moves(net: DataCenter, move: Scene) -> None:
    """The new instance takes over, what is on its way to the old one still passes, and then that one goes."""

    def drain() -> None:
        document = net.register("fw", net["fw_old"], net["fw_new"])
        document["instances"][0]["weight"] = 0
        net.put("/v1/appliances/fw", document)
        wait(0.3)
        document["instances"] = document["instances"][1:]
        net.put("/v1/appliances/fw", document)

    delivery = streamed(move, drain)
    assert delivery.lost == [], delivery.story()
    assert counted((net["fw_new"],), ipv4(PEER), ipv4(GUEST)) > 0


def test_the_dps_is_killed_and_comes_back(net: DataCenter, move: Scene) -> None:
    """X1: a chain's flows are standing ones, and the reconnecting dSwitches keep them."""

    def die() -> None:
        net.dps.kill()
        wait(0.5)
        net.start()

    delivery = streamed(move, die)
    assert delivery.lost == [], delivery.story()
    assert delivery.duplicates == 0, delivery.story()
    assert move.peer.ping(ipv6(GUEST)).received == 1
