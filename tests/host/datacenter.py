"""A data center under the real DPS, as the tests of this tier talk about it.

`DataCenter` is an emulation with a DPS in it: a test applies a blueprint, attaches the endpoints that the blueprint
declares, sends packets between them, and reads in REST and in the dSwitches' flows what the DPS makes of it. A test
module has one data center for all its tests, as its fixture `net`; each test uses networks of its own.
"""

from __future__ import annotations

import http.client
import re
import signal
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import Any

from emulation import Appliance, DpsNode, Emulation, Endpoint, Hypervisor, PingResult, wait_until

from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.table import Table

Document = dict[str, Any]

ETH_P_ALL = 3


class RefusedError(RuntimeError):
    """The DPS answered a request with another status than success."""

    def __init__(self, method: str, path: str, status: int, answer: Any) -> None:
        super().__init__(f"{method} {path}: {status}: {answer}")
        self.status, self.answer = status, answer


@dataclass(frozen=True)
class SeenFlow:
    """A flow as ovs-ofctl shows it."""

    cookie: Cookie
    packets: int
    hard_timeout: int
    text: str


class DataCenter(Emulation):
    """An emulation whose first DPS is `dps`."""

    def __init__(self, **options: Any) -> None:
        """`options` are those of Emulation."""
        super().__init__(**options)
        self._declared: dict[tuple[str, str], Document] = {}

    @property
    def dps(self) -> DpsNode:
        return self.controllers[0]

    def start(self) -> None:
        """Start what does not run, and wait until every dSwitch is live."""
        super().start()
        for server in self.switches:
            self.wait_live(server)

    # ---- REST ------------------------------------------------------------------------------------

    def read(self, path: str) -> Any:
        return self._call("GET", path)

    def put(self, path: str, document: Mapping[str, Any]) -> Any:
        return self._call("PUT", path, document)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def apply(self, blueprint: Mapping[str, Any]) -> None:
        """Make a network so; it is in force when this returns."""
        network = blueprint["network"]
        self._declared |= {(network, endpoint["name"]): endpoint for endpoint in blueprint.get("endpoints", ())}
        self.put(f"/v1/networks/{network}/blueprint", blueprint)

    def policy(self, network: str, source: str, destination: str, **fields: Any) -> Document:
        """Put a policy; what the DPS then shows of it."""
        document = {"from": source, "to": destination, **fields}
        answer: Document = self.put(f"/v1/networks/{network}/policies/{source}%3E{destination}", document)
        return answer

    def endpoint(self, node: Endpoint) -> Document:
        """What the DPS shows of an endpoint."""
        shown: Document = self.read(f"/v1/networks/{node.network}/endpoints/{node.endpoint}")
        return shown

    def register(self, name: str, *appliances: Appliance, **fields: Any) -> Document:
        """Put an appliance whose instances these are, in the order given called one, two, ...; what the DPS then shows
        of it."""
        names = ("one", "two", "three")[: len(appliances)]
        instances = [{"name": each, **instance(at)} for each, at in zip(names, appliances, strict=True)]
        answer: Document = self.put(f"/v1/appliances/{name}", {"kind": name, "instances": instances, **fields})
        return answer

    def trace(self, network: str, source: str, destination: str) -> Document:
        shown: Document = self.read(f"/v1/trace?network={network}&source={source}&destination={destination}")
        return shown

    def _call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        status, answer = self.dps.request(method, path, document)
        if status not in (200, 201, 204):
            raise RefusedError(method, path, status, answer)
        return answer

    # ---- dSwitches -------------------------------------------------------------------------------

    def dswitch(self, server: Hypervisor) -> Document:
        """What the DPS shows of a server's dSwitch."""
        shown: Document = self.read(f"/v1/dswitches/{dpid(server)}")
        return shown

    def audit(self, server: Hypervisor) -> Document:
        """How a server's dSwitch differs from what it should hold."""
        found: Document = self._call("POST", f"/v1/dswitches/{dpid(server)}/audit")
        return found

    def connections(self, server: Hypervisor) -> Document:
        """How it stands with a dSwitch's connections; empty while the DPS does not know it or does not answer."""
        try:
            shown: Document = self.dswitch(server)["connections"]
        except (RefusedError, OSError, http.client.HTTPException):
            return {}
        return shown

    def wait_live(self, server: Hypervisor, deadline: float = 20) -> float:
        """Until the dSwitch holds what it should and its host is followed, where it lets itself be."""
        ovsdb = ("connected",) if server.ovsdb != "none" else ("lost", "connecting", "unused")

        def live() -> bool:
            seen = self.connections(server)
            return seen.get("openflow") == "live" and seen.get("ovsdb") in ovsdb

        return wait_until(live, f"{server.name} live at the DPS", deadline)

    # ---- endpoints -------------------------------------------------------------------------------

    def attach(self, server: Hypervisor, name: str, **options: Any) -> Endpoint:
        """Switch on the machine of endpoint NETWORK/NAME as its blueprint declares it, and wait until the DPS knows
        where it is. `options` are those of Emulation.add_endpoint, or `mac` and `ips` where the machine has others."""
        network, _, endpoint = name.partition("/")
        declared = self._declared[network, endpoint]
        mac = options.pop("mac", None) or declared["macs"][0]
        ips = options.pop("ips", None) or declared["ips"]
        node = self.add_endpoint(server, endpoint, network, mac, ips, **options)
        self.wait_located(node, server)
        return node

    def wait_located(self, node: Endpoint, server: Hypervisor) -> float:
        """Until the DPS has the endpoint at its port of `server`, and that port is one that the dSwitch has."""
        there = {"dswitch": dpid(server), "port": node.port}

        def located() -> bool:
            location = self.endpoint(node)["location"] or {}
            return location.items() >= there.items() and node.port in self.dswitch(server)["ports"]

        return wait_until(located, f"{node.network}/{node.endpoint} located at {node.port} of {server.name}")


