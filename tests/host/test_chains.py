"""Packets pass a policy's appliances in order, wherever these are, and never go around one (F16, F17).

The proof is the appliances' own: captures on both sides of each, laid in order by time, are the way that a packet took,
with the VLAN that it bore. Three servers speak Geneve, VXLAN or both, and their underlay carries endpoints of 1500 bytes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from emulation import TUNNELLED, Endpoint, Hypervisor, wait_until

from .datacenter import DataCenter, Document, Pinging, ipv4, ipv6, machine, ping_with_pattern, reaches
from .journeys import REPLY, REQUEST, Watch
from .streams import Transfer

CLIENT, SERVER, NEIGHBOUR = 1, 2, 3
MTU = 1500
FRAMES = 3000
"""Of a transfer: some megabytes."""

SOON = 2.0
"""Seconds within which a change of a chain is in force."""

APPLIANCES = {"a": ("s1", 2), "b": ("s2", 2), "c": ("s2", 2), "d": ("s3", 2), "one": ("s2", 1)}
"""Each appliance with its server and the number of its ports."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter(underlay_mtu=1600) as net:
        net.add_dps()
        for name, address, kinds in (
            ("s1", "10.0.0.2/24", ("geneve", "vxlan")),
            ("s2", "10.0.0.3/24", ("geneve", "vxlan")),
            ("s3", "10.0.0.4/24", ("vxlan",)),
        ):
            net.add_server(name, address, encap_types=kinds)
        net.start()
        for name, (server, ports) in APPLIANCES.items():
            net.register(name, net.add_appliance(net[server], name, mtu=MTU, ports=ports))
        yield net


class Chained:
    """A network whose clients reach its servers through a chain: client on s1, server on s3, neighbour (of the client's,
    and a server) on s1."""

    def __init__(self, net: DataCenter, chain: Sequence[str], **policy: Any) -> None:
        self.net, self.chain, self.network = net, chain, f"c{next(_numbers)}"
        self.apply(**{"symmetric": True, **policy})
        self.client, self.server, self.neighbour = (
            net.attach(net[server], f"{self.network}/{name}", mtu=MTU)
            for name, server in (("client", "s1"), ("server", "s3"), ("neighbour", "s1"))
        )

    def apply(self, *more: Document, **policy: Any) -> None:
        self.net.apply(
            {
                "network": self.network,
                "domains": ["clients", "servers"],
                "actions": [{"name": each, "kind": each, "appliance": each} for each in sorted({*self.chain})],
                "policies": [{"from": "clients", "to": "servers", "actions": list(self.chain), **policy}, *more],
                "endpoints": [
                    machine("client", CLIENT, "clients"),
                    machine("server", SERVER, "servers"),
                    machine("neighbour", NEIGHBOUR, "servers"),
                ],
            }
        )

    def watch(self) -> Watch:
        return Watch((self.net[each] for each in sorted({*self.chain})), (self.client, self.server, self.neighbour))

    def way(self, policy: str) -> list[str]:
        """The journey that the DPS says a policy's packets make through appliances, by what it shows of each."""
        stops = []
        for name in {*self.chain}:
            for segment in self.net.read(f"/v1/appliances/{name}")["segments"]:
                if (segment["network"], segment["policy"]) == (self.network, policy):
                    devices = self.net[name].devices
                    both = (devices[0], devices[-1])
                    stops.append((segment["hop"], [f"{name}-{device} {segment['vlan']}" for device in both]))
        return [stop for _, pair in sorted(stops) for stop in pair]


