"""Whatever ends and comes back, DPS, database, switch: traffic goes on as far as it can, and REST shows it (F26, F28).

One data center, in which each test ends something and brings it back.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from functools import partial

import pytest
from emulation import Hypervisor, wait_until

from .datacenter import DataCenter, Pinging, dpid, ipv4, ipv6, machine, reaches

PATIENCE = 20.0
"""Seconds within which a connection is back; Open vSwitch and OVSDB clients try again every eight at the latest."""


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps(options=["--echo-request-interval", "0.5"])
        near, far = net.add_server("near", "10.0.0.2/24"), net.add_server("far", "10.0.0.3/24")
        net.start()
        net.apply(
            {
                "network": "web",
                "domains": ["all"],
                "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
                "endpoints": [machine(f"e{number}", number) for number in range(1, 6)],
            }
        )
        net.attach(near, "web/e1")
        for number in range(2, 5):
            net.attach(far, f"web/e{number}")
        yield net


def standing_flows(server: Hypervisor) -> list[str]:
    """What the dSwitch holds besides its cache, without what is counted."""
    counted = re.compile(r"duration=\S+ |n_packets=\d+, n_bytes=\d+, ")
    cached = re.compile(r"cookie=0xd0[89a-f]")
    lines = server.ofctl("dump-flows").splitlines()[1:]
    return sorted(counted.sub("", line) for line in lines if not cached.search(line))


def wait_state(net: DataCenter, server: Hypervisor, **expected: str) -> str:
    """Until the dSwitch's connections are so; the reason that is given."""

    def so() -> bool:
        return net.connections(server).items() >= expected.items()

    wait_until(so, f"{server.name} with {expected}", PATIENCE)
    return str(net.connections(server)["reason"])


def test_traffic_outlives_the_dps(net: DataCenter) -> None:
    """F28, X1: killed and started again. What is established loses no packet; the dSwitches come back with the flows
    that they had, and what is new works as before."""
    near, far = net.switches
    before = [standing_flows(server) for server in net.switches]
    assert reaches(net["e1"], ipv4(2))
    with Pinging(net["e1"], ipv4(2)) as pinging:
        net.dps.kill()
        for server in net.switches:
            wait_until(partial(alone, server), f"{server.name} without its DPS", PATIENCE)
        assert [standing_flows(server) for server in net.switches] == before
        net.dps.start()
        for server in net.switches:
            net.wait_live(server, PATIENCE)
    assert (pinging.result.lost, pinging.result.duplicates) == (0, 0), pinging.result.text
    assert [standing_flows(server) for server in (near, far)] == before
    assert net["e1"].ping(ipv6(3), count=10).lost == 0
    hosted = [endpoint["name"] for endpoint in net.dswitch(far)["endpoints"]]
    assert {"e2", "e3", "e4"} <= set(hosted)


def alone(server: Hypervisor) -> bool:
    """Whether the switch itself says that it has no controller."""
    return "true" not in server.vsctl("--columns=is_connected", "list", "Controller")


def test_the_dps_stops_within_two_seconds_of_sigterm(net: DataCenter) -> None:
    """With dSwitches connected and traffic under way, and nothing of it is lost."""
    with Pinging(net["e1"], ipv4(2)) as pinging:
        assert net.dps.stop() < 2.0
        net.dps.start()
        for server in net.switches:
            net.wait_live(server, PATIENCE)
    assert pinging.result.lost == 0, pinging.result.text


def test_a_change_made_while_a_dswitch_was_away_reaches_it(net: DataCenter) -> None:
    """X1: what it holds is compared with what it should hold, and what it has cached is forgotten."""
    far = net["far"]
    assert reaches(net["e1"], ipv4(2))
    assert reaches(net["e2"], ipv4(1))
    far.vsctl("del-controller", Hypervisor.DSWITCH)
    wait_state(net, far, openflow="stale", peer="")
    policy = net.policy("web", "all", "all", actions=["deny"])
    assert policy["tracking"] >= 2
    far.init_dswitch()
    wait_state(net, far, openflow="live", peer="10.0.0.3")
    assert not reaches(net["e2"], ipv4(1))
    assert not reaches(net["e2"], ipv4(3))
    net.policy("web", "all", "all", actions=["accept"])
    wait_until(lambda: reaches(net["e2"], ipv4(1)), "peace again", 1)


