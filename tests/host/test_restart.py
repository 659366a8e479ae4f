"""The DPS dies, ovs-vswitchd dies, and traffic does not notice, or not for long (X1, F28).

A dSwitch goes on by itself while the DPS is away. When it is back, it reads what each dSwitch holds and changes what
has become wrong meanwhile, and nothing else. An ovs-vswitchd that starts anew is filled before it counts as live.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from emulated_node import connect, ip, random_mac
from emulation import Endpoint, Hypervisor, wait_until

from dove_ryu.model.documents import change_of, document_of, key_of
from dove_ryu.model.entities import Policy
from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import LOCATION
from dove_ryu.store import open_store

from .datacenter import DataCenter, dpid, flows, ipv4, machine, reaches
from .streams import Stream, Transfer

RESTARTS = int(os.environ.get("DOVE_TEST_RESTARTS", "20"))
"""How often the DPS is killed."""

SOON = 2.0
"""Seconds after the DPS is back within which the changed policies are in force, and after the start of ovs-vswitchd
within which it forwards again."""

CLIENT, SERVER, OTHER = 1, 2, 3

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    """Each server reaches the DPS through a cable of its own. The underlay runs through the server's own ovs-vswitchd,
    which sends its first words before it carries packets, and when they are lost waits for two seconds."""
    with DataCenter() as net:
        dps = net.add_dps()
        for number, name in enumerate(("near", "far"), 2):
            server = net.add_server(name, f"10.0.0.{number}/24", dps=(f"tcp:10.9.{number}.1:6653",))
            connect(server, "management", random_mac(), dps, f"to-{name}")
            for node, device, host in ((server, "management", 2), (dps, f"to-{name}", 1)):
                with node.inside():
                    ip(f"addr add 10.9.{number}.{host}/24 dev {device}", f"link set {device} up")
        net.start()
        yield net


@dataclass(frozen=True)
class Scene:
    """A client and a server whose policies nobody touches, and `other`, whose policies change."""

    net: DataCenter
    network: str
    client: Endpoint
    server: Endpoint
    other: Endpoint

    def allow(self, whether: bool) -> None:
        """Let clients reach others, or not; by REST."""
        self.net.policy(self.network, "clients", "others", actions=_actions(whether))

    def allow_in_store(self, whether: bool) -> None:
        """The same by another DPS at the same store, while this one is away."""
        store = open_store(f"sqlite:///{self.net.dps.directory}/dps.sqlite")
        try:
            key = key_of(Policy(self.network, "clients", "others", number=0, actions=()))
            item = store.get(key)
            assert item is not None
            change = change_of(key, item.document)
            assert change is not None
            assert isinstance(change.entity, Policy)
            tracking = change.entity.tracking + 1
            changed = replace(change.entity, actions=_actions(whether), tracking=tracking)
            store.commit({key: document_of(changed)}, expect={key: item.version})
        finally:
            store.close()


def _actions(whether: bool) -> tuple[str, ...]:
    return ("accept",) if whether else ("deny",)


@pytest.fixture(autouse=True)
def running(net: DataCenter) -> None:
    """What an earlier test left dead is there again."""
    net.start()


@pytest.fixture
def scene(net: DataCenter) -> Scene:
    """All may talk to all, and have done so."""
    network = f"r{next(_numbers)}"
    pairs = (("clients", "servers"), ("clients", "others"))
    net.apply(
        {
            "network": network,
            "domains": ["clients", "servers", "others"],
            "policies": [
                {"from": one, "to": other, "actions": ["accept"]}
                for pair in pairs
                for one, other in itertools.permutations(pair)
            ],
            "endpoints": [
                machine("client", CLIENT, "clients"),
                machine("server", SERVER, "servers"),
                machine("other", OTHER, "others"),
            ],
        }
    )
    near, far = net.switches
    client, server, other = (
        net.attach(place, f"{network}/{name}") for place, name in ((near, "client"), (far, "server"), (far, "other"))
    )
    for address in (ipv4(SERVER), ipv4(OTHER)):
        wait_until(lambda address=address: reaches(client, address), f"{address} reached")  # type: ignore[misc]
    return Scene(net, network, client, server, other)


def wait(seconds: float) -> None:
    """Let the stream run: the time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def assert_clean(net: DataCenter) -> None:
    """No dSwitch holds a flow that it should not, or lacks one."""
    for server in net.switches:
        found = net.audit(server)
        assert found["clean"], found


