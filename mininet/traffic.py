"""Traffic between emulated nodes, and what was seen of it: pings, TCP throughput and captures, as values.

Each function runs the tool that an operator would run (ping, iperf3, tcpdump) in the node's namespace and
returns what it measured, so that a test can say what it expects in one line.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import namespace
from footprint import DeadlineError, state_of, wait_until

if TYPE_CHECKING:
    from types import TracebackType

    from emulated_node import EmulatedNode

IPERF_PORT = 5201

#: Seconds from one echo request to the next. Once one was answered, iputils' ping waits for the last reply only twice
#: the longest round trip and at least this long: shorter, and a busy machine's late replies would count as lost.
PING_INTERVAL = 0.04

# Frames inside a tunnel, as pcap filters: the inner Ethernet type follows 8 bytes of UDP header, 8 of Geneve
# (without options) or VXLAN, and two MAC addresses. Over IPv6, 40 bytes of IP header come first, since pcap's
# udp[] knows IPv4 only.
_TUNNEL = "(udp port 6081 or udp port 4789)"
TUNNELLED = f"({_TUNNEL})"
TUNNELLED_ARP = f"({_TUNNEL} and (udp[28:2] = 0x0806 or ip6[68:2] = 0x0806))"
_ND_TYPES = "{0} >= 133 and {0} <= 137"
TUNNELLED_ND = (
    f"({_TUNNEL} and ((udp[28:2] = 0x86dd and udp[36] = 58 and {_ND_TYPES.format('udp[70]')})"
    f" or (ip6[68:2] = 0x86dd and ip6[76] = 58 and {_ND_TYPES.format('ip6[110]')})))"
)


@dataclass(frozen=True)
class PingResult:
    """One run of ping. `rtts` maps the sequence number (from 1) of each answered request to milliseconds."""

    transmitted: int
    received: int
    duplicates: int
    rtts: dict[int, float] = field(default_factory=dict)
    text: str = field(default="", repr=False)

    @property
    def lost(self) -> int:
        return self.transmitted - self.received

    @property
    def first_rtt(self) -> float | None:
        """Milliseconds of the first packet, which may have needed a policy request; None when it was lost."""
        return self.rtts.get(1)

    @property
    def cached_rtt(self) -> float | None:
        """The median of all after the first."""
        later = [rtt for sequence, rtt in self.rtts.items() if sequence > 1]
        return statistics.median(later) if later else None

    @classmethod
    def parse(cls, text: str) -> PingResult:
        """Read the output of iputils' ping."""
        summary = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", text)
        if not summary:
            raise ValueError(f"no summary in the output of ping: {text.strip() or 'it was empty'}")
        answers = re.findall(r"icmp_seq=(\d+) .*time=([\d.]+) ms(?! \(DUP!\))", text)
        return cls(
            transmitted=int(summary[1]),
            received=int(summary[2]),
            duplicates=int(summary[3] or 0),
            rtts={int(sequence): float(rtt) for sequence, rtt in answers},
            text=text,
        )


def ping(
    node: EmulatedNode,
    address: str,
    count: int = 1,
    *,
    interval: float = PING_INTERVAL,
    wait: float = 1.0,
    size: int = 56,
) -> PingResult:
    """`count` echo requests, `interval` seconds apart, waiting `wait` seconds if none is answered; `size` bytes of
    payload, never fragmented on the way."""
    options = ["-n", "-c", str(count), "-i", str(interval), "-W", str(wait), "-s", str(size), "-M", "do"]
    deadline = count * max(interval, 1.0) + wait + 10
    return PingResult.parse(node.run("ping", *options, address, check=False, timeout=deadline))


def iperf3(server: EmulatedNode, client: EmulatedNode, address: str, seconds: int = 2) -> float:
    """TCP throughput from `client` to `server`, which is reached at `address`: bits a second, as received. (Of
    seconds, iperf3 knows whole ones only.)"""
    listener = server.popen(["iperf3", "-s", "-1", "-p", str(IPERF_PORT)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: namespace.listens(server.pid, IPERF_PORT), f"iperf3 listening in {server.name}")
        report = json.loads(
            client.run("iperf3", "-c", address, "-p", str(IPERF_PORT), "-t", str(seconds), "-J", timeout=seconds + 20)
        )
    finally:
        listener.kill()
        listener.communicate()
    return float(report["end"]["sum_received"]["bits_per_second"])


class Capture:
    """tcpdump on one device of a node, for the length of a `with` block; counting may go on afterwards."""

    def __init__(self, node: EmulatedNode, device: str, file: Path, only: str = "") -> None:
        self._node, self._device, self.file, self._only = node, device, file, only
        self._tcpdump: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Capture:
        command = [
            "tcpdump",
            "-i",
            self._device,
            "-n",
            "-U",
            "-Z",
            "root",
            "--immediate-mode",
            "-w",
            str(self.file),
        ]
        self._tcpdump = self._node.popen([*command, *([self._only] if self._only else [])], stdout=subprocess.DEVNULL)
        assert self._tcpdump.stderr is not None
        for line in self._tcpdump.stderr:
            if b"listening on" in line:
                return self
        raise RuntimeError(f"tcpdump on {self._device} of {self._node.name} ended at once; does the device exist?")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the capture and have the file complete, with all that has been there until now."""
        if self._tcpdump is not None:
            with contextlib.suppress(DeadlineError):  # where there is always more, it ends somewhere
                wait_until(self._has_seen_all, "tcpdump at rest", 1.0, interval=0.002)
            self._tcpdump.send_signal(signal.SIGINT)
            self._tcpdump.communicate()
            self._tcpdump = None

    def _has_seen_all(self) -> bool:
        """Whether tcpdump waits for a frame. One that is there wakes it up; told to end, it would leave that unread."""
        assert self._tcpdump is not None
        return state_of(self._tcpdump.pid) in ("S", "")

    def frames(self, only: str = "") -> list[str]:
        """The captured frames that pass the pcap filter `only`, one line each, as tcpdump prints them."""
        command = ["tcpdump", "-r", str(self.file), "-n", "-e", *([only] if only else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"tcpdump refuses the filter {only!r}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def count(self, only: str = "") -> int:
        return len(self.frames(only))
