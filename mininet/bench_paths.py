"""The two paths that `bench_dataplane` compares, each between two servers and through up to four appliances.

One is the DPS's: dSwitches, a policy, a chain. The other is the same by hand: bridges without a controller whose few flows
join the endpoints, the appliances and the tunnel, leg by leg. Both have endpoints, appliances and underlay of one kind, and
both hand packets to an appliance under a VLAN tag of their direction.

Of the appliances, the first is with the far endpoint, the second with the near one, and so on: from one to the next a
packet crosses the underlay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from emulation import Appliance, DpsNode, Emulation, Endpoint, Hypervisor, wait_until

from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK

NETWORK = "bench"
MACS, ADDRESSES = ("02:00:00:00:00:01", "02:00:00:00:00:02"), ("192.168.7.1", "192.168.7.2")
#: More addresses of the far endpoint, to which the near one routes by way of it.
BEYOND = "10.1.0.0/16"
DESTINATIONS = [f"10.1.{number // 250}.{number % 250 + 1}" for number in range(500)]
MOST_APPLIANCES = 4
#: The benchmark's one endpoint asks more than it would be let.
DPS_OPTIONS = ("--dove-endpoint-rate", "100000", "--dove-endpoint-burst", "100000", "--dove-network-rate", "0")


class Route:
    """Two servers with an endpoint each, and appliances on both of them."""

    name: str

    def __init__(self, net: Emulation, servers: Sequence[Hypervisor]) -> None:
        self.servers = servers
        self.near, self.far = (
            net.add_endpoint(server, endpoint, NETWORK, mac, [address])
            for server, endpoint, mac, address in zip(servers, ("near", "far"), MACS, ADDRESSES, strict=True)
        )
        self.near.run("ip", "route", "add", BEYOND, "via", ADDRESSES[1])
        self.far.run("ip", "route", "add", "local", BEYOND, "dev", "lo")
        self.appliances = [
            net.add_appliance(servers[number % 2], f"{servers[0].name}_{number}")
            for number in range(1, 1 + MOST_APPLIANCES)
        ]

    def lead(self, appliances: int) -> None:
        """Lead all packets through so many appliances, there in order and back in reverse."""
        self._lead(appliances)
        wait_until(self._speaks, f"a ping through {appliances} appliances of the {self.name}")
        for number, appliance in enumerate(self.appliances):
            if bool(appliance.passed()) != (number < appliances):
                raise RuntimeError(f"of {appliances} appliances of the {self.name}, {appliance.name} is not one")

    def _lead(self, appliances: int) -> None:
        raise NotImplementedError

    def _speaks(self) -> bool:
        for appliance in self.appliances:
            appliance.load("")  # and forgets what it has counted
        return self.near.ping(ADDRESSES[1], wait=0.5).received == 1

    def forget(self) -> None:
        """As if the two had never spoken: no neighbour known, no flow cached, neither the DPS's nor the datapath's."""
        for endpoint, server in zip((self.near, self.far), self.servers, strict=True):
            endpoint.run("ip", "neigh", "flush", "all")
            server.ofctl("del-flows", f"cookie={CACHED_COOKIE:#x}/{CACHED_MASK:#x}")
            server.appctl("revalidator/purge")


# ---- the DPS's -----------------------------------------------------------------------------------


class DoveRoute(Route):
    """A policy between the endpoints' domains, with the chain in it."""

    name = "dSwitches"

    def __init__(self, net: Emulation, dps: DpsNode, servers: Sequence[Hypervisor]) -> None:
        super().__init__(net, servers)
        self._dps = dps
        for appliance in self.appliances:
            dpid = appliance.server.vsctl("get", "Bridge", Hypervisor.DSWITCH, "datapath_id").strip().strip('"')
            instances = [{"name": "one", "dswitch": dpid, **appliance.server_ports}]
            self._put(f"/v1/appliances/{appliance.name}", {"kind": "wire", "instances": instances})

    def _lead(self, appliances: int) -> None:
        self._put(f"/v1/networks/{NETWORK}/blueprint", self._blueprint(appliances))

    def _blueprint(self, appliances: int) -> dict[str, Any]:
        names = [appliance.name for appliance in self.appliances]
        chain = names[:appliances] or ["accept"]
        addresses = ([ADDRESSES[0]], [ADDRESSES[1], *DESTINATIONS])
        return {
            "network": NETWORK,
            "service": "l3",  # every destination is looked up by its IP address
            "domains": ["near", "far"],
            "actions": [{"name": name, "kind": "wire", "appliance": name} for name in names],
            "policies": [{"from": "near", "to": "far", "actions": chain, "symmetric": True}],
            "endpoints": [
                {"name": name, "domain": name, "macs": [mac], "ips": ips}
                for name, mac, ips in zip(("near", "far"), MACS, addresses, strict=True)
            ],
        }

    def _put(self, path: str, document: dict[str, Any]) -> None:
        status, answer = self._dps.request("PUT", path, document)
        if status not in (200, 201):
            raise RuntimeError(f"PUT {path}: {status}: {answer}")


