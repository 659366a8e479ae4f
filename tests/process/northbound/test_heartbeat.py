"""A switch that falls silent is cut off, and everybody can see it: the real command and its REST (F28)."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.southbound.conftest import ECHO_REPLY, ECHO_REQUEST, Manager, Switch
from tests.unit.northbound.switch import DEADLINE


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A DPS that asks for an echo ten times a second and forgives one that is missing."""
    manager = Manager(
        *("--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", "0", "--wsapi-port", "0", "--dove-noovsdb"),
        *("--dove-store", f"sqlite:///{tmp_path}/dps.sqlite"),
        *("--echo-request-interval", "0.1", "--maximum-unreplied-echo-requests", "1"),
    )
    yield manager
    manager.end()


def connection_once(url: str, state: str) -> dict[str, Any]:
    """The connection of dSwitch 7 as soon as it is in a state."""
    deadline = time.monotonic() + DEADLINE
    seen: dict[str, Any] = {}
    while seen.get("openflow") != state:
        assert time.monotonic() < deadline, seen
        with urllib.request.urlopen(f"{url}/v1/dswitches", timeout=DEADLINE) as answer:
            seen = next((each["connections"] for each in json.load(answer)), {})
        time.sleep(0.02)
    return seen


def test_a_switch_that_falls_silent_is_stale(manager: Manager) -> None:
    url = manager.says(r"REST on (http://\S+)")[1]
    with socket.create_connection(("127.0.0.1", manager.port()), timeout=5) as plain:
        switch = Switch(plain)
        switch.greet()
        assert connection_once(url, "reading")["reason"] == ""
        answered = 0
        while answered < 3:
            kind, xid, body = switch.receive()
            if kind == ECHO_REQUEST:
                switch.send(switch.message(ECHO_REPLY, body, xid))
                answered += 1
        lost = connection_once(url, "stale")
        assert switch.is_closed()
    manager.says("2 echo requests are without a reply")
    assert lost["reason"].startswith(f"no OpenFlow connection since {lost['since']}")
