"""What becomes of a packet, asked in names (X2)."""

from functools import partial
from typing import Any

import pytest

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Health
from dove_ryu.model.facts import Change

from .served import Client, Service

SHOP = "/v1/networks/shop"


@pytest.fixture
def deployed(shop: Client, service: Service) -> Client:
    """The shop on three dSwitches: 1 and 2 connected, with a tunnel; 3 not connected."""
    shop.put("/v1/dswitches/1", {"name": "one", "encap_ips": ["192.0.2.1"], "encap_types": ["geneve", "vxlan"]})
    shop.put("/v1/dswitches/2", {"name": "two", "encap_ips": ["2001:db8::2", "192.0.2.2"], "encap_types": ["vxlan"]})
    for name, dpid, port in [("lb1", "1", "tap0"), ("web1", "1", "tap1"), ("web2", "2", "tap0")]:
        shop.put(f"{SHOP}/endpoints/{name}/location", {"dswitch": dpid, "port": port})
    service.ask(lambda dps: dps.connect(1, {"tap0": 1, "tap1": 2}, []))
    service.ask(lambda dps: dps.connect(2, {"tap0": 1}, []))
    return shop


def trace(client: Client, source: str, destination: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/v1/trace?network=shop&source={source}&destination={destination}")
    return answer


def test_allowed_through_a_tunnel(deployed: Client) -> None:
    answer = trace(deployed, "lb1", "web2")
    assert (answer["decision"], answer["delivered"], answer["delivery"]) == ("allowed", True, "tunnel")
    assert answer["tunnel"] == {"type": "vxlan", "remote_ip": "192.0.2.2", "vni": 5001}
    assert answer["policy"] == {"name": "lb>app", "tracking": 1, "ttl": 200, "actions": ["permit"]}
    assert answer["path"] == []
    assert answer["reason"] == (
        "'lb' to 'app': policy 'lb>app' (tracking 1) allows; 'web2' is at port tap0 of dSwitch 0000000000000002"
    )
    here = {"dswitch": "0000000000000001", "port": "tap0", "tracking": 1, "migrating_to": None}
    assert answer["source"]["location"] == here
    assert answer["destination"] == {
        "endpoint": "web2",
        "domain": "app",
        "macs": ["02:00:00:00:00:02"],
        "ips": ["10.0.1.12"],
        "location": {**here, "dswitch": "0000000000000002"},
        "dswitch": {
            "dpid": "0000000000000002",
            "name": "two",
            "encap_ips": ["2001:db8::2", "192.0.2.2"],
            "encap_types": ["vxlan"],
            "connected": True,
        },
    }


@pytest.mark.parametrize("source", ["lb1", "10.0.1.3", "02:00:00:00:00:03"])
@pytest.mark.parametrize("destination", ["web1", "10.0.1.11", "2001:DB8:1::11", "02-00-00-00-00-01"])
def test_allowed_on_one_dswitch_whatever_the_ends_are_called(deployed: Client, source: str, destination: str) -> None:
    answer = trace(deployed, source, destination)
    assert (answer["decision"], answer["delivery"], answer["tunnel"]) == ("allowed", "local", None)
    assert (answer["source"]["endpoint"], answer["destination"]["endpoint"]) == ("lb1", "web1")


def test_a_destination_that_is_migrating(deployed: Client) -> None:
    place = {"dswitch": "2", "port": "tap0", "migrating_to": {"dswitch": "1", "port": "tap9"}}
    deployed.put(f"{SHOP}/endpoints/web2/location", place)
    answer = trace(deployed, "lb1", "web2")
    assert answer["delivered"]
    assert answer["destination"]["location"]["migrating_to"] == {"dswitch": "0000000000000001", "port": "tap9"}
    assert answer["reason"].endswith(
        ", and a live migration takes it to port tap9 of dSwitch 0000000000000001, which gets a copy"
    )
    deployed.put(f"{SHOP}/endpoints/web2/location", {**place, "migrating_to": {"dswitch": "3"}})
    assert "takes it to a port of dSwitch 0000000000000003" in trace(deployed, "lb1", "web2")["reason"]


def test_denied_by_a_policy_and_by_default(deployed: Client) -> None:
    answer = trace(deployed, "web1", "db1")
    assert (answer["decision"], answer["delivered"]) == ("denied", False)
    assert answer["policy"]["name"] == "app>db"
    assert "policy 'app>db' (tracking 1) denies" in answer["reason"]
    assert trace(deployed, "web1", "lb1")["policy"]["name"] == "default"


def test_an_unlocated_destination(deployed: Client) -> None:
    deployed.put(f"{SHOP}/policies/app%3Edb", {"actions": ["accept"]})
    answer = trace(deployed, "web1", "db1")
    assert (answer["decision"], answer["delivered"]) == ("unlocated", False)
    assert (answer["policy"]["tracking"], answer["destination"]["location"]) == (2, None)
    assert "'db1' is not attached to any dSwitch" in answer["reason"]


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("10.9.9.9", "no endpoint of network 'shop' has 10.9.9.9"),
        ("wbe1", "no endpoint 'wbe1' in network 'shop'; did you mean 'web1'?"),
        ("quiet", "endpoint 'quiet' has no address yet"),
    ],
)
def test_an_unknown_destination(deployed: Client, destination: str, reason: str) -> None:
    deployed.put(f"{SHOP}/endpoints/quiet", {"domain": "app"})
    answer = trace(deployed, "web1", destination)
    assert (answer["decision"], answer["delivered"]) == ("unknown", False)
    assert answer["reason"].startswith(reason)


