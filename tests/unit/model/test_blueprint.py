"""A blueprint is read with every mistake in it, and written as it was read."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given

from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.blueprint import (
    ActionPlan,
    Blueprint,
    BlueprintError,
    EndpointPlan,
    PolicyPlan,
    VniTaken,
    check_infrastructure,
    document_of_blueprint,
    parse,
)
from dove_ryu.model.entities import Gateway, Service, Verdict, VirtualNetwork
from dove_ryu.model.facts import Change
from dove_ryu.model.reading import Problem

from .worlds import blueprints, world_of

SHOP = """
network: shop
vni: 5001
service: l3
default_policy: {verdict: allow, ttl: 60}
gateways:
  - {mac: "02-00-5E-00-00-01", ips: [10.0.1.1/24, "2001:DB8:1::1/64"]}
domains: [lb, app]
actions:
  - {name: permit, kind: accept}
  - {name: fw, kind: firewall, appliance: FW-1, config: strict}
policies:
  - {from: lb, to: app, actions: [fw, permit], ttl: 200}
  - {from: app, to: app, actions: [accept]}
endpoints:
  - {name: web1, domain: app, macs: [0200.0000.0001], ips: [10.0.1.11, "2001:db8:1:0::11"]}
  - {name: internet, domain: lb, ips: [0.0.0.0/0], guard: false}
  - {name: new, domain: lb}
