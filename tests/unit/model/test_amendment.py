"""What a blueprint changes: all that differs, nothing else, and tracking numbers exactly where a cache would err."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.amendment import (
    FIRST_LABEL,
    HIGHEST_NUMBER,
    LAST_LABEL,
    LAST_VLAN,
    LAST_ZONE,
    Exhausted,
    Numbers,
    amend,
    remove,
)
from dove_ryu.model.appliances import Appliance, Sharing
from dove_ryu.model.blueprint import (
    HIGHEST_VNI,
    ActionPlan,
    Blueprint,
    BlueprintError,
    EndpointPlan,
    PolicyPlan,
    blueprint_of,
    parse,
    render,
)
from dove_ryu.model.entities import Endpoint, Learned, Location, Policy, Segment, Verdict
from dove_ryu.model.facts import Change
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World

from .worlds import Numbered, blueprints, entities_of, world_of


def numbered(tables: NetworkTables) -> dict[Change, Numbered]:
    """What a blueprint says of a network, by what it is."""
    held: list[Numbered] = [] if tables.network is None else [tables.network]
    for table in (tables.domains, tables.actions, tables.policies, tables.declared):
        held += table.values()
    return {Change.gone(entity): entity for entity in held}


def unordered(blueprint: Blueprint) -> Blueprint:
    return replace(
        blueprint,
        domains=tuple(sorted(blueprint.domains)),
        actions=tuple(sorted(blueprint.actions, key=lambda each: each.name)),
        policies=tuple(sorted(blueprint.policies, key=lambda each: each.name)),
        endpoints=tuple(sorted(blueprint.endpoints, key=lambda each: each.name)),
    )


def built(*steps: Blueprint, numbers: Numbers | None = None) -> NetworkTables:
    """The tables after blueprints were applied one after the other."""
    world, numbers = World(), numbers or Numbers()
    for step in steps:
        for change in amend(world.network(step.network), step, numbers):
            world.apply(change)
    tables = world.network(steps[-1].network)
    assert tables is not None
    return tables


@given(blueprints())
def test_a_new_network_is_what_its_blueprint_says(blueprint) -> None:
    tables = built(blueprint)
    assert tables.network is not None
    assert blueprint_of(tables) == replace(blueprint, vni=tables.network.vni)
    assert parse(render(tables)) == blueprint_of(tables)
    held = numbered(tables).values()
    assert len({entity.number for entity in held}) == len(held)
    assert {policy.tracking for policy in tables.policies.values()} == {1}


@given(blueprints(), blueprints())
def test_a_network_becomes_what_its_next_blueprint_says(old, new) -> None:
    numbers = Numbers()
    start = built(old, numbers=numbers)
    before = numbered(start)
    first_fresh = numbers.next_number
    tables = built(old, new)
    after = numbered(tables)
    assert start.network is not None
    assert tables.network is not None
    assert unordered(blueprint_of(tables)) == unordered(replace(new, vni=tables.network.vni))
    assert tables.network.vni == (new.vni or start.network.vni)
    for identity, entity in after.items():
        assert entity.number == before[identity].number if identity in before else entity.number >= first_fresh


@given(blueprints(), blueprints())
def test_the_same_blueprint_again_changes_nothing(old, new) -> None:
    numbers = Numbers()
    tables = built(old, new, numbers=numbers)
    given_out = numbers.document()
    assert amend(tables, new, numbers) == amend(tables, blueprint_of(tables), numbers) == []
    assert numbers.document() == given_out


@given(blueprints(), blueprints())
def test_a_tracking_number_rises_by_one_exactly_when_the_policy_changes(old, new) -> None:
    def meaning(blueprint: Blueprint) -> dict[str, object]:
        actions = {plan.name: plan for plan in blueprint.actions}
        said = {
            plan.name: (
                plan.ttl,
                plan.dscp,
                plan.rate,
                plan.stateful,
                [(name, actions.get(name)) for name in plan.actions],
            )
            for plan in blueprint.policies
        }
        return {**said, "default": (blueprint.verdict_ttl, blueprint.verdict)}

    before, after = meaning(old), meaning(new)
    for name, policy in built(old, new).policies.items():
        assert policy.tracking == 1 + (name in before and before[name] != after[name])


@given(blueprints(), st.lists(entities_of("blue"), max_size=5))
def test_removing_a_network_leaves_but_what_its_ports_say(blueprint, others) -> None:
    world = world_of([*amend(None, blueprint, Numbers()), *map(Change.put, others)])
    said = {entity for entity in world.tables["blue"].locations.values() if entity.observed}
    for change in remove(world.tables["blue"]):
        world.apply(change)
    left = world.tables.get("blue")
    assert said == (set() if left is None else set(left.locations.values()))
    assert left is None or not (numbered(left) or left.learned)


SHOP = Blueprint(
    "shop",
    domains=("lb", "app"),
    actions=(ActionPlan("fw", "firewall", "FW-1"), ActionPlan("zip", "compression", "Z")),
    policies=(PolicyPlan("lb", "app", ("fw", "accept")), PolicyPlan("app", "lb", ("accept",))),
    endpoints=(EndpointPlan("web1", "app", ("02:00:00:00:00:01",)), EndpointPlan("web2", "app")),
)


def edited(**fields) -> list[str]:
    """What changes in SHOP, by keys."""
    tables = built(SHOP)
    changes = amend(tables, replace(SHOP, **fields), Numbers({"next_number": 100}))
    return [f"{'-' if each.entity is None else '+'} {each.kind.__name__} {each.name}" for each in changes]


def test_only_what_differs_changes() -> None:
    assert edited() == []
    assert edited(vni=9) == ["+ VirtualNetwork shop"]
    assert edited(verdict=Verdict.ALLOW) == ["+ Policy default"]
    assert edited(domains=("lb", "app", "db")) == ["+ PolicyDomain db"]
    assert edited(endpoints=(replace(SHOP.endpoints[0], domain="lb"),)) == ["+ Endpoint web1", "- Endpoint web2"]
    assert edited(policies=SHOP.policies[:1]) == ["- Policy app>lb"]


def test_an_action_that_changes_changes_the_policies_that_name_it() -> None:
    firewall = replace(SHOP.actions[0], config="strict")
    assert edited(actions=(firewall, SHOP.actions[1])) == ["+ PolicyAction fw", "+ Policy lb>app"]
    assert edited(actions=(SHOP.actions[0], replace(SHOP.actions[1], kind="ids"))) == ["+ PolicyAction zip"]


def test_with_an_endpoint_goes_what_is_known_of_it_but_not_what_its_port_says() -> None:
    tables = built(SHOP)
    for name, observed in (("web1", True), ("web2", False), ("soon", False)):
        tables.locations[name] = Location("shop", name, 1, "tap0", observed=observed)
        tables.learned[name] = Learned("shop", name)
    changes = amend(tables, replace(SHOP, endpoints=()), Numbers())
    assert [(each.kind, each.name) for each in changes] == [
        (Endpoint, "web1"),
        (Endpoint, "web2"),
        (Location, "web2"),
        (Learned, "web1"),
        (Learned, "web2"),
    ]


def test_a_policy_that_comes_back_is_a_new_one() -> None:
    without = replace(SHOP, policies=SHOP.policies[1:])
    changed = replace(SHOP, policies=(replace(SHOP.policies[0], ttl=5), SHOP.policies[1]))
    numbers = [built(*steps).policies["lb>app"].number for steps in ([SHOP], [SHOP, without, SHOP])]
    assert numbers[0] < numbers[1]
    tracking = [built(*steps).policies["lb>app"].tracking for steps in ([SHOP, changed, SHOP], [SHOP, without, SHOP])]
    assert tracking == [3, 1]


def test_a_default_policy_that_is_lost_denies_and_is_put_back() -> None:
    tables = built(SHOP)
    del tables.policies["default"]
    assert blueprint_of(tables).verdict is Verdict.DENY
    (change,) = amend(tables, SHOP, Numbers({"next_number": 100}))
    assert change.entity == Policy("shop", None, None, 100, ("deny",))


def test_vnis_go_round_and_skip_those_in_use() -> None:
    taken = {1, 3, HIGHEST_VNI}
    numbers = Numbers(vni_taken=taken.__contains__)
    assert [numbers.vni(), numbers.vni()] == [2, 4]
    assert (numbers.document()["next_number"], numbers.document()["next_vni"]) == (1, 5)
    last = Numbers({"next_number": 1, "next_vni": HIGHEST_VNI - 1}, taken.__contains__)
    assert [last.vni(), last.vni()] == [HIGHEST_VNI - 1, 2]
    network = built(replace(SHOP, vni=3), numbers=numbers).network
    assert network is not None
    assert network.vni == 3
    assert numbers.next_vni == 5


def test_numbers_end(monkeypatch) -> None:
    numbers = Numbers({"next_number": HIGHEST_NUMBER, "next_vni": 1}, lambda vni: True)
    assert numbers.number() == HIGHEST_NUMBER
    with pytest.raises(Exhausted, match="all 268435455 numbers have been given out"):
        numbers.number()
    monkeypatch.setattr("dove_ryu.model.amendment.HIGHEST_VNI", 99)
    with pytest.raises(Exhausted, match="all 99 VNIs are in use; delete a network"):
        numbers.vni()


# Segments of service chains: a label for each, and a VLAN at the appliance (F16, F17).

FW, SSL = Appliance("FW", "firewall"), Appliance("SSL", "ssl", sharing=Sharing.DEDICATED)
CHAINED = Blueprint(
    "shop",
    domains=("a", "b"),
    actions=(ActionPlan("fw", "firewall", "FW"), ActionPlan("ssl", "ssl", "SSL"), ActionPlan("lost", "x", "LOST")),
    policies=(PolicyPlan("a", "b", ("fw", "accept", "ssl", "fw")), PolicyPlan("b", "a", ("lost", "fw"))),
)
REGISTERED = {"FW": FW, "SSL": SSL}


def segments_after(*steps: Blueprint, numbers: Numbers | None = None) -> dict[str, Segment]:
    """The segments after blueprints were applied one after the other."""
    world, numbers = World(), numbers or Numbers()
    for step in steps:
        for change in amend(world.network("shop"), step, numbers, REGISTERED):
            world.apply(change)
        assert amend(world.network("shop"), step, numbers, REGISTERED) == []
    return world.tables["shop"].segments


def with_actions(*actions: str) -> Blueprint:
    """The same with other actions from a to b, and none from b to a."""
    return replace(CHAINED, policies=(PolicyPlan("a", "b", actions),))


def test_each_hop_has_a_label_and_a_vlan_of_its_own() -> None:
    numbers = Numbers()
    assert list(segments_after(CHAINED, numbers=numbers).values()) == [
        Segment("shop", "a>b", 1, FIRST_LABEL, "FW", 1),
        Segment("shop", "a>b", 2, FIRST_LABEL + 2, "SSL", 0),
        Segment("shop", "a>b", 3, FIRST_LABEL + 4, "FW", 2),
        Segment("shop", "b>a", 2, FIRST_LABEL + 6, "FW", 3),
    ]
    assert numbers.document()["next_label"] == FIRST_LABEL + 8, "each is one of a pair"
    assert Numbers(numbers.document()).vlan(FW) == 4


def test_a_segment_stays_what_it_is_while_its_hop_has_the_same_appliance() -> None:
    before = segments_after(CHAINED)
    after = segments_after(CHAINED, with_actions("accept", "fw", "ssl", "fw"))
    assert list(after.values()) == [before[name] for name in ("a>b:1", "a>b:2", "a>b:3")]


def test_what_was_given_up_is_not_given_out_again_at_once() -> None:
    """A packet may still be on its way with it."""
    after = segments_after(with_actions("fw", "fw"), with_actions("accept"), with_actions("fw"))
    assert list(after.values()) == [Segment("shop", "a>b", 1, FIRST_LABEL + 4, "FW", 3)]


def test_a_dedicated_appliance_has_one_segment_which_may_move() -> None:
    after = segments_after(with_actions("ssl"), with_actions("fw", "ssl"))
    assert (after["a>b:2"].appliance, after["a>b:2"].vlan) == ("SSL", 0)
    with pytest.raises(BlueprintError, match="appliance 'SSL' is dedicated to another policy or hop"):
        segments_after(with_actions("ssl", "ssl"))
    with pytest.raises(BlueprintError, match="appliance 'SSL' is dedicated to another policy or hop"):
        segments_after(with_actions("ssl"), numbers=Numbers(vlan_taken=lambda appliance, vlan: vlan == 0))


def test_an_appliance_that_is_shared_otherwise_has_other_segments() -> None:
    world, numbers = World(), Numbers()
    for registered in (FW, replace(FW, sharing=Sharing.DEDICATED)):
        for change in amend(world.network("shop"), with_actions("fw"), numbers, {"FW": registered}):
            world.apply(change)
    assert list(world.tables["shop"].segments.values()) == [Segment("shop", "a>b", 1, FIRST_LABEL + 2, "FW", 0)]


def test_labels_and_vlans_go_round_and_end() -> None:
    numbers = Numbers(
        {"next_label": LAST_LABEL, "next_vlan": {"FW": LAST_VLAN}}, label_taken={FIRST_LABEL}.__contains__
    )
    assert [numbers.label(), numbers.label()] == [LAST_LABEL - 1, FIRST_LABEL + 2]
    assert [numbers.vlan(FW), numbers.vlan(FW)] == [LAST_VLAN, 1]
    full = Numbers(vlan_taken=lambda appliance, vlan: True)
    with pytest.raises(Exhausted, match="all 4093 VLANs of appliance 'FW' are in use; add another appliance"):
        full.vlan(FW)


def test_a_network_gets_a_zone_with_its_first_stateful_policy_and_keeps_it() -> None:
    """X7: stable, and nobody else's."""
    numbers = Numbers({"next_zone": LAST_ZONE}, zone_taken={1}.__contains__)
    plain = Blueprint("n", domains=("a",), policies=(PolicyPlan("a", "a", ("accept",)),))
    stateful = replace(plain, policies=(PolicyPlan("a", "a", ("accept",), stateful=True),))
    zones = [
        network.zone
        for network in (built(*steps, numbers=numbers).network for steps in ((plain,), (stateful,), (stateful, plain)))
        if network is not None
    ]
    assert zones == [0, LAST_ZONE, 2]
    assert numbers.document()["next_zone"] == 3
    with pytest.raises(Exhausted, match="all 65535 zones of connection tracking are in use"):
        Numbers(zone_taken=lambda zone: True).zone()


def test_labels_end(monkeypatch) -> None:
    monkeypatch.setattr("dove_ryu.model.amendment.LAST_LABEL", FIRST_LABEL + 1)
    with pytest.raises(Exhausted, match="all 1 segment labels are in use; delete a chained policy"):
        Numbers(label_taken=lambda label: True).label()


def test_a_network_that_goes_takes_its_segments_along() -> None:
    world = World()
    for change in amend(None, CHAINED, Numbers(), REGISTERED):
        world.apply(change)
    for change in remove(world.tables["shop"]):
        world.apply(change)
    assert world.tables == {}
    assert list(world.chained()) == []
