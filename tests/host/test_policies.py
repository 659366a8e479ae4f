"""What the blueprint says is what passes, one way at a time, and a change is in force within a second (F1-F5, F8, F32).

Three machines of three domains, `client` and `server` on different servers and `other` beside the client. Each test
has a network of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from emulation import Endpoint, wait_until

from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import LOCATION, POLICY

from .datacenter import DataCenter, flows, ipv4, ipv6, machine, reaches

SOON = 1.0
"""Seconds within which a change is to be in force."""

CLIENT, SERVER, OTHER = 1, 2, 3


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        net.add_server("near", "10.0.0.2/24")
        net.add_server("far", "10.0.0.3/24")
        net.start()
        yield net


@dataclass(frozen=True)
class Scene:
    """A network of a test's own with its machines."""

    network: str
    client: Endpoint
    server: Endpoint
    other: Endpoint

    @property
    def path(self) -> str:
        return f"/v1/networks/{self.network}"


@pytest.fixture
def scene(net: DataCenter) -> Scene:
    """Clients and servers may talk, and nobody else."""
    network = f"n{len(net.hosts)}"
    net.apply(blueprint(network))
    near, far = net.switches
    client, server, other = (
        net.attach(place, f"{network}/{name}") for place, name in ((near, "client"), (far, "server"), (near, "other"))
    )
    return Scene(network, client, server, other)


def blueprint(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "network": name,
        "domains": ["clients", "servers", "others"],
        "policies": [
            {"from": "clients", "to": "servers", "actions": ["accept"], "ttl": 120},
            {"from": "servers", "to": "clients", "actions": ["accept"]},
        ],
        "endpoints": [
            machine("client", CLIENT, "clients"),
            machine("server", SERVER, "servers"),
            machine("other", OTHER, "others"),
        ],
        **fields,
    }


def until(scene: Scene, reached: bool) -> None:
    """Within a second the client's pings are answered, or no longer are; and so it stays."""
    client = scene.client

    def so() -> bool:
        return all(reaches(client, address) is reached for address in (ipv4(SERVER), ipv6(SERVER)))

    wait_until(so, f"the client's pings answered: {reached}", SOON)
    result = client.ping(ipv4(SERVER), count=50, wait=0.2)
    assert result.received == (50 if reached else 0), result.text


def tracking_numbers(net: DataCenter) -> set[int]:
    """Those of the policy entries of both dSwitches that traffic from the client to the server has left."""
    return {flow.cookie.tracking for flow in flows(net["near"], POLICY, Kind.POLICY) if flow.hard_timeout == 120}


def test_deny_and_allow_take_effect_within_a_second(net: DataCenter, scene: Scene) -> None:
    """F32: the tracking number goes 1, 2, 3, and shows in REST and in the cookies of the entries; no entry of an older
    one is left."""
    path = f"{scene.path}/policies/clients%3Eservers"
    client, server = scene.client, scene.server
    for tracking, actions in enumerate((["accept"], ["deny"], ["accept"]), 1):
        if tracking > 1:
            net.policy(scene.network, "clients", "servers", actions=actions, ttl=120)
        until(scene, reached=actions == ["accept"])
        assert net.read(path)["tracking"] == tracking
        assert tracking_numbers(net) == {tracking}
    with server.capture(Endpoint.NIC, "icmp") as arriving:
        net.policy(scene.network, "clients", "servers", actions=["deny"], ttl=120)
        until(scene, reached=False)
        seen = arriving.count()
        assert client.ping(ipv4(SERVER), count=20, wait=0.1).received == 0
        assert arriving.count() == seen, "what is denied does not even arrive"


def test_a_policy_is_one_way(net: DataCenter, scene: Scene) -> None:
    """F1: the requests arrive, the replies have no policy."""
    net.delete(f"{scene.path}/policies/servers%3Eclients")
    client, server = scene.client, scene.server
    # The server must be able to answer at once, without asking who the client is: that it may not know (F25).
    server.run("ip", "neigh", "replace", ipv4(CLIENT), "lladdr", client.mac, "dev", Endpoint.NIC)
    with server.capture(Endpoint.NIC, "icmp") as at_server, client.capture(Endpoint.NIC, "icmp") as at_client:
        assert client.ping(ipv4(SERVER), count=10, wait=0.2).received == 0
    assert at_server.count("icmp[0] = 8") == 10
    assert at_server.count("icmp[0] = 0") == 10
    assert at_client.count("icmp[0] = 8") == 10
    assert at_client.count("icmp[0] = 0") == 0