"""


def problems_of(text: str) -> str:
    with pytest.raises(BlueprintError) as refused:
        parse(yaml.safe_load(text))
    assert str(refused.value) == "\n".join(map(str, refused.value.problems))
    return str(refused.value)


def test_a_whole_document() -> None:
    assert parse(yaml.safe_load(SHOP)) == Blueprint(
        network="shop",
        vni=5001,
        service=Service.L3,
        verdict=Verdict.ALLOW,
        verdict_ttl=60,
        gateways=(Gateway("02:00:5e:00:00:01", ("10.0.1.1/24", "2001:db8:1::1/64")),),
        domains=("lb", "app"),
        actions=(ActionPlan("permit", "accept"), ActionPlan("fw", "firewall", "FW-1", "strict")),
        policies=(PolicyPlan("lb", "app", ("fw", "permit"), 200), PolicyPlan("app", "app", ("accept",), 300)),
        endpoints=(
            EndpointPlan("web1", "app", ("02:00:00:00:00:01",), ("10.0.1.11", "2001:db8:1::11")),
            EndpointPlan("internet", "lb", (), ("0.0.0.0/0",), guard=False),
            EndpointPlan("new", "lb"),
        ),
    )


def test_a_symmetric_policy_is_two_with_the_actions_in_reverse() -> None:
    """F16; what has been applied can be applied again, with both of them in it or one."""
    one = {"from": "a", "to": "b", "actions": ["x", "accept"], "ttl": 7, "symmetric": True}
    said = {"network": "n", "domains": ["a", "b"], "actions": [{"name": "x", "kind": "ids", "appliance": "X"}]}
    both = (PolicyPlan("a", "b", ("x", "accept"), 7), PolicyPlan("b", "a", ("accept", "x"), 7))
    assert parse({**said, "policies": [one]}).policies == both
    other = {"from": "b", "to": "a", "actions": ["accept", "x"], "ttl": 7}
    assert parse({**said, "policies": [one, other]}).policies == both


def test_what_is_left_out_has_its_default() -> None:
    assert parse({"network": "shop"}) == Blueprint("shop")
    assert parse(yaml.safe_load("{network: shop, vni: , endpoints: , default_policy: {}}")) == Blueprint("shop")


def test_a_document_with_every_field_written_out() -> None:
    assert document_of_blueprint(Blueprint("shop", domains=("lb",), endpoints=(EndpointPlan("new", "lb"),))) == {
        "network": "shop",
        "service": "l2",
        "default_policy": "deny",
        "gateways": [],
        "domains": ["lb"],
        "actions": [],
        "policies": [],
        "endpoints": [{"name": "new", "domain": "lb", "macs": [], "ips": [], "guard": True}],
    }


@given(blueprints())
def test_what_is_written_is_read_again(blueprint) -> None:
    document = document_of_blueprint(blueprint)
    assert parse(json.loads(json.dumps(document))) == blueprint
    assert parse(yaml.safe_load(yaml.safe_dump(document))) == blueprint


MISTAKES = {
    "[]": "must be a mapping of fields, not a list",
    "": "missing; write a mapping of fields",
    "{}": "network: missing; write a name",
    "{network: 5}": "network: must be a name, not 5; put it in quotes",
    "{network: {}}": "network: must be a name, not a mapping",
    "{network: -a}": "network: '-a' is no name; use 1 to 63 letters, digits, '-', '_' and '.', the first one a letter "
    "or digit",
    "{network: n, polices: []}": "polices: no such field; did you mean 'policies'?",
    "{network: n, 1: []}": "1: no such field",
    "{network: n, vni: 0}": "vni: must be a whole number from 1 to 8388607, not 0",
    "{network: n, vni: 8388608}": "vni: 8388608 is kept for segments of service chains; use a number from 1 to 8388607",
    "{network: n, vni: yes}": "vni: must be a whole number from 1 to 8388607, not true",
    "{network: n, service: L3}": "service: must be l2 or l3, not 'L3'; did you mean 'l3'?",
    "{network: n, service: 3, gateways: []}": "service: must be l2 or l3, not 3",
    "{network: n, default_policy: alow}": "default_policy: must be allow or deny, not 'alow'; did you mean 'allow'?",
    "{network: n, default_policy: no}": "default_policy: must be allow or deny, not false",
    "{network: n, default_policy: {ttl: -1}}": "default_policy.ttl: must be a whole number from 0 to 65535, not -1",
    "{network: n, default_policy: {verdict: no, tll: 1}}": (
        "default_policy.tll: no such field; did you mean 'ttl'?\n"
        "default_policy.verdict: must be allow or deny, not false"
    ),
    "{network: n, domains: app}": "domains: must be a list, not 'app'",
    "{network: n, domains: [a, b, a]}": "domains[2]: 'a' is declared at domains[0] already; leave one of them out",
    "{network: n, domains: [2012-01-01, 1.5]}": (
        "domains[0]: must be a name, not a date\ndomains[1]: must be a name, not 1.5; put it in quotes"
    ),
    "{network: n, gateways: [{mac: '02:00:00:00:00:01', ips: [10.0.0.1/24]}]}": (
        "gateways: an l2 network has no router; leave them out or say 'service: l3'"
    ),
    "{network: n, service: l3, gateways: [5, {}, {mac: '01:00:5e:00:00:01', ips: [10.0.0.1, 10.0.1.1/33]}]}": (
        "gateways[0]: must be a mapping of fields, not 5\n"
        "gateways[1].mac: missing; write an address\n"
        "gateways[1].ips: a gateway needs an address with its subnet's length, like '10.0.0.1/24'\n"
        "gateways[2].mac: '01:00:5e:00:00:01' is a group address; an endpoint needs a unicast MAC address\n"
        "gateways[2].ips[0]: '10.0.0.1' is no prefix; write it like '10.0.0.0/24' or 'fd00::/64'\n"
        "gateways[2].ips[1]: '10.0.1.1/33' is no prefix; write it like '10.0.0.0/24' or 'fd00::/64'"
    ),
    "{network: n, actions: [fw, {name: accept, kind: accept}, {name: ok, kind: accept, appliance: X, config: 7}]}": (
        "actions[0]: must be a mapping of fields, not 'fw'\n"
        "actions[1].name: 'accept' is declared in every network already; leave one of them out\n"
        "actions[2].appliance: an action of kind 'accept' needs no appliance; leave it out\n"
        "actions[2].config: must be text, not 7; put it in quotes"
    ),
    "{network: n, domains: [app], policies: [x, {from: ap, to: internet, actions: [acept, fw], ttl: 65536}]}": (
        "policies[0]: must be a mapping of fields, not 'x'\n"
        "policies[1].from: no domain 'ap'; did you mean 'app'?\n"
        "policies[1].to: no domain 'internet'; declare it under domains\n"
        "policies[1].actions[0]: no action 'acept'; did you mean 'accept'?\n"
        "policies[1].actions[1]: no action 'fw'; declare it under actions\n"
        "policies[1].ttl: must be a whole number from 0 to 65535, not 65536"
    ),
    """
    network: n
    domains: [a, b, c]
    actions: [{name: x, kind: ids, appliance: X}]
    policies:
    - {from: a, to: b, actions: [x, accept], symmetric: true}
    - {from: b, to: a, actions: [x, accept]}
    - {from: a, to: a, actions: [x], symmetric: true}
    - {from: a, to: c, actions: [x, x, x, x, x, x, x, x, x], symmetric: 1}
    """: (
        "policies[2].symmetric: within one domain the policy governs both directions; leave it out\n"
        "policies[3].actions: a policy has at most 8 actions; leave some out\n"
        "policies[3].symmetric: must be true or false, not 1\n"
        "policies[0]: is symmetric, but 'b>a' is declared otherwise; leave one of them out"
    ),
    "{network: n, domains: [a], policies: [{from: a, to: a, actions: [accept]}, {from: a, to: a}, {to: a}]}": (
        "policies[1]: 'a>a' is declared at policies[0] already; leave one of them out\n"
        "policies[1].actions: a policy needs an action; accept and deny need no declaration\n"
        "policies[2].from: missing; write a name\n"
        "policies[2].actions: a policy needs an action; accept and deny need no declaration"
    ),
    """
    network: n
    domains: [a]
    endpoints: [5, {name: e, domain: b, macs: x, ips: [10.0.0.300, 10.0.0.1/8], guard: 1}]
    """: (
        "endpoints[0]: must be a mapping of fields, not 5\n"
        "endpoints[1].domain: no domain 'b'; declare it under domains\n"
        "endpoints[1].macs: must be a list, not 'x'\n"
        "endpoints[1].ips[0]: '10.0.0.300' is no IP address; write it like '10.0.0.1' or 'fd00::1'\n"
        "endpoints[1].ips[1]: '10.0.0.1/8' has bits beyond its length; did you mean '10.0.0.0/8'?\n"
        "endpoints[1].guard: must be true or false, not 1"
    ),
    "{network: n, domains: [a], endpoints: [{name: e, domain: a}, {name: e, domain: a}]}": (
        "endpoints[1].name: 'e' is declared at endpoints[0].name already; leave one of them out"
    ),
    """
    network: n
    service: l3
    domains: [a]
    gateways: [{mac: '02:5e:00:00:00:01', ips: [10.0.0.1/24]}]
    endpoints:
    - {name: e, domain: a, macs: ['02:00:00:00:00:01', '02:00:00:00:00:01'], ips: [10.0.0.2, 'fd00::1']}
    - {name: f, domain: a, macs: ['02-5E-00-00-00-01'], ips: [10.0.0.2, 10.0.0.1, 'FD00:0::1', 10.0.0.0/24]}
    - {name: g, domain: a, ips: [10.0.0.0/24, 10.0.0.0/23]}
    """: (
        "endpoints[0].macs[1]: 02:00:00:00:00:01 belongs to endpoint 'e' already\n"
        "endpoints[1].macs[0]: 02:5e:00:00:00:01 belongs to gateways[0] already\n"
        "endpoints[1].ips[0]: 10.0.0.2 belongs to endpoint 'e' already\n"
        "endpoints[1].ips[1]: 10.0.0.1 belongs to gateways[0] already\n"
        "endpoints[1].ips[2]: fd00::1 belongs to endpoint 'e' already\n"
        "endpoints[2].ips[0]: 10.0.0.0/24 belongs to endpoint 'f' already"
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items(), ids=range(len(MISTAKES)))
def test_every_mistake_is_told_with_its_place(text: str, expected: str) -> None:
    assert problems_of(text) == expected


def nobody(vni: int) -> None:
    """No network has any VNI."""


def chain(*actions: dict[str, Any]) -> Blueprint:
    names = [action["name"] for action in actions]
    policy = {"from": "a", "to": "a", "actions": ["accept", *names]}
    unused = {"name": "later", "kind": "ids"}
    return parse({"network": "n", "domains": ["a"], "actions": [*actions, unused], "policies": [policy]})


def test_an_action_without_an_appliance_behind_it_is_refused_where_it_is_used() -> None:
    """F6."""
    appliances = {"IDS-1": Appliance("IDS-1", "ids", (Instance("one", 1, "in", "out"),))}
    blueprint = chain(
        {"name": "fw", "kind": "firewall", "appliance": "FW-1"},
        {"name": "ids", "kind": "ids", "appliance": "IDS-1"},
        {"name": "zip", "kind": "compression"},
        {"name": "ok", "kind": "accept"},
    )
    with pytest.raises(BlueprintError) as refused:
        check_infrastructure(blueprint, appliances, nobody)
    assert list(map(str, refused.value.problems)) == [
        (
            "policies[0].actions[1]: action 'fw' needs appliance 'FW-1', which is not registered; register it or use "
            "accept or deny"
        ),
        (
            "policies[0].actions[3]: action 'zip' needs an appliance for 'compression' and names none; name one that "
            "is registered or use accept or deny"
        ),
    ]
    idle = {"IDS-1": Appliance("IDS-1", "ids", (Instance("one", 1, "in", "out", weight=0),))}
    with pytest.raises(
        BlueprintError, match="appliance 'IDS-1', of which no instance takes packets; give it one with a"
    ):
        check_infrastructure(chain({"name": "ids", "kind": "ids", "appliance": "IDS-1"}), idle, nobody)
    check_infrastructure(chain({"name": "ids", "kind": "ids", "appliance": "IDS-1"}), appliances, nobody)


def test_a_vni_of_another_network_is_refused() -> None:
    world = world_of([Change.put(VirtualNetwork("mail", 1, 7))])
    for blueprint in (Blueprint("mail", vni=7), Blueprint("web", vni=8), Blueprint("web")):
        check_infrastructure(blueprint, {}, world.network_of_vni)
    with pytest.raises(VniTaken) as refused:
        check_infrastructure(Blueprint("web", vni=7), {}, world.network_of_vni)
    expected = Problem("vni", "7 belongs to network 'mail'; leave it out to have one allocated")
    assert refused.value.problems == (expected,)
