"""Networks and blueprints over REST: created, amended, foreseen, deleted (F5, F6, F30, F32, X13)."""

import copy
from typing import Any

import pytest
import yaml

from dove_ryu.model.documents import ALLOCATION_KEY, vni_key, zone_key

from .served import SHOP, Client, Service

BLUEPRINT = "/v1/networks/shop/blueprint"


def lines(answer: dict[str, Any]) -> list[str]:
    return [change["line"] for change in answer["changes"]]


def test_a_blueprint_becomes_a_network(client: Client) -> None:
    response = client("PUT", BLUEPRINT, SHOP)
    assert response.status_code == 201
    answer = response.json
    assert "+ endpoints web1" in lines(answer)
    assert answer["blueprint"] == client.get(BLUEPRINT)
    assert response.headers["ETag"] == client("GET", "/v1/networks/shop").headers["ETag"]


def test_a_blueprint_may_be_yaml(client: Client) -> None:
    response = client("PUT", BLUEPRINT, yaml.safe_dump(SHOP).encode(), Content_Type="application/yaml; charset=utf-8")
    assert response.status_code == 201
    assert [each["name"] for each in client.get("/v1/networks")] == ["shop"]


def test_the_same_blueprint_again_is_no_change(shop: Client, service: Service) -> None:
    revision = service.store.list("").revision
    response = shop("PUT", BLUEPRINT, SHOP)
    assert (response.status_code, response.json["changes"]) == (200, [])
    assert service.store.list("").revision == revision


def test_a_blueprint_shown_can_be_put(shop: Client) -> None:
    assert shop.put(BLUEPRINT, shop.get(BLUEPRINT))["changes"] == []


def test_only_what_differs_changes(shop: Client) -> None:
    wanted = copy.deepcopy(SHOP)
    wanted["policies"][0]["ttl"] = 300
    del wanted["endpoints"][2]
    answer = shop.put(BLUEPRINT, wanted)
    assert lines(answer) == ["~ policies lb>app ttl 200 -> 300", "- endpoints web2"]
    assert answer["changes"][0] == {
        "line": "~ policies lb>app ttl 200 -> 300",
        "sign": "~",
        "path": "policies lb>app ttl",
        "old": 200,
        "new": 300,
    }
    tracking = {each["name"]: each["tracking"] for each in shop.get("/v1/networks/shop/policies")}
    assert tracking == {"lb>app": 2, "app>app": 1, "app>db": 1, "default": 1}


@pytest.mark.parametrize("query", ["dry_run", "dry_run=true", "dry_run=1"])
def test_a_dry_run_tells_and_changes_nothing(shop: Client, service: Service, query: str) -> None:
    revision = service.store.list("").revision
    answer = shop.put(f"{BLUEPRINT}?{query}", {**SHOP, "default_policy": "allow"})
    assert lines(answer) == ["~ policies default verdict deny -> allow"]
    assert answer.keys() == {"changes"}
    assert service.store.list("").revision == revision


def test_a_dry_run_makes_every_check(shop: Client, client: Client) -> None:
    client.refused(409, "PUT", "/v1/networks/other/blueprint?dry_run", {"vni": 5001})
    client.refused(412, "PUT", f"{BLUEPRINT}?dry_run", SHOP, If_None_Match="*")
    client.refused(422, "PUT", f"{BLUEPRINT}?dry_run", {**SHOP, "domains": []})


def test_dry_run_false_is_carried_out(shop: Client) -> None:
    shop.put(f"{BLUEPRINT}?dry_run=false", {**SHOP, "default_policy": "allow"})
    assert shop.get("/v1/networks/shop")["default_policy"] == "allow"


def test_every_problem_of_a_blueprint_is_told_with_its_place(client: Client) -> None:
    wanted = copy.deepcopy(SHOP)
    wanted["policies"][1]["to"] = "ap"
    wanted["endpoints"][0]["ips"] = ["10.0.0.300"]
    problem = client.refused(422, "PUT", BLUEPRINT, wanted)
    assert problem["title"] == "Unprocessable Content"
    assert problem["detail"] == "policies[1].to: no domain 'ap'; did you mean 'app'? (and 1 more)"
    assert problem["instance"] == BLUEPRINT
    assert [each["place"] for each in problem["errors"]] == ["policies[1].to", "endpoints[0].ips[0]"]
    assert problem["errors"][0]["reason"] == "no domain 'ap'; did you mean 'app'?"


def test_a_blueprint_of_another_network_is_refused(client: Client) -> None:
    problem = client.refused(422, "PUT", "/v1/networks/stop/blueprint", SHOP)
    assert problem["errors"][0]["place"] == "network"
    client.refused(422, "PUT", BLUEPRINT, ["shop"])