@cache
def dpid(server: Hypervisor) -> str:
    """The datapath id of a server's dSwitch, as REST writes it; also while its database is away."""
    return server.vsctl("get", "Bridge", Hypervisor.DSWITCH, "datapath_id").strip().strip('"')


def instance(appliance: Appliance) -> Document:
    """Where an appliance is, as an instance of one is registered."""
    return {"dswitch": dpid(appliance.server), **appliance.server_ports}


def flows(server: Hypervisor, table: Table, kind: Kind) -> list[SeenFlow]:
    """The flows of ours of one kind in one table of a server's dSwitch."""
    seen = map(_flow, server.ofctl("dump-flows", f"table={table.number}").splitlines())
    return [flow for flow in seen if flow is not None and flow.cookie.kind is kind]


def _flow(line: str) -> SeenFlow | None:
    cookie = re.search(r"cookie=(0x[0-9a-f]+)", line)
    parsed = Cookie.parse(int(cookie[1], 16)) if cookie else None
    if parsed is None:
        return None
    return SeenFlow(parsed, _number("n_packets", line), _number("hard_timeout", line), line.strip())


def _number(name: str, line: str) -> int:
    found = re.search(rf"{name}=(\d+)", line)
    return int(found[1]) if found else 0


# ---- blueprints ----------------------------------------------------------------------------------


def mac(number: int) -> str:
    """The MAC address of machine `number`; networks may use the same ones."""
    return f"02:00:00:00:00:{number:02x}"


def machine(name: str, number: int, domain: str = "all", subnet: int = 7, **fields: Any) -> Document:
    """An endpoint of a blueprint: machine `number` of subnet 192.168.`subnet`.0/24 and its IPv6 twin."""
    addresses = {"macs": [mac(number)], "ips": [ipv4(number, subnet), ipv6(number, subnet)]}
    return {"name": name, "domain": domain, **addresses, **fields}


def ipv4(number: int, subnet: int = 7) -> str:
    return f"192.168.{subnet}.{number}"


def ipv6(number: int, subnet: int = 7) -> str:
    return f"2001:db8:{subnet}::{number:x}"


# ---- packets -------------------------------------------------------------------------------------


def reaches(node: Endpoint, address: str, wait: float = 0.2) -> bool:
    """Whether one ping is answered within `wait` seconds."""
    return node.ping(address, wait=wait).received == 1


class Pinging:
    """A machine that pings an address, a hundred times a second, for the length of a `with` block; then `result`.

    ping does not wait for the answer to its last request when it is told to stop: where that one is not there yet, it
    counts as never sent.
    """

    def __init__(self, node: Endpoint, address: str) -> None:
        self._node, self._address = node, address

    def __enter__(self) -> Pinging:
        self._output = tempfile.TemporaryFile()
        self._ping = self._node.popen(["ping", "-n", "-i", "0.01", self._address], stdout=self._output)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._output:
            self._ping.send_signal(signal.SIGINT)
            self._ping.communicate(timeout=10)
            self._output.seek(0)
            result = PingResult.parse(self._output.read().decode())
        under_way = result.transmitted not in result.rtts
        self.result = replace(result, transmitted=result.transmitted - under_way)


def ping_with_pattern(node: Endpoint, address: str, count: int, pattern: int, interval: float) -> PingResult:
    """`count` pings whose payload is the byte `pattern` over and over, after the 16 bytes of ping's time stamp."""
    options = ["-n", "-c", str(count), "-i", str(interval), "-W", "2", "-p", f"{pattern:02x}"]
    return PingResult.parse(node.run("ping", *options, address, check=False, timeout=60))


def send(node: Endpoint, *frames: bytes) -> None:
    """Send whole Ethernet frames, whatever the machine's own addresses are."""
    with node.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with sender:
        sender.bind((Endpoint.NIC, 0))
        for frame in frames:
            sender.send(frame)
