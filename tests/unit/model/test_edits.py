"""One object of a network edited in the document of the whole, and what two documents differ in."""

import json

import pytest
from hypothesis import given, settings

from dove_ryu.model.blueprint import BlueprintError, Document, document_of_blueprint, parse
from dove_ryu.model.edits import (
    KINDS,
    NoSuchObject,
    StillInUse,
    differences,
    object_in,
    objects_in,
    seen_from,
    with_object,
    without_object,
)

from .test_amendment import unordered
from .worlds import blueprints

FIREWALL = {"name": "fw", "kind": "firewall", "appliance": "FW-1", "config": ""}


def shop() -> Document:
    return document_of_blueprint(
        parse(
            {
                "network": "shop",
                "vni": 5001,
                "service": "l3",
                "gateways": [{"mac": "02:5e:00:00:00:01", "ips": ["10.0.0.1/24"]}],
                "domains": ["lb", "app"],
                "actions": [FIREWALL],
                "policies": [{"from": "lb", "to": "app", "actions": ["fw"], "ttl": 200}],
                "endpoints": [{"name": f"ws{number}", "domain": "app"} for number in range(1, 8)],
            }
        )
    )


def lines(old: object, new: object) -> list[str]:
    return [str(each) for each in differences(old, new)]


def test_objects_are_found_by_name() -> None:
    assert objects_in(shop(), "domains") == {"lb": {"name": "lb"}, "app": {"name": "app"}}
    assert object_in(shop(), "actions", "fw") == FIREWALL
    assert object_in(shop(), "policies", "lb>app")["ttl"] == 200
    assert object_in(shop(), "policies", "default") == {"verdict": "deny", "ttl": 300}
    with pytest.raises(NoSuchObject, match=r"no policy 'lb>ap' in network 'shop'; did you mean 'lb>app'\?"):
        object_in(shop(), "policies", "lb>ap")


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        ("domains", "db", {}, ["+ domains db"]),
        ("domains", "db", {"name": "db"}, ["+ domains db"]),
        ("domains", "app", {}, []),
        ("actions", "fw", {"kind": "firewall", "appliance": "FW-2"}, ["~ actions fw appliance FW-1 -> FW-2"]),
        (
            "actions",
            "fw",
            {"kind": "firewall", "config": "x"},
            ["~ actions fw appliance FW-1 -> none", "~ actions fw config '' -> x"],
        ),
        ("policies", "app>app", {"actions": ["accept"]}, ["+ policies app>app"]),
        (
            "policies",
            "lb>app",
            {"from": "lb", "actions": ["fw", "accept"]},
            ["~ policies lb>app actions fw -> fw, accept", "~ policies lb>app ttl 200 -> 300"],
        ),
        (
            "policies",
            "default",
            {"verdict": "allow", "ttl": 5},
            ["~ policies default verdict deny -> allow", "~ policies default ttl 300 -> 5"],
        ),
        (
            "endpoints",
            "ws1",
            {"domain": "lb", "guard": False},
            ["~ endpoints ws1 domain app -> lb", "~ endpoints ws1 guard true -> false"],
        ),
        ("endpoints", "ws1", {"domain": "app", "ips": ["10.0.0.9"]}, ["~ endpoints ws1 ips none -> 10.0.0.9"]),
    ],
)
def test_an_object_is_put(kind: str, name: str, value: object, expected: list[str]) -> None:
    assert lines(shop(), with_object(shop(), kind, name, value)) == expected


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("domains", "db", "db", "must be a mapping of fields: it says what a domain is"),
        ("domains", "db", {"colour": "red"}, "colour: no such field"),
        ("actions", "fw", {"name": "ids"}, "name: 'ids' is not 'fw', which is put here; leave it out"),
        ("policies", "lb>app", {"to": "lb"}, "to: 'lb' is not 'app', which is put here; leave it out"),
        ("policies", "lb", {}, "'lb' names no policy; write it like 'web>app', or 'default'"),
    ],
)
def test_an_object_that_cannot_be_put(kind: str, name: str, value: object, message: str) -> None:
    with pytest.raises(BlueprintError) as refused:
        with_object(shop(), kind, name, value)
    assert str(refused.value) == message