def test_an_action_without_an_appliance_is_refused(client: Client) -> None:
    wanted = copy.deepcopy(SHOP)
    wanted["actions"].append({"name": "inspect", "kind": "firewall"})
    wanted["policies"][0]["actions"] = ["inspect"]
    problem = client.refused(422, "PUT", BLUEPRINT, wanted)
    assert problem["errors"][0]["place"] == "policies[0].actions[0]"
    assert "appliance" in problem["detail"]


def test_a_vni_is_allocated_and_kept(client: Client) -> None:
    assert client("PUT", "/v1/networks/a", {}).status_code == 201
    assert client("PUT", "/v1/networks/b", {}).status_code == 201
    first, second = client.get("/v1/networks")
    assert first["vni"] != second["vni"]
    assert client.put("/v1/networks/a", {"default_policy": "allow"})["vni"] == first["vni"]


def test_a_vni_belongs_to_one_network(shop: Client) -> None:
    problem = shop.refused(409, "PUT", "/v1/networks/other", {"vni": 5001})
    assert "belongs to network 'shop'" in problem["detail"]
    shop.put("/v1/networks/shop", {"vni": 5002, **{k: SHOP[k] for k in ("service", "gateways")}})
    assert shop.put("/v1/networks/other", {"vni": 5001})["vni"] == 5001
    shop("DELETE", "/v1/networks/shop")
    shop.put("/v1/networks/third", {"vni": 5002})


def test_a_vni_that_the_world_has_not_seen_yet_is_taken_all_the_same(client: Client, service: Service) -> None:
    service.store.commit({vni_key(1): {"network": "elsewhere"}})
    assert client.put("/v1/networks/a", {})["vni"] == 2


def test_a_network_claims_a_zone_with_its_first_stateful_policy(shop: Client, service: Service) -> None:
    """X7: and gives it back when it goes."""
    assert service.store.get(zone_key(1)) is None
    shop.put("/v1/networks/shop/policies/lb%3Edb", {"actions": ["accept"], "stateful": True})
    assert service.store.get(zone_key(1)) is not None
    shop.put("/v1/networks/shop/policies/lb%3Edb", {"actions": ["accept"]})
    assert service.store.get(zone_key(1)) is not None, "what was kept in it may still be there"
    shop("DELETE", "/v1/networks/shop")
    assert service.store.get(zone_key(1)) is None


def test_a_network_is_edited_apart_from_what_is_in_it(shop: Client) -> None:
    shown = shop.get("/v1/networks/shop")
    assert shown["counts"] == {"domains": 3, "actions": 1, "policies": 4, "endpoints": 4}
    shown["default_policy"] = {"verdict": "allow", "ttl": 60}
    edited = shop.put("/v1/networks/shop", shown)
    assert edited == {**shown, "default_policy": {"verdict": "allow", "ttl": 60}}
    assert shop.get("/v1/networks/shop/policies/default")["tracking"] == 2
    problem = shop.refused(422, "PUT", "/v1/networks/shop", {"domains": [], "gateway": [], "name": "stop"})
    assert [each["place"] for each in problem["errors"]] == ["domains", "gateway", "name"]
    assert "did you mean 'gateways'?" in problem["errors"][1]["reason"]
    shop.refused(422, "PUT", "/v1/networks/shop", ["name"])


def test_a_deleted_network_leaves_the_allocation_alone(shop: Client, service: Service) -> None:
    shop.put("/v1/networks/shop/endpoints/web1/location", {"dswitch": "1", "port": "tap0"})
    numbers = {each["number"] for each in shop.get("/v1/networks/shop/domains")}
    deleted = shop("DELETE", "/v1/networks/shop")
    assert (deleted.status_code, deleted.body, "Content-Type" in deleted.headers) == (204, b"", False)
    assert [item.key for item in service.store.list("").items] == [ALLOCATION_KEY]
    assert service.ask(lambda dps: dps.world.tables) == {}
    shop.put(BLUEPRINT, SHOP)
    assert numbers.isdisjoint(each["number"] for each in shop.get("/v1/networks/shop/domains"))


def test_what_is_not_there_cannot_be_read_or_deleted(shop: Client) -> None:
    for method, path in [
        ("GET", "/v1/networks/shp"),
        ("DELETE", "/v1/networks/shp"),
        ("GET", "/v1/networks/shp/blueprint"),
        ("GET", "/v1/networks/shp/domains"),
        ("GET", "/v1/networks/shp/domains/app"),
        ("GET", "/v1/trace?network=shp&source=a&destination=b"),
    ]:
        assert shop.refused(404, method, path)["detail"] == "no network 'shp'; did you mean 'shop'?"