def test_the_dps_is_killed_again_and_again(net: DataCenter, scene: Scene) -> None:
    """X1: of an unchanged policy's traffic nothing is lost; what changed as the DPS died, or while it was dead, is in
    force when it is back; and no dSwitch holds anything that it should not."""
    delays = []
    with Transfer(scene.client, scene.server, ipv4(SERVER)), Stream(scene.client, scene.server, ipv4(SERVER)) as stream:
        wait(0.3)
        for turn in range(RESTARTS):
            allowed = turn % 2 == 1
            if turn % 3 == 0:  # it has said yes, and may not have told the dSwitches
                scene.allow(allowed)
                net.dps.kill()
            else:
                net.dps.kill()
                scene.allow_in_store(allowed)
            assert reaches(scene.client, ipv4(SERVER), wait=1), "what is cached holds without the DPS"
            net.dps.start()
            delays.append(
                wait_until(
                    lambda allowed=allowed: reaches(scene.client, ipv4(OTHER)) is allowed,  # type: ignore[misc]
                    f"the changed policy in force after restart {turn + 1}",
                    SOON,
                )
            )
            for server in net.switches:
                net.wait_live(server)
            assert reaches(scene.client, ipv4(OTHER)) is allowed
            assert_clean(net)
    delivery = stream.end()
    print("changed policies in force, seconds after the DPS was ready:", *(f"{delay:.2f}" for delay in delays))
    assert delivery.lost == [], delivery.story()
    assert delivery.duplicates == 0, delivery.story()


def test_the_dps_stops_and_starts_in_order(net: DataCenter, scene: Scene) -> None:
    """X1: as in an upgrade."""
    with Stream(scene.client, scene.server, ipv4(SERVER)) as stream:
        wait(0.3)
        net.dps.stop()
        wait(0.3)
        net.dps.start()
        for server in net.switches:
            net.wait_live(server)
        wait(0.3)
    delivery = stream.end()
    assert delivery.lost == [], delivery.story()
    assert_clean(net)


def test_what_is_cached_survives_a_restart_untouched(net: DataCenter, scene: Scene) -> None:
    """X1: an entry that is still true is not written again, which its age tells."""
    held = {flow.text.partition(", duration")[0] for flow in flows(net["near"], LOCATION, Kind.LOCATION)}
    net.dps.kill()
    net.dps.start()
    for server in net.switches:
        net.wait_live(server)
    now = {
        flow.text.partition(", duration")[0]: _age(flow.text) for flow in flows(net["near"], LOCATION, Kind.LOCATION)
    }
    assert held <= now.keys()
    assert all(age > net.dps.start_seconds for cookie, age in now.items() if cookie in held), now


def _age(text: str) -> float:
    return float(text.partition("duration=")[2].partition("s")[0])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("name", ["near", "far"])
def test_a_vswitchd_that_starts_anew_forwards_soon(
    net: DataCenter, scene: Scene, name: str, how: signal.Signals
) -> None:
    """X1: at the sender's server or at the receiver's, with empty tables."""
    server: Hypervisor = net[name]
    with Transfer(scene.client, scene.server, ipv4(SERVER)), Stream(scene.client, scene.server, ipv4(SERVER)) as stream:
        wait(0.3)
        server.stop_switch(how)
        started = time.monotonic()
        server.start_switch()
        wait(SOON + 1)
    delivery = stream.end()
    print(f"forwards {delivery.back_after(started):.2f} s after its start")
    assert delivery.back_after(started) < SOON, delivery.story(("started", started))
    net.wait_live(server)
    assert_clean(net)


def test_a_dswitch_that_was_away_while_much_changed_is_brought_right(net: DataCenter, scene: Scene) -> None:
    """X1, F22: it forwards all the while, by what it knew; then by what holds today."""
    near = net["near"]
    with Stream(scene.client, scene.server, ipv4(SERVER)) as stream:
        near.vsctl("set-controller", Hypervisor.DSWITCH, "tcp:10.0.0.99:6653")
        wait_until(lambda: net.connections(near)["openflow"] != "live", "near away")
        scene.allow(False)
        assert reaches(scene.client, ipv4(OTHER)), "it goes on by what it knew"
        near.vsctl("set-controller", Hypervisor.DSWITCH, *near.dps)
        net.wait_live(near)
        wait_until(lambda: not reaches(scene.client, ipv4(OTHER)), "today's policy", SOON)
    delivery = stream.end()
    assert delivery.lost == [], delivery.story()
    assert_clean(net)
    assert dpid(near) not in net.read("/v1/status")["disconnected"]
