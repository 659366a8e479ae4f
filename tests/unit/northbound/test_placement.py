"""Locations and dSwitches over REST (F10, F12, F18, F24, F26)."""

from typing import Any

import pytest

from dove_ryu.dps import Observation

from .served import Client, Service

SHOP = "/v1/networks/shop"
WEB1 = f"{SHOP}/endpoints/web1"
HERE = {"dswitch": "0000000000000001", "port": "tap0"}


def test_an_endpoint_is_located_moved_and_detached(shop: Client) -> None:
    created = shop("PUT", f"{WEB1}/location", HERE)
    assert created.status_code == 201
    assert created.json == {**HERE, "tracking": 1, "observed": False, "migrating_to": None}
    assert shop.get(f"{WEB1}/location") == shop.get(WEB1)["location"] == created.json
    again = shop("PUT", f"{WEB1}/location", created.json)
    assert (again.status_code, again.json, again.headers["ETag"]) == (200, created.json, created.headers["ETag"])
    moved = shop.put(f"{WEB1}/location", {"dswitch": "0xAb", "port": "tap0"})
    assert moved == {**created.json, "dswitch": "00000000000000ab", "tracking": 2}
    assert shop("DELETE", f"{WEB1}/location").status_code == 204
    assert shop.get(WEB1)["location"] is None
    assert "not attached" in shop.refused(404, "GET", f"{WEB1}/location")["detail"]
    shop.refused(404, "DELETE", f"{WEB1}/location")


def test_a_live_migration_is_begun_and_completed(shop: Client) -> None:
    begun = shop.put(f"{WEB1}/location", {**HERE, "migrating_to": {"dswitch": "2", "port": "tap7"}})
    there = {"dswitch": "0000000000000002", "port": "tap7"}
    assert begun == {**HERE, "tracking": 1, "observed": False, "migrating_to": there}
    assert shop.get(f"{WEB1}/location") == shop.get(WEB1)["location"] == begun
    assert [hosted(shop, dpid) for dpid in "12"] == [[("web1", "tap0", False)], [("web1", "tap7", True)]]
    completed = shop.put(f"{WEB1}/location", there)
    assert completed == {**there, "tracking": 2, "observed": False, "migrating_to": None}
    assert hosted(shop, "2") == [("web1", "tap7", False)]
    shop.refused(404, "GET", "/v1/dswitches/1")


def test_a_live_migration_is_aborted(shop: Client) -> None:
    before = shop.put(f"{WEB1}/location", HERE)
    shop.put(f"{WEB1}/location", {**HERE, "migrating_to": {"dswitch": "2"}})
    assert hosted(shop, "2") == [("web1", "", True)]
    assert shop.put(f"{WEB1}/location", HERE) == before
    shop.refused(404, "GET", "/v1/dswitches/2")


def test_a_live_migration_that_hosts_tell_of_ends_as_they_tell(shop: Client, service: Service) -> None:
    key = "/dove/v1/locations/shop/web1"
    target = {"dpid": "0000000000000002", "port": "tap7"}
    document = {"dpid": HERE["dswitch"], "port": "tap0", "tracking": 1, "observed": True, "migrating_to": target}
    service.reached(service.store.commit({key: document}))
    assert shop.put(f"{WEB1}/location", {"dswitch": "2", "port": "tap7"})["observed"]


def hosted(client: Client, dpid: str) -> list[tuple[str, str, bool]]:
    shown = client.get(f"/v1/dswitches/{dpid}")["endpoints"]
    return [(each["name"], each["port"], each["arriving"]) for each in shown]


def test_a_live_migration_needs_a_place_of_its_own(shop: Client) -> None:
    shop.put(f"{SHOP}/endpoints/web2/location", {"dswitch": "2", "port": "tap7"})
    wanted = {**HERE, "migrating_to": {"dswitch": "2", "port": "tap7"}}
    taken = shop.refused(409, "PUT", f"{WEB1}/location", wanted)["detail"]
    assert "port tap7 of dSwitch 0000000000000002 is where endpoint 'shop/web2' is" in taken
    shop.put(f"{WEB1}/location", {**HERE, "migrating_to": {"dswitch": "2", "port": "tap8"}})
    arriving = shop.refused(409, "PUT", f"{SHOP}/endpoints/db1/location", {"dswitch": "2", "port": "tap8"})["detail"]
    assert "is where endpoint 'shop/web1' is" in arriving


def test_a_location_does_not_touch_its_network(shop: Client) -> None:
    before = shop("GET", SHOP).headers["ETag"]
    shop.put(f"{WEB1}/location", HERE)
    assert shop("GET", SHOP).headers["ETag"] == before


def test_a_location_needs_its_endpoint(shop: Client) -> None:
    for method in ("GET", "PUT", "DELETE"):
        path = f"{SHOP}/endpoints/web9/location"
        assert "no endpoint 'web9' in network 'shop'" in shop.refused(404, method, path, HERE)["detail"]
        shop.refused(404, method, "/v1/networks/none/endpoints/web1/location", HERE)


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"dswitch": "wrong", "port": "tap0"}, ["dswitch"]),
        ({"dswitch": 1, "port": "tap0"}, ["dswitch"]),
        ({"dswitch": "0", "port": "tap 0"}, ["dswitch", "port"]),
        ({"dswitch": "00000000000000001", "prt": "tap0"}, ["prt", "dswitch", "port"]),
        (["1", "tap0"], [""]),
        ({**HERE, "migrating_to": {"dswitch": "1"}}, ["migrating_to"]),
        (
            {**HERE, "migrating_to": {"dswitch": "wrong", "port": "tap 0"}},
            ["migrating_to.dswitch", "migrating_to.port"],
        ),
        ({**HERE, "migrating_to": "2"}, ["migrating_to"]),
    ],
)
def test_what_is_no_location(shop: Client, value: Any, places: list[str]) -> None:
    problem = shop.refused(422, "PUT", f"{WEB1}/location", value)
    assert [each["place"] for each in problem["errors"]] == places


