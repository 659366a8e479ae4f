"""Where an endpoint is: said by its port or by REST, before its blueprint or after, and when it moves (F18, F24)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from emulation import TUNNELLED, Endpoint, Hypervisor, wait_until

from .datacenter import DataCenter, RefusedError, dpid, ipv4, ipv6, mac, machine, reaches

SOON = 2.0
"""Seconds within which a change of place is to be in force."""

PEER, MOVER = 1, 2


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    """Two servers whose databases the DPS follows, and one, `bare`, that has none to be followed."""
    with DataCenter() as net:
        net.add_dps()
        net.add_server("s1", "10.0.0.2/24")
        net.add_server("s2", "10.0.0.3/24")
        net.add_server("bare", "10.0.0.4/24", ovsdb="none", dpid="00000000000000ba")
        net.start()
        yield net


def blueprint(network: str) -> dict:
    return {
        "network": network,
        "domains": ["all"],
        "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
        "endpoints": [machine("peer", PEER), machine("mover", MOVER)],
    }


def located(net: DataCenter, network: str, endpoint: str) -> dict | None:
    location: dict | None = net.read(f"/v1/networks/{network}/endpoints/{endpoint}")["location"]
    return location


def test_a_machine_may_be_there_before_its_blueprint(net: DataCenter) -> None:
    """X15, F3: the port's iface-id waits for the network that it names."""
    peer = net.add_endpoint(net["s1"], "peer", "early", mac(PEER), [ipv4(PEER), ipv6(PEER)])
    mover = net.add_endpoint(net["s2"], "mover", "early", mac(MOVER), [ipv4(MOVER), ipv6(MOVER)])
    net.apply(blueprint("early"))
    for node, server in ((peer, net["s1"]), (mover, net["s2"])):
        assert net.wait_located(node, server) < SOON
    for address in (ipv4(MOVER), ipv6(MOVER)):
        assert peer.ping(address, count=5).lost == 0


def test_what_a_dswitch_hosts_is_shown(net: DataCenter) -> None:
    """F26: port, network, domain, MACs, IPs, as soon as the machine is attached; and no longer when it is gone."""
    net.apply(blueprint("shown"))
    peer = net.attach(net["s1"], "shown/peer")
    hosted = {
        "network": "shown",
        "name": "peer",
        "port": peer.port,
        "domain": "all",
        "macs": [mac(PEER)],
        "ips": [ipv4(PEER), ipv6(PEER)],
        "tracking": 1,
        "observed": True,
        "arriving": False,
    }
    assert hosted in net.dswitch(net["s1"])["endpoints"]
    net.remove_endpoint(peer)
    wait_until(lambda: located(net, "shown", "peer") is None, "end of the location", SOON)
    assert hosted not in net.dswitch(net["s1"])["endpoints"]
    with pytest.raises(RefusedError) as refused:
        net.read("/v1/networks/shown/endpoints/peer/location")
    assert refused.value.status == 404


