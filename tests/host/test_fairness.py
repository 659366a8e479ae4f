"""One endpoint asks for everything: what it may ask is bounded, and nobody else loses a packet by it (X3)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from emulation import Emulation, wait_until

from dove_ryu.bench.flood import KINDS, SUBNET, Scene
from dove_ryu.openflow.meters import METERS

RATE, SECONDS = 50_000, 2.0
ALLOWED = 200
"""What one endpoint may ask a second, and at once."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Emulation() as net:
        yield Scene(net)


def requests(scene: Scene) -> int:
    """How many policy requests of the flooded server the DPS has answered."""
    (server, *_) = scene.dps.request("GET", "/v1/dswitches")[1]
    return int(server["connections"]["requests"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_of_unknown_destinations(scene: Scene, kind: str) -> None:
    """The flooder's meter bounds what reaches the DPS, and the other network's requests are all answered.

    The flooder itself still reaches whom it knows, as far as its packets get a place in its own port's queue.
    """
    scene.speak(kind)
    before, asked = requests(scene), scene.asked(scene.flooder[kind])
    pairs = 20
    with scene.flood(kind, RATE, SECONDS) as flood:
        times = [scene.first_packet() for _ in range(pairs)]
        honest = scene.flooder[kind].ping(f"{SUBNET}.2", count=20)
        sent = json.loads(flood.communicate(timeout=30)[0])["sent"]
    most = ALLOWED + ALLOWED * (SECONDS + 1)
    assert sent > most * 10, "so few packets flood nobody"
    assert None not in times
    assert honest.received, honest.text
    assert scene.asked(scene.flooder[kind]) - asked <= most
    assert requests(scene) - before <= most + 3 * pairs


def test_an_operator_sees_who_asks_and_how_much_was_refused(scene: Scene) -> None:
    server = scene.servers[0]
    assert scene.dps.request("GET", "/v1/dswitches")[1][0]["metered"]
    told = server.dswitch("refused")
    assert re.search(r"^ +\d+ +\d+  noisy-l2/f1$", told, re.MULTILINE), told
    refused = scene.dps.request("GET", "/v1/status")[1]["refused"]
    assert set(refused) == {"network-rate", "too-many-wait", "unknown-network", "unreadable", "failed"}
    assert not refused["failed"], scene.dps.log[-2000:]
    metrics = scene.dps.request("GET", "/metrics")[1]
    assert 'dove_policy_requests_refused_total{reason="network-rate"} 0.0' in metrics


def test_a_switch_that_starts_anew_has_its_meters_again(scene: Scene) -> None:
    """X1: ovs-vswitchd starts without meters; the DPS gives it those that the flows name, and nothing is refused."""
    server = scene.servers[0]
    meters = sorted(re.findall(r"meter=\d+", server.ofctl("dump-meters")))
    assert len(meters) > len(METERS)
    server.stop_switch()
    server.start_switch()
    wait_until(lambda: sorted(re.findall(r"meter=\d+", server.ofctl("dump-meters"))) == meters, "its meters", 20)
    assert "refuses a message" not in scene.dps.log
