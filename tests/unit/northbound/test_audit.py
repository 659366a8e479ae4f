"""Audits over REST, of dSwitches that hold what they were told and more or less than that (X1)."""

from typing import Any

import pytest

from dove_ryu.northbound import audits
from dove_ryu.service import Service

from .served import SHOP, Client
from .switch import Switch

AUDIT = "/v1/dswitches/1/audit"


@pytest.fixture
def switch(running: Service) -> Switch:
    """A live dSwitch that hosts two of the shop's endpoints."""
    client = Client(running)
    client.put("/v1/networks/shop/blueprint", SHOP)
    for name, port in (("web1", "tap1"), ("web2", "tap2")):
        client.put(f"/v1/networks/shop/endpoints/{name}/location", {"dswitch": "1", "port": port})
    switch = Switch(running, 1)
    switch.connect("tap1", "tap2")
    return switch


@pytest.fixture
def rest(running: Service) -> Client:
    return Client(running)


def audit(client: Client, query: str = "") -> dict[str, Any]:
    response = client("POST", AUDIT + query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json
    return answer


def test_a_dswitch_that_holds_what_it_should_is_clean(rest: Client, switch: Switch) -> None:
    assert switch.flows
    assert audit(rest) == {"dpid": "0000000000000001", "clean": True, "findings": []}


def test_what_differs_is_told_and_repaired(rest: Client, switch: Switch) -> None:
    gone, (head, body) = next((key, held) for key, held in switch.flows.items() if key[0])
    del switch.flows[gone]
    foreign = (gone[0], 7, gone[2])
    switch.flows[foreign] = (*head[:3], 7, *head[4:7], 0xBEEF, 0, 0), body
    answer = audit(rest)
    assert not answer["clean"]
    assert {each["difference"] for each in answer["findings"]} == {"missing", "foreign"}
    found = next(each for each in answer["findings"] if each["difference"] == "foreign")
    assert found["why"] == "its cookie is not the DPS's"
    assert found["table"] == gone[0]
    assert found["flow"].startswith(f"cookie=0xbeef, table={gone[0]}, priority=7")
    assert audit(rest, "?repair") == answer
    assert gone in switch.flows
    assert foreign not in switch.flows
    assert audit(rest)["clean"]


def test_a_change_under_way_is_no_difference(rest: Client, switch: Switch) -> None:
    switch.late = {next(iter(switch.flows))}
    assert audit(rest)["clean"]


def test_only_a_live_dswitch_is_audited(rest: Client, switch: Switch) -> None:
    rest.put("/v1/dswitches/2", {})
    never = rest.refused(409, "POST", "/v1/dswitches/2/audit")["detail"]
    assert never.startswith(
        "dSwitch 0000000000000002 is down, and only a live one can be audited: it has not connected"
    )
    switch.disconnect()
    stale = rest.refused(409, "POST", AUDIT)["detail"]
    assert stale.startswith("dSwitch 0000000000000001 is stale")
    assert "no OpenFlow connection since 2" in stale
    rest.refused(404, "POST", "/v1/dswitches/3/audit")
    assert rest("GET", AUDIT).headers["Allow"] == "POST"
    rest.refused(400, "POST", f"{AUDIT}?repairs")


def test_a_dswitch_that_does_not_answer(rest: Client, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "PATIENCE", 0.1)
    switch.deaf = True
    problem = rest.refused(504, "POST", AUDIT)
    assert "dSwitch 0000000000000001 did not tell its flows within 0.1 s" in problem["detail"]


def test_a_dswitch_that_goes_during_its_audit(rest: Client, switch: Switch, running: Service) -> None:
    ask = switch.write

    def go(data: bytes) -> bool:
        running.post(running.switches.lose, switch.link)
        return ask(b"")

    switch.write = go  # type: ignore[method-assign]
    assert "is stale" in rest.refused(409, "POST", AUDIT)["detail"]