def test_traffic_follows_an_endpoint_to_another_server(net: DataCenter) -> None:
    """F18: detached here, attached there; the peer's entry is replaced without waiting for its expiry, and the place's
    tracking number rises."""
    net.apply(blueprint("moving"))
    peer, mover = net.attach(net["s1"], "moving/peer"), net.attach(net["s2"], "moving/mover")
    for address in (ipv4(MOVER), ipv6(MOVER)):
        assert peer.ping(address, count=5).lost == 0
    net.remove_endpoint(mover)
    wait_until(lambda: not reaches(peer, ipv4(MOVER)), "silence", SOON)
    mover = net.attach(net["s1"], "moving/mover")
    wait_until(lambda: reaches(peer, ipv4(MOVER)) and reaches(peer, ipv6(MOVER)), "the mover at its new place", SOON)
    net.remove_endpoint(mover)
    net.attach(net["s2"], "moving/mover")
    wait_until(lambda: reaches(peer, ipv4(MOVER)) and reaches(peer, ipv6(MOVER)), "the mover back", SOON)
    with net["s1"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        assert peer.ping(ipv4(MOVER), count=10).lost == 0
    assert underlay.count() == 20


def test_the_new_place_of_an_endpoint_replaces_the_old_one(net: DataCenter) -> None:
    """F18: a second machine says that it is the endpoint, while the first one is still there, as in a live migration.
    The latest word holds, whatever else happens at the old place; and when it is taken back, the one before."""
    net.apply(
        {**blueprint("replaced"), "endpoints": [machine(name, n) for n, name in enumerate(("peer", "mover", "x"), 1)]}
    )
    near, far = net["s1"], net["s2"]
    peer, old = net.attach(near, "replaced/peer"), net.attach(far, "replaced/mover")
    assert peer.ping(ipv4(MOVER), count=3).lost == 0
    new = near.attach_endpoint("mover", "replaced", mac(MOVER), [ipv4(MOVER), ipv6(MOVER)], node_name="replaced_new")
    net.wait_located(new, near)
    place = {"dswitch": dpid(near), "port": new.port, "tracking": 2, "observed": True, "migrating_to": None}
    assert located(net, "replaced", "mover") == place
    net.attach(far, "replaced/x")
    assert located(net, "replaced", "mover") == place, "another machine at the old place is no news of this one"
    with new.capture(Endpoint.NIC, "icmp") as at_new, old.capture(Endpoint.NIC, "icmp") as at_old:
        assert peer.ping(ipv4(MOVER), count=10).lost == 0
    assert (at_new.count(), at_old.count()) == (20, 0)
    near.detach_endpoint(new)
    net.wait_located(old, far)
    wait_until(lambda: reaches(peer, ipv4(MOVER)), "the old place again", SOON)


def test_the_end_of_the_old_place_is_not_the_end_of_the_new_one(net: DataCenter) -> None:
    """F18: as a live migration ends."""
    net.apply(blueprint("finished"))
    peer, old = net.attach(net["s1"], "finished/peer"), net.attach(net["s2"], "finished/mover")
    new = net["s1"].attach_endpoint("mover", "finished", mac(MOVER), [ipv4(MOVER)], node_name="finished_new")
    net.wait_located(new, net["s1"])
    net.remove_endpoint(old)
    wait_until(lambda: old.port not in net.dswitch(net["s2"])["ports"], "end of the old port", SOON)
    assert peer.ping(ipv4(MOVER), count=10).lost == 0
    assert (located(net, "finished", "mover") or {})["port"] == new.port


def test_rest_says_where_no_database_does(net: DataCenter) -> None:
    """F24: the dSwitch is registered with its tunnels, the endpoint with its place; it works like any other."""
    bare = net["bare"]
    net.put(
        f"/v1/dswitches/{dpid(bare)}",
        {"name": "bare", "encap_ips": ["10.0.0.4"], "encap_types": ["geneve"], "ovsdb": "none"},
    )
    net.apply(blueprint("manual"))
    peer = net.attach(net["s1"], "manual/peer")
    mover = net.add_endpoint(bare, "mover", "manual", mac(MOVER), [ipv4(MOVER), ipv6(MOVER)])
    path = "/v1/networks/manual/endpoints/mover/location"
    net.put(path, {"dswitch": dpid(bare), "port": mover.port})
    net.wait_located(mover, bare)
    assert not net.read(path)["observed"]
    for address in (ipv4(MOVER), ipv6(MOVER)):
        assert peer.ping(address, count=10).lost == 0
    assert mover.ping(ipv4(PEER), count=10).lost == 0
    net.delete(path)
    wait_until(lambda: not reaches(peer, ipv4(MOVER)), "silence", SOON)


def test_a_dswitch_registered_without_a_database_is_not_asked_for_one(net: DataCenter) -> None:
    """F24: what is registered after the dSwitch came is heard, and its connection to nowhere ends."""
    bare = net["bare"]
    net.put(f"/v1/dswitches/{dpid(bare)}", {"encap_ips": ["10.0.0.4"], "ovsdb": "none"})
    wait_until(lambda: net.connections(bare).get("ovsdb") == "unused", "end of the attempts", SOON)


def test_a_location_may_name_a_port_that_comes_later(net: DataCenter) -> None:
    """F24, F3: on a dSwitch and a port that are not there yet."""
    net.apply(blueprint("later"))
    peer = net.attach(net["s1"], "later/peer")
    net.put("/v1/networks/later/endpoints/mover/location", {"dswitch": dpid(net["bare"]), "port": "later-mover"})
    net.put(f"/v1/dswitches/{dpid(net['bare'])}", {"encap_ips": ["10.0.0.4"], "ovsdb": "none"})
    assert not reaches(peer, ipv4(MOVER))
    mover = net.add_endpoint(net["bare"], "mover", "later", mac(MOVER), [ipv4(MOVER)])
    assert mover.port == "later-mover"
    wait_until(lambda: reaches(peer, ipv4(MOVER)), "the machine behind the port", SOON)
