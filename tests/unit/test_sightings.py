"""What a host says of where things are, and what becomes of what was recorded before (F24, X15)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Seat
from dove_ryu.model.entities import Learned, Location, Place
from dove_ryu.model.facts import Change
from dove_ryu.sightings import at, attached, beside, named, observed, spots, without
from dove_ryu.southbound.ovsdb import BoundInterface, HostView

HERE, THERE = 1, 2
OLD, NEW = Seat("FW", "one", HERE, "in", "out"), Seat("FW", "one", THERE, "tap0", "tap1")


def view(**iface_ids: str) -> HostView:
    """A host whose interfaces have these iface-ids."""
    interfaces = (BoundInterface(name, 1, said, "02:00:00:00:00:01") for name, said in iface_ids.items())
    return HostView(HERE, "br", (), (), tuple(interfaces))


def test_ports_place_endpoints_and_instances() -> None:
    found = spots(view(tap0="web/ws1", a="appliance/FW/one/ingress", b="appliance/FW/one/egress", c="appliance/IDS/x"))
    assert list(found.values()) == [
        Location("web", "ws1", HERE, "tap0", observed=True),
        Seat("FW", "one", HERE, "a", "b"),
        Seat("IDS", "x", HERE, "c", "c"),
    ]
    assert list(found) == ["/dove/v1/locations/web/ws1", "/dove/v1/seats/FW/one", "/dove/v1/seats/IDS/x"]


def test_one_of_two_ports_seats_nobody() -> None:
    assert spots(view(a="appliance/FW/one/ingress", b="appliance/FW/two/egress")) == {}


def test_only_endpoints_have_addresses_of_their_own() -> None:
    said = view(tap0="web/ws1", c="appliance/IDS/x")
    assert attached(said) == [Learned("web", "ws1", ("02:00:00:00:00:01",))]
    unsaid = replace(said, interfaces=tuple(replace(each, attached_mac=None) for each in said.interfaces))
    assert attached(unsaid) == []


def test_what_a_host_has_said_is_known_from_the_world() -> None:
    dps = Dps()
    moved = replace(NEW, former=OLD)
    places = Location("web", "a", HERE, "tap0", observed=True), Location("web", "b", HERE, "tap1")
    dps.apply([Change.put(moved), *map(Change.put, places)])
    assert list(observed(dps, HERE).values()) == [places[0], OLD]
    assert list(observed(dps, THERE).values()) == [moved]


def test_an_instance_that_moves_leaves_its_ports_to_what_is_on_its_way() -> None:
    moved = beside(OLD, NEW)
    assert moved == replace(NEW, former=OLD)
    assert isinstance(moved, Seat)
    assert beside(moved, OLD) == replace(OLD, former=NEW)
    assert beside(moved, NEW) == moved, "what is said again is no news"
    assert without(moved, OLD) == NEW
    assert without(moved, NEW) == OLD
    assert without(NEW, NEW) is None
    assert without(NEW, OLD) is NEW, "it has not been there"


def test_other_ports_of_the_same_dswitch_take_over_whole() -> None:
    assert beside(OLD, replace(OLD, ingress="tap7")) == replace(OLD, ingress="tap7")


def test_an_endpoint_moves_arrives_or_stays() -> None:
    place = Location("web", "ws1", HERE, "tap0", 3, observed=True)
    there = replace(place, dpid=THERE)
    assert beside(place, replace(there, tracking=1)) == replace(there, tracking=4)
    assert beside(place, replace(place, tracking=1)) == place
    coming = replace(place, migrating_to=Place(THERE, ""))
    assert beside(coming, there) == replace(place, migrating_to=Place(THERE, "tap0"))
    learned = Learned("web", "ws1", ("02:00:00:00:00:01",))
    assert beside(learned, Learned("web", "ws1", (), ("10.0.0.1",))) == replace(learned, ips=("10.0.0.1",))
    assert beside(None, learned) is learned


@pytest.mark.parametrize(
    ("spot", "text"),
    [
        (Location("web", "ws1", 1, "tap0"), "endpoint web/ws1 is at port tap0 of dSwitch 0000000000000001"),
        (OLD, "instance one of appliance FW is at ports in and out of dSwitch 0000000000000001"),
        (replace(OLD, egress="in"), "instance one of appliance FW is at port in of dSwitch 0000000000000001"),
    ],
)
def test_places_are_said_in_words(spot: Location | Seat, text: str) -> None:
    assert f"{named(spot)} is {at(spot)}" == text
    assert at(None) == "nowhere"
