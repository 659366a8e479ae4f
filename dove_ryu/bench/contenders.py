"""Who is measured: how each controller is started, what it is asked, and by which message its answer ends.

Others than ours come from the package index into environments of their own in the cache directory, since each wants
another framework than ours.  Where one cannot be had, the reason takes its place in the results.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from dove_ryu.bench.arena import Arena, Program
from dove_ryu.bench.build import HERE, cache_directory, program
from dove_ryu.bench.prepare import Workload, store_url
from dove_ryu.bench.requests import LEARNING_PORTS, LEARNING_VLAN

LISTEN_PORTS = {"compiled": 6653, "pure": 6654, "responder": 6655, "os-ken": 6656, "ryu": 6657, "faucet": 6658}
_REST = {"compiled": 8080, "pure": 8081}
_FORMS = {"compiled": "compiled", "pure": "python"}
"""The fast lane's forms, as ``--dove-lane`` calls them."""
_OTHERS = HERE / "others"
_SECONDS_TO_INSTALL = 300


class Unavailable(RuntimeError):
    """A controller that cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One controller.

    :ivar title: what it is called in tables.
    :ivar requests: the folder of the requests that it understands.
    :ivar answers: the generator's options by which an answer is known.
    :ivar learns: seconds of a turn that it may need before it has learned what is asked.
    """

    name: str
    title: str
    requests: str
    answers: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    learns: float = 0.0

    @property
    def port(self) -> int:
        """The OpenFlow port that it listens on."""
        return LISTEN_PORTS[self.name]

    @property
    def rest(self) -> int | None:
        """The port of its REST interface, if it is ours."""
        return _REST.get(self.name)

    def start(self, arena: Arena) -> Program:
        """Start it, and wait until it listens."""
        running = arena.start(self.name, self.command, arena.server_core, self.environment)
        for port in (self.port, *([] if self.rest is None else [self.rest])):
            running.await_port(port)
        return running


def dove(lane: str, directory: Path) -> Contender:
    """The DPS, on a copy of the prepared store; *lane* is ``compiled`` or ``pure``."""
    own = directory / f"dps-{lane}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    shutil.copy(directory / "store.sqlite", own / "store.sqlite")
    command = (
        str(Path(sys.executable).with_name("ryu-manager")),
        *("--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(LISTEN_PORTS[lane])),
        *("--wsapi-port", str(_REST[lane]), "--dove-store", store_url(own)),
        *("--dove-lane", _FORMS[lane], "dove_ryu.app"),
    )
    return Contender(lane, f"dove_ryu, {_FORMS[lane]}", "dove", ("--barrier",), command, learns=1.0)


def responder(directory: Path) -> Contender:
    """The limit: a C program that knows nothing and answers everything."""
    name = "responder"
    command = (str(program(name)), f"127.0.0.1:{LISTEN_PORTS[name]}", str(directory / "dove" / "1.dswitch"))
    return Contender(name, "C responder (the limit)", "dove", ("--barrier", "--ends-with", "packet-out"), command)


def os_ken() -> Contender:
    """A learning switch on os-ken as it is."""
    return _learning_switch("os-ken", f"os-ken {_version(sys.executable, 'os-ken')}, learning switch", sys.executable)


def ryu() -> Contender:
    """The same learning switch on the original Ryu.

    :raises Unavailable: where Ryu cannot be installed.
    """
    python = _environment("ryu-4.34", ["setuptools<58", "wheel"], ["--no-build-isolation", "ryu==4.34"])
    return _learning_switch("ryu", f"Ryu {_version(python, 'ryu')}, learning switch", python)


def _learning_switch(name: str, title: str, python: str) -> Contender:
    command = (python, str(_OTHERS / "serve.py"), str(_OTHERS / "learning_switch.py"), str(LISTEN_PORTS[name]))
    return Contender(name, title, "plain", ("--ends-with", "packet-out"), command)


def faucet(workload: Workload, directory: Path) -> Contender:
    """Faucet, which remembers new senders.

    :raises Unavailable: where it cannot be installed.
    """
    python = _environment("faucet", ["faucet"])
    own = directory / "faucet"
    own.mkdir(exist_ok=True)
    (own / "faucet.yaml").write_text(yaml.safe_dump(_faucet_configuration(workload)))
    command = (str(Path(python).with_name("faucet")), "--ryu-ofp-tcp-listen-port", str(LISTEN_PORTS["faucet"]))
    environment = {
        "FAUCET_CONFIG": str(own / "faucet.yaml"),
        "FAUCET_LOG": str(own / "faucet.log"),
        "FAUCET_EXCEPTION_LOG": str(own / "exception.log"),
        "FAUCET_LOG_LEVEL": "WARNING",
        "PATH": f"{Path(python).parent}:{os.environ['PATH']}",  # it becomes the framework's own command
    }
    answers = ("--ends-with", f"flow-mod:{FLOWS_OF_A_SENDER}", "--settle", "2")
    title = f"Faucet {_version(python, 'faucet')}"
    return Contender("faucet", title, "learning", answers, command, environment)


FLOWS_OF_A_SENDER = 2
"""Faucet remembers a sender by a flow for packets from it, and one for packets to it."""


def _faucet_configuration(workload: Workload) -> dict[str, object]:
    dps = {}
    for dpid in range(1, len(workload.requests) + 1):
        interface = {"native_vlan": "bench", "max_hosts": 1_000_000}
        interfaces = {number: dict(interface) for number in range(1, LEARNING_PORTS + 1)}
        dps[f"sw{dpid}"] = {"dp_id": dpid, "hardware": "Open vSwitch", "interfaces": interfaces}
    return {"vlans": {"bench": {"vid": LEARNING_VLAN, "max_hosts": 1_000_000}}, "dps": dps}


def _environment(name: str, *installs: Sequence[str]) -> str:
    """The Python of an environment in the cache directory, made with these arguments of ``pip install``."""
    place = cache_directory() / name
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return str(python)
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)], name)
    for arguments in installs:
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], name)
    (place / "complete").touch()
    return str(python)


def _run(command: Sequence[str], name: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_TO_INSTALL, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} is not installed within {_SECONDS_TO_INSTALL} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"{name} cannot be installed: {said[-1]}")


def _version(python: str, distribution: str) -> str:
    question = f"import importlib.metadata, json; print(json.dumps(importlib.metadata.version({distribution!r})))"
    done = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    return str(json.loads(done.stdout)) if done.returncode == 0 else "of unknown version"
