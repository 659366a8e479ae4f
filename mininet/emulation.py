"""A data center on one machine: servers, the DPS, and the underlay between them.

    with Emulation() as net:
        dps, server = net.add_dps(), net.add_server("s1", "10.0.0.2/24")
        net.start()
        net.add_endpoint(server, "ws1", "shop", "02:00:00:00:00:01", ["9.2.10.26"])

`Emulation` is a Mininet network whose switches are servers and whose hosts are endpoints, so that Mininet's
command line works on it. Leaving the block ends every process of the run, and with the last one of each the
namespaces go, their devices included; a run that is killed is swept by the next (`footprint`). Nothing else
on the machine is touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import namespace
from appliance import Appliance
from dps_node import DpsNode
from emulated_node import CommandError, EmulatedNode, connect, ip, random_mac
from footprint import DeadlineError, Footprint, ended_by_signals, sweep, unsignalled, wait_until
from hypervisor import ENDPOINT_MTU, Endpoint, Hypervisor
from mininet.net import Mininet
from traffic import TUNNELLED, TUNNELLED_ARP, TUNNELLED_ND, Capture, PingResult, iperf3, ping

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "TUNNELLED",
    "TUNNELLED_ARP",
    "TUNNELLED_ND",
    "Appliance",
    "Capture",
    "CommandError",
    "DeadlineError",
    "DpsNode",
    "Emulation",
    "Endpoint",
    "Footprint",
    "Hypervisor",
    "PingResult",
    "Underlay",
    "ended_by_signals",
    "iperf3",
    "ping",
    "sweep",
    "wait_until",
]

#: Where the DPS is unless told otherwise: on the underlay, beside the servers (F15).
DPS_ADDRESS = "10.0.0.100/24"
DPS_TARGET = "tcp:10.0.0.100:6653"
#: Ethernet's own. Endpoints of 1500 bytes need 50 more over an IPv4 underlay, 70 over IPv6.
UNDERLAY_MTU = 1500

_Node = TypeVar("_Node", bound=EmulatedNode)


class Underlay(EmulatedNode):
    """The physical network: a plain Linux bridge, which knows nothing of tunnels."""

    BRIDGE = "fabric"

    def prepare(self) -> None:
        super().prepare()
        namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)
        ip(f"link add {self.BRIDGE} type bridge mcast_snooping 0", f"link set {self.BRIDGE} up")

    def plug(self, node: EmulatedNode, device: str, mac: str, mtu: int = UNDERLAY_MTU) -> None:
        """A cable from the node's `device` into the network. Both ends come up."""
        port = f"to-{node.name}"
        connect(node, device, mac, self, port)
        with self.inside():
            ip(f"link set {port} mtu {mtu} master {self.BRIDGE} up")
        with node.inside():
            ip(f"link set {device} mtu {mtu} up")


class Emulation(Mininet):  # type: ignore[misc]  # Mininet carries no types
    """One run: a Mininet network whose switches are `Hypervisor`s, hosts `Endpoint`s and controllers
    `DpsNode`s."""

    switches: list[Hypervisor]
    hosts: list[Endpoint]
    controllers: list[DpsNode]
    appliances: list[Appliance]

    def __init__(self, underlay_mtu: int = UNDERLAY_MTU) -> None:
        sweep()
        super().__init__(build=False)
        self.appliances, self._underlay_mtu = [], underlay_mtu
        self.built = True  # node by node, not from one of Mininet's topologies
        self.footprint = Footprint.make()
        try:
            self.underlay = Underlay("underlay", self.footprint)
        except BaseException:
            self.footprint.erase()
            raise

    @classmethod
    def init(cls) -> None:
        """Mininet raises limits of the whole machine here, which would stay behind. Ours suffice."""
        if os.geteuid() != 0:
            raise PermissionError("the emulation makes network namespaces: run it as root")

    # ---- building --------------------------------------------------------------------------------

    def add_server(
        self,
        name: str,
        *addresses: str,
        dps: Sequence[str] = (DPS_TARGET,),
        kind: type[Hypervisor] = Hypervisor,
        **options: Any,
    ) -> Hypervisor:
        """A server at these underlay addresses, cabled but not yet started; `options` are those of its `kind`."""
        server = kind(name, self.footprint, addresses, dps, **options)
        self._register(server, self.switches)
        self.underlay.plug(server, Hypervisor.NIC, random_mac(), self._underlay_mtu)
        return server

    def add_dps(self, name: str = "dps", *addresses: str, **options: Any) -> DpsNode:
        """A DPS on the underlay, cabled but not yet started; `options` are DpsNode's."""
        node = DpsNode(name, self.footprint, **options)
        self._register(node, self.controllers)
        self.underlay.plug(node, DpsNode.NIC, random_mac(), self._underlay_mtu)
        node.configure(addresses or (DPS_ADDRESS,))
        return node

    def add_endpoint(
        self, server: Hypervisor, name: str, network: str, mac: str, ips: Sequence[str], **options: Any
    ) -> Endpoint:
        """`server.attach_endpoint`, known to Mininet's command line by its name, or as network_name if that
        is taken. (The command line takes letters, digits and underscores for a node's name.)"""
        node_name = _identifier(name)
        if node_name in self:
            node_name = _identifier(f"{network}_{name}")
        node = server.attach_endpoint(name, network, mac, ips, node_name=node_name, **options)
        self._register(node, self.hosts)
        return node

    def remove_endpoint(self, node: Endpoint) -> None:
        """Switch the endpoint off, wherever it is."""
        server = next(server for server in self.switches if server.endpoints.get((node.network, node.endpoint)) is node)
        server.detach_endpoint(node)
        self.hosts.remove(node)
        del self.nameToNode[node.name]

    def add_appliance(
        self, server: Hypervisor, name: str, rules: str = "", *, mtu: int = ENDPOINT_MTU, ports: int = 2
    ) -> Appliance:
        """An appliance with these nftables rules at `ports` ports of its own of a server that runs."""
        node = Appliance(_identifier(name), self.footprint, server, rules, mtu=mtu, ports=ports)
        self._register(node, self.appliances)
        return node

    def _register(self, node: _Node, kind: list[_Node]) -> None:
        kind.append(node)
        self.nameToNode[node.name] = node

    # ---- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every DPS and server that does not run, at once; then tell the servers' tunnels of each other."""
        starting = [node for node in (*self.controllers, *self.switches) if not node.running]
        with ThreadPoolExecutor(max_workers=1 + len(self.switches) + len(self.controllers)) as pool:
            for done in [pool.submit(node.start) for node in starting]:
                done.result()
            for done in [pool.submit(server.know, self.switches) for server in self.switches]:
                done.result()

    def stop(self) -> None:
        """End everything of this run. It may be called again, and after a start that failed halfway."""
        with unsignalled():
            self.footprint.erase()
            for node in (*self.values(), *self.appliances, self.underlay):
                node.cleanup()
            self.hosts, self.switches, self.controllers, self.appliances = [], [], [], []
            self.nameToNode.clear()

    def __enter__(self) -> Emulation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _identifier(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)
