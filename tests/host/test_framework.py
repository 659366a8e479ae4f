"""The DPS is a Ryu application: it runs on either hub of the framework, and beside other applications."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dps_node import RYU_MANAGER
from emulation import TUNNELLED_ARP, Hypervisor, wait_until

from . import beside
from .datacenter import DataCenter, Pinging, dpid, ipv4, ipv6, machine, reaches, send

BESIDE = Path(beside.__file__)


@contextmanager
def two_machines(*environment: str, applications: Sequence[str] = ("dove_ryu.app",)) -> Iterator[DataCenter]:
    """A data center with a machine on each of two servers; the DPS runs with these variables and applications."""
    with DataCenter() as net:
        store = f"sqlite:///{net.footprint.directory}/dps.sqlite"
        net.add_dps(command=["env", *environment, str(RYU_MANAGER), *applications, "--dove-store", store])
        servers = [net.add_server(f"s{number}", f"10.0.0.{number + 1}/24") for number in (1, 2)]
        net.start()
        net.apply(
            {
                "network": "web",
                "default_policy": "allow",
                "domains": ["all"],
                "endpoints": [machine("e1", 1), machine("e2", 2)],
            }
        )
        for number, server in enumerate(servers, 1):
            net.attach(server, f"web/e{number}")
        yield net


def exchange(net: DataCenter) -> None:
    """Both ways, both versions, first packets included, and not a question on the underlay."""
    with net["s1"].capture(Hypervisor.NIC, TUNNELLED_ARP) as underlay:
        for source, destination in (("e1", 2), ("e2", 1)):
            for of in (ipv4, ipv6):
                result = net[source].ping(of(destination), count=50)
                assert (result.lost, result.duplicates) == (0, 0), result.text
    assert underlay.count() == 0


def test_the_dps_runs_on_eventlet() -> None:
    """The hub is the framework's affair: everything of the DPS works on the other one too."""
    with two_machines("OSKEN_HUB_TYPE=eventlet") as net:
        exchange(net)
        net.policy("web", "all", "all", actions=["deny"])
        wait_until(lambda: not reaches(net["e1"], ipv4(2)), "denial", 1)
        net.delete("/v1/networks/web/policies/all%3Eall")
        wait_until(lambda: reaches(net["e1"], ipv4(2)), "peace", 1)
        with Pinging(net["e1"], ipv4(2)) as pinging:
            assert net.dps.stop() < 2.0
            net.dps.start()
            for server in net.switches:
                net.wait_live(server)
        assert pinging.result.lost == 0, pinging.result.text


def test_another_application_runs_beside_the_dps() -> None:
    """It sees the switches enter and the packet-ins that are not ours, and nobody touches its flows."""
    with two_machines(applications=("dove_ryu.app", str(BESIDE))) as net:
        entered = {f"beside: switch {dpid(server)} enters" for server in net.switches}
        wait_until(lambda: all(line in net.dps.log for line in entered), "the topology's events")
        exchange(net)
        frame = bytes.fromhex("020000000002020000000001") + beside.ETH_TYPE.to_bytes(2, "big") + bytes(46)
        send(net["e1"], frame)
        told = f"beside: packet-in with cookie {beside.COOKIE:#x}"
        wait_until(lambda: told in net.dps.log, "the other application's packet-in")
        assert set(re.findall(r"beside: packet-in with cookie \S+", net.dps.log)) == {told}, "policy requests are ours"
        for server in net.switches:
            assert f"cookie={beside.COOKIE:#x}" in server.ofctl("dump-flows", f"cookie={beside.COOKIE:#x}/-1")
        assert net.read("/v1/status")["policy_requests"]["allowed"] > 0
