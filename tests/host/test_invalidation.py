"""What changes is forgotten where it can be known, and nowhere else; what is in use stays (F21, F22, F27).

Fifty servers, of which two host the network that changes: what the DPS sends is counted, and looked for on the wire. Then
a thousand changes a second, and time-outs of entries while a stream needs them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from emulation import Endpoint, Hypervisor, wait_until

from dove_ryu.model.documents import change_of, document_of, key_of
from dove_ryu.model.entities import Policy
from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import LOCATION, POLICY
from dove_ryu.store import open_store

from .datacenter import DataCenter, flows, ipv4, machine, reaches
from .streams import Stream, Transfer

SERVERS = 50

CHANGES, RATE = 10_000, 1000
"""Of policies, and how many of them a second."""

CLIENT, SERVER, OTHER = 1, 2, 3


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        for number in range(1, SERVERS + 1):
            net.add_server(f"s{number}", f"10.0.0.{number + 1}/24")
        net.start()
        net.apply(EVERYWHERE)
        for number, server in enumerate(net.switches, 1):
            net.attach(server, f"everywhere/e{number}")
        yield net


EVERYWHERE = {
    "network": "everywhere",
    "domains": ["all"],
    "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
    "endpoints": [machine(f"e{number}", number) for number in range(1, SERVERS + 1)],
}
"""Every server hosts a network, but not every one that which changes."""


class Pair:
    """A network with a client on the first server and, on the second, a server and another one."""

    def __init__(self, net: DataCenter, network: str, ttl: int = 300) -> None:
        self.net, self.network = net, network
        pairs = [("clients", "servers"), ("servers", "clients"), ("clients", "others"), ("others", "clients")]
        net.apply(
            {
                "network": network,
                "domains": ["clients", "servers", "others"],
                "policies": [{"from": a, "to": b, "actions": ["accept"], "ttl": ttl} for a, b in pairs],
                "endpoints": [
                    machine("client", CLIENT, "clients"),
                    machine("server", SERVER, "servers"),
                    machine("other", OTHER, "others"),
                ],
            }
        )
        near, far, *_ = net.switches
        self.client: Endpoint = net.attach(near, f"{network}/client")
        self.server: Endpoint = net.attach(far, f"{network}/server")
        self.other: Endpoint = net.attach(far, f"{network}/other")
        for number in (SERVER, OTHER):
            wait_until(lambda number=number: reaches(self.client, ipv4(number)), f"{ipv4(number)} reached")  # type: ignore[misc]


def flow_changes(net: DataCenter) -> dict[str, int]:
    """How many flow changes the DPS has sent to each server for changes of the world."""
    return {server.name: net.connections(server)["flow_changes"] for server in net.switches}


def assert_clean(net: DataCenter) -> None:
    """No dSwitch holds a flow that it should not, or lacks one."""
    for server in net.switches:
        found = net.audit(server)
        assert found["clean"], found


def wait(seconds: float) -> None:
    """Let the stream run: the time itself is what is waited for."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "time", seconds + 1)


def test_a_change_reaches_only_those_who_host_the_network(net: DataCenter) -> None:
    """F22: a hundred updates of a policy; four of six servers do not receive one message of them."""
    pair = Pair(net, "computed")
    hosts = {server.name for server in net.switches[:2]}
    with (
        net["s3"].capture(Hypervisor.NIC, FLOW_MODS) as beside,
        net["s1"].capture(Hypervisor.NIC, FLOW_MODS) as at_host,
    ):
        sent = flow_changes(net)
        for turn in range(100):
            net.policy(pair.network, "clients", "others", actions=["deny" if turn % 2 else "accept"])
        wait_until(lambda: net.read("/v1/status")["lag"] == 0, "all changes confirmed")
        sent = {name: number - sent[name] for name, number in flow_changes(net).items()}
    assert {name for name, number in sent.items() if number} == hosts, sent
    assert beside.count() == 0
    assert at_host.count() > 0
    assert_clean(net)


FLOW_MODS = "tcp src port 6653 and tcp[((tcp[12] & 0xf0) >> 2) + 1] = 14"
"""Segments from the DPS that begin with an OFPT_FLOW_MOD."""


