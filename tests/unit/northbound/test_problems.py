"""Every way of being refused is a problem document (RFC 9457)."""

import logging

import pytest
from webob import Request

from dove_ryu.model.documents import document_of, key_of
from dove_ryu.model.entities import Location
from dove_ryu.northbound.bodies import LARGEST_BODY

from .served import Client, Service

SHOP = "/v1/networks/shop"
LB = f"{SHOP}/domains/lb"


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/networks", "/v1/networks/shop/domain/app", "/v1/networks/shop/domains/a/b", "/v1/networks/%00"],
)
def test_an_unknown_url(shop: Client, path: str) -> None:
    assert "there is nothing at" in shop.refused(404, "GET", path)["detail"]


def test_a_url_that_is_not_utf_8(shop: Client) -> None:
    for path in ("/v1/networks/%ff", "/v1/networks?%ff", "/v1/trace?network=%ff"):
        assert shop.refused(400, "GET", path)["detail"] == "the URL is not UTF-8"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", LB, "GET, PUT, DELETE, HEAD"),
        ("POST", "/v1/networks", "GET, HEAD"),
        ("DELETE", f"{SHOP}/blueprint", "GET, PUT, HEAD"),
        ("BREW", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_the_resources(shop: Client, method: str, path: str, allow: str) -> None:
    shop.refused(405, method, path)
    assert shop(method, path).headers["Allow"] == allow


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("application/json", b"{", "not JSON"),
        ("application/json", b'{"kind": NaN}', "NaN is no number"),
        ("application/json", b'{"kind": "a", "kind": "b"}', "'kind' is written twice"),
        ("application/json", b"\xff\xfe\xff", "not JSON"),
        ("application/json", b"[" * 100_000, "nested too deeply"),
        ("application/json", b" ", "empty"),
        ("application/yaml", b"kind: a\nkind: b\n", "line 2: 'kind' is written twice"),
        ("application/yaml", b"kind: a\n\t- b", "line 2: "),
        ("application/yaml", b"kind: \xff", "not YAML"),
        ("application/yaml", b"!!python/object:os.system x", "not YAML"),
        ("text/yaml", b"a: 2001-99-99", "not YAML"),
    ],
)
def test_a_body_that_cannot_be_read(shop: Client, kind: str, body: bytes, reason: str) -> None:
    assert reason in shop.refused(400, "PUT", f"{SHOP}/actions/a", body, Content_Type=kind)["detail"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_body_of_another_type(shop: Client, kind: str) -> None:
    problem = shop.refused(415, "PUT", LB, {}, Content_Type=kind)
    assert "send application/json or application/yaml" in problem["detail"]


@pytest.mark.parametrize("kind", ["application/merge+json", "text/x-yaml", "application/dove+yaml"])
def test_kindred_types_are_understood(shop: Client, kind: str) -> None:
    shop.put(f"{SHOP}/actions/a", b'{"kind": "deny"}', Content_Type=kind)


def test_a_body_that_is_too_long(shop: Client) -> None:
    shop.refused(413, "PUT", LB, b" " * (LARGEST_BODY + 1))


def test_a_body_without_a_length_that_is_too_long(shop: Client) -> None:
    request = Request.blank(LB, method="PUT", content_type="application/json", body=b" " * (LARGEST_BODY + 1))
    request.content_length = None
    request.environ["wsgi.input_terminated"] = True
    assert request.get_response(shop.application).status_code == 413


def test_a_body_that_ends_early(shop: Client) -> None:
    request = Request.blank(LB, method="PUT", content_type="application/json", body=b"{}")
    request.content_length = 3
    assert request.get_response(shop.application).status_code == 400


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{SHOP}/blueprint?dryrun", "no parameter 'dryrun' here; did you mean 'dry_run'?"),
        (f"{SHOP}/blueprint?dry_run=perhaps", "write true or false"),
        (f"{SHOP}/blueprint?dry_run&dry_run", "given twice"),
        (f"{LB}?dry_run", "no parameter 'dry_run' here"),
    ],
)
def test_a_parameter_that_is_wrong(shop: Client, path: str, reason: str) -> None:
    assert reason in shop.refused(400, "PUT", path, {})["detail"]


def test_before_the_dps_is_ready(client: Client, service: Service) -> None:
    service.ready = False
    client.refused(503, "GET", "/v1/networks")
    client.refused(503, "PUT", "/v1/networks/shop", {})
    assert client("GET", "/v1/networks").headers["Retry-After"] == "1"
    assert client("GET", "/readyz").status_code == 503
    assert client("GET", "/healthz").status_code == 200


def test_a_dps_that_does_not_answer(shop: Client, service: Service) -> None:
    service.patience = 0.05
    with service.turn:
        assert "did not answer" in shop.refused(503, "GET", "/v1/status")["detail"]


def test_a_dps_that_does_not_follow_its_store(shop: Client, service: Service) -> None:
    service.patience = 0.05
    service.stop()
    problem = shop.refused(503, "PUT", f"{SHOP}/domains/new", {})
    assert "revision 2 is in the store, but the DPS has only taken in revision 1" in problem["detail"]


def test_a_store_that_cannot_serve(shop: Client, service: Service) -> None:
    service.store.close()
    assert "it is closed" in shop.refused(503, "PUT", LB, {})["detail"]


def test_an_error_of_ours_is_a_number_that_the_log_has(
    shop: Client, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    place = Location("shop", "web1", 1, "tap0")
    damaged = {**document_of(place)}
    del damaged["tracking"]
    service.store.commit({key_of(place): damaged})
    with caplog.at_level(logging.ERROR):
        problem = shop.refused(500, "GET", f"{SHOP}/endpoints/web1/location")
    number = caplog.records[-1].getMessage().rpartition(" ")[2]
    assert f"under {number}:" in problem["detail"]
    assert "Traceback" in caplog.text
    assert "KeyError" in caplog.text
    assert "KeyError" not in str(problem)


def test_every_request_is_noted_at_the_door(shop: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dove_ryu.northbound.auth"):
        shop("GET", "/nowhere?x=1")
        shop("DELETE", LB)
    said = [(record.levelname, record.getMessage().partition(" in ")[0]) for record in caplog.records]
    assert said == [("DEBUG", "None GET /nowhere: 404 Not Found"), ("INFO", f"None DELETE {LB}: 409 Conflict")]