def test_an_object_is_taken_out() -> None:
    assert lines(shop(), without_object(shop(), "policies", "lb>app")) == ["- policies lb>app"]
    assert lines(shop(), without_object(shop(), "endpoints", "ws1")) == ["- endpoints ws1"]
    free = without_object(shop(), "policies", "lb>app")
    assert lines(shop(), without_object(free, "domains", "lb")) == ["- domains lb", "- policies lb>app"]
    with pytest.raises(NoSuchObject, match=r"no endpoint 'zz' in network 'shop'$"):
        without_object(shop(), "endpoints", "zz")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("domains", "lb", "domain 'lb' is still used by policy lb>app; change or delete these first"),
        (
            "domains",
            "app",
            (
                "domain 'app' is still used by policy lb>app, endpoint ws1, endpoint ws2, endpoint ws3, endpoint ws4 "
                "and 3 more; change or delete these first"
            ),
        ),
        ("actions", "fw", "action 'fw' is still used by policy lb>app; change or delete these first"),
    ],
)
def test_an_object_that_others_refer_to_stays(kind: str, name: str, message: str) -> None:
    with pytest.raises(StillInUse) as refused:
        without_object(shop(), kind, name)
    assert str(refused.value) == message


def test_a_network_keeps_a_default_policy() -> None:
    with pytest.raises(BlueprintError, match="a network always has a default policy"):
        without_object(shop(), "policies", "default")


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("endpoints", "ws7", {"domain": "ap"}, "domain: no domain 'ap'; did you mean 'app'?"),
        ("policies", "default", {"ttl": -1}, "ttl: must be a whole number from 0 to 65535, not -1"),
        ("domains", "d b", {}, "'d b' is no name; use 1 to 63 letters"),
        ("actions", "fw", {}, "kind: missing; write a name"),
    ],
)
def test_who_edits_one_object_is_told_places_within_it(kind: str, name: str, value: object, message: str) -> None:
    document = with_object(shop(), kind, name, value)
    with pytest.raises(BlueprintError) as refused:
        parse(document)
    assert str(seen_from(document, kind, name, refused.value)).startswith(message)


def test_a_place_outside_the_object_stays_as_it_is() -> None:
    document = with_object({**shop(), "vni": 0}, "endpoints", "ws1", {"domain": "app"})
    with pytest.raises(BlueprintError) as refused:
        parse(document)
    assert str(seen_from(document, "endpoints", "ws1", refused.value)).startswith("vni: must be")


def test_a_new_network_and_one_that_goes() -> None:
    small = {"network": "shop", "domains": ["lb"]}
    assert lines(None, small) == ["+ network shop", "+ domains lb", "+ policies default"]
    assert lines(small, None) == ["- network shop", "- domains lb", "- policies default"]


def test_fields_of_the_network_itself() -> None:
    new = {**shop(), "vni": 7, "gateways": [{"mac": "02:5e:00:00:00:01", "ips": ["10.0.0.2/24", "fd00::1/64"]}]}
    assert lines(shop(), new) == [
        "~ network shop vni 5001 -> 7",
        "~ gateways 02:5e:00:00:00:01 ips 10.0.0.1/24 -> 10.0.0.2/24, fd00::1/64",
    ]
    del new["vni"]
    assert lines(shop(), {**shop(), "service": "l2", "gateways": []}) == [
        "~ network shop service l3 -> l2",
        "- gateways 02:5e:00:00:00:01",
    ]
    assert lines(shop(), {key: value for key, value in shop().items() if key != "vni"}) == []


@given(blueprints(), blueprints())
def test_blueprints_differ_unless_they_say_the_same(old, new) -> None:
    found = differences(document_of_blueprint(old), document_of_blueprint(new))
    kept = old.vni if new.vni is None else new.vni
    same = unordered(parse({**document_of_blueprint(old), "vni": None})) == unordered(
        parse({**document_of_blueprint(new), "vni": None})
    )
    assert (not found) == (same and kept == old.vni)
    json.dumps([(each.sign, each.path, each.old, each.new) for each in found])


@settings(max_examples=30)
@given(blueprints())
def test_any_object_can_be_taken_out_and_put_back(blueprint) -> None:
    document = document_of_blueprint(blueprint)
    for kind in KINDS:
        for name, value in objects_in(document, kind).items():
            assert lines(document, with_object(document, kind, name, value)) == []
            try:
                less = without_object(document, kind, name)
            except BlueprintError:
                continue
            assert lines(document, less) == [f"- {kind} {name}"]
            assert lines(document, with_object(less, kind, name, value)) == []
