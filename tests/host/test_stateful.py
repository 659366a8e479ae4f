"""Replies pass without a policy of their own, and nothing else does (X7).

A client and a server on one machine, a second client on another, reached over Geneve or VXLAN. Only clients may begin.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from emulation import Endpoint, wait_until

from .datacenter import DataCenter, ipv4, ipv6, machine, reaches

NEAR, FAR, SERVER = 1, 2, 3
PORT, LONG = 5400, 5.0
PATIENCE = 0.5
"""Seconds within which what passes would have arrived."""


@pytest.fixture(scope="module", params=["geneve", "vxlan"])
def net(request: pytest.FixtureRequest) -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        net.add_server("one", "10.0.0.2/24", encap_types=(request.param,))
        net.add_server("two", "10.0.0.3/24", encap_types=(request.param,))
        net.start()
        yield net


@dataclass(frozen=True)
class Scene:
    """A network of a test's own with its machines."""

    net: DataCenter
    network: str
    near: Endpoint
    far: Endpoint
    server: Endpoint

    def outward(self, **fields: Any) -> None:
        """Put the policy from the clients to the servers."""
        self.net.policy(self.network, "clients", "servers", actions=["accept"], **fields)


@pytest.fixture(params=["l2", "l3"])
def scene(net: DataCenter, request: pytest.FixtureRequest) -> Scene:
    name = f"n{len(net.hosts)}"
    gateways = [{"mac": "02:00:00:00:ff:01", "ips": ["192.168.7.254/24", "2001:db8:7::fe/64"]}]
    net.apply(
        {
            "network": name,
            "service": request.param,
            **({"gateways": gateways} if request.param == "l3" else {}),
            "domains": ["clients", "servers"],
            "policies": [{"from": "clients", "to": "servers", "actions": ["accept"], "stateful": True}],
            "endpoints": [
                machine("near", NEAR, "clients"),
                machine("far", FAR, "clients"),
                machine("server", SERVER, "servers"),
            ],
        }
    )
    one, two = net.switches
    near, far, server = (
        net.attach(place, f"{name}/{end}") for place, end in ((one, "near"), (two, "far"), (one, "server"))
    )
    return Scene(net, name, near, far, server)


def clients(scene: Scene) -> Iterator[tuple[Endpoint, int]]:
    yield scene.near, NEAR
    yield scene.far, FAR


@pytest.mark.parametrize("address", [ipv4, ipv6])
def test_pings_are_answered_and_not_begun_from_the_other_side(scene: Scene, address: Any) -> None:
    for client, number in clients(scene):
        assert client.ping(address(SERVER), count=3, wait=1).received == 3
        with client.capture(Endpoint.NIC, "icmp or icmp6") as arriving:
            assert scene.server.ping(address(number), count=3, wait=PATIENCE / 3).received == 0
        assert arriving.count("icmp[0] = 8 or icmp6[0] = 128") == 0
        assert client.ping(address(SERVER), count=3, wait=1).received == 3


def bound(stack: ExitStack, node: Endpoint, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with node.inside():
        made = stack.enter_context(socket.socket(family, kind))
    made.settimeout(LONG)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made


@pytest.mark.parametrize("address", [ipv4, ipv6])
def test_a_stream_goes_both_ways_and_is_not_begun_from_the_other_side(scene: Scene, address: Any) -> None:
    for client, number in clients(scene):
        with ExitStack() as stack:
            listening = bound(stack, scene.server, socket.SOCK_STREAM, address(SERVER), PORT)
            listening.listen()
            calling = bound(stack, client, socket.SOCK_STREAM, address(number), 0)
            calling.connect((address(SERVER), PORT))
            answering = stack.enter_context(listening.accept()[0])
            answering.sendall(bytes(100_000))
            assert len(calling.recv(100_000, socket.MSG_WAITALL)) == 100_000
        with ExitStack() as stack:
            waiting = bound(stack, client, socket.SOCK_STREAM, address(number), PORT)
            waiting.listen()
            calling = bound(stack, scene.server, socket.SOCK_STREAM, address(SERVER), 0)
            calling.settimeout(PATIENCE)
            with pytest.raises(TimeoutError):
                calling.connect((address(number), PORT))


@pytest.mark.parametrize("address", [ipv4, ipv6])
def test_a_datagram_is_answered_by_whom_it_was_sent_to(scene: Scene, address: Any) -> None:
    """And by nobody else: not from another port, and not without having been asked."""
    for client, number in clients(scene):
        with ExitStack() as stack:
            asking = bound(stack, client, socket.SOCK_DGRAM, address(number), PORT)
            asked = bound(stack, scene.server, socket.SOCK_DGRAM, address(SERVER), PORT)
            other = bound(stack, scene.server, socket.SOCK_DGRAM, address(SERVER), PORT + 1)
            scene.server.ping(address(number), count=1, wait=PATIENCE)  # else what is sent waits there for a neighbour
            asking.settimeout(PATIENCE)
            asked.sendto(b"unasked", (address(number), PORT))
            with pytest.raises(TimeoutError):
                asking.recv(100)
            asking.sendto(b"question", (address(SERVER), PORT))
            assert asked.recv(100) == b"question"
            other.sendto(b"intruder", (address(number), PORT))
            asked.sendto(b"answer", (address(number), PORT))
            assert asking.recv(100) == b"answer"


def test_an_error_about_a_connection_reaches_who_began_it(scene: Scene) -> None:
    """Nobody listens: the port is unreachable, and ICMP says so."""
    with ExitStack() as stack:
        asking = bound(stack, scene.far, socket.SOCK_DGRAM, ipv4(FAR), 0)
        asking.connect((ipv4(SERVER), PORT + 7))
        asking.send(b"question")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(100)


def test_without_it_a_policy_is_one_way_again(scene: Scene) -> None:
    wait_until(lambda: reaches(scene.far, ipv4(SERVER)), "an answer", 2)
    scene.outward()
    wait_until(lambda: not reaches(scene.far, ipv4(SERVER)), "no answer any more", 2)
    scene.outward(stateful=True)
    wait_until(lambda: reaches(scene.far, ipv4(SERVER)), "an answer again", 2)
    shown = scene.net.trace(scene.network, "server", "far")
    assert "replies pass by the stateful policy 'clients>servers'" in shown["reason"]
    for server in scene.net.switches:
        assert scene.net.audit(server)["findings"] == []


def test_networks_with_the_same_addresses_do_not_answer_for_each_other(net: DataCenter, scene: Scene) -> None:
    """The same tuple in another network is another connection."""
    other = f"n{len(net.hosts)}"
    blueprint = net.read(f"/v1/networks/{scene.network}/blueprint")
    net.apply({**blueprint, "network": other, "vni": None})
    one, two = net.switches
    client, server = net.attach(two, f"{other}/far"), net.attach(one, f"{other}/server")
    with ExitStack() as stack:
        here = bound(stack, scene.far, socket.SOCK_DGRAM, ipv4(FAR), PORT)
        there = bound(stack, client, socket.SOCK_DGRAM, ipv4(FAR), PORT)
        answering = bound(stack, server, socket.SOCK_DGRAM, ipv4(SERVER), PORT)
        here.sendto(b"question", (ipv4(SERVER), PORT))
        answering.sendto(b"unasked", (ipv4(FAR), PORT))
        there.settimeout(PATIENCE)
        with pytest.raises(TimeoutError):
            there.recv(100)
