"""Appliances: the provider's side of service chains, and what a blueprint makes of them (F6, F16, F17)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dove_ryu.model.appliances import Health, Seat
from dove_ryu.model.documents import document_of, key_of
from dove_ryu.model.entities import Entity, Location
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve

from .served import SHOP, Client, Service

FW = "/v1/appliances/FW-1"
ONE = {"name": "one", "dswitch": "3", "ingress": "fw-in", "egress": "fw-out"}
FIREWALL = {"kind": "firewall", "instances": [ONE]}
BLUEPRINT = "/v1/networks/shop/blueprint"
SEAT_ONE = {"dswitch": "0000000000000003", "ingress": "fw-in", "egress": "fw-out"}
WORKS = {"up": True, "since": None, "reason": ""}
SHOWN_ONE = {"name": "one", **SEAT_ONE, "weight": 1, "mac": None, "seat": SEAT_ONE, "health": WORKS} | {
    "drain": False,
    "slots": 1,
}


def chained(*actions: str, network: str = "shop", **fields: Any) -> dict[str, Any]:
    """The shop with a firewall between load balancer and application."""
    wanted: dict[str, Any] = copy.deepcopy(SHOP) | {"network": network} | fields
    wanted["actions"].append({"name": "fw", "kind": "firewall", "appliance": "FW-1"})
    wanted["policies"][0]["actions"] = list(actions)
    return wanted


def test_an_appliance_is_registered_changed_and_forgotten(client: Client) -> None:
    created = client("PUT", FW, FIREWALL)
    assert created.status_code == 201
    assert created.json == {
        "name": "FW-1",
        "kind": "firewall",
        "sharing": "vlan",
        "routed": False,
        "probe": None,
        "on_failure": "fail-closed",
        "tap": False,
        "number": 1,
        "instances": [SHOWN_ONE],
        "segments": [],
    }
    assert client.get("/v1/appliances") == [{**created.json, "etag": created.headers["ETag"]}]
    again = client("PUT", FW, created.json)
    assert (again.status_code, again.headers["ETag"]) == (200, created.headers["ETag"])
    routed = [{**ONE, "egress": None, "mac": "02-00-00-00-0F-01", "weight": 0}]
    changed = client.put(FW, {"kind": "firewall", "sharing": "dedicated", "routed": True, "instances": routed})
    one_port = {"egress": "fw-in", "seat": {**SEAT_ONE, "egress": "fw-in"}}
    assert changed["instances"] == [{**SHOWN_ONE, **one_port, "mac": "02:00:00:00:0f:01", "weight": 0, "slots": 0}]
    assert (changed["number"], client.put("/v1/appliances/other", {"kind": "x"})["number"]) == (1, 2)
    assert client("DELETE", "/v1/appliances/other").status_code == 204
    assert client("DELETE", FW).status_code == 204
    assert client.get("/v1/appliances") == []
    client.refused(404, "DELETE", FW)
    client.put("/v1/appliances/FW-2", FIREWALL)
    assert "did you mean 'FW-2'?" in client.refused(404, "GET", FW)["detail"]


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ("FW-1", [""]),
        ({"name": "FW-2", "kind": "fire wall", "sharing": "vlans"}, ["name", "kind", "sharing"]),
        ({"kind": "x", "instances": ["one"]}, ["instances[0]"]),
        (
            {"kind": "x", "instances": [{"name": "o", "dswitch": "x", "ingress": "a b"}]},
            ["instances[0].dswitch", "instances[0].ingress"],
        ),
        ({"kind": "x", "instances": [{**ONE, "mac": "02:00:00:00:00:01", "weight": 101}]}, ["instances[0].mac"] * 1),
        ({"kind": "x", "routed": True, "instances": [ONE]}, ["instances[0].mac"]),
        ({"kind": "x", "instances": [ONE, ONE]}, ["instances"]),
        (
            {"kind": "x", "instances": [{"name": "o", "egress": "out"}]},
            ["instances[0].dswitch", "instances[0].ingress"],
        ),
        ({"kind": "x", "on_failure": "fail"}, ["on_failure"]),
        ({"kind": "x", "tap": "yes"}, ["tap"]),
        ({"kind": "x", "tap": True, "routed": True}, ["routed"]),
        ({"kind": "x", "tap": True, "on_failure": "next"}, ["on_failure"]),
        ({"kind": "x", "tap": True, "probe": "frame"}, ["probe"]),
        ({"kind": "x", "tap": True, "instances": [ONE]}, ["instances[0].egress"]),
        ({"kind": "x", "instances": [{**ONE, "drain": 1}]}, ["instances[0].drain"]),
        ({"kind": "x", "probe": "arp"}, ["probe"]),
        ({"kind": "x", "probe": 7}, ["probe"]),
        ({"kind": "x", "probe": "frame", "routed": True}, ["probe"]),
        ({"kind": "x", "probe": {"interval": 1}}, ["probe.kind"]),
        ({"kind": "x", "probe": {"kind": "ping"}}, ["probe.kind"]),
        ({"kind": "x", "probe": {"kind": "arp", "address": "192.0.2.1"}}, ["probe.kind"]),
        ({"kind": "x", "probe": {"kind": "frame", "address": "192.0.2.1"}}, ["probe.address"]),
        ({"kind": "x", "routed": True, "probe": {"kind": "arp", "address": "192.0.2.0/24"}}, ["probe.address"]),
        (
            {"kind": "x", "probe": {"kind": "frame", "interval": 0, "down_after": 0, "up_after": "two"}},
            ["probe.interval", "probe.down_after", "probe.up_after"],
        ),
    ],
)
def test_what_is_no_appliance(client: Client, value: Any, places: list[str]) -> None:
    problem = client.refused(422, "PUT", FW, value)
    assert [each["place"] for each in problem["errors"]][: len(places)] == places


def test_a_pool_says_what_becomes_of_connections(client: Client) -> None:
    """X10: which share each instance has, which is drained, and what happens to those of one that fails."""
    two = {**ONE, "name": "two", "dswitch": "4", "weight": 3}
    shown = client.put(FW, {"kind": "firewall", "on_failure": "next", "instances": [ONE, two]})
    assert shown["on_failure"] == "next"
    one, other = (each["slots"] for each in shown["instances"])
    assert one + other == 64
    assert other > 2 * one > 0
    shown["instances"][1]["drain"] = True
    drained = client.put(FW, shown)["instances"]
    assert [(each["drain"], each["slots"]) for each in drained] == [(False, 64), (True, 0)]
    tapping = {"kind": "ids", "tap": True, "instances": [{"name": "one", "dswitch": "5", "ingress": "ids"}]}
    assert client.put("/v1/appliances/IDS", tapping)["tap"]


def test_a_port_is_one_appliances_or_one_endpoints(shop: Client) -> None:
    shop.put("/v1/networks/shop/endpoints/web1/location", {"dswitch": "3", "port": "tap0"})
    shop.put(FW, FIREWALL)
    for ports, who in (
        ({"ingress": "tap0"}, "endpoint 'shop/web1'"),
        ({"ingress": "in", "egress": "fw-out"}, "appliance 'FW-1'"),
    ):
        value = {"kind": "x", "instances": [{"name": "one", "dswitch": "3", **ports}]}
        assert f"is where {who} is" in shop.refused(409, "PUT", "/v1/appliances/other", value)["detail"]
    both = {"kind": "x", "instances": [{**ONE, "dswitch": "4"}, {**ONE, "name": "two", "dswitch": "4"}]}
    assert "another instance of it" in shop.refused(409, "PUT", "/v1/appliances/other", both)["detail"]
    there = {"dswitch": "3", "port": "fw-in"}
    detail = shop.refused(409, "PUT", "/v1/networks/shop/endpoints/web2/location", there)["detail"]
    assert detail.endswith("is where appliance 'FW-1' is; use another port, or change the appliance first")


def test_a_chain_is_applied_and_shown_with_its_vlans(client: Client, service: Service) -> None:
    """F17: two networks of equal addresses, and one of them twice."""
    assert "'FW-1', which is not registered" in client.refused(422, "PUT", BLUEPRINT, chained("fw"))["detail"]
    client.put(FW, {"kind": "firewall", "instances": [{**ONE, "weight": 0}]})
    assert "no instance takes packets" in client.refused(422, "PUT", BLUEPRINT, chained("fw"))["detail"]
    client.put(FW, FIREWALL)
    client.put(BLUEPRINT, chained("fw", "permit", "fw"))
    client.put("/v1/networks/shop2/blueprint", chained("fw", network="shop2", vni=5002))
    segments = client.get(FW)["segments"]
    assert [(each["vlan"], each["network"], each["policy"], each["hop"], each["label"]) for each in segments] == [
        (1, "shop", "lb>app", 1, "0x800000"),
        (2, "shop", "lb>app", 2, "0x800002"),
        (3, "shop2", "lb>app", 1, "0x800004"),
    ]
    detail = client.refused(409, "PUT", FW, {**FIREWALL, "sharing": "dedicated"})["detail"]
    assert "in use by policy 'lb>app' of network 'shop', so its sharing cannot change" in detail
    detail = client.refused(409, "PUT", FW, {"kind": "firewall", "tap": True})["detail"]
    assert "so its tap cannot change; register another one" in detail, "copies on their way would come back as packets"
    client.put(BLUEPRINT, chained("permit"))
    client.put(BLUEPRINT, chained("fw"))
    assert [each["vlan"] for each in client.get(FW)["segments"]] == [4, 3], (
        "2 and 1 rest until all others have been used"
    )
    assert [item.key for item in service.store.list("/dove/v1/vlans/").items] == [
        "/dove/v1/vlans/FW-1/3",
        "/dove/v1/vlans/FW-1/4",
    ]
    client("DELETE", "/v1/networks/shop")
    client("DELETE", "/v1/networks/shop2")
    assert [service.store.list(f"/dove/v1/{each}/").items for each in ("labels", "vlans")] == [(), ()]


def test_a_dedicated_appliance_serves_one_hop(client: Client) -> None:
    client.put(FW, {**FIREWALL, "sharing": "dedicated"})
    client.put(BLUEPRINT, chained("fw"))
    assert client.get(FW)["segments"][0]["vlan"] is None
    wanted = chained("fw", network="shop2", vni=5002)
    refused = client.refused(422, "PUT", "/v1/networks/shop2/blueprint", wanted)
    assert "is dedicated to another policy or hop" in refused["detail"]
    client.put(BLUEPRINT, chained("permit", "fw"))


def test_an_appliance_that_goes_stops_its_policies(client: Client, service: Service) -> None:
    """Fail-closed, with the reason; it comes back, and all is as it was."""
    client.put(FW, FIREWALL)
    client.put(BLUEPRINT, chained("fw"))
    client.put("/v1/networks/shop/endpoints/web1/location", {"dswitch": "1", "port": "tap0"})

    def outcome() -> tuple[Outcome, str]:
        tables = service.dps.world.tables["shop"]
        assert tables.locations["web1"] == Location("shop", "web1", 1, "tap0")
        reply = resolve(tables, PolicyRequest("lb", "10.0.1.11"))
        return reply.outcome, reply.reason

    assert outcome()[0] is Outcome.ALLOWED
    client("DELETE", FW)
    denied, reason = outcome()
    assert denied is Outcome.DENIED
    assert reason.endswith("needs appliance 'FW-1' for its action 'fw', and none is registered")
    traced = client.get("/v1/trace?network=shop&source=lb1&destination=web1")
    assert (traced["decision"], traced["reason"]) == ("denied", reason)
    client.put(FW, FIREWALL)
    assert outcome()[0] is Outcome.ALLOWED


def test_a_symmetric_policy_is_put_as_one_object(client: Client) -> None:
    client.put(FW, FIREWALL)
    client.put(BLUEPRINT, chained("permit"))
    client.put("/v1/networks/shop/policies/app>lb", {"actions": ["permit", "fw"]})
    client.put("/v1/networks/shop/policies/lb>app", {"actions": ["fw", "permit"], "symmetric": True})
    assert client.get("/v1/networks/shop/policies/lb>app")["actions"] == ["fw", "permit"]


def test_a_dry_run_makes_every_check_and_says_what_would_change(client: Client) -> None:
    dry = f"{FW}?dry_run"
    lines = [change["line"].partition(" {")[0] for change in client("PUT", dry, FIREWALL).json["changes"]]
    assert lines == ["+ appliances FW-1", "+ instances FW-1/one"]
    client.refused(404, "GET", FW)
    etag = client("PUT", FW, FIREWALL).headers["ETag"]
    changes = client("PUT", dry, {**FIREWALL, "kind": "ids", "instances": []}).json["changes"]
    assert [(each["sign"], each["path"]) for each in changes] == [
        ("~", "appliances FW-1 kind"),
        ("-", "instances FW-1/one"),
    ]
    client.refused(422, "PUT", dry, {"kind": "fire wall"})
    client.refused(409, "PUT", "/v1/appliances/FW-2?dry_run", FIREWALL)
    client.refused(412, "PUT", dry, FIREWALL, If_Match='"0"')
    assert client("PUT", FW, FIREWALL).headers["ETag"] == etag


FRAME = {"kind": "frame", "address": "", "interval": 0.2, "down_after": 3, "up_after": 2}
ARP = {"kind": "arp", "address": "2001:db8::1", "interval": 1.5, "down_after": 1, "up_after": 9}


@pytest.mark.parametrize(
    ("probe", "routed", "shown"),
    [
        ("frame", False, FRAME),
        (FRAME, False, FRAME),
        ({"kind": "frame", "interval": 2}, False, {**FRAME, "interval": 2.0}),
        ({**ARP, "address": "2001:DB8::0:1"}, True, ARP),
        ("none", True, None),
        ({"kind": "none"}, False, None),
        (None, False, None),
    ],
)
def test_a_probe_is_a_word_or_says_more(client: Client, probe: Any, routed: bool, shown: Any) -> None:
    """X10: and is shown in full, as it can be put again."""
    created = client.put(FW, {"kind": "x", "routed": routed, "probe": probe})
    assert created["probe"] == shown
    assert client.put(FW, created) == created


def test_an_instance_that_its_ports_place_is_shown_where_they_are(client: Client, service: Service) -> None:
    """X15."""
    client.put(FW, {"kind": "firewall", "instances": [{"name": "one"}]})
    nowhere = {"name": "one", "dswitch": None, "ingress": None, "egress": None, "weight": 1, "mac": None, "seat": None}
    shown = client.get(FW)
    assert shown["instances"] == [{**nowhere, "drain": False, "health": WORKS, "slots": 0}]
    client.put(BLUEPRINT, chained("fw"))
    commit(service, Seat("FW-1", "one", 3, "fw-in", "fw-out"))
    seated = client.get(FW)
    assert seated["instances"] == [{**nowhere, "drain": False, "seat": SEAT_ONE, "health": WORKS, "slots": 1}]
    assert client.put(FW, seated)["instances"] == seated["instances"]
    taken = {"kind": "x", "instances": [{**ONE, "name": "other"}]}
    assert "is where appliance 'FW-1' is" in client.refused(409, "PUT", "/v1/appliances/other", taken)["detail"]


def test_what_is_found_of_an_instance_is_shown_until_it_is_gone(client: Client, service: Service) -> None:
    """X10: another one of that name begins anew."""
    both = {"kind": "firewall", "instances": [ONE, {"name": "two"}]}
    client.put(FW, both)
    found = [Health("FW-1", name, False, "port fw-in is down", "2026-01-02T03:04:05+00:00") for name in ("one", "two")]
    for health in found:
        commit(service, health)
    down = {"up": False, "since": "2026-01-02T03:04:05+00:00", "reason": "port fw-in is down"}
    assert [each["health"] for each in client.get(FW)["instances"]] == [down, down]
    assert client.get("/v1/status")["instances"] == {"up": 0, "down": 1, "nowhere": 1}
    client.put(FW, FIREWALL)
    assert [each["health"] for each in client.put(FW, both)["instances"]] == [down, WORKS]
    client("DELETE", FW)
    assert [each["health"] for each in client.put(FW, both)["instances"]] == [WORKS, WORKS]


def test_a_dswitch_where_instances_are_fixed_is_not_forgotten(client: Client) -> None:
    client.put("/v1/dswitches/3", {})
    client.put(FW, {"kind": "x", "instances": [ONE, {"name": "two"}]})
    detail = client.refused(409, "DELETE", "/v1/dswitches/3")["detail"]
    assert detail == "appliances have instances there: FW-1/one; register them elsewhere, or without, first"
    client.put(FW, {"kind": "x", "instances": [{"name": "two"}]})
    assert client("DELETE", "/v1/dswitches/3").status_code == 204


def commit(service: Service, entity: Entity) -> None:
    """Record what was seen, and wait until the world has it."""
    assert service.reached(service.store.commit({key_of(entity): document_of(entity)}))
