"""Many at once: no edit is lost and none is checked against a state that has passed (F3, F30)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .served import Client, Service

SHOP = "/v1/networks/shop"
WRITERS = 8


def at_once(calls: list[Callable[[], int]]) -> list[int]:
    """The statuses of calls that are made at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [call.result() for call in [pool.submit(call) for call in calls]]


def test_policies_put_at_once_are_all_there(shop: Client) -> None:
    names = [f"zone{index}" for index in range(WRITERS)]
    shop.put("/v1/networks/zones/blueprint", {"domains": names})

    def put(index: int) -> Callable[[], int]:
        path = f"/v1/networks/zones/policies/{names[index]}%3E{names[0]}"
        return lambda: shop("PUT", path, {"actions": ["accept"]}).status_code

    assert at_once([put(index) for index in range(WRITERS)]) == [201] * WRITERS
    shown = shop.get("/v1/networks/zones/policies")
    assert {each["name"] for each in shown} == {"default", *(f"{name}>zone0" for name in names)}
    assert len({each["number"] for each in shown}) == WRITERS + 1


def test_networks_created_at_once_have_vnis_of_their_own(client: Client) -> None:
    def put(index: int) -> Callable[[], int]:
        return lambda: client("PUT", f"/v1/networks/net{index}", {}).status_code

    assert at_once([put(index) for index in range(WRITERS)]) == [201] * WRITERS
    assert len({each["vni"] for each in client.get("/v1/networks")}) == WRITERS


def test_one_vni_that_many_ask_for_goes_to_one(client: Client) -> None:
    def put(index: int) -> Callable[[], int]:
        return lambda: client("PUT", f"/v1/networks/net{index}", {"vni": 77}).status_code

    assert sorted(at_once([put(index) for index in range(WRITERS)])) == [201] + [409] * (WRITERS - 1)


def test_of_edits_on_sight_of_one_version_one_is_made(shop: Client) -> None:
    path = f"{SHOP}/policies/app%3Edb"
    seen = shop("GET", path).headers["ETag"]

    def put(index: int) -> Callable[[], int]:
        return lambda: shop("PUT", path, {"actions": ["accept"], "ttl": index}, If_Match=seen).status_code

    assert sorted(at_once([put(index) for index in range(WRITERS)])) == [200] + [412] * (WRITERS - 1)


def test_of_creations_one_creates(shop: Client) -> None:
    def put() -> int:
        return shop("PUT", f"{SHOP}/domains/new", {}, If_None_Match="*").status_code

    assert sorted(at_once([put] * WRITERS)) == [201] + [412] * (WRITERS - 1)


def test_a_domain_is_not_deleted_under_an_endpoint_that_joins_it(shop: Client, service: Service) -> None:
    for turn in range(10):
        shop.put(f"{SHOP}/domains/brief", {})
        joined, deleted = at_once(
            [
                lambda: shop("PUT", f"{SHOP}/endpoints/late", {"domain": "brief"}).status_code,
                lambda: shop("DELETE", f"{SHOP}/domains/brief").status_code,
            ]
        )
        assert (joined, deleted) in {(201, 409), (422, 204)}, turn
        shop("DELETE", f"{SHOP}/endpoints/late")
        shop("DELETE", f"{SHOP}/domains/brief")


def test_a_port_that_many_ask_for_goes_to_one(shop: Client) -> None:
    def put(name: str) -> Callable[[], int]:
        path, place = f"{SHOP}/endpoints/{name}/location", {"dswitch": "1", "port": "tap0"}
        return lambda: shop("PUT", path, place).status_code

    assert sorted(at_once([put(name) for name in ("lb1", "web1", "web2", "db1")])) == [201, 409, 409, 409]


def test_no_location_is_left_behind_by_an_endpoint_that_goes(shop: Client, service: Service) -> None:
    for turn in range(10):
        shop.put(f"{SHOP}/endpoints/brief", {"domain": "app"})
        placed, deleted = at_once(
            [
                lambda: shop("PUT", f"{SHOP}/endpoints/brief/location", {"dswitch": "1", "port": "tap9"}).status_code,
                lambda: shop("DELETE", f"{SHOP}/endpoints/brief").status_code,
            ]
        )
        assert (placed, deleted) in {(201, 204), (404, 204)}, turn
        assert service.store.list("/dove/v1/locations/").items == ()