def test_the_default_policy_holds_where_there_is_no_other(net: DataCenter, scene: Scene) -> None:
    """F5: clients and others have no policy; the network's default decides, and may be changed."""
    client = scene.client
    assert client.ping(ipv4(OTHER), count=3, wait=0.2).received == 0
    net.apply(blueprint(scene.network, default_policy="allow"))
    wait_until(lambda: reaches(client, ipv4(OTHER)), "pings by the default policy", SOON)
    net.policy(scene.network, "clients", "others", actions=["deny"])
    wait_until(lambda: not reaches(client, ipv4(OTHER)), "the pair's own policy to overrule the default", SOON)
    net.delete(f"{scene.path}/policies/clients%3Eothers")
    wait_until(lambda: reaches(client, ipv4(OTHER)), "the default again", SOON)
    net.apply(blueprint(scene.network, default_policy="deny"))
    wait_until(lambda: not reaches(client, ipv4(OTHER)), "denial by default", SOON)


def test_a_domain_may_be_closed_to_itself(net: DataCenter, scene: Scene) -> None:
    """F4: two machines of one domain need a policy from the domain to itself."""
    document = blueprint(scene.network)
    document["endpoints"][2]["domain"] = "clients"
    net.apply(document)
    client = scene.client
    assert client.ping(ipv4(OTHER), count=3, wait=0.2).received == 0
    net.policy(scene.network, "clients", "clients", actions=["accept"])
    wait_until(lambda: reaches(client, ipv4(OTHER)), "pings inside the domain", SOON)


def test_a_live_endpoint_changes_its_domain(net: DataCenter, scene: Scene) -> None:
    """F8: the machine is not touched, and within a second other policies hold for it, both ways."""
    server = machine("server", SERVER, "servers")
    path = f"{scene.path}/endpoints/server"
    until(scene, reached=True)
    net.put(path, {**server, "domain": "others"})
    until(scene, reached=False)
    hosted = net.dswitch(net["far"])["endpoints"]
    assert [each["domain"] for each in hosted if each["network"] == scene.network] == ["others"]
    net.put(path, server)
    until(scene, reached=True)
    client = machine("client", CLIENT, "clients")
    net.put(f"{scene.path}/endpoints/client", {**client, "domain": "others"})
    until(scene, reached=False)
    net.put(f"{scene.path}/endpoints/client", client)
    until(scene, reached=True)


def test_a_domain_is_split_while_traffic_runs(net: DataCenter, scene: Scene) -> None:
    """F8: the new domain has the same policies, so the endpoint that moves there loses no packet."""
    document = blueprint(scene.network)
    document["domains"].append("elite")
    document["policies"] += [
        {"from": "clients", "to": "elite", "actions": ["accept"]},
        {"from": "elite", "to": "clients", "actions": ["accept"]},
    ]
    document["endpoints"][1]["domain"] = "elite"
    client = scene.client
    until(scene, reached=True)
    running = client.popen(["ping", "-n", "-c", "200", "-i", "0.01", "-W", "1", ipv4(SERVER)])
    net.apply(document)
    output, _ = running.communicate(timeout=20)
    assert b" 200 received" in output, output.decode()[-300:]


def test_a_policys_time_out_is_that_of_its_entries(net: DataCenter, scene: Scene) -> None:
    """F21: the policy's ttl, the default of 300 s, and 0 for one that stays until it is invalidated."""
    until(scene, reached=True)
    by_table = {table: flows(net["near"], table, kind) for table, kind in CACHED}
    assert {flow.hard_timeout for flow in by_table[POLICY]} >= {120}
    assert {flow.hard_timeout for flow in by_table[LOCATION]} >= {120}
    assert {flow.hard_timeout for flow in flows(net["far"], POLICY, Kind.POLICY)} >= {300}
    net.policy(scene.network, "clients", "servers", actions=["accept"], ttl=0)
    until(scene, reached=True)
    assert 0 in {flow.hard_timeout for flow in flows(net["near"], POLICY, Kind.POLICY)}


CACHED = ((POLICY, Kind.POLICY), (LOCATION, Kind.LOCATION))


def test_a_network_that_is_deleted_takes_its_flows_with_it(net: DataCenter, scene: Scene) -> None:
    """F30: and the same document applied again, with the machines still attached, works again."""
    until(scene, reached=True)
    vni = net.read(scene.path)["vni"]
    net.delete(scene.path)
    of_network = re.compile(rf"metadata=0x{vni:x}\b|0x{vni:x}->metadata")

    def gone() -> bool:
        return not any(of_network.search(server.ofctl("dump-flows")) for server in net.switches)

    wait_until(gone, f"end of all flows of VNI {vni}", SOON)
    net.apply(blueprint(scene.network))
    until(scene, reached=True)