def test_a_thousand_changes_a_second_leave_nothing_lost_or_stuck(net: DataCenter) -> None:
    """F22, F32: ten seconds of them; traffic of another policy does not notice, and the last word holds."""
    pair = Pair(net, "busy")
    store = open_store(f"sqlite:///{net.dps.directory}/dps.sqlite")
    key = key_of(Policy(pair.network, "clients", "others", number=0, actions=()))
    try:
        item = store.get(key)
        assert item is not None
        change = change_of(key, item.document)
        assert change is not None
        assert isinstance(change.entity, Policy)
        policy, version = change.entity, item.version
        with Stream(pair.client, pair.server, ipv4(SERVER)) as stream:
            begin = time.monotonic()
            for turn in range(1, CHANGES + 1):
                actions = ("accept",) if turn % 2 else ("deny",)
                policy = replace(policy, actions=actions, tracking=policy.tracking + 1)
                version = store.commit({key: document_of(policy)}, expect={key: version})
                time.sleep(max(0.0, begin + turn / RATE - time.monotonic()))
            took = time.monotonic() - begin
            caught_up = wait_until(lambda: settled(net, version), "the last change confirmed by all", 5)
            wait(0.5)
    finally:
        store.close()
    delivery = stream.end()
    print(f"{CHANGES / took:.0f} changes a second; confirmed by all {caught_up:.3f} s after the last")
    assert delivery.lost == [], delivery.story()
    assert net.read(f"/v1/networks/{pair.network}/policies/clients%3Eothers")["tracking"] == CHANGES + 1
    assert not reaches(pair.client, ipv4(OTHER))
    assert {flow.cookie.tracking for flow in denials(net)} == {CHANGES + 1}
    assert_clean(net)


def settled(net: DataCenter, revision: int) -> bool:
    status = net.read("/v1/status")
    return bool(status["revision"] >= revision and status["lag"] == 0 and status["outstanding"] == 0)


def denials(net: DataCenter) -> list[Any]:
    return [flow for flow in flows(net["s1"], POLICY, Kind.POLICY) if flow.text.endswith("actions=drop")]


def test_an_entry_in_use_is_refreshed_without_a_gap(net: DataCenter) -> None:
    """F21: the policy may be cached for 2 s; the stream of 8 s loses nothing when it ends, and needs no request."""
    pair = Pair(net, "brief", ttl=2)
    refreshed = net.read("/v1/status")["refreshed"]
    with Transfer(pair.client, pair.server, ipv4(SERVER)), Stream(pair.client, pair.server, ipv4(SERVER)) as stream:
        wait(8)
    delivery = stream.end()
    assert delivery.lost == [], delivery.story()
    assert net.read("/v1/status")["refreshed"] - refreshed >= 3
    wait_until(lambda: not cached(net, pair), "end of the entries that nobody uses any more", 6)


def cached(net: DataCenter, pair: Pair) -> list[str]:
    """The entries of both halves of the policy cache that traffic between the pair has left."""
    vni = net.read(f"/v1/networks/{pair.network}")["vni"]
    here = f"metadata=0x{vni:x}"
    kinds = ((LOCATION, Kind.LOCATION), (POLICY, Kind.POLICY))
    found = [flow.text for server in net.switches[:2] for table, kind in kinds for flow in flows(server, table, kind)]
    return [text for text in found if re.search(rf"{here}\b", text)]


def test_what_was_unknown_is_asked_for_again(net: DataCenter) -> None:
    """F27: an address that nobody had is reached as soon as somebody has it, not when the denial's time is up."""
    pair = Pair(net, "late")
    assert not reaches(pair.client, ipv4(77))
    net.put(f"/v1/networks/{pair.network}/endpoints/other", machine("other", 77, "others"))
    pair.other.run("ip", "addr", "add", f"{ipv4(77)}/24", "dev", Endpoint.NIC)
    pair.other.run("ip", "link", "set", Endpoint.NIC, "address", machine("other", 77)["macs"][0])
    pair.client.run("ip", "neigh", "flush", "all")
    wait_until(lambda: reaches(pair.client, ipv4(77)), "the new address reached", 2)
