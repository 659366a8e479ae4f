"""A DPS joined to one real bridge: frames go in at ports, and what comes out is collected.

The bridge is ovs-vswitchd's on the dummy datapath; packet-ins are answered by :class:`Dps` as the service would.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dove_ryu.dps import Dps
from dove_ryu.model.entities import Entity
from dove_ryu.model.facts import Change
from dove_ryu.openflow.flow import PacketIn

from .ovs import PrivateOvs
from .switch import RawSwitch

DEADLINE = 5.0
PCAP_HEADER, RECORD_HEADER = 24, 16


class Fabric:
    """One dSwitch with its DPS.

    :param ports: dummy ports by name with their OpenFlow numbers, tunnel ports by their usual names.
    :ivar switch: the bridge.
    :ivar misses: how many packets have come up to the DPS.
    """

    def __init__(self, ovs: PrivateOvs, dps: Dps, dpid: int, ports: dict[str, int]) -> None:
        self.ovs, self.dps, self.dpid = ovs, dps, dpid
        self._ports = ports
        self.switch = RawSwitch(ovs, "br-fabric", ports)
        self.misses = 0
        self._read = dict.fromkeys(ports, 0)

    def __enter__(self) -> Self:
        self.switch.__enter__()
        for name in self._ports:
            if not name.startswith("dove-"):
                self.ovs.vsctl("set", "interface", name, f"options:tx_pcap={self._pcap(name)}")
        self.switch.send(self.dps.connect(self.dpid, self._ports, self.switch.flows()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.switch.__exit__(kind, error, where)

    def apply(self, *changes: Entity | Change) -> None:
        """Change the world; the bridge follows."""
        whole = [change if isinstance(change, Change) else Change.put(change) for change in changes]
        self.switch.send(self.dps.apply(whole).get(self.dpid, ()))

    def send(self, port: str, frame: bytes) -> dict[str, list[bytes]]:
        """Let *frame* come in at *port*; what comes out, by port, once every question is answered."""
        self.ovs.appctl("revalidator/purge")  # what the datapath remembers of former flows lags behind them a little
        self.ovs.receive(port, frame.hex())
        return self.settled()

    def settled(self) -> dict[str, list[bytes]]:
        """What has come out by now, by port, once every question is answered."""
        self._settle()
        return {name: frames for name in self._ports if (frames := self._sent(name))}

    def flows(self) -> list[str]:
        """The bridge's flows as text."""
        return [str(flow) for flow in self.switch.flows()]

    def _settle(self) -> None:
        """Answer packet-ins until none comes for twenty rounds.

        A round is a barrier, which takes a turn of the switch's main loop; so does a frame on its way up or out.
        """
        quiet, deadline = 0, time.monotonic() + DEADLINE
        while quiet < 20:
            assert time.monotonic() < deadline, "packets come up without end"
            packets = self.switch.packet_ins()
            quiet = 0 if packets else quiet + 1
            self.misses += len(packets)
            self.answer(packets)

    def answer(self, packets: list[PacketIn]) -> None:
        """Answer packets that have come up."""
        for packet_in in packets:
            answer = self.dps.packet_in(self.dpid, packet_in)
            self.switch.send(answer.flows)
            self.switch.send_packets(answer.packets)

    def _sent(self, port: str) -> list[bytes]:
        path = self._pcap(port)
        data = path.read_bytes() if path.exists() else b""
        frames, at = [], self._read[port] or PCAP_HEADER
        while at + RECORD_HEADER <= len(data):
            length = struct.unpack_from("=I", data, at + 8)[0]
            frames.append(data[at + RECORD_HEADER : at + RECORD_HEADER + length])
            at += RECORD_HEADER + length
        self._read[port] = at
        return frames

    def _pcap(self, port: str) -> Path:
        return Path(self.ovs.run_dir) / f"{port}.pcap"