def test_a_database_that_ends_is_shown_and_followed_again(net: DataCenter) -> None:
    """F26. Meanwhile the server's traffic rests: ovs-vswitchd runs neither OpenFlow nor the userspace datapath while it
    is without its database (it does without in a kernel's)."""
    far = net["far"]
    assert reaches(net["e1"], ipv4(2))
    far.stop_database(signal.SIGKILL)
    assert "tcp:10.0.0.3:6640" in wait_state(net, far, ovsdb="lost")
    far.start_database()
    assert "br-dove" in wait_state(net, far, ovsdb="connected", openflow="live")
    wait_until(lambda: reaches(net["e1"], ipv4(2)), "the traffic of before", 5)
    late = net.attach(far, "web/e5")
    assert reaches(net["e1"], ipv4(5), wait=1)
    net.remove_endpoint(late)


def test_a_server_that_is_cut_off_is_not_taken_for_live(net: DataCenter) -> None:
    """F28: nobody says good-bye; the heartbeat finds out, on both connections, and both come back."""
    far = net["far"]
    net.underlay.run("ip", "link", "set", f"to-{far.name}", "down")
    try:
        wait_state(net, far, openflow="stale", ovsdb="lost")
    finally:
        net.underlay.run("ip", "link", "set", f"to-{far.name}", "up")
    wait_state(net, far, openflow="live", ovsdb="connected")
    wait_until(lambda: reaches(net["e1"], ipv4(2)), "traffic again", 5)


def test_a_restarted_switch_gets_its_flows_back(net: DataCenter) -> None:
    """X1: ovs-vswitchd comes back empty; its flows are there again without anybody's doing, and traffic flows."""
    far = net["far"]
    assert reaches(net["e1"], ipv4(2))
    before = standing_flows(far)
    far.stop_switch(signal.SIGKILL)
    wait_state(net, far, openflow="stale")
    assert net.trace("web", "e1", "e2")["delivered"] is False
    far.start_switch()
    wait_state(net, far, openflow="live")
    wait_until(lambda: standing_flows(far) == before, "the flows of before", PATIENCE)
    for source, destination in ((net["e1"], ipv4(2)), (net["e2"], ipv6(1))):
        wait_until(partial(reaches, source, destination), f"pings to {destination}", 5)
        assert source.ping(destination, count=20).lost == 0
    assert net.trace("web", "e1", "e2")["delivered"] is True


def test_a_port_that_cannot_be_opened_is_shown(net: DataCenter) -> None:
    """F26: the endpoint is where its port says; why it is silent is said beside the connections."""
    far = net["far"]
    far.run(
        *("ovs-vsctl", "--no-wait", "add-port", Hypervisor.DSWITCH, "nothing"),
        *("--", "set", "Interface", "nothing", "external_ids:iface-id=web/e5"),
    )
    try:
        reason = wait_state(net, far, ovsdb="incomplete")
        assert "Interface nothing: Open vSwitch cannot open it" in reason
        assert "nothing" not in net.dswitch(far)["ports"]
        assert net.trace("web", "e1", "e5")["reason"].endswith(f"dSwitch {dpid(far)} has no port nothing now")
    finally:
        far.vsctl("del-port", Hypervisor.DSWITCH, "nothing")
    wait_state(net, far, ovsdb="connected")


def test_all_connections_are_listed(net: DataCenter) -> None:
    """F26: one collection has them all, with who they are and how it stands with them."""
    listed = {each["dpid"]: each for each in net.read("/v1/dswitches")}
    assert set(listed) == {dpid(server) for server in net.switches}
    for server in net.switches:
        shown = listed[dpid(server)]
        address = str(server.addresses[0].ip)
        assert shown["connections"].items() >= {"openflow": "live", "peer": address, "ovsdb": "connected"}.items()
        assert (shown["encap_ips"], shown["encap_types"]) == ([address], ["geneve", "vxlan"])
        assert {"dove-geneve", "dove-vxlan"} <= set(shown["ports"])
