"""An emulated server: Open vSwitch, the underlay NIC, and the endpoints that the server hosts.

The server runs its own ovsdb-server and ovs-vswitchd on the userspace datapath, so that any number of servers
fits on one machine without a kernel module. `br-phy` holds the NIC and the underlay address, where a native
tunnel finds its route; `br-dove` is the dSwitch, made by `ovs-scripts/dove-dswitch` as on a real host.

Three facts about the userspace datapath that a real server does not share (Open vSwitch 3.1):

* It takes every frame of its devices from a packet socket, and the kernel's own stack sees them too. `br-phy`
  therefore has another MAC address than the NIC, so that the stack takes what arrives at the NIC for somebody
  else's.
* Its tunnels keep their own neighbour table, filled from the replies that pass through; a packet for which it
  has no entry is dropped, where the kernel would hold it until ARP has answered. `Hypervisor.know` fills the
  table.
* A bridge's own device is a persistent tap. It goes with the bridge, but outlives ovs-vswitchd, and br-phy keeps its
  addresses over a restart; meanwhile it has no carrier, and the server is cut off from the underlay.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import namespace
from emulated_node import DEVICE_NAME_LENGTH, EmulatedNode, connect, ip, random_mac
from footprint import Footprint, start_time_of, wait_until

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
DOVE_DSWITCH = Path(__file__).resolve().parent.parent / "ovs-scripts" / "dove-dswitch"

#: 1500 less the outer headers of Geneve and VXLAN (50 bytes over IPv4, 70 over IPv6), with room for Geneve
#: options.
ENDPOINT_MTU = 1400
#: Seconds that a tunnel's neighbour is kept unused: the most that ovs-vswitchd takes (it has 900).
NEIGHBOUR_AGING = 3600
#: The prefix length of an endpoint's address that is given without one.
ON_LINK = {4: 24, 6: 64}


class Endpoint(EmulatedNode):
    """A virtual machine as the network sees it: one NIC, with the addresses that the guest has configured."""

    NIC = "eth0"

    def __init__(self, name: str, footprint: Footprint, network: str, endpoint: str, mac: str) -> None:
        super().__init__(name, footprint)
        self.network, self.endpoint, self.mac = network, endpoint, mac

    @property
    def port(self) -> str:
        """The NIC's device on the server."""
        return str(self.intf(self.NIC).link.intf2.name)

    def prepare(self) -> None:
        super().prepare()
        namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)

    def configure(self, ips: Sequence[str], gateways: Iterable[str], mtu: int) -> None:
        """What a guest does at its start. Without an IPv6 address of ours it speaks no IPv6 at all."""
        addresses = [ipaddress.ip_interface(on_link(text)) for text in ips]
        commands = [f"link set {self.NIC} mtu {mtu} up"]
        for address in addresses:
            commands.append(f"addr add {address} dev {self.NIC}{' nodad' if address.version == 6 else ''}")
        commands += [f"route add default via {gateway} dev {self.NIC}" for gateway in gateways]
        with self.inside():
            if any(address.version == 6 for address in addresses):
                namespace.allow_ipv6(self.NIC)
            ip(*commands)
        self.intf(self.NIC).ip = str(addresses[0].ip) if addresses else None


