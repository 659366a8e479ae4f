"""Endpoints come, move and go, policies change, dSwitches and the DPS fail and return: the cache stays true.

After every step the same packets are sent, and each fares as the oracle says, to the packet, however the dSwitches came
to hold what they hold.  The windows that the design allows are written down here, and asserted as well:

- A moved endpoint is reached through the tombstone by those who do not know it yet.  No packet is lost, and each sender
  needs only one to be corrected, without having asked.
- That an address is nobody's, or that its dSwitch is not known, is believed for :data:`NEGATIVE_TTL` seconds.
- A dSwitch that is not connected goes on with what it has.  What it sends comes out where the destination is or was, or
  nowhere; and what others send to it comes out where it should, or nowhere.
- Whoever is connected never reaches what policy denies, and nobody ever reaches another network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dove_ryu.dps import Dps
from dove_ryu.features import NEGATIVE_TTL
from dove_ryu.model.entities import Endpoint, Location, Place, Policy
from dove_ryu.model.facts import Change
from dove_ryu.openflow.fields import Cookie, Kind

from .oracle import Ping, Question, Seen
from .pipeline import Delivery
from .scenario import changes_of, fabric_of, holds_standing_flows, send
from .states import DPIDS, ENDPOINTS, GATEWAY, IPV4, IPV6, MACS, NETWORKS, PORTS, Slot, entities, oracle_of, usual
from .wire import announcement, answer, frame, seen

EXAMPLES = int(os.environ.get("DOVE_EXAMPLES", "12"))
STEPS = 25

FIRST, LAST = 0, 3
PACKETS: tuple[Ping | Question, ...] = tuple(
    packet
    for network in NETWORKS
    for packet in (
        Ping(network, "e1", MACS[0], IPV4[0], MACS[LAST], IPV4[LAST]),
        Ping(network, "e1", MACS[0], IPV6[0], GATEWAY.mac, IPV6[LAST]),
        Ping(network, "e3", MACS[2], IPV4[2], MACS[1], IPV4[1]),
        Ping(network, "e4", MACS[LAST], IPV4[LAST], MACS[FIRST], IPV4[FIRST]),
        Question(network, "e1", MACS[0], IPV4[0], IPV4[LAST]),
    )
)

endpoints = st.sampled_from([(network, name) for network in NETWORKS for name in ENDPOINTS])
dpids = st.sampled_from(DPIDS)
verdicts = st.sampled_from(((), ("accept",), ("deny",)))
governed = st.sampled_from(
    [
        *(("default", network) for network in NETWORKS),
        *(("policy", network, *pair) for network in NETWORKS for pair in (("red", "blue"), ("blue", "red"))),
    ]
)


class CacheStaysTrue(RuleBasedStateMachine):
    """A small data center and everything that can happen to it.

    :ivar away: the dSwitches that are not connected.
    :ivar places: everywhere that an endpoint has been since a dSwitch was last away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = usual()
        self.fabric = fabric_of(self.state)
        self.away: set[int] = set()
        self.places: dict[tuple[str, str], set[Place]] = {}
        self.numbers = count(5000)
        self._remember_places()

    # What can happen.

    @rule(who=endpoints, dpid=dpids)
    def move(self, who: tuple[str, str], dpid: int) -> None:
        """An endpoint appears at a dSwitch, and is no longer where it was."""
        slot: Slot = ("location", *who)
        before = self.state[slot]
        tracking = before.tracking + 1 if isinstance(before, Location) else 1
        self._fill(slot, Location(*who, dpid, port_of(who), tracking))

    @rule(who=endpoints, dpid=dpids)
    def start_live_migration(self, who: tuple[str, str], dpid: int) -> None:
        """F45, X5: its packets are to reach both places from now on."""
        before = self.state["location", *who]
        if isinstance(before, Location) and before.migrating_to is None and before.dpid != dpid:
            target = Place(dpid, port_of(who))
            self._fill(("location", *who), replace(before, migrating_to=target))

    @rule(who=endpoints, speaks=st.booleans())
    def finish_live_migration(self, who: tuple[str, str], speaks: bool) -> None:
        """The endpoint, or its hypervisor for it, speaks where it was going to, and is there from now on."""
        place, endpoint = self.state["location", *who], self.state["endpoint", *who]
        if not isinstance(place, Location) or place.migrating_to is None:
            return
        there = place.migrating_to
        if isinstance(endpoint, Endpoint) and there.dpid not in self.away:
            self.fabric.arrivals.clear()
            said = frame(greeting(endpoint)) if speaks else announcement(endpoint.macs[0])
            self.fabric.send(there.dpid, there.port, said)
            assert self.fabric.arrivals == [place]
        after = replace(place, dpid=there.dpid, port=there.port, migrating_to=None, tracking=place.tracking + 1)
        self._fill(("location", *who), after)

    @rule(who=endpoints)
    def abort_live_migration(self, who: tuple[str, str]) -> None:
        """It stays where it is."""
        place = self.state["location", *who]
        if isinstance(place, Location):
            self._fill(("location", *who), replace(place, migrating_to=None))

    @rule(who=endpoints)
    def detach(self, who: tuple[str, str]) -> None:
        """An endpoint is nowhere."""
        self._fill(("location", *who), None)

    @rule(who=endpoints)
    def delete(self, who: tuple[str, str]) -> None:
        """An endpoint's entry goes."""
        self._fill(("endpoint", *who), None)

    @rule(who=endpoints, domain=st.sampled_from(("red", "blue")), second=st.booleans())
    def declare(self, who: tuple[str, str], domain: str, second: bool) -> None:
        """An endpoint's entry is made, or made another: another domain, an address more."""
        place, before = ENDPOINTS.index(who[1]), self.state["endpoint", *who]
        more = (f"10.0.0.{101 + place}",) if second else ()
        own = before.number if isinstance(before, Endpoint) else next(self.numbers)
        made = Endpoint(*who, own, domain, (MACS[place],), (IPV4[place], IPV6[place], *more))
        self._fill(("endpoint", *who), made)

    @rule(slot=governed, actions=verdicts)
    def change_policy(self, slot: Slot, actions: tuple[str, ...]) -> None:
        """A policy comes, or changes and has its tracking number raised (F32)."""
        before = self.state[slot]
        source, destination = (slot[2], slot[3]) if slot[0] == "policy" else (None, None)
        made = Policy(slot[1], source, destination, next(self.numbers), actions, 300)
        if isinstance(before, Policy):
            made = replace(before, actions=actions, tracking=before.tracking + 1)
        self._fill(slot, made)

    @rule(slot=governed)
    def delete_policy(self, slot: Slot) -> None:
        """A policy goes."""
        self._fill(slot, None)

    @rule(dpid=dpids)
    def disconnect(self, dpid: int) -> None:
        """A dSwitch's connection ends; the dSwitch goes on."""
        if dpid not in self.away:
            self.fabric.lose(dpid)
            self.away.add(dpid)

    @precondition(lambda self: self.away)
    @rule()
    def reconnect(self) -> None:
        """Whoever is away comes back, with the flows that it has."""
        for dpid in sorted(self.away):
            self._connect(dpid)

    @rule(dpid=dpids)
    def restart_dswitch(self, dpid: int) -> None:
        """A dSwitch comes back with empty tables."""
        if dpid not in self.away:
            self.fabric.lose(dpid)
        self.fabric.switches[dpid].restart()
        self._connect(dpid)

    @rule()
    def restart_dps(self) -> None:
        """X1: another DPS reads the same world, and the dSwitches connect with the flows that they have."""
        self.fabric.dps = Dps()
        self.fabric.apply(map(Change.put, entities(self.state)))
        for dpid in set(DPIDS) - self.away:
            self._connect(dpid)

    @rule(seconds=st.sampled_from((1, NEGATIVE_TTL, 61, 299)))
    def pass_time(self, seconds: int) -> None:
        """Nobody sends; some entries end, idle or at the end of their time."""
        self.fabric.pass_time(seconds)

    # What must hold.

    @invariant()
    def holds_what_the_world_says(self) -> None:
        """Connected dSwitches hold their standing flows and no others."""
        holds_standing_flows(self.fabric)

    @invariant()
    def delivers_what_it_should(self) -> None:
        """Every packet fares as it should."""
        for what in PACKETS:
            self._fares_well(what)

    @invariant()
    def has_corrected_every_sender(self) -> None:
        """F20: after one packet each nobody who is connected sends to where an endpoint was."""
        if not self.away:
            heard, asked = self.fabric.dps.invalidations, self.fabric.questions
            for what in PACKETS:
                self._fares_well(what)
            assert (self.fabric.dps.invalidations, self.fabric.questions) == (heard, asked)

    def _fares_well(self, what: Ping | Question) -> None:
        place = self.state["location", what.network, what.sender]
        if not isinstance(place, Location):
            return
        doubted = self._believes_in_nothing(place.dpid)
        found = self._seen(what, send(self.fabric, self.state, what))
        due = set(self._due(what))
        if place.dpid in self.away:
            assert all(self._has_been_there(what, each) for each in found), (what, found)
        elif doubted or any(each.dpid in self.away for each in due if isinstance(each, Seen)):
            assert found <= due, (what, found, due)
        else:
            assert found == due, (what, found, due)

    def _due(self, what: Ping | Question) -> Iterator[Seen | str]:
        """What the oracle says, and for each endpoint that is migrating a copy where it is going to."""
        oracle = oracle_of(self.state)
        if isinstance(what, Question):
            mac = oracle.question(what)
            yield from () if mac is None else (mac,)
            return
        arrival = oracle.ping(what)
        if arrival is None:
            return
        yield arrival
        for held in self.state.values():
            if isinstance(held, Location) and held.network == what.network and held.migrating_to is not None:
                target = held.migrating_to
                if (held.dpid, held.port) == (arrival.dpid, arrival.port):
                    yield arrival._replace(dpid=target.dpid, port=target.port)

    def _seen(self, what: Ping | Question, deliveries: list[Delivery]) -> set[Seen | str]:
        if isinstance(what, Question):
            return {answer(what, each) for each in deliveries}
        told = [seen(each) for each in deliveries]
        assert len(told) == len(set(told)), "a packet comes twice"
        return set(told)

    def _has_been_there(self, what: Ping | Question, found: Seen | str) -> bool:
        """Whether a packet came out where its destination is or has been."""
        name = ENDPOINTS[(IPV4 + IPV6).index(what.to_ip if isinstance(what, Ping) else what.target) % len(IPV4)]
        if isinstance(found, str):
            return found == MACS[ENDPOINTS.index(name)]
        return Place(found.dpid, found.port) in self.places[what.network, name]

    def _believes_in_nothing(self, dpid: int) -> bool:
        cookies = (Cookie.parse(flow.cookie) for flow in self.fabric.switches[dpid].flows)
        return any(cookie is not None and cookie.kind is Kind.UNKNOWN for cookie in cookies)

    # How it is done.

    def _fill(self, slot: Slot, held: object) -> None:
        before, self.state[slot] = self.state[slot], held  # type: ignore[assignment]
        self._remember_places()
        self.fabric.apply(changes_of(before, self.state[slot]))

    def _connect(self, dpid: int) -> None:
        self.away.discard(dpid)
        self.fabric.connect(dpid, dict(self.state["ports", str(dpid)]))  # type: ignore[arg-type]

    def _remember_places(self) -> None:
        for held in self.state.values():
            if isinstance(held, Location):
                self.places.setdefault((held.network, held.endpoint), set()).update(held.places)


def port_of(who: tuple[str, str]) -> str:
    """The name of an endpoint's port, at whichever dSwitch."""
    return PORTS[who[0]][ENDPOINTS.index(who[1])]


def greeting(endpoint: Endpoint) -> Ping:
    """What an endpoint says that has just arrived."""
    return Ping(endpoint.network, endpoint.name, endpoint.macs[0], endpoint.ips[0], GATEWAY.mac, "10.0.0.254")


CacheStaysTrue.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestCacheStaysTrue = CacheStaysTrue.TestCase
