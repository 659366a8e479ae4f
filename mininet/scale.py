"""How a dSwitch bears a large network: what it holds, and how soon a new endpoint is reached.

    python mininet/scale.py --servers 2 --endpoints 1000

declares one network of that many endpoints and binds them all, spread over the servers. Most are bound ports without a
machine behind them, which is all that a dSwitch and the DPS see of a silent one; each server has one machine that
talks, attached last, when all others are in place. The table that is printed is the one by which such systems are
compared: a new port's first ping, the flows on each server, and memory.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from emulation import DpsNode, Emulation, Endpoint, Hypervisor, ended_by_signals, wait_until

NETWORK = "scale"
FIRST_ADDRESS, PREFIX_LENGTH = IPv4Address("10.64.0.1"), 10
#: Ports in one OVSDB transaction.
BATCH = 250
#: Their addresses begin at 10.0.0.2, and the DPS sits at 10.0.0.100.
SERVERS_AT_MOST = 98


@dataclass(frozen=True)
class Result:
    """One line of the table. Seconds, milliseconds or MiB, as the names say."""

    endpoints: int
    applied_s: float
    bound_s: float
    first_ping_after_s: float
    cached_ms: float
    flows: Sequence[int]
    dps_mib: float
    vswitchd_mib: Sequence[float]

    def __str__(self) -> str:
        cells = {
            "endpoints": str(self.endpoints),
            "blueprint applied": f"{self.applied_s:.1f} s",
            "ports bound": f"{self.bound_s:.1f} s",
            "a new endpoint's first ping after": f"{self.first_ping_after_s:.2f} s",
            "cached round trip": f"{self.cached_ms:.2f} ms",
            "flows on each server": ", ".join(map(str, self.flows)),
            "DPS": f"{self.dps_mib:.0f} MiB",
            "ovs-vswitchd": ", ".join(f"{mib:.0f}" for mib in self.vswitchd_mib) + " MiB",
        }
        width = max(map(len, cells))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in cells.items())


def measure(net: Emulation, servers: int, endpoints: int, **dps_options: Any) -> Result:
    """Build it in an empty `net` and measure. `dps_options` are DpsNode's."""
    dps = net.add_dps(**dps_options)
    for number in range(servers):
        net.add_server(f"s{number + 1}", f"10.0.0.{number + 2}/24")
    net.start()
    began = time.monotonic()
    apply(dps, endpoints)
    applied = time.monotonic()
    bind_silent_ports(net.switches, endpoints)
    bound = time.monotonic()
    near, far, *_ = [attach(net, server, number) for number, server in enumerate(net.switches)]
    address = str(_address(1))
    wait_until(lambda: near.ping(address, wait=0.1).received == 1, f"a ping from {near.name} to {far.name}", 120)
    answered = time.monotonic()
    return Result(
        endpoints,
        applied - began,
        bound - applied,
        answered - bound,
        near.ping(address, count=50).cached_rtt or float("nan"),
        [flow_count(server) for server in net.switches],
        resident_mib(dps.process_id),
        [resident_mib(server.vswitchd_id) for server in net.switches],
    )


def blueprint(endpoints: int) -> dict[str, Any]:
    """One domain in which everybody may talk to everybody."""
    return {
        "network": NETWORK,
        "default_policy": "deny",
        "domains": ["all"],
        "policies": [{"from": "all", "to": "all", "actions": ["accept"]}],
        "endpoints": [
            {"name": f"e{number}", "domain": "all", "macs": [_mac(number)], "ips": [str(_address(number))]}
            for number in range(endpoints)
        ],
    }


def apply(dps: DpsNode, endpoints: int) -> None:
    status, answer = dps.request("PUT", f"/v1/networks/{NETWORK}/blueprint", blueprint(endpoints), timeout=120)
    if status not in (200, 201, 204):
        raise RuntimeError(f"the DPS refuses the blueprint: {status}: {answer}")


def bind_silent_ports(servers: Sequence[Hypervisor], endpoints: int) -> None:
    """Ports with the bindings of all endpoints but those that `attach` gives a machine (one for each server)."""
    for place, server in enumerate(servers):
        silent = range(len(servers) + place, endpoints, len(servers))
        for batch in _batches(silent):
            server.vsctl(*(word for number in batch for word in _bound_port(server.DSWITCH, number)))


def _bound_port(bridge: str, number: int) -> tuple[str, ...]:
    port, binding = f"p{number}", f"external_ids:iface-id={NETWORK}/e{number}"
    return ("--", "add-port", bridge, port, "--", "set", "Interface", port, "type=internal", binding)


def attach(net: Emulation, server: Hypervisor, number: int) -> Endpoint:
    return net.add_endpoint(server, f"e{number}", NETWORK, _mac(number), [f"{_address(number)}/{PREFIX_LENGTH}"])


def flow_count(server: Hypervisor) -> int:
    return int(server.ofctl("dump-aggregate").rpartition("flow_count=")[2])


def resident_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _batches(numbers: range) -> Iterator[range]:
    return (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))


def _mac(number: int) -> str:
    return ":".join(f"{octet:02x}" for octet in (0x02 << 40 | number).to_bytes(6, "big"))


def _address(number: int) -> IPv4Address:
    return FIRST_ADDRESS + number


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--servers", type=int, default=2, help="emulated servers, from 2 on (2)")
    parser.add_argument("--endpoints", type=int, default=1000, help="endpoints in the network (1000)")
    args = parser.parse_args()
    if not 2 <= args.servers <= SERVERS_AT_MOST:
        parser.error(f"--servers {args.servers}: between 2 and {SERVERS_AT_MOST}")
    if args.endpoints < args.servers:
        parser.error(f"--endpoints {args.endpoints}: each of the {args.servers} servers has one")
    with ended_by_signals(), Emulation() as net:
        print(measure(net, args.servers, args.endpoints))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"scale: {error}")