@pytest.mark.parametrize("source", ["wbe1", "10.9.9.9"])
def test_an_unknown_source(deployed: Client, source: str) -> None:
    answer = trace(deployed, source, "web1")
    assert (answer["decision"], answer["source"], answer["policy"]) == ("source unknown", None, None)


@pytest.mark.parametrize("destination", ["10.0.1.1", "2001:db8:1::1", "02:00:5e:00:00:01"])
def test_the_gateway(deployed: Client, destination: str) -> None:
    answer = trace(deployed, "web1", destination)
    assert (answer["decision"], answer["delivery"]) == ("gateway", "local")
    answer = trace(deployed, "db1", destination)
    assert (answer["decision"], answer["delivered"]) == ("gateway", False)


def test_an_endpoint_behind_a_prefix(deployed: Client) -> None:
    deployed.put(f"{SHOP}/endpoints/branch", {"domain": "app", "ips": ["198.51.100.0/24"]})
    for destination in ("branch", "198.51.100.7"):
        assert trace(deployed, "lb1", destination)["destination"]["endpoint"] == "branch"


def test_allowed_but_with_no_way(deployed: Client, service: Service) -> None:
    deployed.put(f"{SHOP}/policies/db%3Eapp", {"actions": ["accept"]})
    assert "'db1' is not attached to any dSwitch and cannot send" in no_way(deployed, "db1", "web1")
    deployed.put(f"{SHOP}/endpoints/db1/location", {"dswitch": "3", "port": "tap0"})
    assert "dSwitch 0000000000000003 is not connected" in no_way(deployed, "db1", "web1")
    service.ask(lambda dps: dps.connect(3, {}, []))
    assert "dSwitch 0000000000000003 has no port tap0" in no_way(deployed, "db1", "web1")
    service.ask(lambda dps: dps.connect(3, {"tap0": 1}, []))
    assert "have no tunnel protocol" in no_way(deployed, "db1", "web1")


def no_way(client: Client, source: str, destination: str) -> str:
    """The reason why an allowed packet does not arrive."""
    answer = trace(client, source, destination)
    assert (answer["decision"], answer["delivered"], answer["delivery"]) == ("allowed", False, None)
    return str(answer["reason"])


def test_a_question_that_lacks_something(shop: Client) -> None:
    assert "'destination' is missing" in shop.refused(400, "GET", "/v1/trace?network=shop&source=web1")["detail"]
    assert "did you mean 'source'" in shop.refused(400, "GET", "/v1/trace?network=shop&sorce=web1")["detail"]


def test_a_chain_is_told_hop_by_hop(deployed: Client, service: Service) -> None:
    """F16: through an appliance at another dSwitch, then one at the same, then back."""
    for name, port, sharing in (("FW", "fw", "vlan"), ("SSL", "ssl", "dedicated")):
        instance = {"name": "one", "dswitch": "2", "ingress": port}
        deployed.put(f"/v1/appliances/{name}", {"kind": "x", "sharing": sharing, "instances": [instance]})
        deployed.put(f"{SHOP}/actions/{name}", {"kind": "x", "appliance": name})
    deployed.put(f"{SHOP}/policies/lb>app", {"actions": ["FW", "SSL"]})
    answer = trace(deployed, "lb1", "web1")
    assert (answer["delivered"], answer["path"]) == (False, [])
    assert answer["reason"].endswith("; but dSwitch 0000000000000002 has no port fw now")
    service.ask(lambda dps: dps.show_ports(2, {"tap0": 1, "fw": 2, "ssl": 3}))
    answer = trace(deployed, "lb1", "web1")
    firewall = {
        "action": "FW",
        "appliance": "FW",
        "tap": False,
        "instance": "one",
        "candidates": ["one"],
        "drained": [],
        "left_out": False,
        "dswitch": "0000000000000002",
        "ingress": "fw",
        "egress": "fw",
        "label": "0x800000",
        "vlan": 1,
        "tunnel": {"type": "vxlan", "remote_ip": "192.0.2.2", "label": "0x800000"},
    }
    assert answer["path"] == [
        firewall,
        {**firewall, "action": "SSL", "appliance": "SSL", "ingress": "ssl", "egress": "ssl"}
        | {"label": "0x800002", "vlan": None, "tunnel": None},
    ]
    assert (answer["delivery"], answer["tunnel"]["remote_ip"]) == ("tunnel", "192.0.2.1")
    deployed.put("/v1/dswitches/2", {})
    assert "have no tunnel protocol" in trace(deployed, "lb1", "web1")["reason"]


