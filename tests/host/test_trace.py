"""`dove trace` says of a packet what becomes of it, and packets bear it out (X2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from emulation import Hypervisor

from .datacenter import DataCenter, dpid, ipv4, ipv6, mac, machine, reaches

WEB, APP, DB, LOST = 1, 2, 3, 4


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        near, far = net.add_server("near", "10.0.0.2/24"), net.add_server("far", "10.0.0.3/24")
        net.start()
        net.apply(
            {
                "network": "shop",
                "vni": 4711,
                "domains": ["web", "app", "db"],
                "policies": [
                    {"from": "web", "to": "app", "actions": ["accept"], "ttl": 60},
                    {"from": "app", "to": "web", "actions": ["accept"]},
                    {"from": "web", "to": "db", "actions": ["deny"]},
                    {"from": "web", "to": "web", "actions": ["accept"]},
                ],
                "endpoints": [
                    machine("web", WEB, "web"),
                    machine("app", APP, "app"),
                    machine("db", DB, "db"),
                    machine("lost", LOST, "app"),
                ],
            }
        )
        net.policy("shop", "web", "app", actions=["accept"], ttl=61)
        net.attach(near, "shop/web")
        net.attach(far, "shop/app")
        net.attach(near, "shop/db")
        yield net


@dataclass(frozen=True)
class Expected:
    """What a trace is to say, and whether a ping is answered."""

    destination: str
    pinged: str
    decision: str
    delivered: bool
    policy: str | None
    reason: str


ALLOWED = Expected("app", ipv4(APP), "allowed", True, "web>app", "policy 'web>app' (tracking 2) allows")
CASES = [
    ALLOWED,
    Expected(ipv6(APP), ipv6(APP), "allowed", True, "web>app", "'web' to 'app'"),
    Expected(mac(APP), ipv4(APP), "allowed", True, "web>app", "'web' to 'app'"),
    Expected("db", ipv4(DB), "denied", False, "web>db", "policy 'web>db' (tracking 1) denies"),
    Expected(ipv4(99), ipv4(99), "unknown", False, None, f"no endpoint of network 'shop' has {ipv4(99)}"),
    Expected("ap", ipv4(98), "unknown", False, None, "did you mean 'app'?"),
    Expected("lost", ipv4(LOST), "unlocated", False, "web>app", "endpoint 'lost' is not attached to any dSwitch"),
]


@pytest.mark.parametrize("expected", CASES, ids=lambda case: f"{case.decision} {case.destination}")
def test_a_trace_says_what_packets_do(net: DataCenter, expected: Expected) -> None:
    """X2: allowed, denied, unknown and unlocated, by name and by address."""
    traced = net.trace("shop", "web", expected.destination)
    assert (traced["decision"], traced["delivered"]) == (expected.decision, expected.delivered)
    assert expected.reason in traced["reason"]
    assert (traced["policy"] and traced["policy"]["name"]) == expected.policy
    assert reaches(net["web"], expected.pinged) is expected.delivered


def test_a_trace_names_policy_places_and_tunnel(net: DataCenter) -> None:
    """X2: with the tracking number of the policy, the locations, the dSwitches and what is between them."""
    traced = net.trace("shop", "web", "app")
    assert traced["policy"] == {"name": "web>app", "tracking": 2, "ttl": 61, "actions": ["accept"]}
    for end, server in (("source", net["near"]), ("destination", net["far"])):
        name = traced[end]["endpoint"]
        assert traced[end]["location"].items() >= {"dswitch": dpid(server), "port": net[name].port}.items()
        assert traced[end]["dswitch"]["connected"]
        assert traced[end]["dswitch"]["encap_ips"] == [str(server.addresses[0].ip)]
    assert (traced["delivery"], traced["tunnel"]) == (
        "tunnel",
        {"type": "geneve", "remote_ip": "10.0.0.3", "vni": 4711},
    )
    with net["near"].capture(Hypervisor.NIC, "udp dst port 6081 and dst host 10.0.0.3") as underlay:
        assert reaches(net["web"], ipv4(APP))
    assert underlay.count(f"udp[12:4] = 0x{4711 << 8:x}") == 1


def test_the_command_says_the_same(net: DataCenter) -> None:
    """X2: beside the DPS, as an operator types it."""
    said = net.dps.run("dove", "trace", "-n", "shop", "web", "app", "-o", "json")
    assert json.loads(said) == net.trace("shop", "web", "app")
    table = net.dps.run("dove", "trace", "-n", "shop", "web", "db", check=False)
    for word in ("denied", "web>db", "tracking"):
        assert word in table


def test_a_port_that_is_gone_is_named(net: DataCenter) -> None:
    """X2: the decision is for, the way is not there."""
    far, app = net["far"], net["app"]
    far.vsctl("del-port", Hypervisor.DSWITCH, app.port)
    try:
        traced = net.trace("shop", "web", "app")
        assert traced["delivered"] is False
        assert not reaches(net["web"], ipv4(APP))
    finally:
        far.dswitch("attach", app.port, "--endpoint", "shop/app")
        net.wait_located(app, far)
    assert net.trace("shop", "web", "app")["delivered"] is True
