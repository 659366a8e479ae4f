"""What a policy does to packets with no appliance for it: marks, limits, records (F31, X8).

Two clients on one server send to a sink on another. Each test has a network of its own.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from emulation import Endpoint, Hypervisor, wait_until

from dove_ryu.openflow.fields import Kind
from dove_ryu.openflow.pipeline import POLICY, RATE

from .datacenter import DataCenter, RefusedError, SeenFlow, flows, ipv4, ipv6, machine, reaches

ONE, TWO, SINK = 1, 2, 3
PAYLOAD, HEADERS = 1000, 14 + 20 + 8
PORT = 5300
OVER = 4
"""How many times the rate is sent."""


@pytest.fixture(scope="module")
def net() -> Iterator[DataCenter]:
    with DataCenter() as net:
        net.add_dps()
        net.add_server("near", "10.0.0.2/24", encap_types=("geneve",))
        net.add_server("far", "10.0.0.3/24", encap_types=("geneve",))
        net.start()
        yield net


@dataclass(frozen=True)
class Scene:
    """A network of a test's own with its machines."""

    net: DataCenter
    network: str
    one: Endpoint
    two: Endpoint
    sink: Endpoint

    @property
    def policy_number(self) -> int:
        shown: int = self.net.read(f"/v1/networks/{self.network}/policies/clients%3Esinks")["number"]
        return shown

    def outward(self, **fields: Any) -> None:
        """Put the policy from the clients to the sink."""
        self.net.policy(self.network, "clients", "sinks", **fields)


@pytest.fixture
def scene(net: DataCenter) -> Scene:
    name = f"n{len(net.hosts)}"
    net.apply(
        {
            "network": name,
            "domains": ["clients", "sinks"],
            "actions": [
                {"name": "urgent", "kind": "mark", "config": {"dscp": 46}},
                {"name": "slow", "kind": "rate", "config": {"kbps": 1000, "burst": 200}},
            ],
            "policies": [{"from": one, "to": two, "actions": ["accept"]} for one, two in PAIRS],
            "endpoints": [
                machine("one", ONE, "clients"),
                machine("two", TWO, "clients"),
                machine("sink", SINK, "sinks"),
            ],
        }
    )
    near, far = net.switches
    one, two, sink = (
        net.attach(place, f"{name}/{end}") for place, end in ((near, "one"), (near, "two"), (far, "sink"))
    )
    made = Scene(net, name, one, two, sink)
    wait_until(lambda: all(reaches(each, ipv4(SINK)) for each in (one, two)), "the sink reached", 3)
    return made


PAIRS = (("clients", "sinks"), ("sinks", "clients"))


# ---- mark ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [{"actions": ["urgent"]}, {"actions": ["accept"], "dscp": 46}], ids=["action", "field"]
)
def test_packets_get_the_code_point_that_the_policy_says(scene: Scene, said: dict[str, Any]) -> None:
    """IPv4 and IPv6, one way only, and the bits for congestion notification stay the sender's."""
    scene.outward(**said)
    with scene.sink.capture(Endpoint.NIC) as there, scene.one.capture(Endpoint.NIC) as here:
        for address in (ipv4(SINK), ipv6(SINK)):
            assert "3 received" in scene.one.run("ping", "-n", "-c", "3", "-i", "0.1", "-W", "2", "-Q", "1", address)
        assert scene.sink.ping(ipv4(ONE), count=3, wait=1).received == 3
    assert there.count("icmp[0] = 8 and ip[1] = 0xb9") == 3
    assert there.count("icmp6 and ip6[40] = 128 and (ip6[0:2] & 0xff0) = 0xb90") == 3
    assert here.count("icmp[0] = 8 and ip[1] = 0") == 3


# ---- rate ----------------------------------------------------------------------------------------


def flood(senders: Mapping[Endpoint, float], sink: Endpoint, kbps: int) -> list[float]:
    """Send at a pace from all at once, for as many seconds as each is given: kilobits of each that arrived."""
    with ExitStack() as stack:
        caught = stack.enter_context(sink.capture(Endpoint.NIC, f"udp port {PORT}"))
        sockets = {}
        for sender in senders:
            with sender.inside():
                sockets[sender] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        pause = (PAYLOAD + HEADERS) * 8 / (kbps * 1000)
        began = due = time.monotonic()
        while (now := time.monotonic()) < began + max(senders.values()):
            if now < due:
                time.sleep(due - now)  # it is the pace that is made here, and nothing waited for
            for sender, seconds in senders.items():
                if due < began + seconds:
                    sockets[sender].sendto(bytes(PAYLOAD), (ipv4(SINK), PORT))
            due += pause
        wait_until(lambda: len({_counted(caught, senders) for _ in range(2)}) == 1, "what is on its way to arrive", 5)
    return [caught.count(f"src host {sender.IP()}") * (PAYLOAD + HEADERS) * 8 / 1000 for sender in senders]


