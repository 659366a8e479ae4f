"""Entering a network namespace from Python, and quietening the devices and kernel stack inside.

A namespace belongs to a thread, and a socket stays in the namespace in which it was made. So `inside` lets
this process speak to a server in a namespace (HTTP to the DPS, say), read its sysctls and set its devices,
without one fork.

Two matters would otherwise spoil the emulation. veth hands packets over with checksums not yet computed,
trusting that whoever receives them is the same kernel; Open vSwitch's userspace datapath is not, and the far
TCP then drops every segment while pings pass. And a server's own stack sees every frame of its tenants'
ports, and would answer ARP there for the server's underlay address: it is told not to.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_SIOCETHTOOL = 0x8946
#: linux/ethtool.h: the "set" command of each offload by which a sender leaves work to the device.
_OFFLOADS = {"tx-checksum": 0x17, "scatter-gather": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}


@contextlib.contextmanager
def inside(pid: int) -> Iterator[None]:
    """Run the block, in this thread, in the network namespace of process `pid`."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(f"/proc/{pid}/ns/net")
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)


def _enter(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        _set_namespace(handle)
    finally:
        os.close(handle)


def _set_namespace(handle: int) -> None:
    if _libc.setns(handle, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}; entering a network namespace needs root")


def offloads_off(device: str) -> None:
    """Have this end of a veth send complete packets only, as `ethtool -K DEVICE tx off sg off tso off gso off
    gro off` would. Call it inside the device's namespace. A kernel that keeps one fixed says so by
    EOPNOTSUPP; all that matter on a veth can be set."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS.values():
            value = array.array("B", struct.pack("II", command, 0))
            address, _ = value.buffer_info()
            fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address))


def sysctl(name: str, value: object) -> None:
    """Set net.NAME (slashes, not dots: device names may hold dots) in the namespace that this thread is
    in."""
    Path("/proc/sys/net", name).write_text(str(value))


def deaf_stack() -> None:
    """Keep this namespace's own stack off the devices that get no address of ours: tenants' ports and the
    underlay NIC, all of which belong to the switch. IPv6 is given to devices one by one (`allow_ipv6`)."""
    sysctl("ipv4/conf/all/arp_ignore", 1)  # answer ARP only on the device that holds the address asked for
    sysctl("ipv4/conf/all/rp_filter", 1)  # a packet that came in where its source is not routed is not ours
    sysctl("ipv6/conf/default/disable_ipv6", 1)


def allow_ipv6(device: str) -> None:
    """IPv6 on this device, with fixed addresses: no router is awaited, and no address has to wait for
    duplicate address detection (a second in which it cannot be used)."""
    sysctl(f"ipv6/conf/{device}/accept_ra", 0)
    sysctl(f"ipv6/conf/{device}/router_solicitations", 0)
    sysctl(f"ipv6/conf/{device}/accept_dad", 0)
    sysctl(f"ipv6/conf/{device}/disable_ipv6", 0)


def listens(pid: int, port: int) -> bool:
    """Whether some socket in the namespace of `pid` listens on the TCP port."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
