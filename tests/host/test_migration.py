"""An endpoint moves to another server, and traffic to and from it goes on (F18-F20, F45).

A stream of 1,000 datagrams a second and a TCP transfer run all the while. Nobody has told the DPS that the move will
come: what it learns, it learns when the machine is already elsewhere. The old dSwitch then sends on what still arrives
there, says whose entry is stale, and that dSwitch is put right without having asked.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from emulation import Hypervisor, wait_until

from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import DELIVER, LOCATION

from .datacenter import DataCenter, dpid, flows, ipv4
from .guest import GUEST, PEER, Scene, scene
from .streams import Stream, Transfer

MOST_LOST = 20
"""Datagrams, that is milliseconds, that a move may cost."""

RECOVERY = 1.0
"""Seconds after the new binding within which traffic flows again though the old server is dead."""

BEFORE, AFTER = 0.7, 1.5
"""Seconds of the stream before and after what happens to it."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        for number, name in enumerate(("source", "old", "new"), 2):
            net.add_server(name, f"10.0.0.{number}/24")
        net.start()
        yield net


@pytest.fixture
def move(net: DataCenter) -> Scene:
    return scene(net, f"m{next(_numbers)}", *net.switches)


def wait(seconds: float) -> None:
    """Let the stream run: the time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def attach_then_detach(move: Scene) -> None:
    """The target's port is bound, the machine resumes there, the source's goes: libvirt's order."""
    move.guest.attach(move.new)
    move.guest.resume(move.new)
    move.wait_at(move.new)
    move.guest.detach(move.old)


def detach_then_attach(move: Scene) -> None:
    """For a moment the machine is nowhere."""
    move.guest.detach(move.old)
    move.guest.attach(move.new)
    move.guest.resume(move.new)


def say_so(move: Scene) -> None:
    """No port says anything, the API does."""
    move.net.put(move.location_path, move.place(move.new))
    move.guest.resume(move.new)


@pytest.mark.parametrize("go", [attach_then_detach, detach_then_attach, say_so])
def test_the_receiver_moves_between_live_servers(net: DataCenter, move: Scene, go: Callable[[Scene], None]) -> None:
    """F18-F20: at most 20 datagrams are lost, TCP goes on; the source is put right by an invalidation, unasked."""
    with Transfer(move.peer, move.guest, ipv4(GUEST)), Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
        wait(BEFORE)
        asked, told = move.requests_from_source(), invalidations(net)
        moment = time.monotonic()
        go(move)
        over = time.monotonic()
        wait(AFTER)
        asked, told = move.requests_from_source() - asked, invalidations(net) - told
    delivery = stream.end()
    assert len(delivery.lost) <= MOST_LOST, delivery.story(("moving", moment), ("moved", over))
    move.wait_at(move.new)
    leads_there = [flow for flow in flows(move.source, LOCATION, Kind.LOCATION) if "10.0.0.4" in flow.text]
    assert leads_there, "the source's entry leads to the new place"
    if go is not detach_then_attach:  # while it was nowhere, the source could not but ask where it is
        assert asked == 0, "the source asked again"
        assert told >= 1, "no invalidation was heard"


def test_the_sender_moves(move: Scene) -> None:
    """F18: what the machine sends is let in, and finds its way, where it is now."""
    with Transfer(move.guest, move.peer, ipv4(PEER)), Stream(move.guest, move.peer, ipv4(PEER)) as stream:
        wait(BEFORE)
        moment = time.monotonic()
        attach_then_detach(move)
        over = time.monotonic()
        wait(AFTER)
    delivery = stream.end()
    assert len(delivery.lost) <= MOST_LOST, delivery.story(("moving", moment), ("moved", over))


def test_a_move_and_back_again(move: Scene) -> None:
    """F19: where a tombstone was, the machine itself is again, and no packet runs in a circle."""
    with Transfer(move.peer, move.guest, ipv4(GUEST)), Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
        wait(BEFORE)
        for here, there in ((move.old, move.new), (move.new, move.old)) * 2:
            move.guest.attach(there)
            move.guest.resume(there)
            move.wait_at(there)
            move.guest.detach(here)
            wait(0.3)
    delivery = stream.end()
    assert len(delivery.lost) <= 4 * MOST_LOST, delivery.story()
    assert delivery.duplicates == 0, delivery.story()
    assert move.location["tracking"] == 5


@contextlib.contextmanager
def back_again(net: DataCenter, server: Hypervisor) -> Iterator[None]:
    """Whatever becomes of the test, the server that dies in it is there for the next one."""
    try:
        yield
    finally:
        if not server.running:
            server.start_switch()
        net.wait_live(server)


@pytest.mark.parametrize("dies_first", [False, True], ids=["bound, then dead", "dead, then bound"])
def test_the_old_server_dies_as_its_machine_moves(net: DataCenter, move: Scene, dies_first: bool) -> None:
    """F22: nobody is left to send packets on; within a second of the new binding, all who had it cached know better."""
    with back_again(net, move.old), Transfer(move.peer, move.guest, ipv4(GUEST)):
        with Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
            wait(BEFORE)
            if dies_first:
                move.old.stop_switch(signal.SIGKILL)
            bound = time.monotonic()
            move.guest.attach(move.new)
            move.guest.resume(move.new)
            if not dies_first:
                move.old.stop_switch(signal.SIGKILL)
            dead = time.monotonic()
            wait(AFTER)
        delivery = stream.end()
        assert delivery.back_after(bound) < RECOVERY, delivery.story(("bound", bound), ("dead", dead))


def test_the_old_server_dies_before_it_has_told_anybody(net: DataCenter, move: Scene) -> None:
    """F22: it has confirmed that it will tell whoever sends there.  Nobody has sent, it dies, and then somebody does."""
    with back_again(net, move.old):
        attach_then_detach(move)
        wait_until(lambda: bool(tombstones(move)), "tombstones")
        told = invalidations(net)
        move.old.stop_switch(signal.SIGKILL)
        dead = time.monotonic()
        with Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
            wait(AFTER)
        delivery = stream.end()
        assert delivery.back_after(dead) < RECOVERY, delivery.story(("dead", dead))
        assert invalidations(net) == told, "it told somebody, and this test shows nothing"


def test_tombstones_are_there_while_they_are_needed(move: Scene) -> None:
    """F19: they wait longer than a stale entry lasts, and go with the machine's return."""
    attach_then_detach(move)
    move.wait_at(move.new)
    wait_until(lambda: bool(tombstones(move)), "tombstones")
    assert all(f"idle_timeout={90}" in text for text in tombstones(move)), tombstones(move)
    assert not any("hard_timeout" in text for text in tombstones(move))
    assert all("meter_id=1" in text for text in tombstones(move))


def tombstones(move: Scene) -> list[str]:
    return [flow.text for flow in flows(move.old, DELIVER, Kind.TOMBSTONE)]


def invalidations(net: DataCenter) -> int:
    """Location invalidations that the DPS has heard."""
    return int(net.read("/v1/status")["invalidations"])


def test_a_moved_machine_is_found_by_those_who_never_knew_it(net: DataCenter, move: Scene) -> None:
    """F9: whoever asks after the move is told the new place, and nothing of the old one."""
    attach_then_detach(move)
    assert move.guest.ping(ipv4(PEER), count=20, wait=0.5).lost == 0
    told = net.trace(move.network, "peer", "guest")
    assert dpid(move.new) in str(told)
    assert dpid(move.old) not in str(told)
