"""Connections through a pool of stateful appliances, of which one dies or is drained (X10).

Each instance is a namespace on a server of its own whose nftables let nothing pass but connections that they have seen
begin.  Whose a connection is, they tell themselves; whether it lives, its two ends.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from emulated_node import ip
from emulation import Appliance, wait_until

from .connections import Connections
from .datacenter import DataCenter, Document, ipv4, machine, reaches
from .streams import Stream

MANY = 300
SOON = 1.0
"""Seconds within which what becomes of connections is in force, when an instance has died."""

BEGUN = "{ typeof ip saddr . tcp sport . ip daddr . tcp dport; flags dynamic; size 65535; }"
STATE = (
    "tcp flags & (syn | ack) == syn add @begun { ip saddr . tcp sport . ip daddr . tcp dport }",
    "tcp flags & (syn | ack) == syn add @begun { ip daddr . tcp dport . ip saddr . tcp sport }",
    "ip saddr . tcp sport . ip daddr . tcp dport != @begun drop",
)

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        for number, name in enumerate(("s1", "s2", "s3"), 2):
            net.add_server(name, f"10.0.0.{number}/24")
        net.start()
        yield net


class Pool:
    """An appliance of three instances, one on each server, and a network that passes it in both directions.

    :ivar boxes: the instances, by name.
    """

    def __init__(self, net: DataCenter, stateful: bool = True, **fields: object) -> None:
        self.net, self.name = net, f"p{next(_numbers)}"
        boxes = [net.add_appliance(net[server], f"{self.name}{server}") for server in ("s1", "s2", "s3")]
        self.boxes = dict(zip(("one", "two", "three"), boxes, strict=True))
        for box in boxes if stateful else ():
            remember(box)
        net.register(self.name, *boxes, **fields)
        net.apply(
            {
                "network": self.name,
                "domains": ["clients", "servers"],
                "actions": [{"name": "fw", "kind": "firewall", "appliance": self.name}],
                "policies": [{"from": "clients", "to": "servers", "actions": ["fw"], "symmetric": True}],
                "endpoints": [machine("client", 1, "clients"), machine("server", 2, "servers")],
            }
        )
        self.client, self.server = (
            net.attach(net[server], f"{self.name}/{name}") for name, server in (("client", "s1"), ("server", "s3"))
        )

    def connections(self) -> Connections:
        return Connections(self.client, self.server, ipv4(2))

    def change(self, name: str, **fields: object) -> None:
        """Make an instance another."""
        shown: Document = self.net.read(f"/v1/appliances/{self.name}")
        next(each for each in shown["instances"] if each["name"] == name).update(fields)
        self.net.put(f"/v1/appliances/{self.name}", shown)

    def unplug(self, name: str) -> None:
        self._cable(name, "down")

    def plug(self, name: str) -> None:
        self._cable(name, "up")

    def _cable(self, name: str, state: str) -> None:
        box = self.boxes[name]
        with box.inside():
            ip(f"link set {box.IN} {state}")
        self.net.read(f"/v1/appliances/{self.name}")
        wait_until(lambda: self._health(name)["up"] is (state == "up"), f"{name} {state}", 5)

    def _health(self, name: str) -> Document:
        shown = self.net.read(f"/v1/appliances/{self.name}")["instances"]
        health: Document = next(each for each in shown if each["name"] == name)["health"]
        return health


def remember(box: Appliance) -> None:
    """Let a box pass nothing but connections that it has seen begin."""
    box.run("nft", f"add set netdev appliance begun {BEGUN}")
    for rule in STATE:
        box.run("nft", f"add rule netdev appliance work {rule}")


def begun(box: Appliance) -> set[int]:
    """The clients' ports of the connections that a box has seen begin."""
    listed = json.loads(box.run("nft", "--json", "list", "set", "netdev", "appliance", "begun"))
    elements = next(each["set"] for each in listed["nftables"] if "set" in each).get("elem", ())
    return {each["concat"][1] for each in elements if each["concat"][0] == ipv4(1)}


def test_who_dies_takes_its_own_connections_with_it_and_no_others(net: DataCenter) -> None:
    """Fail-closed; when it is back, so are they."""
    pool = Pool(net)
    with pool.connections() as connections:
        opened = connections.open(MANY)
        assert len(opened) == MANY
        owned = {name: begun(box) for name, box in pool.boxes.items()}
        assert sum(map(len, owned.values())) == MANY, "each is at one instance, in both directions"
        assert min(map(len, owned.values())) > MANY / 10
        assert connections.alive() == opened
        pool.unplug("two")
        assert connections.alive() == opened - owned["two"]
        pool.plug("two")
        wait_until(lambda: connections.alive() == opened, "connections of who is back", 20)


def test_a_drain_breaks_none_and_lets_none_begin(net: DataCenter) -> None:
    pool = Pool(net)
    with pool.connections() as connections:
        opened = connections.open(MANY)
        owned = begun(pool.boxes["two"])
        assert owned
        pool.change("two", drain=True)
        assert connections.alive() == opened
        more = connections.open(MANY // 3)
        assert len(more) == MANY // 3
        assert begun(pool.boxes["two"]) == owned, "what begins begins elsewhere"
        for _ in range(3):
            assert connections.alive() == opened | more
    with pool.connections() as connections:
        others = connections.open(MANY // 3)
        assert begun(pool.boxes["two"]) == owned
        pool.change("two", weight=0)
        assert connections.alive() == others, "nobody misses it"


@pytest.mark.parametrize("instances", [1, 3])
def test_fail_open_passes_traffic_within_a_second(net: DataCenter, instances: int) -> None:
    pool = Pool(net, stateful=False, on_failure="fail-open")
    for name in list(pool.boxes)[instances:]:
        pool.change(name, weight=0)
    assert pool.client.ping(ipv4(2)).received == 1
    with Stream(pool.client, pool.server, ipv4(2)) as stream:
        for name in list(pool.boxes)[:instances]:
            pool.unplug(name)
        wait_until(lambda: reaches(pool.client, ipv4(2)), "a way without appliances", SOON)
    delivery = stream.end()
    assert len(delivery.lost) < instances * SOON * 1000, delivery.story()
    assert delivery.received[-1][0] >= len(delivery.sent) - 100, "it goes on to the end"


def test_next_moves_connections_within_a_second(net: DataCenter) -> None:
    pool = Pool(net, stateful=False, on_failure="next")
    with pool.connections() as connections:
        opened = connections.open(30)
        pool.unplug("one")
        assert connections.alive(SOON * 3) == opened, "boxes without state take over what others have begun"
