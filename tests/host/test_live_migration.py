"""A live migration that is announced loses nothing, whenever the machine resumes and however it ends (X5).

The DPS is told where the machine will go (`migrating_to`). Until it is there, what is for it reaches both places; the
first thing that it says there, or that its hypervisor says for it, ends the migration. The machine of these tests
hears both servers, so a datagram that it got twice is one that reached both places: then it does not matter at which of
the two it ran at that moment.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from emulation import wait_until

from .datacenter import DataCenter, ipv4, send
from .guest import GUEST, PEER, Scene, scene
from .streams import Delivery, Stream, Transfer

BEFORE, COPYING, AFTER = 0.5, 0.7, 0.8
"""Seconds of the stream before the migration, during it, and after it."""

SETTLED = 0.25
"""Seconds after which what the DPS has said is in force everywhere, revalidation of the datapath's flows included."""

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
    return scene(net, f"l{next(_numbers)}", *net.switches)


def wait(seconds: float) -> None:
    """Let the stream run: the time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def migrate(move: Scene) -> None:
    """The migration begins: the target's port is bound, and the API told that this is no move yet."""
    target = {"dswitch": move.place(move.new)["dswitch"]}
    move.net.put(move.location_path, {**move.place(move.old), "migrating_to": target})
    move.guest.attach(move.new)
    wait_until(lambda: (move.location["migrating_to"] or {}).get("port") != "", "the target's port known")


def by_rarp(move: Scene) -> None:
    """QEMU's own announcement."""
    move.guest.announce(move.new)


def by_its_own_packets(move: Scene) -> None:
    """Whatever the machine sends next; here an ARP announcement of itself."""
    mac, address = bytes.fromhex(move.guest.mac.replace(":", "")), bytes(map(int, ipv4(GUEST).split(".")))
    head = b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001")
    send(move.guest, head + mac + address + bytes(6) + address)


def by_the_api(move: Scene) -> None:
    move.net.put(move.location_path, move.place(move.new))


def twice_between(delivery: Delivery, start: float, end: float) -> tuple[int, int]:
    """How many were sent in that time, and how many of them arrived twice."""
    seen: dict[int, int] = {}
    for number, _ in delivery.received:
        seen[number] = seen.get(number, 0) + 1
    numbers = [number for number, when in enumerate(delivery.sent) if start <= when < end]
    return len(numbers), sum(seen.get(number, 0) == 2 for number in numbers)


@pytest.mark.parametrize("speak", [by_rarp, by_its_own_packets, by_the_api])
def test_a_live_migration_of_the_receiver_loses_nothing(move: Scene, speak: Callable[[Scene], None]) -> None:
    with Transfer(move.peer, move.guest, ipv4(GUEST)), Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
        wait(BEFORE)
        migrate(move)
        begun = time.monotonic()
        wait(SETTLED + COPYING)
        resumed = time.monotonic()
        move.guest.resume(move.new)
        speak(move)
        move.wait_at(move.new)
        over = time.monotonic()
        move.guest.detach(move.old)
        wait(SETTLED + AFTER)
    delivery = stream.end()
    story = delivery.story(("begun", begun), ("resumed", resumed), ("over", over))
    assert delivery.lost == [], story
    copied, twice = twice_between(delivery, begun + SETTLED, resumed)
    assert twice == copied, f"{copied - twice} of {copied} reached one place only: {story}"
    end = delivery.sent[-1]
    assert twice_between(delivery, over + SETTLED, end)[1] == 0, f"copies go on after the end: {story}"


def test_a_live_migration_of_the_sender_loses_nothing(move: Scene) -> None:
    """Its first datagram at the target ends the migration, and goes on its way."""
    with Transfer(move.guest, move.peer, ipv4(PEER)), Stream(move.guest, move.peer, ipv4(PEER)) as stream:
        wait(BEFORE)
        migrate(move)
        wait(SETTLED)
        resumed = time.monotonic()
        move.guest.resume(move.new)
        move.wait_at(move.new)
        move.guest.detach(move.old)
        wait(AFTER)
    delivery = stream.end()
    assert delivery.lost == [], delivery.story(("resumed", resumed))


def let_the_api_say(move: Scene) -> None:
    move.net.put(move.location_path, {**move.place(move.old), "migrating_to": None})
    move.guest.detach(move.new)


def let_the_target_go(move: Scene) -> None:
    """Its port goes, then the API ends what can no longer be."""
    move.guest.detach(move.new)
    wait(SETTLED)
    move.net.put(move.location_path, {**move.place(move.old), "migrating_to": None})


@pytest.mark.parametrize("abort", [let_the_api_say, let_the_target_go])
def test_a_live_migration_that_is_aborted_leaves_all_as_it_was(move: Scene, abort: Callable[[Scene], None]) -> None:
    with Transfer(move.peer, move.guest, ipv4(GUEST)), Stream(move.peer, move.guest, ipv4(GUEST)) as stream:
        wait(BEFORE)
        migrate(move)
        wait(SETTLED + COPYING)
        aborted = time.monotonic()
        abort(move)
        over = time.monotonic()
        wait(SETTLED + AFTER)
    delivery = stream.end()
    story = delivery.story(("aborted", aborted), ("over", over))
    assert delivery.lost == [], story
    assert twice_between(delivery, over + SETTLED, delivery.sent[-1])[1] == 0, story
    shown = move.location
    assert shown.items() >= move.place(move.old).items()
    assert not shown["migrating_to"]


@pytest.mark.parametrize("side", ["old", "new"])
def test_who_is_on_one_of_the_two_servers_reaches_it_all_the_while(move: Scene, side: str) -> None:
    """There the tunnel takes the place of the port in the middle of the stream, or the port that of the tunnel."""
    neighbour = move.net.attach(getattr(move, side), f"{move.network}/neighbour")
    wait_until(lambda: neighbour.ping(ipv4(GUEST), wait=0.2).received == 1, f"the machine reached from {side}")
    with Stream(neighbour, move.guest, ipv4(GUEST)) as stream:
        wait(BEFORE)
        migrate(move)
        wait(SETTLED)
        resumed = time.monotonic()
        move.guest.resume(move.new)
        by_rarp(move)
        move.wait_at(move.new)
        move.guest.detach(move.old)
        wait(AFTER)
    delivery = stream.end()
    assert delivery.lost == [], delivery.story(("resumed", resumed))
