"""A node of the emulation: Mininet's Node, which is a shell in a network namespace of its own, made fit for
tests.

Mininet carries the namespaces, the veth links, the names and the command line. Three things are done
differently here. Processes bear the mark of the run, so that nothing outlives it (`footprint`). `run` hands
back output and refuses a failure, where Node.cmd mixes both into a terminal's text. And devices are set up
from Python inside the node's namespace instead of by ifconfig and ethtool through the shell, which takes a
fraction of the time.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import namespace
from footprint import Footprint
from mininet.link import Intf, Link
from mininet.node import Node
from traffic import PING_INTERVAL, Capture, PingResult, ping

#: The kernel's limit (IFNAMSIZ less the closing zero).
DEVICE_NAME_LENGTH = 15


class CommandError(RuntimeError):
    """A command in a node ended with another status than 0."""


class EmulatedNode(Node):  # type: ignore[misc]  # Mininet carries no types
    """A shell in a network namespace of its own, and what runs beside it there."""

    name: str
    pid: int

    def __init__(self, name: str, footprint: Footprint, **params: Any) -> None:
        self.footprint = footprint
        self.directory = footprint.directory / name
        self.directory.mkdir(exist_ok=True)  # an endpoint may come again
        super().__init__(name, **params)
        with self.inside():
            self.prepare()

    def prepare(self) -> None:
        """Set the fresh namespace up, from inside."""
        ip("link set lo up")

    @property
    def environment(self) -> dict[str, str]:
        """What every process of this node finds in its environment."""
        return self.footprint.environment

    def _popen(self, cmd: list[str], **params: Any) -> subprocess.Popen[bytes]:
        """Mininet starts every process of a node here: the one place to give them the run's mark."""
        params.setdefault("env", self.environment)
        process: subprocess.Popen[bytes] = super()._popen(cmd, **params)
        return process

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Run the block, in this thread, in the node's network namespace."""
        with namespace.inside(self.pid):
            yield

    def run(self, *command: str, check: bool = True, timeout: float = 30.0) -> str:
        """Run a command in the node; return what it printed. Raises CommandError, with its complaint, if it
        fails."""
        process = self.popen(list(command), stdin=subprocess.DEVNULL)
        try:
            output, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise CommandError(f"{self.name}: {' '.join(command)}: not done within {timeout:g} s") from None
        if check and process.returncode:
            words = (complaint or output).decode(errors="replace").strip()
            raise CommandError(f"{self.name}: {' '.join(command)}: status {process.returncode}: {words}")
        return str(output.decode(errors="replace"))

    def ping(
        self, address: str, count: int = 1, *, interval: float = PING_INTERVAL, wait: float = 1.0, size: int = 56
    ) -> PingResult:
        """`traffic.ping` from here."""
        return ping(self, address, count, interval=interval, wait=wait, size=size)

    def capture(self, device: str, only: str = "") -> Capture:
        """tcpdump on one of this node's devices, as a context manager; `only` is a pcap filter."""
        number = len(list(self.directory.glob("*.pcap")))
        return Capture(self, device, self.directory / f"{device}-{number}.pcap", only)


class WholePacketIntf(Intf):  # type: ignore[misc]
    """The end of a veth that leaves no checksum and no segmentation to the device (`namespace` says why)."""

    def config(self, **_params: Any) -> dict[str, Any]:
        with self.node.inside():
            namespace.offloads_off(self.name)
        return {}

    def updateIP(self) -> str | None:
        """The address that Mininet's command line puts in place of a node's name; Mininet would ask
        ifconfig."""
        return str(self.ip) if self.ip else None


def connect(node: EmulatedNode, device: str, mac: str, far: EmulatedNode, far_device: str) -> Link:
    """A veth pair between two nodes, made where it belongs, so that no device ever appears on the host. Both
    ends are without offloads, and still down. `mac` is that of the near end."""
    for name in (device, far_device):
        if len(name) > DEVICE_NAME_LENGTH:
            raise ValueError(f"device name {name!r}: the kernel takes {DEVICE_NAME_LENGTH} characters; shorten it")
    return Link(
        node,
        far,
        intfName1=device,
        intfName2=far_device,
        addr1=mac,
        addr2=random_mac(),
        intf=WholePacketIntf,
    )


def random_mac() -> str:
    """A locally administered unicast address."""
    return ":".join(f"{octet:02x}" for octet in (0x02, *random.randbytes(5)))


def ip(*commands: str) -> None:
    """Commands of ip(8), in one process, in the namespace that this thread is in."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"ip: {done.stderr.strip()}; given: {'; '.join(commands)}")
