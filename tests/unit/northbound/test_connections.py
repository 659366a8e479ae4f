"""The state of each dSwitch's connection and what goes over it: REST and metrics (F28, X12)."""

from datetime import datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dove_ryu.model.resolution import Outcome
from dove_ryu.service import Service
from tests.process.southbound.conftest import Switch as Wire

from .served import SHOP, Client
from .switch import Switch

WEB1 = "/v1/networks/shop/endpoints/web1/location"


@pytest.fixture
def rest(running: Service) -> Client:
    client = Client(running)
    client.put("/v1/networks/shop/blueprint", SHOP)
    return client


def connections(client: Client) -> dict[str, Any]:
    shown: dict[str, Any] = client.get("/v1/dswitches/1")["connections"]
    return shown


def test_a_dswitch_from_its_registration_to_its_loss(rest: Client, running: Service) -> None:
    rest.put("/v1/dswitches/1", {})
    down = connections(rest)
    assert (down["openflow"], down["since"], down["confirmed"], down["lag"]) == ("down", None, None, None)
    assert "has not connected since the DPS began" in down["reason"]

    switch = Switch(running, 1)
    switch.connect("tap0")
    live = connections(rest)
    assert (live["openflow"], live["peer"], live["reason"]) == ("live", "192.0.2.1", "")
    assert (live["confirmed"], live["lag"]) == (running.revision, 0)
    assert datetime.fromisoformat(live["since"]).tzinfo is not None

    switch.disconnect()
    rest.put(WEB1, {"dswitch": "1", "port": "tap0"})
    stale = connections(rest)
    assert (stale["openflow"], stale["peer"], stale["confirmed"], stale["lag"]) == ("stale", "", live["confirmed"], 1)
    assert stale["reason"].startswith(f"no OpenFlow connection since {stale['since']}; ")

    switch.connect("tap0")
    assert (connections(rest)["openflow"], connections(rest)["lag"]) == ("live", 0)


def test_what_is_not_confirmed_is_lag(rest: Client, running: Service) -> None:
    switch = Switch(running, 1)
    switch.connect("tap0")
    before = connections(rest)
    switch.deaf = True
    rest.put(WEB1, {"dswitch": "1", "port": "tap0"})
    rest.put("/v1/networks/shop/endpoints/web2", {"domain": "app"})
    after = connections(rest)
    assert (after["confirmed"], after["lag"]) == (before["confirmed"], 2)
    assert after["flow_changes"] > before["flow_changes"]
    switch.deaf = False
    switch.connect("tap0")
    assert connections(rest)["lag"] == 0


def test_a_dswitch_that_connects_anew_before_its_loss_is_noticed(rest: Client, running: Service) -> None:
    switch = Switch(running, 1)
    first = switch.connect("tap0")
    second = Switch(running, 1)
    second.connect("tap0")
    running.post(running.switches.lose, first)
    assert (connections(rest)["openflow"], connections(rest)["lag"]) == ("live", 0)


def test_outstanding_policy_requests(rest: Client, running: Service) -> None:
    link = Switch(running, 1).connect("tap0")
    assert connections(rest)["outstanding"] == 0
    link.received += 3
    running.ask(lambda dps: running.switches.hear(link, [Wire.packet_in(0xD0 << 56)]))
    shown = connections(rest)
    assert (shown["requests"], shown["outstanding"]) == (1, 2)
    status = rest.get("/v1/status")
    assert (status["outstanding"], status["lag"]) == (2, 0)
    assert status["dswitches"] == {"known": 1, "connected": 1, "live": 1, "stale": 0}


def test_metrics(rest: Client, running: Service) -> None:
    def happen(dps: Any) -> None:
        dps.requests[Outcome.ALLOWED] += 3
        dps.invalidations += 2
        dps.refreshed += 5

    rest.put("/v1/dswitches/2", {})
    switch = Switch(running, 1)
    link = switch.connect("tap0")
    rest.put(WEB1, {"dswitch": "1", "port": "tap0"})
    link.received += 1
    running.ask(happen)
    running.ask(lambda dps: running.switches.hear(link, [Wire.packet_in(0xD0 << 56)]))
    link.received += 4
    values = measured(rest)
    one, two = "0000000000000001", "0000000000000002"
    assert values["dove_dswitches", "live"] == values["dove_dswitches", "down"] == 1
    assert (values["dove_dswitch_live", one], values["dove_dswitch_live", two]) == (1, 0)
    assert values["dove_dswitch_lag_revisions", one] == 0
    assert ("dove_dswitch_lag_revisions", two) not in values
    assert values["dove_dswitch_policy_requests_total", one] == 1
    assert values["dove_dswitch_outstanding", one] == 4
    assert values["dove_dswitch_flow_changes_total", one] > 0
    assert values[("dove_location_invalidations_total",)] == 2
    assert values[("dove_entries_refreshed_total",)] == 5
    switch.disconnect()
    values = measured(rest)
    assert values["dove_dswitches", "stale"] == 1
    assert values["dove_dswitch_live", one] == 0


def measured(client: Client) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(client("GET", "/metrics").text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
