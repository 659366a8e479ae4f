"""ETag, If-Match and If-None-Match (RFC 9110)."""

import pytest

from .served import Client

SHOP = "/v1/networks/shop"
POLICY = f"{SHOP}/policies/app%3Edb"
WEB1 = f"{SHOP}/endpoints/web1"
ALLOW = {"actions": ["accept"]}


def tag(client: Client, path: str) -> str:
    found = client("GET", path).headers["ETag"]
    assert found.startswith('"')
    assert found.endswith('"')
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/v1/networks",
        SHOP,
        f"{SHOP}/blueprint",
        f"{SHOP}/domains",
        f"{SHOP}/domains/app",
        POLICY,
        WEB1,
        "/v1/dswitches/1",
    ],
)
def test_a_get_with_the_tag_that_is_known_answers_304(shop: Client, path: str) -> None:
    shop.put("/v1/dswitches/1", {})
    known = tag(shop, path)
    response = shop("GET", path, If_None_Match=f'"other", {known}')
    assert (response.status_code, response.body, response.headers["ETag"]) == (304, b"", known)
    assert shop("GET", path, If_None_Match='"other"').status_code == 200


def test_an_edit_on_sight_of_the_present_version_is_made(shop: Client) -> None:
    before = tag(shop, POLICY)
    edited = shop("PUT", POLICY, ALLOW, If_Match=before)
    assert (edited.status_code, edited.headers["ETag"]) == (200, tag(shop, POLICY))
    assert edited.headers["ETag"] != before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_edit_on_sight_of_an_old_version_is_refused(shop: Client, method: str) -> None:
    before = tag(shop, POLICY)
    shop.put(POLICY, ALLOW)
    problem = shop.refused(412, method, POLICY, {"actions": ["deny"]}, If_Match=before)
    assert "has changed since you read it" in problem["detail"]
    assert shop.get(POLICY)["actions"] == ["accept"]


def test_an_edit_elsewhere_in_the_network_is_no_obstacle_to_an_object(shop: Client) -> None:
    before, network = tag(shop, POLICY), tag(shop, SHOP)
    shop.put(f"{SHOP}/domains/new", {})
    shop.put(POLICY, ALLOW, If_Match=before)
    shop.refused(412, "PUT", f"{SHOP}/blueprint", {}, If_Match=network)
    shop.refused(412, "DELETE", SHOP, If_Match=network)


def test_if_match_takes_lists_stars_and_no_weak_tags(shop: Client) -> None:
    present = tag(shop, POLICY)
    shop.put(POLICY, {"actions": ["deny"]}, If_Match=f'"99", {present}')
    shop.put(POLICY, {"actions": ["deny"]}, If_Match="*")
    shop.refused(412, "PUT", POLICY, ALLOW, If_Match=f"W/{present}")
    shop.refused(412, "PUT", f"{SHOP}/domains/new", {}, If_Match="*")


def test_if_none_match_star_only_creates(shop: Client) -> None:
    path = f"{SHOP}/domains/new"
    assert shop("PUT", path, {}, If_None_Match="*").status_code == 201
    shop.refused(412, "PUT", path, {}, If_None_Match="*")
    shop.refused(412, "PUT", f"{SHOP}/blueprint", {}, If_None_Match="*")
    shop.refused(412, "PUT", path, {}, If_None_Match=tag(shop, path))


def test_what_is_observed_shows_in_the_tag_and_does_not_spoil_an_edit(shop: Client) -> None:
    before = tag(shop, WEB1)
    shop.put(f"{WEB1}/location", {"dswitch": "1", "port": "tap0"})
    moved = tag(shop, WEB1)
    assert moved != before
    assert shop("GET", WEB1, If_None_Match=before).status_code == 200
    shop.put(WEB1, shop.get(WEB1) | {"guard": False}, If_Match=before)
    shop.refused(412, "PUT", WEB1, shop.get(WEB1), If_Match=moved)


def test_members_joining_show_in_a_domains_tag(shop: Client) -> None:
    before = tag(shop, f"{SHOP}/domains/app")
    shop.put(f"{SHOP}/endpoints/web9", {"domain": "app"})
    assert shop("GET", f"{SHOP}/domains/app", If_None_Match=before).status_code == 200


def test_locations_and_dswitches_have_versions_too(shop: Client) -> None:
    for path, value, other in [
        (f"{WEB1}/location", {"dswitch": "1", "port": "tap0"}, {"dswitch": "2", "port": "tap0"}),
        ("/v1/dswitches/9", {"name": "one"}, {"name": "two"}),
    ]:
        created = shop("PUT", path, value, If_None_Match="*")
        assert created.status_code == 201
        shop.refused(412, "PUT", path, value, If_None_Match="*")
        edited = shop("PUT", path, other, If_Match=created.headers["ETag"])
        assert edited.status_code == 200
        shop.refused(412, "PUT", path, value, If_Match=created.headers["ETag"])
        shop.refused(412, "DELETE", path, If_Match=created.headers["ETag"])
        assert shop("GET", path, If_None_Match=edited.headers["ETag"]).status_code == 304
