"""``python -m dove_ryu.bench.ovn``: OVN on the same two emulated servers, measured as dove is (:mod:`emulated`).

One logical switch with as many ports.  Those that are machines of the two servers are bound there; all others are bound
to a third chassis, of which nothing but its tunnel address exists.  OVN's programs are taken from Debian's packages and
unpacked into the cache directory: nothing is installed, and no service of the machine is started.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "mininet"))  # the emulation is a clone's, not installed

from emulated_node import EmulatedNode, ip, random_mac
from emulation import Emulation, Endpoint, Hypervisor, ended_by_signals

from dove_ryu.bench.build import cache_directory
from dove_ryu.bench.emulated import (
    ELSEWHERE_ADDRESS,
    MACHINES,
    NETWORK,
    PREFIX_LENGTH,
    TALKED_TO,
    machine_address,
    machine_mac,
    measure_size,
)

PACKAGES = ("ovn-common", "ovn-central", "ovn-host")
CENTRAL_ADDRESS = "10.0.0.100"
SWITCH, CHASSIS_ELSEWHERE = "ls", "elsewhere"
_NORTH, _SOUTH = 6641, 6642
_BATCH = 200


class OvnUnavailable(RuntimeError):
    """OVN cannot be had here; the message says why."""


def programs() -> Path:
    """Where OVN is unpacked: a directory with Debian's usr/bin and usr/share in it.

    :raises OvnUnavailable: where Debian's packages cannot be fetched.
    """
    place = cache_directory() / "ovn"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _run(["apt-get", "download", *PACKAGES], place)
        for package in place.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(place)], place)
        (place / "complete").touch()
    return place / "usr"


def _run(command: Sequence[str], place: Path) -> None:
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise OvnUnavailable(f"{' '.join(command)}: {error}") from None
    if done.returncode:
        raise OvnUnavailable(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


class Central(EmulatedNode):
    """The machine with OVN's two databases and ovn-northd."""

    NIC = "underlay"

    def __init__(self, name: str, footprint: Any, usr: Path) -> None:
        self._usr = usr
        super().__init__(name, footprint)

    def start(self) -> None:
        """Bring all three up."""
        with self.inside():
            ip(f"addr add {CENTRAL_ADDRESS}/24 dev {self.NIC}")
        for name, port in (("nb", _NORTH), ("sb", _SOUTH)):
            database = self.directory / f"{name}.db"
            self.run("ovsdb-tool", "create", str(database), str(self._usr / "share" / "ovn" / f"ovn-{name}.ovsschema"))
            self.run(
                *("ovsdb-server", str(database), "--detach", "--no-chdir"),
                f"--pidfile={self.directory}/{name}.pid",
                f"--unixctl={self.directory}/{name}.ctl",
                *(f"--log-file={self.directory}/{name}.log", f"--remote=punix:{self.directory}/{name}.sock"),
                f"--remote=ptcp:{port}:{CENTRAL_ADDRESS}",
            )
        self.run(
            *(
                str(self._usr / "bin" / "ovn-northd"),
                "--detach",
                "--no-chdir",
                f"--pidfile={self.directory}/northd.pid",
            ),
            *(f"--unixctl={self.directory}/northd.ctl", f"--log-file={self.directory}/northd.log"),
            *(f"--ovnnb-db={self._database('nb')}", f"--ovnsb-db={self._database('sb')}"),
        )

    @property
    def processes(self) -> list[int]:
        """The databases and ovn-northd."""
        return [int((self.directory / f"{name}.pid").read_text()) for name in ("nb", "sb", "northd")]

    def north(self, *arguments: str) -> None:
        """ovn-nbctl."""
        self.run(str(self._usr / "bin" / "ovn-nbctl"), f"--db={self._database('nb')}", *arguments, timeout=120)

    def south(self, *arguments: str) -> None:
        """ovn-sbctl."""
        self.run(str(self._usr / "bin" / "ovn-sbctl"), f"--db={self._database('sb')}", *arguments, timeout=120)

    def _database(self, name: str) -> str:
        return f"unix:{self.directory}/{name}.sock"


