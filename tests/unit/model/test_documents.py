"""Every entity as a JSON document under a key, and back."""

import json

import pytest
from hypothesis import given

from dove_ryu.model.appliances import Appliance, Health, Instance, Seat
from dove_ryu.model.documents import (
    ALLOCATION_KEY,
    BadDocument,
    Pool,
    change_of,
    document_of,
    entry_of,
    key_of,
    label_key,
    network_key,
    vlan_key,
    vni_key,
    zone_key,
)
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Entity,
    Gateway,
    Learned,
    Location,
    Policy,
    PolicyAction,
    PolicyDomain,
    Segment,
    Service,
    VirtualNetwork,
)
from dove_ryu.model.facts import Change
from dove_ryu.model.qos import Mark, Per, Rate

from .worlds import changes

GATEWAY = Gateway("02:5e:00:00:00:01", ("10.0.0.1/24", "fd00::1/64"))
EXAMPLES: dict[str, Entity] = {
    "/dove/v1/networks/web": VirtualNetwork("web", 1, 5001, Service.L3, (GATEWAY,), 9),
    "/dove/v1/networks/web/domains/app": PolicyDomain("web", "app", 2),
    "/dove/v1/networks/web/actions/fw": PolicyAction("web", "fw", 3, "firewall", "FW-1", "strict"),
    "/dove/v1/networks/web/actions/ef": PolicyAction("web", "ef", 7, "mark", None, Mark(46)),
    "/dove/v1/networks/web/actions/slow": PolicyAction("web", "slow", 8, "rate", None, Rate(1000, 200, Per.ENDPOINT)),
    "/dove/v1/networks/web/policies/lb>app": Policy("web", "lb", "app", 4, ("fw", "accept"), 200, 137),
    "/dove/v1/networks/web/policies/app>lb": Policy("web", "app", "lb", 9, ("accept",), 0, 1, 0, Rate(5, 6)),
    "/dove/v1/networks/web/policies/default": Policy("web", None, None, 5, ("deny",)),
    "/dove/v1/networks/web/endpoints/ws1": Endpoint("web", "ws1", 6, "app", ("02:00:00:00:00:01",), ("10.0.0.9",)),
    "/dove/v1/locations/web/ws1": Location("web", "ws1", 0xD0, "tap/0", 3, observed=True),
    "/dove/v1/learned/web/ws1": Learned("web", "ws1", ("02:00:00:00:00:01",), ("10.0.0.9",)),
    "/dove/v1/dswitches/00000000000000d0": DSwitch(
        0xD0, "host1", ("192.0.2.1",), (Encapsulation.VXLAN, Encapsulation.GENEVE), "tcp:192.0.2.1:6640"
    ),
    "/dove/v1/appliances/FW-1": Appliance(
        "FW-1", "firewall", (Instance("one", 0xD0, "in", "out", 2, "02:00:00:00:0f:01"),), routed=True
    ),
    "/dove/v1/seats/FW-1/one": Seat("FW-1", "one", 0xD0, "tap0", "tap1"),
    "/dove/v1/health/FW-1/one": Health("FW-1", "one", False, "port in is down", "2026-01-02T03:04:05+00:00"),
    "/dove/v1/networks/web/segments/lb>app:2": Segment("web", "lb>app", 2, 0x800001, "FW-1", 7),
}


@pytest.mark.parametrize(("key", "entity"), EXAMPLES.items(), ids=EXAMPLES)
def test_an_entity_is_kept_under_its_key_and_comes_back(key: str, entity: Entity) -> None:
    assert key_of(entity) == key
    assert change_of(key, json.loads(json.dumps(document_of(entity)))) == Change.put(entity)
    assert change_of(key, None) == Change.gone(entity)


@given(changes)
def test_any_change_comes_back_from_its_key_and_document(change: Change) -> None:
    key, document = entry_of(change)
    assert change_of(key, document) == change


@pytest.mark.parametrize(
    "key",
    [
        ALLOCATION_KEY,
        vni_key(5001),
        zone_key(9),
        label_key(0x800001),
        vlan_key("FW-1", 7),
        "/dove/v1/networks",
        "/dove/v1/networks/web/colours/red",
        "/dove/v1/networks/web/policies/lb>app/x",
        "/dove/v2/networks/web",
        "elsewhere",
        "",
    ],
)
def test_other_keys_carry_no_entity(key: str) -> None:
    assert change_of(key, {"number": 1}) is None


def test_a_policy_of_before_there_were_rates_has_none() -> None:
    document = document_of(EXAMPLES["/dove/v1/networks/web/policies/lb>app"])
    del document["dscp"], document["rate"]
    key = "/dove/v1/networks/web/policies/lb>app"
    assert change_of(key, document) == Change.put(EXAMPLES[key])


def test_keys_that_carry_no_entity() -> None:
    assert (ALLOCATION_KEY, vni_key(5001)) == ("/dove/v1/allocation", "/dove/v1/vnis/5001")
    assert (label_key(0x800001), vlan_key("FW-1", 7)) == ("/dove/v1/labels/8388609", "/dove/v1/vlans/FW-1/7")
    assert zone_key(9) == "/dove/v1/zones/9"
    assert network_key("web") == "/dove/v1/networks/web"


def test_what_many_documents_say_is_kept_once() -> None:
    """F54: the network's name, the endpoint's, its domain's: with a pool they are the same objects for all."""
    pool, written = Pool(), (Endpoint("web", "ws1", 1, "app", (), ("10.0.0.1",)), Location("web", "ws1", 7, "tap0"))
    endpoint, place = (change_of(key_of(each), json.loads(json.dumps(document_of(each))), pool) for each in written)
    assert endpoint is not None
    assert place is not None
    assert (endpoint.entity, place.entity) == written
    assert endpoint.network is place.network
    assert endpoint.name is place.name
    assert isinstance(place.entity, Location)
    assert place.entity.endpoint is endpoint.name


@pytest.mark.parametrize(
    ("key", "document", "message"),
    [
        ("/dove/v1/networks/web/domains/app", {}, "/dove/v1/networks/web/domains/app lacks 'number'"),
        (
            "/dove/v1/networks/web",
            {"number": 1, "vni": 2, "service": "l4", "gateways": []},
            "/dove/v1/networks/web cannot be read: 'l4' is not a valid Service",
        ),
        ("/dove/v1/learned/web/ws1", {"macs": 5, "ips": []}, "/dove/v1/learned/web/ws1 cannot be read: 'int' object"),
        (
            "/dove/v1/dswitches/host1",
            {"name": "", "encap_ips": [], "encap_types": [], "ovsdb": None},
            "/dove/v1/dswitches/host1 cannot be read: invalid literal",
        ),
    ],
)
def test_a_document_that_is_not_what_its_key_promises_is_named(key: str, document: dict, message: str) -> None:
    with pytest.raises(BadDocument) as refused:
        change_of(key, document)
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith("; restore it from a backup, or delete it")