def test_a_port_has_one_endpoint(shop: Client) -> None:
    shop.put("/v1/networks/other/blueprint", {"domains": ["all"], "endpoints": [{"name": "web1", "domain": "all"}]})
    shop.put(f"{WEB1}/location", HERE)
    for path in (f"{SHOP}/endpoints/web2/location", "/v1/networks/other/endpoints/web1/location"):
        assert "is where endpoint 'shop/web1' is" in shop.refused(409, "PUT", path, HERE)["detail"]
    shop.put(f"{SHOP}/endpoints/web2/location", {**HERE, "port": "tap1"})
    shop("DELETE", WEB1)
    shop.put("/v1/networks/other/endpoints/web1/location", HERE)


def test_a_dswitch_is_registered_changed_and_forgotten(client: Client) -> None:
    path = "/v1/dswitches/1"
    value = {
        "name": "host1",
        "encap_ips": ["192.0.2.1", "2001:DB8::1"],
        "encap_types": ["vxlan", "geneve"],
        "ovsdb": "tcp:[2001:db8::1]:6640",
    }
    created = client("PUT", path, value)
    assert created.status_code == 201
    assert created.json == {
        **value,
        "dpid": "0000000000000001",
        "encap_ips": ["192.0.2.1", "2001:db8::1"],
        "registered": True,
        "connections": {
            "openflow": "down",
            "peer": "",
            "ovsdb": "unused",
            "reason": "it has not connected since the DPS began; `dove-dswitch show` on the server says where it tries",
            "since": None,
            "confirmed": None,
            "lag": None,
            "requests": 0,
            "outstanding": 0,
            "flow_changes": 0,
        },
        "metered": False,
        "ports": {},
        "endpoints": [],
    }
    assert client.get("/v1/dswitches") == [{**created.json, "etag": created.headers["ETag"]}]
    again = client("PUT", path, created.json)
    assert (again.status_code, again.headers["ETag"]) == (200, created.headers["ETag"])
    assert client.put(path, {})["encap_types"] == ["geneve"]
    assert client("DELETE", path).status_code == 204
    client.refused(404, "GET", path)
    client.refused(404, "DELETE", path)
    client.refused(404, "GET", "/v1/dswitches/none")


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"encap_ips": ["192.0.2.300", "192.0.2.1"]}, ["encap_ips[0]"]),
        ({"encap_types": ["gre"]}, ["encap_types[0]"]),
        ({"ovsdb": "192.0.2.1"}, ["ovsdb"]),
        ({"ovsdb": "tcp:192.0.2.1:66400"}, ["ovsdb"]),
        ({"nam": "host1", "dpid": "2"}, ["nam", "dpid"]),
        ({"name": "host 1"}, ["name"]),
        ("host1", [""]),
    ],
)
def test_what_is_no_dswitch(client: Client, value: Any, places: list[str]) -> None:
    problem = client.refused(422, "PUT", "/v1/dswitches/1", value)
    assert [each["place"] for each in problem["errors"]] == places


def test_a_dswitch_shows_what_it_hosts_and_how_it_is_connected(shop: Client, service: Service) -> None:
    shop.put("/v1/dswitches/1", {"name": "host1", "ovsdb": "none"})
    shop.put(f"{WEB1}/location", HERE)

    def connect(dps: Any) -> None:
        dps.connect(1, {"tap0": 3, "br": 65534}, [])
        dps.observations[1] = Observation("live", "192.0.2.1:40000", "unused", "")

    service.ask(connect)
    shown = shop.get("/v1/dswitches/1")
    seen = {"openflow": "live", "peer": "192.0.2.1:40000", "ovsdb": "unused", "reason": ""}
    assert seen.items() <= shown["connections"].items()
    assert shown["ports"] == {"br": 65534, "tap0": 3}
    assert shown["endpoints"] == [
        {
            "network": "shop",
            "name": "web1",
            "port": "tap0",
            "domain": "app",
            "macs": ["02:00:00:00:00:01"],
            "ips": ["10.0.1.11", "2001:db8:1::11"],
            "tracking": 1,
            "observed": False,
            "arriving": False,
        }
    ]


def test_a_dswitch_need_not_be_registered_to_be_shown(shop: Client, service: Service) -> None:
    shop.put(f"{WEB1}/location", HERE)
    service.ask(lambda dps: dps.connect(2, {}, []))
    assert [(each["dpid"][-1], each["registered"]) for each in shop.get("/v1/dswitches")] == [
        ("1", False),
        ("2", False),
    ]
    assert shop("PUT", "/v1/dswitches/1", {}).status_code == 201


def test_a_dswitch_that_hosts_endpoints_is_not_forgotten(shop: Client) -> None:
    shop.put("/v1/dswitches/1", {})
    for index, name in enumerate(("web1", "web2", "db1", "lb1")):
        shop.put(f"{SHOP}/endpoints/{name}/location", {**HERE, "port": f"tap{index}"})
    problem = shop.refused(409, "DELETE", "/v1/dswitches/1")
    assert "shop/db1, shop/lb1, shop/web1 and 1 more" in problem["detail"]
