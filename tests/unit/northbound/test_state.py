"""Status, metrics and health (X12)."""

from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from dove_ryu.dps import Observation, Refused
from dove_ryu.model.appliances import Health
from dove_ryu.model.facts import Change
from dove_ryu.model.resolution import Outcome

from .served import Client, Service


def test_status(shop: Client, service: Service) -> None:
    shop.put("/v1/dswitches/2", {})
    shop.put("/v1/networks/shop/endpoints/web1/location", {"dswitch": "1", "port": "tap0"})
    service.ask(lambda dps: dps.connect(1, {}, []))
    service.dps.requests[Outcome.DENIED] += 2
    service.dps.refused[Refused.UNKNOWN_NETWORK] += 4
    status = shop.get("/v1/status")
    assert datetime.fromisoformat(status.pop("started")).tzinfo is not None
    assert status.pop("uptime") >= 0
    assert status == {
        "version": "1.2.3",
        "ready": True,
        "revision": 3,
        "networks": 1,
        "endpoints": 4,
        "attached": 1,
        "dswitches": {"known": 2, "connected": 1, "live": 0, "stale": 0},
        "instances": {"up": 0, "down": 0, "nowhere": 0},
        "disconnected": ["0000000000000002"],
        "policy_requests": {"allowed": 0, "denied": 2, "unknown": 0, "unlocated": 0},
        "refused": {"network-rate": 0, "too-many-wait": 0, "unknown-network": 4, "unreadable": 0, "failed": 0},
        "invalidations": 0,
        "refreshed": 0,
        "outstanding": 0,
        "flow_changes": 0,
        "lag": 0,
        "lane": {"form": "python", "answered": 0, "left": 0},
        "probes": {"sent": 0, "unanswered": 0, "changes": 0},
    }


def test_health_and_readiness_are_plain(client: Client) -> None:
    assert client("GET", "/healthz").text == "alive\n"
    assert client("GET", "/readyz?from=kubelet").text == "ready\n"
    assert client("GET", "/readyz").content_type == "text/plain"


def test_head_is_get_without_the_body(shop: Client) -> None:
    for path in ("/v1/networks/shop", "/v1/networks", "/v1/status", "/healthz", "/nowhere"):
        head, get = shop("HEAD", path), shop("GET", path)
        assert (head.status_code, head.body) == (get.status_code, b"")
        assert head.headers.get("ETag") == get.headers.get("ETag")
        assert head.content_type == get.content_type


def test_metrics(shop: Client, service: Service) -> None:
    service.dps.requests[Outcome.ALLOWED] += 3
    service.dps.refused[Refused.NETWORK_RATE] += 5
    service.dps.connect(3, {}, [], most_meters=0)
    service.dps.observations[7] = Observation("live")
    shop.put("/v1/dswitches/8", {})
    instances = [{"name": name, "dswitch": "3", "ingress": name} for name in ("well", "ill")]
    shop.put("/v1/appliances/FW", {"kind": "x", "instances": [*instances, {"name": "lost"}]})
    service.dps.apply([Change.put(Health("FW", name, up=False)) for name in ("ill", "lost")])
    shop("GET", "/v1/networks/shop/policies/app%3Edb")
    shop("GET", "/nowhere")
    shop("BREW", "/healthz")
    response = shop("GET", "/metrics")
    assert response.content_type == "text/plain"
    families = text_string_to_metric_families(response.text)
    values = {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
    assert values["dove_policy_requests_total", "allowed"] == 3
    assert values["dove_policy_requests_total", "unknown"] == 0
    assert values["dove_policy_requests_refused_total", "network-rate"] == 5
    assert values["dove_policy_requests_refused_total", "failed"] == 0
    assert values[("dove_dswitches_unmetered",)] == 1
    assert values["dove_dswitches", "live"] == values["dove_dswitches", "down"] == 1
    assert values["dove_lane_requests_total", "answered"] == values["dove_lane_requests_total", "left"] == 0
    assert values["dove_lane_info", "python"] == 1
    assert values[("dove_networks",)] == 1
    assert values[("dove_endpoints",)] == 4
    assert values[("dove_endpoints_attached",)] == 0
    assert values[("dove_revision",)] == 3
    assert [values["dove_appliance_instances", state] for state in ("up", "down", "nowhere")] == [1, 1, 1]
    assert [values["dove_appliance_instance_up", "FW", name] for name in ("well", "ill", "lost")] == [1, 0, 0]
    assert values[("dove_appliance_instance_changes_total",)] == 0
    assert values["dove_probes_total", "sent"] == values["dove_probes_total", "unanswered"] == 0
    policies = "/v1/networks/{network}/policies/{name}"
    assert values["dove_rest_requests_total", "GET", policies, "200"] == 1
    assert values["dove_rest_requests_total", "GET", "unknown", "404"] == 1
    assert values["dove_rest_requests_total", "unknown", "/healthz", "405"] == 1
    assert values["dove_rest_request_seconds_count", "GET", policies] == 1


def test_metrics_in_openmetrics(client: Client) -> None:
    response = client("GET", "/metrics", Accept="application/openmetrics-text")
    assert response.content_type == "application/openmetrics-text"
    assert response.text.endswith("# EOF\n")