# ---- by hand -------------------------------------------------------------------------------------


class WireServer(Hypervisor):
    """A server whose bridge takes part in nothing; it has a tunnel to its one peer."""

    TUNNEL = "wire"

    def __init__(self, *args: Any, peer: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.peer = peer

    def init_dswitch(self, *_options: str) -> None:
        """No dSwitch, but a bridge under its name: `attach` plugs endpoints in there."""
        options = [f"type={self.encap_types[0]}", f"options:remote_ip={self.peer}", "options:key=flow"]
        self.vsctl(
            *("--may-exist", "add-br", self.DSWITCH, "--", "set", "Bridge", self.DSWITCH, "datapath_type=netdev"),
            *("fail_mode=secure", "--", "--may-exist", "add-port", self.DSWITCH, self.TUNNEL),
            *("--", "set", "Interface", self.TUNNEL, *options),
        )


class Stop(NamedTuple):
    """Where packets go in and come out again at a server: an endpoint, by one port, or an appliance."""

    server: Hypervisor
    ingress: str
    egress: str
    tagged: bool

    @classmethod
    def endpoint(cls, server: Hypervisor, node: Endpoint) -> Stop:
        return cls(server, node.port, node.port, tagged=False)

    @classmethod
    def appliance(cls, node: Appliance) -> Stop:
        return cls(node.server, **node.server_ports, tagged=True)


class HandMadeRoute(Route):
    """The same by static flows."""

    name = "hand-made path"

    def _lead(self, appliances: int) -> None:
        near, far = map(Stop.endpoint, self.servers, (self.near, self.far))
        stops = [near, *map(Stop.appliance, self.appliances[:appliances]), far]
        for server in self.servers:
            server.ofctl("del-flows")
        for server, flow in (*_legs(stops, 1), *_legs(stops[::-1], 101)):
            server.ofctl("add-flow", flow)


def _legs(stops: Sequence[Stop], first: int) -> Iterator[tuple[Hypervisor, str]]:
    """The flows of one direction. Each leg has a number, which is its tunnel id and, into an appliance, its VLAN."""
    for leg, (here, there) in enumerate(pairwise(stops), first):
        untagged = f",dl_vlan={leg - 1},actions=pop_vlan," if here.tagged else ",actions="
        leaving = f"in_port={here.server.ofport(here.egress)}{untagged}"
        tag = f"push_vlan:0x8100,set_field:{0x1000 | leg}->vlan_vid," if there.tagged else ""
        arriving = f"{tag}output:{there.server.ofport(there.ingress)}"
        if here.server is there.server:
            yield here.server, leaving + arriving
        else:
            into, out = (stop.server.ofport(WireServer.TUNNEL) for stop in (here, there))
            yield here.server, f"{leaving}set_field:{leg}->tun_id,output:{into}"
            yield there.server, f"in_port={out},tun_id={leg},actions={arriving}"


def build(net: Emulation, tunnel: str) -> tuple[Route, Route]:
    """Both paths in an empty `net`, which lead nowhere yet."""
    dps = net.add_dps(options=DPS_OPTIONS)
    dswitches = [net.add_server(f"dove{n}", f"10.0.0.{n}/24", encap_types=(tunnel,)) for n in (1, 2)]
    wires = [
        net.add_server(f"wire{n}", f"10.0.1.{n}/24", kind=WireServer, encap_types=(tunnel,), peer=f"10.0.1.{3 - n}")
        for n in (1, 2)
    ]
    net.start()
    return DoveRoute(net, dps, dswitches), HandMadeRoute(net, wires)