class Chassis(Hypervisor):
    """A server whose bridge belongs to ovn-controller."""

    def __init__(self, *args: Any, usr: Path, **options: Any) -> None:
        super().__init__(*args, **options)
        self._usr = usr

    @property
    def environment(self) -> dict[str, str]:
        """OVN's programs, too, leave what they leave in this server's directory."""
        place = str(self.directory)
        return {**super().environment, "OVN_RUNDIR": place, "OVN_LOGDIR": place}

    def init_dswitch(self, *_options: str) -> None:
        """What OVN's own manual has an operator set, and ovn-controller."""
        address = str(self.addresses[0].ip)
        self.vsctl(
            *("set", "open_vswitch", ".", f"external_ids:system-id={self.name}"),
            f"external_ids:ovn-remote=tcp:{CENTRAL_ADDRESS}:{_SOUTH}",
            *("external_ids:ovn-encap-type=geneve", f"external_ids:ovn-encap-ip={address}"),
            f"external_ids:ovn-bridge={self.DSWITCH}",
            # As OVN's operators do where there is much to compute: else connections end as dead in the midst of it.
            *("external_ids:ovn-remote-probe-interval=180000", "external_ids:ovn-openflow-probe-interval=180"),
            *("--", "--may-exist", "add-br", self.DSWITCH, "--", "set", "bridge", self.DSWITCH, "datapath_type=netdev"),
            "fail_mode=secure",
        )
        self.run(
            *(str(self._usr / "bin" / "ovn-controller"), f"unix:{self.directory}/db.sock", "--detach", "--no-chdir"),
            *(f"--pidfile={self.directory}/ovn-controller.pid", f"--log-file={self.directory}/ovn-controller.log"),
        )

    @property
    def controller_id(self) -> int:
        """The process id of ovn-controller."""
        return int((self.directory / "ovn-controller.pid").read_text())


class OvnScene:
    """OVN in the place of the DPS; the same machines on the same servers."""

    def __init__(self, net: Emulation, endpoints: int, usr: Path) -> None:
        self._net = net
        self._central = Central("central", net.footprint, usr)
        net.underlay.plug(self._central, Central.NIC, random_mac())
        self._central.start()
        self._declare(endpoints)
        self.servers = [net.add_server(f"s{number}", f"10.0.0.{number}/24", kind=Chassis, usr=usr) for number in (1, 2)]
        net.start()
        self.near = self.attach(self.here, 0)
        self.others = [self.attach(self.servers[1], number) for number in range(1, 1 + TALKED_TO)]

    @property
    def here(self) -> Hypervisor:
        """The first server."""
        return self.servers[0]

    @property
    def control(self) -> list[int]:
        """The processes where all is known."""
        return self._central.processes

    @property
    def local(self) -> list[int]:
        """The processes on the first server."""
        here = self.servers[0]
        assert isinstance(here, Chassis)
        return [here.vswitchd_id, here.controller_id]

    def attach(self, server: Hypervisor, number: int) -> Endpoint:
        """Switch a machine on."""
        prefix = f"{machine_address(number)}/{PREFIX_LENGTH}"
        return self._net.add_endpoint(server, f"e{number}", NETWORK, machine_mac(number), [prefix])

    def forget(self) -> None:
        """As if nobody had ever spoken."""
        for machine in (self.near, *self.others):
            machine.run("ip", "neigh", "flush", "all")
        for server in self.servers:
            server.appctl("revalidator/purge")

    def _declare(self, endpoints: int) -> None:
        self._central.north("ls-add", SWITCH)
        for batch in _batches(range(endpoints)):
            self._central.north(*(word for number in batch for word in _logical_port(number)))
        self._central.north("--wait=sb", "sync")
        self._central.south("chassis-add", CHASSIS_ELSEWHERE, "geneve", ELSEWHERE_ADDRESS)
        for batch in _batches(range(MACHINES, endpoints)):
            self._central.south(
                *(word for number in batch for word in ("--", "lsp-bind", _port(number), CHASSIS_ELSEWHERE))
            )


def _port(number: int) -> str:
    return f"{NETWORK}/e{number}"


def _logical_port(number: int) -> tuple[str, ...]:
    addresses = f"{machine_mac(number)} {machine_address(number)}"
    return ("--", "lsp-add", SWITCH, _port(number), "--", "lsp-set-addresses", _port(number), addresses)


def _batches(numbers: range) -> Iterator[range]:
    return (numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench.ovn", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000, help="in the network (default: 1000)")
    parser.add_argument("--rounds", type=int, default=30, help="first packets that are timed (default: 30)")
    said = parser.parse_args()
    usr = programs()
    with ended_by_signals(), Emulation() as net:
        scene = OvnScene(net, said.endpoints, usr)
        print(json.dumps({"size": asdict(measure_size(scene, said.endpoints, said.rounds))}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(f"ovn: {error}")