def _counted(caught: Any, senders: Mapping[Endpoint, float]) -> int:
    time.sleep(0.05)
    return int(caught.count())


def limits(server: Hypervisor, scene: Scene) -> list[SeenFlow]:
    """The flows that limit what is sent to the sink."""
    number = scene.policy_number
    return [flow for flow in flows(server, RATE, Kind.NETWORK) if flow.cookie.number == number]


SECONDS = 3.0


def allowed(kbps: int, burst: int) -> Any:
    """What a meter lets through in the time."""
    return pytest.approx(burst + kbps * SECONDS, rel=0.2)


def test_a_policy_that_limits_lets_its_rate_pass(scene: Scene) -> None:
    """By an action that is shared by name, and both senders together."""
    scene.outward(actions=["slow"])
    kilobits = flood({scene.one: SECONDS, scene.two: SECONDS}, scene.sink, OVER * 1000)
    assert sum(kilobits) == allowed(1000, 200)


def test_each_sender_may_have_a_rate_of_its_own(scene: Scene) -> None:
    scene.outward(actions=["accept"], rate={"kbps": 1000, "burst": 200, "per": "endpoint"})
    assert flood({scene.one: SECONDS, scene.two: SECONDS}, scene.sink, OVER * 1000) == [allowed(1000, 200)] * 2


def test_a_rate_changes_and_goes_with_its_policy(scene: Scene, net: DataCenter) -> None:
    near = net["near"]
    scene.outward(actions=["accept"], rate={"kbps": 500, "burst": 120})
    wait_until(lambda: "rate=500 burst_size=120" in near.ofctl("dump-meters"), "the meter", 2)
    scene.outward(actions=["accept"], rate={"kbps": 2000, "burst": 120})
    wait_until(lambda: "rate=500 " not in near.ofctl("dump-meters"), "the meter of before to go", 2)
    assert len(limits(near, scene)) == 1
    assert flood({scene.one: SECONDS}, scene.sink, OVER * 2000) == [allowed(2000, 120)]
    scene.outward(actions=["accept"])
    wait_until(lambda: "rate=2000 " not in near.ofctl("dump-meters"), "the meter to go", 2)
    assert limits(near, scene) == []
    assert net.audit(near)["findings"] == []


# ---- log -----------------------------------------------------------------------------------------


def records(scene: Scene) -> list[dict[str, str]]:
    """What the flow log has of a test's network."""
    lines = (line for line in scene.net.dps.log.splitlines() if f"network={scene.network} " in line)
    return [dict(re.findall(r"(\w+)=(\S+)", line)) for line in lines]


def wait_until_counted(scene: Scene, least: int) -> tuple[str, str]:
    """Until the policy's entry has counted so many packets, which a dSwitch does twice a second: packets and bytes."""

    number = scene.policy_number

    def counted() -> tuple[str, str]:
        (entry,) = [flow for flow in flows(scene.net["near"], POLICY, Kind.POLICY) if flow.cookie.number == number]
        packets, octets = re.findall(r"n_(?:packets|bytes)=(\d+)", entry.text)
        return packets, octets

    wait_until(lambda: int(counted()[0]) >= least, f"{least} packets counted", 5)
    return counted()


@pytest.mark.parametrize("verdict", ["accept", "deny"])
def test_who_sends_is_on_record_with_how_much(scene: Scene, verdict: str) -> None:
    scene.outward(actions=["log", verdict])
    scene.one.ping(ipv4(SINK), count=5, wait=0.2)
    wait_until(lambda: len(records(scene)) == 1, "the record of the beginning", 2)
    counted = wait_until_counted(scene, least=5 if verdict == "accept" else 1)
    scene.outward(actions=["accept"])
    wait_until(lambda: len(records(scene)) == 2, "the record of the end", 2)
    begun, ended = records(scene)
    assert (begun["event"], begun["policy"], begun["tracking"]) == ("acquired", "clients>sinks", "2")
    assert (ended["event"], ended["why"], ended["tracking"]) == ("ended", "deleted", "2")
    assert (ended["packets"], ended["bytes"]) == counted
    metric = f'dove_logged_packets_total{{network="{scene.network}",policy="clients>sinks"}} {ended["packets"]}.0'
    status, answer = scene.net.dps.request("GET", "/metrics")
    assert status == 200
    assert metric in str(answer)


# ---- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"actions": ["deny", "slow"]}, "actions[1]"),
        ({"actions": ["deny"], "dscp": 46}, "dscp"),
        ({"actions": ["accept"], "dscp": 64}, "dscp"),
        ({"actions": ["urgent"], "dscp": 46}, "actions[0]"),
        ({"actions": ["accept"], "rate": {"burst": 1}}, "rate.kbps"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(scene: Scene, fields: dict[str, Any], place: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(f"'place': '{place}'")):
        scene.outward(**fields)
