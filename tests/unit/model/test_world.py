"""The tables follow from what they were told to hold, not from the order in which they were told."""

import json
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.address_index import AddressIndex
from dove_ryu.model.appliances import Appliance, Health, Instance, Seat
from dove_ryu.model.documents import change_of
from dove_ryu.model.entities import DSwitch, Endpoint, Entity, Learned, Location, Place, PolicyDomain, VirtualNetwork
from dove_ryu.model.facts import Change, Fact
from dove_ryu.model.world import World

from .worlds import changes, dump, through_store, world_of

histories = st.lists(changes, max_size=25)


def last_words(history: list[Change]) -> list[Change]:
    """What a history says last of each thing."""
    return list({(each.kind, each.network, each.name): each for each in history}.values())


@given(histories, st.randoms(use_true_random=False))
def test_the_same_end_by_any_path_gives_equal_tables(history, random) -> None:
    end = last_words(history)
    told = dump(world_of(history))
    shuffled = random.sample(end, len(end))
    assert dump(world_of(change for change in shuffled if change.entity is not None)) == told
    assert dump(world_of([*reversed(history), *shuffled])) == told
    assert dump(world_of(chain.from_iterable((change, change) for change in history))) == told


@given(histories)
def test_a_store_in_between_changes_nothing(history) -> None:

    kept = through_store(history)
    changes = (change_of(key, json.loads(text)) for key, text in kept.items())
    assert dump(world_of(change for change in changes if change is not None)) == dump(world_of(history))


@given(histories)
def test_facts_tell_every_change_once(history) -> None:
    world = World()
    shadow: dict[Change, Entity | None] = {}
    for change in history:
        for fact in world.apply(change):
            identity = Change.gone(fact.either)
            assert shadow.get(identity) == fact.before != fact.after
            shadow[identity] = fact.after
        assert world.apply(change) == []
    held: list[Entity] = [*world.dswitches.values(), *world.appliances.values()]
    held += [*world.provider.seats.values(), *world.provider.health.values()]
    for tables in world.tables.values():
        held += [] if tables.network is None else [tables.network]
        for table in (
            tables.domains,
            tables.actions,
            tables.policies,
            tables.segments,
            tables.endpoints,
            tables.locations,
        ):
            held += table.values()
    assert {entity for entity in shadow.values() if entity is not None} == set(held)


@given(histories)
def test_nothing_is_left_where_all_is_gone(history) -> None:
    world = world_of([*history, *(Change(each.kind, each.network, each.name, None) for each in history)])
    assert dump(world) == dump(World())
    assert not world.tables


def test_a_fact_knows_its_network() -> None:
    network = VirtualNetwork("web", 1, 5001)
    assert Fact(None, network).network == "web"
    assert Fact(PolicyDomain("web", "app", 2), None).network == "web"
    assert Fact(None, DSwitch(1)).network is None
    assert Fact(Appliance("FW-1", "firewall"), None).network is None
    assert Fact(None, Seat("FW-1", "one", 1, "in", "out")).network is None
    assert Fact(None, Health("FW-1", "one", up=True)).network is None


def test_a_change_carries_what_it_says() -> None:
    with pytest.raises(TypeError, match="a change of a Endpoint carries a DSwitch"):
        World().apply(Change(Endpoint, "web", "ws1", DSwitch(1)))


def test_a_network_exists_once_it_is_declared() -> None:
    world = World()
    world.apply(Change.put(PolicyDomain("web", "app", 2)))
    assert world.network("web") is None
    world.apply(Change.put(VirtualNetwork("web", 1, 5001)))
    assert world.network("web") is world.network_of_vni(5001) is world.tables["web"]
    assert world.network("mail") is None


def test_a_vni_that_two_networks_claim_for_a_moment_is_lost_by_neither() -> None:
    blue, red = VirtualNetwork("blue", 1, 7), VirtualNetwork("red", 2, 7)
    for first, second in ((blue, red), (red, blue)):
        world = world_of([Change.put(first), Change.put(second)])
        assert world.network_of_vni(7) is world.network("blue")
        world.apply(Change.gone(second))
        assert world.network_of_vni(7) is world.network(first.name)


def test_what_was_learned_counts_where_the_declaration_leaves_it_open() -> None:
    world = World()
    world.apply(Change.put(Learned("web", "ws1", ("02:00:00:00:00:02",), ("10.0.0.2",))))
    world.apply(Change.put(Endpoint("web", "ws1", 6, "app", ("02:00:00:00:00:01",))))
    endpoint = world.tables["web"].endpoints["ws1"]
    assert (endpoint.macs, endpoint.ips) == (("02:00:00:00:00:01",), ("10.0.0.2",))
    assert world.tables["web"].owner("10.0.0.2") is endpoint
    assert world.tables["web"].owner("02:00:00:00:00:02") is None


