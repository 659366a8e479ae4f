"""Networks with the same addresses on the same servers never meet, over every kind of tunnel and underlay (F10-F12).

Two networks are twins: their machines have the same MAC and IP addresses and sit on the same servers. What tells their
packets apart is the payload: each network pings with a byte of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from emulation import (
    DPS_TARGET,
    TUNNELLED,
    TUNNELLED_ARP,
    TUNNELLED_ND,
    Capture,
    Endpoint,
    Hypervisor,
    PingResult,
    iperf3,
)

from .datacenter import DataCenter, ipv4, ipv6, machine, ping_with_pattern

TWINS = {"red": 0xAA, "blue": 0x55}
"""Each network with the byte that its pings consist of."""

PINGS, INTERVAL = 1000, 0.003
UDP_PORT = {"geneve": 6081, "vxlan": 4789}

#: The servers with the tunnels that they speak, in their own order of preference.
SERVERS = {"both": ("vxlan", "geneve"), "geneve": ("geneve",), "vxlan": ("vxlan",), "all": ("geneve", "vxlan")}


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4 underlay", "IPv6 underlay"])
def net(request: pytest.FixtureRequest) -> Iterator[DataCenter]:
    """Servers of every kind with a machine of each twin; over IPv6 the DPS is reached through the underlay also."""
    with DataCenter() as net:
        if request.param == 4:
            net.add_dps()
            target, address, ovsdb = DPS_TARGET, "10.0.0.{}/24", "ptcp:6640"
        else:
            net.add_dps("dps", "fd00::100/64", options=["--ofp-listen-host", "::"])
            target, address, ovsdb = "tcp:[fd00::100]:6653", "fd00::{}/64", "ptcp:6640:[::]"
        for number, (name, kinds) in enumerate(SERVERS.items(), 2):
            net.add_server(name, address.format(number), dps=[target], ovsdb=ovsdb, encap_types=kinds)
        net.start()
        for network in TWINS:
            net.apply(
                {
                    "network": network,
                    "domains": ["all"],
                    "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
                    "endpoints": [machine(name, number) for number, name in enumerate(SERVERS, 1)],
                }
            )
            for server in net.switches:
                net.attach(server, f"{network}/{server.name}")
        yield net


@dataclass
class Conversation:
    """The captures of both machines of one network while they ping each other, and the results."""

    ends: tuple[Capture, Capture]
    results: list[PingResult]


def ping_at_once(net: DataCenter, near: str, far: str) -> dict[str, Conversation]:
    """In both networks at once, `near` pings `far` over IPv4 and IPv6."""
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        captures, running = {}, {}
        for network, pattern in TWINS.items():
            ends = [net[f"{network}_{name}"] for name in (near, far)]
            captures[network] = [stack.enter_context(end.capture(Endpoint.NIC)) for end in ends]
            addresses = [of(1 + list(SERVERS).index(far)) for of in (ipv4, ipv6)]
            running[network] = [
                pool.submit(ping_with_pattern, ends[0], address, PINGS, pattern, INTERVAL) for address in addresses
            ]
        results = {network: [ping.result() for ping in pings] for network, pings in running.items()}
    return {network: Conversation((captures[network][0], captures[network][1]), results[network]) for network in TWINS}


@pytest.mark.parametrize(
    ("near", "far", "kind"),
    [("both", "geneve", "geneve"), ("vxlan", "both", "vxlan"), ("both", "all", "geneve")],
)
def test_twins_ping_a_thousand_times_and_never_meet(net: DataCenter, near: str, far: str, kind: str) -> None:
    """F11, F12. The pair of servers uses the best kind of tunnel that both speak (F10); no ARP or ND crosses (F14)."""
    with net[near].capture(Hypervisor.NIC) as underlay:
        conversations = ping_at_once(net, near, far)
    for network, pattern in TWINS.items():
        for result in conversations[network].results:
            assert (result.received, result.duplicates) == (PINGS, 0), result.text[-200:]
        for end in conversations[network].ends:
            assert end.count(payload("icmp[24:4]", pattern, "=")) == 2 * PINGS, "every request and every reply"
            assert end.count(payload("ip6[64:4]", pattern, "=", "ip6[40] >= 128 and ip6[40] <= 129")) == 2 * PINGS
            assert end.frames(payload("icmp[24:4]", pattern, "!=")) == []
            assert end.frames(payload("ip6[64:4]", pattern, "!=", "ip6[40] >= 128 and ip6[40] <= 129")) == []
    other = next(port for name, port in UDP_PORT.items() if name != kind)
    assert underlay.count(f"udp dst port {UDP_PORT[kind]}") >= 2 * 2 * 2 * PINGS
    assert underlay.frames(f"udp dst port {other}") == []
    assert underlay.frames(TUNNELLED_ARP) == []
    assert underlay.frames(TUNNELLED_ND) == []


def payload(field: str, pattern: int, relation: str, terms: str = "icmp") -> str:
    """A pcap filter: pings whose payload consists of `pattern`, or of anything else."""
    echoes = "(icmp[0] = 0 or icmp[0] = 8)" if terms == "icmp" else f"icmp6 and {terms}"
    return f"{echoes} and {field} {relation} 0x{f'{pattern:02x}' * 4}"


def test_servers_without_a_tunnel_in_common_do_not_reach_each_other(net: DataCenter) -> None:
    """F10: nothing is sent that the other side would not understand, and `trace` says why."""
    with net["geneve"].capture(Hypervisor.NIC, TUNNELLED) as underlay:
        assert net["red_geneve"].ping(ipv4(3), count=3, wait=0.2).received == 0
    assert underlay.count() == 0
    traced = net.trace("red", "geneve", "vxlan")
    assert (traced["decision"], traced["delivered"]) == ("allowed", False)
    assert "have no tunnel protocol" in traced["reason"]


@pytest.mark.parametrize(("near", "far"), [("geneve", "all"), ("vxlan", "all")])
def test_tcp_at_full_mtu(net: DataCenter, near: str, far: str) -> None:
    """F10: the machines' MTU fits into the tunnel; nothing is fragmented and nothing stalls."""
    number = 1 + list(SERVERS).index(far)
    for address, headers in ((ipv4(number), 20 + 8), (ipv6(number), 40 + 8)):
        assert net[f"red_{near}"].ping(address, count=3, size=1400 - headers).lost == 0
        assert iperf3(net[f"red_{far}"], net[f"red_{near}"], address, seconds=1) > 10e6