class Hypervisor(EmulatedNode):
    """A server of the data center: Open vSwitch with a dSwitch, in a namespace of its own."""

    NIC = "underlay"
    PHYSICAL, DSWITCH = "br-phy", "br-dove"

    def __init__(
        self,
        name: str,
        footprint: Footprint,
        addresses: Sequence[str],
        dps: Sequence[str],
        *,
        encap_types: Sequence[str] = ("geneve", "vxlan"),
        ovsdb: str = "ptcp:6640",
        dpid: str | None = None,
    ) -> None:
        """`addresses` are the underlay's, with prefix length, at most one of each IP version; `dps` are
        OpenFlow targets; `ovsdb` and `dpid` are as in `dove-dswitch init`."""
        self.addresses = [ipaddress.ip_interface(address) for address in addresses]
        self.dps, self.encap_types, self.ovsdb, self.dpid = dps, encap_types, ovsdb, dpid
        self.mac = random_mac()
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self._neighbours: dict[str, str] = {}
        #: Seconds that the last `start` took.
        self.start_seconds = 0.0
        super().__init__(name, footprint)

    @property
    def environment(self) -> dict[str, str]:
        place = str(self.directory)
        found_first = {"PATH": f"{DOVE_DSWITCH.parent}:{os.environ['PATH']}"}
        return {**super().environment, **found_first, "OVS_RUNDIR": place, "OVS_DBDIR": place, "OVS_LOGDIR": place}

    def prepare(self) -> None:
        super().prepare()
        namespace.deaf_stack()

    # ---- life ------------------------------------------------------------------------------------

    def start(self, _controllers: Sequence[Any] = ()) -> None:
        """Bring Open vSwitch up, and the bridges where they are not there yet. (The argument is
        Mininet's.)"""
        began = time.monotonic()
        self.start_database()
        self.start_switch()
        self._make_physical_bridge()
        self.init_dswitch()
        self.start_seconds = time.monotonic() - began

    def start_database(self) -> None:
        database = self.directory / "conf.db"
        if not database.exists():
            self.run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self.run(
            *("ovsdb-server", str(database), *_DAEMON, f"--remote=punix:{self.directory}/db.sock"),
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
        )
        self.vsctl("--no-wait", "init")

    def start_switch(self) -> None:
        """ovs-vswitchd, which builds what the database says."""
        self.run("ovs-vswitchd", *_DAEMON, "--disable-system")
        self._fill_neighbour_table()

    def stop_switch(self, how: signal.Signals = signal.SIGTERM) -> None:
        self._end("ovs-vswitchd", how)

    def stop_database(self, how: signal.Signals = signal.SIGTERM) -> None:
        self._end("ovsdb-server", how)

    def stop(self, deleteIntfs: bool = False) -> None:  # the argument is Mininet's
        """Stop Open vSwitch; `start` brings it back. The namespace, the NIC and the endpoints stay."""
        self.stop_switch()
        self.stop_database()

    def _end(self, daemon: str, how: signal.Signals) -> None:
        """End a daemon, if it runs; whatever the signal, its pid file goes with it."""
        file = self.directory / f"{daemon}.pid"
        if file.exists():
            process = int(file.read_text())
            os.kill(process, how)
            wait_until(lambda: not start_time_of(process), f"end of {daemon} in {self.name}")
            file.unlink(missing_ok=True)

    def _make_physical_bridge(self) -> None:
        """The underlay as this server has it: its NIC in a bridge, which holds the address."""
        bridge = self.PHYSICAL
        self.vsctl(
            *("--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"),
            *(f'other-config:hwaddr="{self.mac}"', "--", "--may-exist", "add-port", bridge, self.NIC),
        )
        with self.inside():
            if any(address.version == 6 for address in self.addresses):
                namespace.allow_ipv6(bridge)
            ip(
                *(f"addr replace {a} dev {bridge}{' nodad' if a.version == 6 else ''}" for a in self.addresses),
                f"link set {bridge} up",
            )

    def init_dswitch(self, *options: str) -> None:
        """`dove-dswitch init` as this server is described; `options` go after, and win."""
        self.dswitch(
            *("init", "--dps", ",".join(self.dps), "--datapath-type", "netdev", "--ovsdb", self.ovsdb),
            *("--encap-ip", ",".join(str(address.ip) for address in self.addresses)),
            *(
                "--encap-type",
                ",".join(self.encap_types),
                *(("--dpid", self.dpid) if self.dpid else ()),
                *options,
            ),
        )

    def know(self, others: Iterable[Hypervisor]) -> None:
        """Fill the tunnels' neighbour table with these servers (see above), now and whenever it starts empty."""
        versions = {address.version for address in self.addresses}
        for other in others:
            for address in other.addresses:
                if other is not self and address.version in versions:
                    self._neighbours[str(address.ip)] = other.mac
        self._fill_neighbour_table()

    def _fill_neighbour_table(self) -> None:
        self.appctl("tnl/neigh/aging", str(NEIGHBOUR_AGING))
        for address, mac in self._neighbours.items():
            self.appctl("tnl/neigh/set", self.PHYSICAL, address, mac)

    # ---- endpoints -------------------------------------------------------------------------------

    def attach_endpoint(
        self,
        name: str,
        network: str,
        mac: str,
        ips: Sequence[str],
        gateway: str | Iterable[str] | None = None,
        *,
        mtu: int = ENDPOINT_MTU,
        node_name: str | None = None,
    ) -> Endpoint:
        """A new virtual machine on this server, bound to endpoint `network/name`. `ips` may carry a prefix
        length; `gateway` is a default gateway, or one for each IP version. `node_name` is what Mininet calls
        it."""
        node = Endpoint(node_name or name, self.footprint, network, name, mac)
        port = self._port_name(network, name)
        connect(node, Endpoint.NIC, mac, self, port)
        with self.inside():
            ip(f"link set {port} mtu {mtu} up")
        gateways = [gateway] if isinstance(gateway, str) else list(gateway or ())
        node.configure(ips, gateways, mtu)
        self.dswitch("attach", port, "--endpoint", f"{network}/{name}", "--mac", mac)
        self.endpoints[network, name] = node
        return node

    def detach_endpoint(self, node: Endpoint) -> None:
        """The machine is switched off: its port, its device and its namespace go."""
        self.dswitch("detach", node.port)
        self.intf(node.port).delete()
        node.terminate()
        del self.endpoints[node.network, node.endpoint]

    def _port_name(self, network: str, name: str) -> str:
        """NETWORK-NAME where that fits into a device name and is free, else a number, as libvirt's vnetN."""
        readable = f"{network}-{name}"
        taken = self.nameToIntf
        if len(readable) <= DEVICE_NAME_LENGTH and readable not in taken:
            return readable
        return next(f"vnet{number}" for number in range(len(taken) + 1) if f"vnet{number}" not in taken)

    # ---- Open vSwitch's tools --------------------------------------------------------------------

    def dswitch(self, *arguments: str) -> str:
        return self.run(str(DOVE_DSWITCH), *arguments)

    def vsctl(self, *arguments: str) -> str:
        return self.run("ovs-vsctl", "--timeout=15", *arguments)

    def appctl(self, *arguments: str) -> str:
        """ovs-appctl to ovs-vswitchd."""
        return self.run("ovs-appctl", "--timeout=15", *arguments)

    def ofctl(self, command: str, *arguments: str) -> str:
        """ovs-ofctl on the dSwitch, in OpenFlow 1.3: ofctl("dump-flows", "table=0")."""
        return self.run("ovs-ofctl", "-O", "OpenFlow13", "--timeout=15", command, self.DSWITCH, *arguments)

    def dpctl(self, *arguments: str) -> str:
        """What `dpctl` of Mininet's command line calls on each switch."""
        return self.ofctl(*arguments)

    def ofport(self, device: str) -> int:
        """The OpenFlow port number of a device on the dSwitch."""
        return int(self.vsctl("get", "Interface", device, "ofport"))

    @property
    def vswitchd_id(self) -> int:
        """The process id of ovs-vswitchd, which runs."""
        return int((self.directory / "ovs-vswitchd.pid").read_text())

    @property
    def running(self) -> bool:
        return (self.directory / "ovs-vswitchd.pid").exists() and bool(start_time_of(self.vswitchd_id))

    @property
    def log(self) -> str:
        """What ovs-vswitchd has logged."""
        return (self.directory / "ovs-vswitchd.log").read_text()


_DAEMON = ("--pidfile", "--detach", "--no-chdir", "--log-file")


def on_link(address: str) -> str:
    """The address with its prefix length, which is ON_LINK's when it has none."""
    return address if "/" in address else f"{address}/{ON_LINK[ipaddress.ip_address(address).version]}"
