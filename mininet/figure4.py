"""The deployment of the DOVE report's figure 4: three servers, the edge, and the web application of its figure 1.

    python mininet/figure4.py

builds it with its appliances, applies the blueprint of figure4.yaml and gives Mininet's command line, where `ws1 ping
lb` passes and `ws1 ping ws2` does not. The demo and the tests build the same with `build`.

The report's text and its table 3 disagree about who runs where (WS1 stands in the table only, WS2 twice in the text).
Here the table decides, and the text where the table is silent: LB and WS2 on 10.0.0.2, WS1 and DB1 on 10.0.0.3, WS3 and
DB2 on 10.0.0.4. The external client sits at the edge dSwitch, 10.0.0.1.

They disagree about the firewall as well: table 2 has it before the load balancer, the text of section 3 behind. Here it is
at both. Where the appliances are, the report does not say; here they are spread so that chains cross the servers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import yaml
from appliance import COMPRESSION, FIREWALL, SSL
from emulation import Appliance, DpsNode, Emulation, Endpoint, Hypervisor, ended_by_signals, wait_until
from mininet.cli import CLI
from mininet.log import setLogLevel

BLUEPRINT = Path(__file__).with_suffix(".yaml")
#: The tenant's document is the blueprint, the provider's says what the appliances are.
PROVIDED = BLUEPRINT.with_stem("figure4-appliances")

#: Each server with its underlay address and the endpoints that it hosts.
DEPLOYMENT: Mapping[str, tuple[str, Sequence[str]]] = {
    "edge": ("10.0.0.1/24", ["ext"]),
    "server1": ("10.0.0.2/24", ["lb", "ws2"]),
    "server2": ("10.0.0.3/24", ["ws1", "db1"]),
    "server3": ("10.0.0.4/24", ["ws3", "db2"]),
}


#: What an appliance does, by its kind.
RULES: Mapping[str, str] = {"firewall": FIREWALL, "ssl-acceleration": SSL, "compression": COMPRESSION}


@dataclass(frozen=True)
class Figure4:
    """The data center of figure 4, started, with the blueprint that it is to obey."""

    net: Emulation
    dps: DpsNode
    servers: Mapping[str, Hypervisor]
    endpoints: Mapping[str, Endpoint]
    appliances: Mapping[str, Appliance]
    blueprint: Mapping[str, Any]

    def register(self) -> None:
        """Tell the DPS of the appliances, which is the provider's part. RuntimeError says what it objects to."""
        for document in provided():
            self._put(f"/v1/appliances/{document.pop('appliance')}", document)

    def segments(self, appliance: str) -> list[dict[str, Any]]:
        """What the DPS shows of an appliance's VLANs."""
        status, answer = self.dps.request("GET", f"/v1/appliances/{appliance}")
        if status != 200:
            raise RuntimeError(f"GET /v1/appliances/{appliance}: {status}: {answer}")
        return list(answer["segments"])

    def apply(self) -> None:
        """Give the DPS the blueprint, which is the tenant's. RuntimeError says what it objects to."""
        self._put(f"/v1/networks/{self.blueprint['network']}/blueprint", self.blueprint)

    def _put(self, path: str, document: Mapping[str, Any]) -> None:
        status, answer = self.dps.request("PUT", path, document)
        if status not in (200, 201, 204):
            raise RuntimeError(f"PUT {path}: {status}: {answer}")

    def wait_until_bound(self, deadline: float = 15.0) -> float:
        """Wait until every dSwitch lets packets in from each of its endpoints, tunnels and appliances, so that none is
        lost because it came early; return the seconds that took. DeadlineError names the dSwitch that does not."""
        began = time.monotonic()
        for name, server in self.servers.items():
            appliances = sum(each.server is server for each in self.appliances.values())
            ways_in = len(server.endpoints) + len(server.encap_types) + appliances
            wait_until(
                partial(_admits, server, ways_in),
                f"{ways_in} ports of {name} admitted by the DPS",
                deadline,
                interval=0.05,
            )
        return time.monotonic() - began

    def may_reach(self, source: str, destination: str) -> bool:
        """What the blueprint says of packets from one endpoint to another."""
        return "deny" not in self._actions(source, destination)

    def way(self, source: str, destination: str) -> list[str]:
        """The appliances that the blueprint has packets pass from one endpoint to another, in order."""
        appliance = {action["name"]: action["appliance"] for action in self.blueprint["actions"]}
        return [appliance[action] for action in self._actions(source, destination) if action in appliance]

    def may_ping(self, source: str, destination: str) -> bool:
        """Whether a ping is answered: the reply needs a policy of its own (F1)."""
        return self.may_reach(source, destination) and self.may_reach(destination, source)

    def _actions(self, source: str, destination: str) -> Sequence[str]:
        """Those of the policy between two endpoints; a symmetric one is its own reverse with the actions in reverse."""
        domain = {endpoint["name"]: endpoint["domain"] for endpoint in self.blueprint["endpoints"]}
        pair = domain[source], domain[destination]
        for policy in self.blueprint["policies"]:
            if (policy["from"], policy["to"]) == pair:
                return list(policy["actions"])
            if policy.get("symmetric") and (policy["to"], policy["from"]) == pair:
                return list(reversed(policy["actions"]))
        return [self.blueprint["default_policy"]]

    def ip(self, endpoint: str, version: int = 4) -> str:
        """The endpoint's address in the blueprint."""
        planned = next(each for each in self.blueprint["endpoints"] if each["name"] == endpoint)
        return str(next(ip for ip in planned["ips"] if (":" in ip) == (version == 6)))


