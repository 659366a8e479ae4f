"""A virtual machine that moves between servers with everything that it has in its head, sockets included.

A namespace cannot leave its kernel, and need not: here the machine's NIC is a bridge with a cable to each server that
it may come to. It always hears both, so that a packet counts as lost only if the network delivered it to neither; it
speaks through the cable to where it runs (the others have no room for a packet to wait in), and `resume` is the moment
of the migration at which it runs elsewhere. What the servers' databases say about it is `attach` and `detach`, each a
single transaction without a process to start, for what is timed in milliseconds must not wait for ovs-vsctl.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import namespace
from emulated_node import connect, ip
from emulation import Emulation, Endpoint, Hypervisor, wait_until
from hypervisor import ENDPOINT_MTU, on_link

from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY

from .datacenter import DataCenter, Document, dpid, flows, ipv4, ipv6, mac, machine

RARP = 0x8035


class Guest(Endpoint):
    """The machine of endpoint NETWORK/NAME, with a cable to each of `servers`; it runs at the first, bound to none."""

    def __init__(
        self, net: Emulation, name: str, network: str, mac: str, ips: Sequence[str], servers: Sequence[Hypervisor]
    ) -> None:
        super().__init__(f"{network}_{name}", net.footprint, network, name, mac)
        net.hosts.append(self)
        net.nameToNode[self.name] = self
        self._cables = {server.name: f"to-{server.name}" for server in servers}
        for server in servers:
            connect(self, self._cables[server.name], _cable_mac(mac), server, self.port_at(server))
            with server.inside():
                ip(f"link set {self.port_at(server)} mtu {ENDPOINT_MTU} up")
            server.vsctl("--may-exist", "add-port", Hypervisor.DSWITCH, self.port_at(server))
        with self.inside():
            self._configure(ips)
        self.resume(servers[0])

    def port_at(self, server: Hypervisor) -> str:
        """The name of its port on a server."""
        return f"{self.network}-{self.endpoint}"

    def _configure(self, ips: Sequence[str]) -> None:
        nic = Endpoint.NIC
        ip(f"link add {nic} address {self.mac} type bridge mcast_snooping 0")
        namespace.allow_ipv6(nic)
        namespace.offloads_off(nic)
        for cable in self._cables.values():
            ip(
                f"link set {cable} mtu {ENDPOINT_MTU} master {nic} up",
                f"link set {cable} type bridge_slave learning off",
            )
        addresses = (f"addr add {on_link(text)} dev {nic}{' nodad' if ':' in text else ''}" for text in ips)
        ip(f"link set {nic} mtu {ENDPOINT_MTU} up", *addresses)
        for cable in self._cables.values():  # without a spanning tree it forwards as soon as there is a carrier
            wait_until(lambda cable=cable: _forwards(self, cable), f"{cable} of {self.name} forwarding")  # type: ignore[misc]

    # ---- moving ----------------------------------------------------------------------------------

    def attach(self, server: Hypervisor) -> None:
        """The hypervisor binds its port: the iface-id appears there."""
        values = [["iface-id", f"{self.network}/{self.endpoint}"], ["attached-mac", self.mac]]
        self._mutate(server, [["external_ids", "insert", ["map", values]]])

    def detach(self, server: Hypervisor) -> None:
        """The hypervisor has let it go: the iface-id goes."""
        self._mutate(server, [["external_ids", "delete", ["set", ["iface-id", "attached-mac"]]]])

    def resume(self, server: Hypervisor) -> None:
        """From now on it runs, and speaks, on this server; what it says in that very moment, it says at both."""
        self.run("tc", "qdisc", "replace", "dev", self._cables[server.name], "root", "pfifo", "limit", "1000")
        for name, cable in self._cables.items():
            if name != server.name:
                self.run("tc", "qdisc", "replace", "dev", cable, "root", "pfifo", "limit", "0")

    def announce(self, server: Hypervisor) -> None:
        """What QEMU sends in the machine's name when it resumes it on a server: RARP, to all."""
        mac = bytes.fromhex(self.mac.replace(":", ""))
        rarp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 3) + mac + bytes(4) + mac + bytes(4)
        frame = (b"\xff" * 6 + mac + struct.pack("!H", RARP) + rarp).ljust(60, b"\0")
        with self.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((self._cables[server.name], 0))
            out.send(frame)

    def _mutate(self, server: Hypervisor, mutations: list[Any]) -> None:
        port = [["name", "==", self.port_at(server)]]
        operation = {"op": "mutate", "table": "Interface", "where": port, "mutations": mutations}
        answer = _transact(server, operation)
        assert answer["result"] == [{"count": 1}], answer