def test_a_port_is_looked_up_at_its_dswitch() -> None:
    world = World()
    world.ports[1] = {"tap0": 7}
    place = Location("web", "ws1", 1, "tap0")
    assert (world.port(place, 1), world.port(place, 2)) == (7, None)
    assert world.port(Location("web", "ws1", 1, "tap1"), 1) is None
    assert world.port(Location("web", "ws1", 2, "tap0"), 2) is None


def test_an_instance_is_where_it_is_declared_or_where_its_ports_say() -> None:
    """X15: and one that nobody has seen is nowhere."""
    fixed, bound = Instance("one", 1, "in", "out"), Instance("two", 0, "", "")
    appliance, seat = Appliance("FW-1", "firewall", (fixed, bound)), Seat("FW-1", "two", 2, "tap0", "tap1")
    world = world_of([Change.put(appliance), Change.put(Seat("FW-1", "one", 7, "else", "where"))])
    assert world.seat(appliance, fixed) == Seat("FW-1", "one", 1, "in", "out")
    assert world.seat(appliance, bound) is None
    assert world.provider.dpids(["FW-1", "FW-2"]) == {1}
    assert world.provider.seated(appliance).instances == (fixed,)
    world.apply(Change.put(seat))
    assert world.seat(appliance, bound) is seat
    assert world.provider.dpids(["FW-1"]) == {1, 2}
    assert world.provider.seated(appliance) is appliance


def test_an_instance_works_until_it_was_seen_not_to() -> None:
    """X10."""
    down, up = Health("FW-1", "one", up=False, reason="port in is down"), Health("FW-1", "one", up=True)
    world = World()
    assert world.down == set()
    for last, held in ((down, {("FW-1", "one")}), (up, set()), (down, {("FW-1", "one")})):
        world.apply(Change.put(last))
        assert world.down == held
    world.apply(Change.gone(down))
    assert world.down == set()


def test_an_endpoint_that_is_migrating_has_two_ports() -> None:
    world = World()
    world.ports |= {1: {"tap0": 7}, 2: {"tap9": 8}}
    migrating = Location("web", "ws1", 1, "tap0", migrating_to=Place(2, "tap9"))
    assert [world.port(migrating, dpid) for dpid in (1, 2, 3)] == [7, 8, None]


def test_what_is_located_at_a_dswitch_comes_by_network_and_name() -> None:
    places = [Location(network, name, 1, "tap0") for network in ("web", "app") for name in ("b", "c", "a")]
    world = world_of(Change.put(place) for place in (*places, Location("app", "d", 2, "tap0")))
    assert [(place.network, place.endpoint) for place in world.located(1)] == [
        *(("app", name) for name in "abc"),
        *(("web", name) for name in "abc"),
    ]
    tables = world.tables["app"]
    assert tables.with_only(1, ["b"]).hosted == {1: ["b"]}
    assert tables.hosted == {1: ["a", "b", "c"], 2: ["d"]}


@given(histories)
def test_attached_endpoints_are_counted_as_they_come_and_go(history) -> None:
    for tables in world_of(history).tables.values():
        assert tables.attached == len(tables.locations.keys() & tables.endpoints.keys())
        assert tables.endpoints.keys() == tables.declared.keys()


@given(histories, changes)
def test_what_a_change_replaces_is_known_before(history, change) -> None:
    world = world_of(history)
    before = world.present(change)
    assert before == {Change.gone(each.entity): each.entity for each in last_words(history) if each.entity}.get(
        replace(change, entity=None)
    )


def test_giving_up_an_address_that_was_never_claimed_changes_nothing() -> None:
    index = AddressIndex()
    index.remove("ws1", ("10.0.0.1", "10.0.0.0/8"))
    assert index.find("10.0.0.1") is None


def test_all_who_claim_an_address_or_prefix_are_known() -> None:
    index = AddressIndex()
    for name in ("web", "app", "web"):
        index.add(name, ("10.0.0.1", "10.0.0.0/8"))
    for address in ("10.0.0.1", "10.0.0.0/8"):
        assert index.claimants(address) == ("app", "web")
    index.remove("app", ("10.0.0.1", "10.0.0.0/8"))
    for address in ("10.0.0.1", "10.0.0.0/8"):
        assert index.claimants(address) == ("web",)
    assert index.claimants("10.0.0.2") == index.claimants("11.0.0.0/8") == index.claimants("fd00::/8") == ()


def test_the_longest_prefix_has_an_address_and_prefixes_have_no_macs() -> None:
    index = AddressIndex()
    index.add("all", ("0.0.0.0/0", "::/0"))
    index.add("office", ("192.0.2.0/24",))
    index.add("printer", ("192.0.2.9",))
    found = [index.find(address) for address in ("192.0.2.9", "192.0.2.8", "192.0.3.1", "fd00::1", "02:00:00:00:00:01")]
    assert found == ["printer", "office", "all", "all", None]
    index.remove("office", ("192.0.2.0/24",))
    assert index.find("192.0.2.8") == "all"
