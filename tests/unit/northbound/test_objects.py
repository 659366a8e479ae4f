"""Domains, actions, policies and endpoints over REST, one by one (F2, F3, F8, F31-F34)."""

from typing import Any

import pytest

from dove_ryu.model.documents import document_of, key_of
from dove_ryu.model.entities import Learned, Location

from .served import Client, Service

SHOP = "/v1/networks/shop"


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("domains/cache", {}, {"name": "cache", "members": []}),
        ("actions/pass", {"kind": "accept"}, {"name": "pass", "kind": "accept", "appliance": None, "config": ""}),
        (
            "policies/db%3Eapp",
            {"actions": ["permit"], "ttl": 7},
            {
                "name": "db>app",
                "from": "db",
                "to": "app",
                "actions": ["permit"],
                "ttl": 7,
                "dscp": None,
                "rate": None,
                "stateful": False,
                "tracking": 1,
            },
        ),
        (
            "endpoints/db2",
            {"domain": "db", "macs": ["020000000005"], "ips": ["2001:DB8:1:0::5"]},
            {
                "name": "db2",
                "domain": "db",
                "macs": ["02:00:00:00:00:05"],
                "ips": ["2001:db8:1::5"],
                "guard": True,
                "location": None,
                "learned": {"macs": [], "ips": []},
            },
        ),
    ],
)
def test_an_object_is_created_shown_listed_and_deleted(
    shop: Client, path: str, value: dict[str, Any], shown: dict[str, Any]
) -> None:
    collection, _, _ = path.partition("/")
    created = shop("PUT", f"{SHOP}/{path}", value)
    assert created.status_code == 201
    assert {name: said for name, said in created.json.items() if name != "number"} == shown
    assert shop.get(f"{SHOP}/{path}") == created.json
    listed = next(each for each in shop.get(f"{SHOP}/{collection}") if each["name"] == shown["name"])
    assert listed == {**created.json, "etag": created.headers["ETag"]}
    assert shop("PUT", f"{SHOP}/{path}", value).status_code == 200
    assert shop("DELETE", f"{SHOP}/{path}").status_code == 204
    shop.refused(404, "GET", f"{SHOP}/{path}")
    shop.refused(404, "DELETE", f"{SHOP}/{path}")


@pytest.mark.parametrize("kind", ["domains", "actions", "policies", "endpoints"])
def test_whatever_is_shown_can_be_put(shop: Client, service: Service, kind: str) -> None:
    revision = service.store.list("").revision
    for each in shop.get(f"{SHOP}/{kind}"):
        answer = shop("PUT", f"{SHOP}/{kind}/{each['name'].replace('>', '%3E')}", each)
        assert (answer.status_code, {**answer.json, "etag": answer.headers["ETag"]}) == (200, each)
    assert service.store.list("").revision == revision


def test_the_tracking_number_counts_the_changes_of_a_policy(shop: Client) -> None:
    path = f"{SHOP}/policies/app%3Edb"
    seen = [shop.get(path)["tracking"]]
    for action in ("accept", "deny", "deny"):
        seen.append(shop.put(path, {"actions": [action]})["tracking"])
    assert seen == [1, 2, 3, 3]


def test_an_action_that_changes_its_meaning_changes_its_policies(shop: Client) -> None:
    shop.put(f"{SHOP}/actions/permit", {"kind": "deny"})
    assert shop.get(f"{SHOP}/policies/lb%3Eapp")["tracking"] == 2


def test_the_default_policy_is_put_and_stays(shop: Client) -> None:
    path = f"{SHOP}/policies/default"
    edited = shop.put(path, {"verdict": "allow", "ttl": 9})
    assert (edited["verdict"], edited["ttl"], edited["tracking"]) == ("allow", 9, 2)
    assert "always has a default policy" in shop.refused(422, "DELETE", path)["detail"]
    problem = shop.refused(422, "PUT", path, {"verdict": "perhaps"})
    assert problem["errors"][0]["place"] == "verdict"


def test_an_endpoint_changes_domain(shop: Client) -> None:
    shown = shop.get(f"{SHOP}/endpoints/web1")
    shop.put(f"{SHOP}/endpoints/web1", {**shown, "domain": "db"})
    members = {each["name"]: each["members"] for each in shop.get(f"{SHOP}/domains")}
    assert members == {"app": ["web2"], "db": ["db1", "web1"], "lb": ["lb1"]}
    assert shop.get(f"{SHOP}/domains/app")["members"] == ["web2"]


def test_places_are_those_of_the_object_that_was_sent(shop: Client) -> None:
    problem = shop.refused(422, "PUT", f"{SHOP}/policies/db%3Eapp", {"actions": ["permti"], "tll": 3})
    assert {each["place"]: each["reason"] for each in problem["errors"]} == {
        "tll": "no such field; did you mean 'ttl'?",
        "actions[0]": "no action 'permti'; did you mean 'permit'?",
    }
    problem = shop.refused(422, "PUT", f"{SHOP}/endpoints/web3", {"domain": "app", "ips": ["10.0.1.11"]})
    assert problem["errors"] == [{"place": "ips[0]", "reason": "10.0.1.11 belongs to endpoint 'web1' already"}]
    assert shop.refused(422, "PUT", f"{SHOP}/policies/db%3Eapp", {"name": "db>lb"})["errors"]
    shop.refused(422, "PUT", f"{SHOP}/domains/cache", "cache")


def test_what_others_refer_to_is_not_deleted(shop: Client) -> None:
    assert "policy app>db" in shop.refused(409, "DELETE", f"{SHOP}/domains/db")["detail"]
    assert "policy lb>app" in shop.refused(409, "DELETE", f"{SHOP}/actions/permit")["detail"]


def test_an_object_needs_its_network(client: Client) -> None:
    assert client.refused(404, "PUT", f"{SHOP}/domains/app", {})["detail"] == "no network 'shop'"
    assert client.refused(404, "DELETE", f"{SHOP}/domains/app")["detail"] == "no network 'shop'"


def test_what_was_perhaps_meant_is_said(shop: Client) -> None:
    assert "did you mean 'web1'" in shop.refused(404, "GET", f"{SHOP}/endpoints/weeb1")["detail"]
    assert "did you mean 'app>db'" in shop.refused(404, "DELETE", f"{SHOP}/policies/app%3Edbb")["detail"]


def test_what_was_learned_of_an_endpoint_is_shown_and_goes_with_it(shop: Client, service: Service) -> None:
    shop.put(f"{SHOP}/endpoints/quiet", {"domain": "app"})
    learned = Learned("shop", "quiet", ("02:00:00:00:00:09",), ("10.0.1.99",))
    service.reached(service.store.commit({key_of(learned): document_of(learned)}))
    assert shop.get(f"{SHOP}/endpoints/quiet")["learned"] == {"macs": ["02:00:00:00:00:09"], "ips": ["10.0.1.99"]}
    shop("DELETE", f"{SHOP}/endpoints/quiet")
    assert service.store.get(key_of(learned)) is None


@pytest.mark.parametrize("observed", [False, True])
def test_a_location_goes_with_its_endpoint_unless_its_port_says_so(
    shop: Client, service: Service, observed: bool
) -> None:
    place = Location("shop", "web1", 1, "tap0", observed=observed)
    service.store.commit({key_of(place): document_of(place)})
    shop("DELETE", f"{SHOP}/endpoints/web1")
    assert (service.store.get(key_of(place)) is not None) == observed