def _transact(server: Hypervisor, *operations: dict[str, Any]) -> dict[str, Any]:
    """One transaction of a server's database (RFC 7047)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as database:
        database.settimeout(10)
        database.connect(f"{server.directory}/db.sock")
        request = {"method": "transact", "params": ["Open_vSwitch", *operations], "id": 1}
        database.sendall(json.dumps(request).encode())
        text = b""
        while not _complete(text):
            text += database.recv(65536)
    answer: dict[str, Any] = json.loads(text)
    return answer


def _complete(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _forwards(node: Endpoint, cable: str) -> bool:
    return "state forwarding" in node.run("bridge", "link", "show", "dev", cable)


def _cable_mac(mac: str) -> str:
    """Another than the machine's own, or the bridge would take the cable for itself."""
    return f"06{mac[2:]}"


# ---- a network with a machine that moves ---------------------------------------------------------

GUEST, PEER, NEIGHBOUR_OF_GUEST = 1, 2, 3


@dataclass(frozen=True)
class Scene:
    """A network of a test's own: a machine that does not move, and one that can, from `old` to `new`.

    :ivar source: the server of the one that does not move, which is nobody else's here.
    """

    net: DataCenter
    network: str
    peer: Endpoint
    guest: Guest
    source: Hypervisor
    old: Hypervisor
    new: Hypervisor

    @property
    def location_path(self) -> str:
        return f"/v1/networks/{self.network}/endpoints/guest/location"

    @property
    def location(self) -> Document:
        """Where the DPS has the machine that moves; empty while that is nowhere."""
        shown: Document = self.net.endpoint(self.guest)["location"] or {}
        return shown

    def place(self, server: Hypervisor) -> Document:
        """The machine's port at a server, as REST writes it."""
        return {"dswitch": dpid(server), "port": self.guest.port_at(server)}

    def wait_at(self, server: Hypervisor) -> None:
        """Until the DPS has the machine at a server, with no migration under way."""
        there = self.place(server)

        def so() -> bool:
            seen = self.location
            return seen.items() >= there.items() and not seen.get("migrating_to")

        wait_until(so, f"{self.network}/guest located at {server.name}", 5)

    def requests_from_source(self) -> int:
        """Policy requests that the source's dSwitch has sent since the scene was made: packets at its miss flows."""
        found = [flow for table in (NEIGHBOUR, LOCATION, POLICY) for flow in flows(self.source, table, Kind.MISS)]
        return sum(flow.packets for flow in found if "controller" in flow.text.lower())


def scene(
    net: DataCenter, network: str, source: Hypervisor, old: Hypervisor, new: Hypervisor, **blueprint: Any
) -> Scene:
    """The network, its machines attached and known to each other, everything cached on both ways. `blueprint` has what
    is to be otherwise in it."""
    net.apply(
        {
            "network": network,
            "domains": ["guests", "peers"],
            "policies": [
                {"from": "guests", "to": "peers", "actions": ["accept"]},
                {"from": "peers", "to": "guests", "actions": ["accept"]},
            ],
            "endpoints": [
                machine("guest", GUEST, "guests"),
                machine("peer", PEER, "peers"),
                machine("neighbour", NEIGHBOUR_OF_GUEST, "peers"),
            ],
            **blueprint,
        }
    )
    peer = net.attach(source, f"{network}/peer")
    guest = Guest(net, "guest", network, mac(GUEST), [ipv4(GUEST), ipv6(GUEST)], [old, new])
    guest.attach(old)
    made = Scene(net, network, peer, guest, source, old, new)
    made.wait_at(old)
    for address in (ipv4(GUEST), ipv6(GUEST)):
        wait_until(lambda address=address: peer.ping(address, wait=0.2).received == 1, f"{address} reached")  # type: ignore[misc]
    assert guest.ping(ipv4(PEER)).received == 1
    return made
