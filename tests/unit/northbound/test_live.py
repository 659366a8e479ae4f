"""A live trace as REST tells it: where a marked packet was seen, and what that says (X2)."""

from __future__ import annotations

from typing import Any

import pytest

from dove_ryu.lookouts import Point
from dove_ryu.service import Service as RunningService

from .served import SHOP, Client, Service
from .switch import Switch

TRACE = "/v1/trace?network=shop&source=lb1&destination=web2"
SENT_ON, HANDED_OVER, GIVEN_BACK, DELIVERED, ANSWERED = Point

CHAINED = {
    **SHOP,
    "service": "l2",
    "gateways": [],
    "actions": [{"name": name, "kind": name, "appliance": name} for name in ("fw", "ssl")],
    "policies": [{"from": "lb", "to": "app", "actions": ["fw", "ssl"]}],
}


@pytest.fixture
def chained(client: Client, service: Service) -> Client:
    """The shop on two dSwitches with an appliance each: lb1 and ssl on the one, web2 and fw on the other."""
    for dpid, name in (("2", "fw"), ("1", "ssl")):
        client.put(f"/v1/dswitches/{dpid}", {"encap_ips": [f"192.0.2.{dpid}"], "encap_types": ["geneve"]})
        instance = {"name": "one", "dswitch": dpid, "ingress": "in", "egress": "out"}
        client.put(f"/v1/appliances/{name}", {"kind": name, "instances": [instance]})
        service.ask(lambda dps, dpid=dpid: dps.connect(int(dpid), {"tap": 1, "in": 2, "out": 3, "dove-geneve": 4}, []))  # type: ignore[misc]
    client.put("/v1/networks/shop/blueprint", CHAINED)
    for name, dpid in (("lb1", "1"), ("web2", "2")):
        client.put(f"/v1/networks/shop/endpoints/{name}/location", {"dswitch": dpid, "port": "tap"})
    return client


def live(client: Client, path: str = TRACE) -> dict[str, Any]:
    response = client("POST", path)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json["live"]
    return answer


NOWHERE = "it was seen nowhere behind the source's own dSwitch"
EVERYWHERE: dict[tuple[int, Point], int | None] = {
    (hop, point): 1 for hop in (1, 2) for point in (SENT_ON, HANDED_OVER, GIVEN_BACK)
}


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({}, NOWHERE),
        ({(1, SENT_ON): 1}, "it was sent on to fw (hop 1), and never came to where that is"),
        ({(1, SENT_ON): 1, (1, HANDED_OVER): 1}, "it was handed over to fw (hop 1), and never given back"),
        ({(1, GIVEN_BACK): 1}, "it was given back by fw (hop 1), and never sent on to ssl (hop 2)"),
        ({(2, HANDED_OVER): 1}, "it was handed over to ssl (hop 2), and never given back"),
        (EVERYWHERE, "it was given back by ssl (hop 2), and never delivered"),
        (
            EVERYWHERE | {(0, DELIVERED): 1},
            "it arrived, and was not answered: the machine is not up, or answers no pings",
        ),
        (EVERYWHERE | {(0, DELIVERED): 1, (0, ANSWERED): 1}, "it arrived, and was answered"),
        (
            dict.fromkeys([*EVERYWHERE, (0, DELIVERED), (0, ANSWERED)]),
            f"{NOWHERE}; dSwitch 0000000000000001, 0000000000000002 did not say what it has seen",
        ),
    ],
)
def test_how_far_a_packet_got(
    chained: Client, service: Service, seen: dict[tuple[int, Point], int | None], reason: str
) -> None:
    service.seen = seen
    told = live(chained)
    assert told["reason"] == reason
    assert (told["sent"], told["arrived"]) == (True, bool(seen.get((0, DELIVERED))))
    assert told["answered"] is bool(seen.get((0, ANSWERED)))


def test_what_was_seen_is_told_in_order(chained: Client, service: Service) -> None:
    service.seen = EVERYWHERE | {(0, DELIVERED): 1}
    told = live(chained)["seen"]
    hops = [(each["hop"], each["point"], each["dswitch"][-1]) for each in told if each["point"] == HANDED_OVER.value]
    assert hops == [(1, "handed over to", "2"), (2, "handed over to", "1")]
    assert [each["hop"] for each in told] == sorted((each["hop"] for each in told), key=lambda hop: hop or 9)
    assert told[0] == {
        "point": "sent on to",
        "hop": 1,
        "appliance": "fw",
        "dswitch": "0000000000000001",
        "packets": 1,
    }
    assert told[-1] == {
        "point": "answered",
        "hop": None,
        "appliance": None,
        "dswitch": "0000000000000002",
        "packets": 0,
    }


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("lb1", "10.9.9.9", "a packet is sent from an endpoint to an endpoint, and one of the two is none"),
        ("nobody", "web2", "a packet is sent from an endpoint to an endpoint, and one of the two is none"),
        ("lb1", "web1", "endpoint 'web1' is not attached to any dSwitch"),
    ],
)
def test_what_cannot_be_sent(chained: Client, source: str, destination: str, reason: str) -> None:
    told = live(chained, f"/v1/trace?network=shop&source={source}&destination={destination}")
    assert told == {"sent": False, "arrived": False, "answered": False, "reason": reason, "seen": []}


def test_refusals(chained: Client) -> None:
    assert "'destination' is missing" in chained.refused(400, "POST", TRACE.rpartition("&")[0])["detail"]
    chained.refused(404, "POST", TRACE.replace("shop", "shoe"))


def test_a_dswitch_that_holds_other_flows_is_named(running: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one neither sends packets on nor says what its lookouts see, and has lost a flow."""
    for pause in ("SETTLING", "FLIGHT", "GRACE"):
        monkeypatch.setattr(f"dove_ryu.expeditions.{pause}", 0.01)
    client = Client(running)
    client.put("/v1/networks/shop/blueprint", SHOP)
    for name, port in (("lb1", "tap1"), ("web2", "tap2")):
        client.put(f"/v1/networks/shop/endpoints/{name}/location", {"dswitch": "1", "port": port})
    switch = Switch(running, 1)
    switch.connect("tap1", "tap2")
    unseen = (
        "it was seen nowhere behind the source's own dSwitch; dSwitch 0000000000000001 did not say what it has seen"
    )
    assert live(client)["reason"] == unseen
    del switch.flows[next(iter(switch.flows))]
    drift = "; not as it should be: dSwitch 0000000000000001, which `dove audit` tells about"
    assert live(client)["reason"] == unseen + drift
