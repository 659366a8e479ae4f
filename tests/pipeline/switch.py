"""A bridge of a private Open vSwitch, spoken to in our own bytes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from types import TracebackType

from dove_ryu.openflow.action import Meter
from dove_ryu.openflow.flow import Flow, FlowChange, PacketIn, PacketOut
from dove_ryu.southbound import codec
from dove_ryu.southbound.framing import split
from dove_ryu.southbound.meters import Allowance, Meters

from .ovs import PrivateOvs

HELLO, ERROR, ECHO_REQUEST, PACKET_IN, MULTIPART_REPLY, BARRIER_REPLY = 0, 1, 2, 10, 19, 21
SET_ASYNC = 28

EVERYDAY = Allowance()


class Refused(AssertionError):
    """The switch answered with an error message."""


class RawSwitch:
    """A new bridge and an OpenFlow 1.3 connection to it; both go with the context.

    :param ports: dummy ports to add, by name with their OpenFlow numbers.
    :param allowance: what the endpoint at each port may ask.
    """

    def __init__(
        self,
        ovs: PrivateOvs,
        bridge: str,
        ports: dict[str, int] | None = None,
        allowance: Allowance = EVERYDAY,
    ) -> None:
        self.ovs, self.bridge = ovs, bridge
        self._ports = ports or {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._meters = Meters(allowance)
        self._buffer = b""
        self._packets: list[PacketIn] = []

    def __enter__(self) -> RawSwitch:
        self.ovs.add_bridge(self.bridge, fail_mode="secure", protocols="OpenFlow13")
        for name, number in self._ports.items():
            kind = {"dove-geneve": "geneve", "dove-vxlan": "vxlan"}.get(name, "dummy")
            options = {"remote_ip": "flow", "key": "flow"} if kind != "dummy" else None
            self.ovs.add_port(self.bridge, name, kind, ofport=number, options=options)
        self._socket.settimeout(10)
        self._socket.connect(f"{self.ovs.run_dir}/{self.bridge}.mgmt")
        self._socket.sendall(codec.message(HELLO, b""))
        # A connection to the management socket hears of packet-ins only when it asks.
        self._socket.sendall(codec.message(9, struct.pack("!HH", 0, 0xFFFF)))
        self._socket.sendall(codec.message(SET_ASYNC, struct.pack("!6I", 0x3F, 0x3F, 7, 7, 15, 15)))
        self._socket.sendall(codec.meter_features_request(6))
        self._meters.hear_features(self._until(MULTIPART_REPLY))
        self._socket.sendall(self._meters.begin((), ())[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._socket.close()
        self.ovs.vsctl("del-br", self.bridge)

    def send(self, changes: Iterable[FlowChange]) -> None:
        """Send flow changes, with the meters that they name, and wait until they are carried out.

        :raises Refused: where the switch answers with an error.
        """
        told = list(changes)
        before, after = self._meters.follow(told)
        self._socket.sendall(before + b"".join(map(codec.change, told)) + after + codec.barrier(7))
        self._until(BARRIER_REPLY)

    def meters(self) -> list[Meter]:
        """The meters that the switch holds."""
        self._socket.sendall(codec.meter_request(5))
        return list(codec.read_meters(self._until(MULTIPART_REPLY)))

    def send_packets(self, packets: Iterable[PacketOut]) -> None:
        """Send packet-outs and wait until they are carried out."""
        self.send_out(b"".join(map(codec.packet_out, packets)))

    def send_out(self, messages: bytes) -> None:
        """Send ready messages and wait until they are carried out."""
        self._socket.sendall(messages + codec.barrier(8))
        self._until(BARRIER_REPLY)

    def flows(self) -> list[Flow]:
        """The flows that the switch holds."""
        self._socket.sendall(codec.flow_request(0, 0, 9))
        found: list[Flow] = []
        while True:
            reply = self._until(MULTIPART_REPLY)
            found += codec.read_flows(reply)
            if not codec.more_follows(reply):
                return found

    def packet_ins(self) -> list[PacketIn]:
        """The packets that have come up since the last call."""
        self._socket.sendall(codec.barrier(10))
        self._until(BARRIER_REPLY)
        packets, self._packets = self._packets, []
        return packets

    def _until(self, kind: int) -> bytes:
        while True:
            for message in self._messages():
                if message[1] == kind:
                    return message
                self._take(message)

    def _messages(self) -> Iterable[bytes]:
        messages, _used = split(memoryview(self._buffer))
        if not messages:
            received = self._socket.recv(1 << 16)
            assert received, "the switch closed the connection"
            self._buffer += received
            return
        self._buffer = self._buffer[len(messages[0]) :]
        yield messages[0]

    def _take(self, message: bytes) -> None:
        if message[1] == ERROR:
            raise Refused(message.hex(" ", 4))
        if message[1] == PACKET_IN:
            self._packets.append(codec.read_packet_in(message))
        if message[1] == ECHO_REQUEST:
            self._socket.sendall(codec.message(3, message[8:]))