def build(net: Emulation, encap_types: Mapping[str, Sequence[str]] | None = None, **dps_options: Any) -> Figure4:
    """Build the figure in an empty `net` and start it; the blueprint is not applied yet. `encap_types` are the tunnels
    of single servers where these are not Geneve and VXLAN; `dps_options` are DpsNode's."""
    blueprint = yaml.safe_load(BLUEPRINT.read_text())
    dps = net.add_dps(**dps_options)
    servers = {
        name: net.add_server(name, address, dpid=_dpid(address), **_encap(encap_types, name))
        for name, (address, _) in DEPLOYMENT.items()
    }
    net.start()
    planned = {endpoint["name"]: endpoint for endpoint in blueprint["endpoints"]}
    endpoints = {
        name: net.add_endpoint(
            servers[server], name, blueprint["network"], planned[name]["macs"][0], planned[name]["ips"]
        )
        for server, (_, hosted) in DEPLOYMENT.items()
        for name in hosted
    }
    appliances = {document["appliance"]: _appliance(net, servers.values(), document) for document in provided()}
    return Figure4(net, dps, servers, endpoints, appliances, blueprint)


def provided() -> list[dict[str, Any]]:
    """The provider's documents."""
    return list(yaml.safe_load_all(PROVIDED.read_text()))


def _appliance(net: Emulation, servers: Iterable[Hypervisor], document: Mapping[str, Any]) -> Appliance:
    """The one that a document speaks of, at the ports that it says."""
    (instance,) = document["instances"]
    server = next(each for each in servers if each.dpid and int(each.dpid, 16) == int(instance["dswitch"], 16))
    return net.add_appliance(server, instance["ingress"].removesuffix(f"-{Appliance.IN}"), RULES[document["kind"]])


def _admits(server: Hypervisor, ports: int) -> bool:
    """Whether table CLASSIFY knows that many ports."""
    return server.ofctl("dump-flows", "table=0").count("in_port=") == ports


def _dpid(address: str) -> str:
    """The last number of the underlay address: 10.0.0.2 is dSwitch 0000000000000002, and easy to know again."""
    return f"{ip_interface(address).packed[-1]:x}"


def _encap(encap_types: Mapping[str, Sequence[str]] | None, server: str) -> dict[str, Any]:
    return {"encap_types": encap_types[server]} if encap_types and server in encap_types else {}


def main() -> int:
    setLogLevel("output")
    with ended_by_signals(), Emulation() as net:
        figure = build(net)
        figure.register()
        figure.apply()
        figure.wait_until_bound()
        for name, server in figure.servers.items():
            hosted = [f"{endpoint.endpoint} {figure.ip(endpoint.endpoint)}" for endpoint in server.endpoints.values()]
            hosted += [each.name for each in figure.appliances.values() if each.server is server]
            print(f"{name:<8} {server.addresses[0].ip!s:<10} {', '.join(hosted)}")
        print("ws1 ping lb · pingall · server1 dove-dswitch dump · dps dove status · exit")
        CLI(net)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"figure4: {error}")
