"""What the random tests of the DPS do: bring dSwitches into a state, change it, let endpoints send, and look."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hypothesis import HealthCheck, settings

from dove_ryu.dps import Dps
from dove_ryu.features import NEGATIVE_TTL
from dove_ryu.model.entities import Location
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import CACHED_COOKIE, CACHED_MASK, Cookie, Kind
from dove_ryu.openflow.flow import Flow, text

from .oracle import Ping, Question
from .pipeline import Delivery, Fabric
from .states import Content, Slot, State, entities, oracle_of, ports, teaches
from .wire import answer, frame, seen

EXAMPLES = int(os.environ.get("DOVE_EXAMPLES", "20"))
"""How many worlds each random test sees; some thousands are worth a night."""

patient = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def fabric_of(state: State) -> Fabric:
    """dSwitches in a state, by the shortest path."""
    fabric = Fabric(Dps())
    fabric.apply(map(Change.put, entities(state)))
    for dpid, shown in ports(state).items():
        fabric.connect(dpid, shown)
    return fabric


def fill(fabric: Fabric, state: State, slot: Slot, held: Content) -> None:
    """Give a slot of *state* another content, and tell the DPS."""
    before, state[slot] = state[slot], held
    if isinstance(held, tuple):
        fabric.show_ports(int(slot[1]), dict(held))
    else:
        fabric.apply(changes_of(before, held))


def changes_of(before: Content, after: Content) -> list[Change]:
    """What makes a slot's content, or its absence, another; ports are no matter of the world's."""
    if before == after or isinstance(before, tuple) or isinstance(after, tuple):
        return []
    if after is not None:
        return [Change.put(after)]
    return [] if before is None else [Change.gone(before)]


def changes_between(before: State, after: State) -> list[Change]:
    """What makes one state the other."""
    return [change for slot in before for change in changes_of(before[slot], after[slot])]


def send(fabric: Fabric, state: State, what: Ping | Question) -> list[Delivery]:
    """Let an endpoint send; nothing comes of one that is nowhere."""
    place = state["location", what.network, what.sender]
    return fabric.send(place.dpid, place.port, frame(what)) if isinstance(place, Location) else []


def holds_standing_flows(fabric: Fabric) -> None:
    """Each connected dSwitch holds what the world alone says, besides its cache and its tombstones."""
    for dpid in sorted(fabric.dps.connected):
        switch = fabric.switches[dpid]
        standing = (flow for flow in switch.flows if not (is_tombstone(flow) or is_connection(flow)))
        held = {flow for flow in standing if flow.cookie & CACHED_MASK != CACHED_COOKIE}
        wanted = set(fabric.dps.standing_flows(dpid))
        assert held == wanted, f"too much:\n{text(held - wanted)}\nmissing:\n{text(wanted - held)}"


def is_connection(flow: Flow) -> bool:
    """Whether a flow was learned from the first packet of a connection."""
    cookie = Cookie.parse(flow.cookie)
    return cookie is not None and cookie.kind is Kind.CONNECTION


def is_tombstone(flow: Flow) -> bool:
    """Whether a flow is there for an endpoint that has left."""
    cookie = Cookie.parse(flow.cookie)
    return cookie is not None and cookie.kind is Kind.TOMBSTONE


def settle(fabric: Fabric, state: State, sent: Iterable[Ping | Question]) -> None:
    """Let the windows pass that the design allows.

    That an address is nobody's, or cannot be reached, is believed for a while; and a stale location lasts until a
    packet goes by it.
    """
    fabric.pass_time(NEGATIVE_TTL)
    for what in sent:
        send(fabric, state, what)


def does_as_fresh_ones_would(fabric: Fabric, state: State, sent: Sequence[Ping | Question]) -> None:
    """The dSwitches hold what they should, and packets fare as they would with nothing cached."""
    holds_standing_flows(fabric)
    settle(fabric, state, sent)
    fresh = fabric.fresh()
    for what in sent:
        if not teaches(state, what):
            assert send(fabric, state, what) == send(fresh, state, what), what


def does_as_the_oracle_says(fabric: Fabric, state: State, sent: Iterable[Ping | Question]) -> None:
    """Packets fare as a look through all entities tells."""
    oracle = oracle_of(state)
    for what in sent:
        if teaches(state, what):
            continue
        deliveries = send(fabric, state, what)
        if isinstance(what, Question):
            mac = oracle.question(what)
            assert [answer(what, delivery) for delivery in deliveries] == ([] if mac is None else [mac]), what
        else:
            arrival = oracle.ping(what)
            assert list(map(seen, deliveries)) == ([] if arrival is None else [arrival]), what
