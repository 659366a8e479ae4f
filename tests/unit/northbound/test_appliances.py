"""Appliances: the provider's side of service chains, and what a blueprint makes of them (F6, F16, F17)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dove_ryu.model.entities import Location
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve

from .served import SHOP, Client, Service

FW = "/v1/appliances/FW-1"
ONE = {"name": "one", "dswitch": "3", "ingress": "fw-in", "egress": "fw-out"}
FIREWALL = {"kind": "firewall", "instances": [ONE]}
BLUEPRINT = "/v1/networks/shop/blueprint"
SHOWN_ONE = {**ONE, "dswitch": "0000000000000003", "weight": 1, "mac": None}


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
        "instances": [SHOWN_ONE],
        "segments": [],
    }
    assert client.get("/v1/appliances") == [{**created.json, "etag": created.headers["ETag"]}]
    again = client("PUT", FW, created.json)
    assert (again.status_code, again.headers["ETag"]) == (200, created.headers["ETag"])
    routed = [{**ONE, "egress": None, "mac": "02-00-00-00-0F-01", "weight": 0}]
    changed = client.put(FW, {"kind": "firewall", "sharing": "dedicated", "routed": True, "instances": routed})
    assert changed["instances"] == [{**SHOWN_ONE, "egress": "fw-in", "mac": "02:00:00:00:0f:01", "weight": 0}]
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
    ],
)
def test_what_is_no_appliance(client: Client, value: Any, places: list[str]) -> None:
    problem = client.refused(422, "PUT", FW, value)
    assert [each["place"] for each in problem["errors"]][: len(places)] == places


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
        (2, "shop", "lb>app", 2, "0x800001"),
        (3, "shop2", "lb>app", 1, "0x800002"),
    ]
    assert {each["instance"] for each in segments} == {"one"}
    detail = client.refused(409, "PUT", FW, {**FIREWALL, "sharing": "dedicated"})["detail"]
    assert "in use by policy 'lb>app' of network 'shop', so its sharing cannot change" in detail
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