# ---- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [("a", "b", "c", "d"), ("b", "a", "b", "one")], ids="-".join)
def test_a_chain_of_four_over_three_servers(net: DataCenter, chain: Sequence[str]) -> None:
    """F16: the first appliance, or the last, is at home with an endpoint; two are neighbours; one is passed twice."""
    scene = Chained(net, chain)
    client, server = scene.client, scene.server
    forth, back = scene.way("clients>servers"), scene.way("servers>clients")
    assert [stop.partition("-")[0] for stop in forth[::2]] == [*chain]
    assert [stop.partition("-")[0] for stop in back[::2]] == [*reversed(chain)]
    for address, largest in ((ipv4(SERVER), MTU - 28), (ipv6(SERVER), MTU - 48)):
        with scene.watch() as watch, net["s2"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
            assert client.ping(address, size=largest).received == 1
        assert watch.journey(REQUEST) == [client.name, *forth, server.name]
        assert watch.journey(REPLY) == [server.name, *back, client.name]
        assert underlay.count("udp dst port 6081") >= 2, "s1 speaks Geneve"
        assert underlay.count("udp dst port 4789") >= 2, "s3 does not"


def test_tcp_at_full_mtu_through_four_appliances(net: DataCenter) -> None:
    """F16: megabytes arrive as they were sent, over either version of IP, in frames as large as they can be."""
    scene, tagged_and_full = Chained(net, ("a", "b", "c", "d")), f"vlan and greater {14 + 4 + MTU}"
    for address in (ipv4(SERVER), ipv6(SERVER)):
        with net["b"].capture("in", f"greater {14 + MTU}") as passing:
            with Transfer(scene.client, scene.server, address, chunks_a_second=8000) as transfer:
                wait_until(
                    lambda: passing.count(tagged_and_full) >= FRAMES, f"{FRAMES} full frames at b", 20, interval=0.2
                )
            assert transfer.end() >= FRAMES * (MTU - 100)


def test_nothing_leaves_the_server_on_which_all_of_a_chain_is(net: DataCenter) -> None:
    """F16: source, destination and appliance on one server."""
    scene = Chained(net, ("a",))
    with scene.watch() as watch, net["s1"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        assert reaches(scene.client, ipv4(NEIGHBOUR))
    assert watch.journey(REQUEST) == [scene.client.name, *scene.way("clients>servers"), scene.neighbour.name]
    assert underlay.count() == 0


# ---- directions ----------------------------------------------------------------------------------


def test_a_chain_is_one_way(net: DataCenter) -> None:
    """F1: without a policy for the way back there is none; and it may be another one, that leads through nothing."""
    scene = Chained(net, ("a", "d"), symmetric=False)
    client, server = scene.client, scene.server
    server.run("ip", "neigh", "replace", ipv4(CLIENT), "lladdr", client.mac, "dev", Endpoint.NIC)
    with scene.watch() as watch:
        assert not reaches(client, ipv4(SERVER))
    assert watch.journey(REQUEST) == [client.name, *scene.way("clients>servers"), server.name]
    assert watch.journey(REPLY) == [server.name]
    scene.apply({"from": "servers", "to": "clients", "actions": ["accept"]})
    wait_until(lambda: reaches(client, ipv4(SERVER)), "the way back", SOON)
    with scene.watch() as watch:
        assert reaches(client, ipv4(SERVER))
    assert watch.journey(REPLY) == [server.name, client.name]


# ---- sharing -------------------------------------------------------------------------------------

TWINS = (0xAA, 0x55)
"""The bytes that the pings of two networks consist of."""


def test_twins_share_an_appliance_and_never_meet(net: DataCenter) -> None:
    """F17: their addresses are the same, the appliance tells them apart by VLAN, in both directions."""
    scenes = {pattern: Chained(net, ("b",)) for pattern in TWINS}
    with Watch([net["b"]], [end for each in scenes.values() for end in (each.client, each.server)]) as watch:
        for pattern, scene in scenes.items():
            result = ping_with_pattern(scene.client, ipv4(SERVER), 50, pattern, 0.01)
            assert (result.received, result.duplicates) == (50, 0), result.text
    shown = vlans_as_shown(net, "b")
    for pattern, scene in scenes.items():
        for direction, policy in (("8", "clients>servers"), ("0", "servers>clients")):
            own = f"icmp[0] = {direction} and icmp[24:4] = 0x{f'{pattern:02x}' * 4}"
            for side in ("b-in", "b-out"):
                seen = [each.vlan for each in watch.sightings(own, side)]
                assert seen == [shown[f"{scene.network}/{policy}:1"]] * 50
        foreign = f"icmp[24:4] != 0x{f'{pattern:02x}' * 4}"
        assert watch.sightings(foreign, scene.client.name, scene.server.name) == []


def test_the_appliance_treats_twins_differently(net: DataCenter) -> None:
    """F17: its administrator partitions it by the VLANs that the DPS shows."""
    red, blue = Chained(net, ("c",)), Chained(net, ("c",))
    assert reaches(red.client, ipv4(SERVER))
    vlan = vlans_as_shown(net, "c")[f"{red.network}/clients>servers:1"]
    net["c"].load(f"vlan id {vlan} icmp type echo-request drop")
    try:
        assert [reaches(each.client, ipv4(SERVER)) for each in (red, blue)] == [False, True]
        assert [reaches(each.server, ipv4(CLIENT)) for each in (red, blue)] == [True, True]
    finally:
        net["c"].load("")


def vlans_as_shown(net: DataCenter, appliance: str) -> dict[str, int]:
    """By NETWORK/POLICY:HOP, as `dove` tells an appliance's administrator."""
    shown = net.dps.run("dove", "get", "appliances", appliance, "-o", "wide")
    return {owner: int(vlan) for vlan, owner in re.findall(r"(\d+)=([^,\s]+)", shown)}


# ---- what breaks a chain -------------------------------------------------------------------------


def remove_it(net: DataCenter) -> None:
    net.delete("/v1/appliances/b")


def take_its_instance_away(net: DataCenter) -> None:
    net.register("b")


def leave_it_idle(net: DataCenter) -> None:
    document = net.read("/v1/appliances/b")
    document["instances"][0]["weight"] = 0
    net.put("/v1/appliances/b", document)


def unplug_it(net: DataCenter) -> None:
    net["s2"].vsctl("del-port", Hypervisor.DSWITCH, net["b"].server_ports["ingress"])


@pytest.fixture
def mended(net: DataCenter) -> Iterator[None]:
    """Whatever becomes of appliance b, it is there again for the next test."""
    yield
    mend(net)


def mend(net: DataCenter) -> None:
    net["s2"].vsctl("--may-exist", "add-port", Hypervisor.DSWITCH, net["b"].server_ports["ingress"])
    net.register("b", net["b"])


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (remove_it, "needs appliance 'b' for its action 'b', and none is registered"),
        (take_its_instance_away, "needs an instance of appliance 'b' for its action 'b', and none takes packets"),
        (leave_it_idle, "needs an instance of appliance 'b' for its action 'b', and none takes packets"),
        (unplug_it, "but at appliance 'b' the connection's instance does not work (these do not: 'one')"),
    ],
)
def test_packets_stop_and_never_go_around(net: DataCenter, harm: Callable[[DataCenter], None], reason: str) -> None:
    """F16: whoever arrived has passed all three; `dove trace` says what is lacking; then all is as before."""
    scene = Chained(net, ("a", "b", "d"))
    client = scene.client
    assert reaches(client, ipv4(SERVER))
    with scene.watch() as watch:
        with Pinging(client, ipv4(SERVER)):
            wait_until(lambda: len(watch.pings(REQUEST, scene.server.name)) > 10, "pings")
            harm(net)
            wait_until(lambda: not reaches(client, ipv4(SERVER)), "the end of the way", SOON)
        wait_until(lambda: reason in net.trace(scene.network, "client", "server")["reason"], reason, SOON)
        arrived = watch.pings(REQUEST, scene.server.name)
        assert client.ping(ipv4(SERVER), count=10, wait=0.1).received == 0
        assert client.ping(ipv6(SERVER), count=10, wait=0.1).received == 0
    assert watch.pings(REQUEST, scene.server.name) == arrived, "nothing gets there any more"
    for place in ("a-out", "b-out", "d-out"):
        assert arrived <= watch.pings(REQUEST, place), f"something went around {place}"
    assert not net.trace(scene.network, "client", "server")["delivered"]
    mend(net)
    for address in (ipv4(SERVER), ipv6(SERVER)):
        wait_until(lambda address=address: reaches(client, address), f"the way to {address}", SOON)  # type: ignore[misc]
    with scene.watch() as watch:
        assert reaches(client, ipv4(SERVER))
    assert watch.journey(REQUEST) == [client.name, *scene.way("clients>servers"), scene.server.name]