@pytest.fixture
def pooled(deployed: Client, service: Service) -> Client:
    """From lb to app through a pool at two dSwitches, then a tap."""
    members = [{"name": f"at{dpid}", "dswitch": dpid, "ingress": "fw"} for dpid in "12"]
    deployed.put("/v1/appliances/FW", {"kind": "x", "instances": members})
    tapping = {"name": "one", "dswitch": "2", "ingress": "ids"}
    deployed.put("/v1/appliances/IDS", {"kind": "x", "tap": True, "instances": [tapping]})
    for name in ("FW", "IDS"):
        deployed.put(f"{SHOP}/actions/{name}", {"kind": "x", "appliance": name})
    deployed.put(f"{SHOP}/policies/lb>app", {"actions": ["FW", "IDS"]})
    for dpid in (1, 2):
        service.ask(partial(Dps.show_ports, dpid=dpid, ports={"tap0": 1, "tap1": 2, "fw": 3, "ids": 4}))
    return deployed


def fail(service: Service, appliance: str, *instances: str) -> None:
    """Some instances do not work, as the DPS finds it out."""
    health = [Health(appliance, name, up=False, reason="a test") for name in instances]
    service.ask(lambda dps: dps.apply(map(Change.put, health)))


def test_a_connection_tells_which_instance_of_a_pool(pooled: Client) -> None:
    """X10: and without one, all that it may be are named."""
    answer = trace(pooled, "lb1", "web1")
    assert (answer["delivery"], answer["tunnel"]) == ("varies", None)
    pool, tap = answer["path"]
    assert (pool["instance"], pool["candidates"], pool["dswitch"], pool["tunnel"]) == (None, ["at1", "at2"], None, None)
    assert (tap["tap"], tap["instance"], tap["egress"]) == (True, "one", None)
    found = {trace(pooled, "lb1", f"web1&protocol=tcp&ports={port}:80")["path"][0]["instance"] for port in range(20)}
    assert found == {"at1", "at2"}
    there = trace(pooled, "10.0.1.3", "10.0.1.11&protocol=tcp&ports=5:80")
    assert there["path"][0]["instance"] == trace(pooled, "lb1", "web1&protocol=tcp&ports=5:80")["path"][0]["instance"]
    assert there["delivered"]
    no_ip = trace(pooled, "02:00:00:00:00:03", "02:00:00:00:00:01&protocol=tcp&ports=5:80")
    assert no_ip["path"][0]["candidates"] == ["at1", "at2"], "addresses decide, and these are none"


def test_drained_down_and_left_out(pooled: Client, service: Service) -> None:
    appliance = pooled.get("/v1/appliances/FW")
    appliance["instances"][0]["drain"] = True
    pooled.put("/v1/appliances/FW", appliance)
    hop = trace(pooled, "lb1", "web1")["path"][0]
    assert (hop["candidates"], hop["drained"]) == (["at2"], ["at1"])
    appliance["instances"][0]["drain"] = False
    pooled.put("/v1/appliances/FW", appliance)
    fail(service, "FW", "at1", "at2")
    assert no_way(pooled, "lb1", "web1").endswith(
        "the connection's instance does not work (these do not: 'at1', 'at2')"
    )
    pooled.put("/v1/appliances/FW", appliance | {"on_failure": "fail-open"})
    answer = trace(pooled, "lb1", "web1")
    assert (answer["delivery"], answer["path"][0]["left_out"]) == ("local", True)
    fail(service, "IDS", "one")
    answer = trace(pooled, "lb1", "web1")
    assert answer["delivered"], "nothing waits for a tap"
    assert answer["path"][1]["candidates"] == []


@pytest.mark.parametrize(
    "wrong", ["protocol=tcp", "ports=1:2", "protocol=icmp&ports=1:2", "protocol=udp&ports=1:65536"]
)
def test_what_is_no_connection(deployed: Client, wrong: str) -> None:
    detail = deployed.refused(400, "GET", f"/v1/trace?network=shop&source=lb1&destination=web1&{wrong}")["detail"]
    assert "like protocol=tcp and ports=40000:443" in detail
