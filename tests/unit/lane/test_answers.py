"""F54: whatever the lane answers, it answers as the plain way does, byte for byte; and what it knows it does answer."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu import lane_tables
from dove_ryu.model.entities import (
    DSwitch,
    Encapsulation,
    Endpoint,
    Location,
    Place,
    Policy,
    PolicyDomain,
    Service,
    VirtualNetwork,
)
from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.pipeline import LOCATION, NEIGHBOUR, POLICY
from dove_ryu.southbound import codec
from tests.unit.dps.scenario import patient
from tests.unit.dps.states import (
    ALL_PORTS,
    DOMAINS,
    DPIDS,
    GATEWAY,
    IPV4,
    IPV6,
    MACS,
    NETWORKS,
    OUTSIDE,
    PORTS,
    SLOTS,
    Content,
    Filling,
    Slot,
    fillings,
    number,
    usual,
)

from .office import Office
from .packets import OURS, frame, oxm_bytes, packet_in_of, request

VNIS = {"n1": 5, "n2": 6}
POLICIES = [slot for slot in SLOTS if slot[0] in ("default", "policy")]
LOCATIONS = [slot for slot in SLOTS if slot[0] == "location"]


def domain_number(network: str, domain: str) -> int:
    """The number that a domain has in the usual state."""
    return number(("domain", network, domain), 0)


SOURCES = [domain_number(network, domain) for network in NETWORKS for domain in DOMAINS]

# ---- random requests and random changes ----------------------------------------------------------


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame to anybody, at times cut short, tagged, of another kind or longer than usual."""
    six = draw(st.booleans())
    mac = draw(st.sampled_from((*MACS, GATEWAY.mac, "ff:ff:ff:ff:ff:ff")))
    ip = draw(st.sampled_from(((*IPV4, OUTSIDE[0]), (*IPV6, OUTSIDE[1]))[six]))
    whole = frame(mac, ip, bytes(draw(st.sampled_from((0, 8, 1400)))))
    match draw(st.sampled_from("......ctk")):
        case "c":
            return whole[: draw(st.integers(0, len(whole)))]
        case "t":
            return whole[:12] + b"\x81\x00\x00\x05" + whole[12:]
        case "k":
            return whole[:12] + draw(st.sampled_from((b"\x08\x06", b"\x88\xcc", b"\0\0"))) + whole[14:]
        case _:
            return whole


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A packet-in: most are requests that a dSwitch may send, its registers holding whatever they hold."""
    source, by_address = draw(st.sampled_from((*SOURCES, *SOURCES, 0, 1))), draw(st.sampled_from((0, 1, 2, 3)))
    registers = draw(st.dictionaries(st.sampled_from(oxm.REGISTERS[2:]), st.integers(0, 0xFFFFFFFF), max_size=14))
    registers |= {BY_ADDRESS.field: by_address, SOURCE_DOMAIN.field: source}
    metadata = draw(st.sampled_from((5, 6, 5, 6, 7, 9))) | draw(st.sampled_from((0, 0, 0, 0xABCDE << 24)))
    fields = [(register, registers[register]) for register in oxm.REGISTERS if registers.get(register)]
    if draw(st.sampled_from((True, True, False))):
        fields.insert(0, (oxm.IN_PORT, draw(st.integers(0, 0xFFFFFFFF))))
    fields.insert(draw(st.integers(0, len(fields))), (oxm.METADATA, metadata))
    if draw(st.integers(0, 9)) == 9:
        fields.insert(draw(st.integers(0, len(fields))), (oxm.TUN_ID, 5))
    table = draw(st.sampled_from((LOCATION, LOCATION, POLICY, LOCATION, POLICY, NEIGHBOUR))).number
    cookie = draw(st.sampled_from((OURS, OURS, OURS | 5, OURS, 0xAB << 56)))
    return packet_in_of(oxm_bytes(fields), draw(frames()), table, cookie)


others = st.builds(codec.message, st.sampled_from((0, 3, 10, 11, 19, 21)), st.binary(max_size=40))
batches = st.lists(st.tuples(st.sampled_from(DPIDS), st.lists(requests() | others, max_size=8)), max_size=4)


@st.composite
def long_lived(draw: st.DrawFn) -> Filling:
    """A policy whose TTL is about as long as a flow's time-out can be, or longer."""
    slot = draw(st.sampled_from(POLICIES))
    source, destination = (slot[2], slot[3]) if slot[0] == "policy" else (None, None)
    ttl = draw(st.sampled_from((65534, 65535, 65536, 70000)))
    return slot, Policy(slot[1], source, destination, number(slot, 0), ("accept",), ttl, draw(st.integers(1, 3)))


@st.composite
def migrating(draw: st.DrawFn) -> Filling:
    """An endpoint that is at one place and on its way to another."""
    slot = draw(st.sampled_from(LOCATIONS))
    one, two = draw(st.permutations(DPIDS))[:2]
    port = draw(st.sampled_from(PORTS[slot[1]]))
    tracking = draw(st.sampled_from((1, 0xFFFFFF, 0x1000000)))
    return slot, replace(Location(slot[1], slot[2], one, port, tracking), migrating_to=Place(two, port))


changes = st.lists(fillings() | long_lived() | migrating(), max_size=8)


def to_everybody(network: str, by_address: bool) -> list[bytes]:
    """Requests of a red endpoint of the usual state to all endpoints of its network, by MAC or by IP address."""
    to_mac = [frame(MACS[place]) for place in range(4)]
    to_ip = [frame(GATEWAY.mac, ips[place]) for place in range(4) for ips in (IPV4, IPV6)]
    source = domain_number(network, "red")
    return [
        request(VNIS[network], source, target, by_address, table=table.number)
        for target in (to_ip if by_address else to_mac)
        for table in (LOCATION, POLICY)
    ]


def everybody() -> list[tuple[int, bytes]]:
    """All such requests from all dSwitches, as (dSwitch, message)."""
    return [
        (dpid, message)
        for network in NETWORKS
        for dpid in DPIDS
        for by_address in (False, True)
        for message in to_everybody(network, by_address)
    ]


# ---- the tests -----------------------------------------------------------------------------------


def test_everybody_is_answered_once_the_lane_has_learned(form: ModuleType) -> None:
    office = Office(usual(), form)
    asked = everybody()
    assert not any(office.ask(dpid, [message])[0] for dpid, message in asked), "nobody has taught it anything"
    for dpid, message in asked:
        office.teach_all(dpid, [message])
    assert all(office.ask(dpid, [message])[0] for dpid, message in asked)
    counted = {dpid: desk.allowed + desk.denied for dpid, desk in office.desks.items()}
    assert counted == dict.fromkeys(DPIDS, 2 * len(asked) // 3), "each is asked for twice"


@pytest.mark.parametrize(("network", "by_address"), [("n1", False), ("n2", True)], ids=["l2", "l3"])
def test_one_question_fills_in_the_whole_network(form: ModuleType, network: str, by_address: bool) -> None:
    """Who has asked once for each pair of domains need not ask for the other endpoints, by what packets go by there."""
    office = Office(usual(), form)
    asked = to_everybody(network, by_address)
    red, blue = asked[0], asked[-1]
    office.teach_all(1, [red, blue])
    assert all(office.ask(1, asked))


ELSEWHERE = {
    "ports": (("ports", "1"), tuple((name, place) for place, name in enumerate(ALL_PORTS, 40))),
    "a tunnel port": (("ports", "1"), tuple((name, place) for place, name in enumerate(ALL_PORTS[:-2], 1))),
    "another's underlay": (("dswitch", "3"), DSwitch(3, "s3", ("10.9.9.9",), tuple(Encapsulation))),
    "its own underlay": (("dswitch", "1"), DSwitch(1, "s1", ("fd09::1",), tuple(Encapsulation))),
    "a location": (("location", "n1", "e4"), Location("n1", "e4", 2, "p4", 2)),
    "a port": (("location", "n1", "e1"), Location("n1", "e1", 1, "p5", 2)),
    "no location": (("location", "n2", "e4"), None),
    "a policy": (("policy", "n1", "red", "blue"), Policy("n1", "red", "blue", 999, ("deny",), 60, 2)),
    "a default": (("default", "n2"), Policy("n2", None, None, 998, ("accept",), 60, 2)),
    "no policy": (("policy", "n2", "red", "blue"), None),
    "an endpoint": (("endpoint", "n1", "e4"), Endpoint("n1", "e4", 997, "red", (MACS[3],), (IPV4[3],))),
    "no endpoint": (("endpoint", "n2", "e2"), None),
    "a domain": (("domain", "n1", "blue"), PolicyDomain("n1", "blue", 996)),
    "a VNI": (("network", "n2"), VirtualNetwork("n2", 1, 7, Service.L3, (GATEWAY,))),
    "no network": (("network", "n2"), None),
}
"""One change of the usual state for each kind of fact that an answer depends on."""


@pytest.mark.parametrize(("slot", "held"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_no_change_leaves_a_stale_answer(form: ModuleType, slot: Slot, held: Content) -> None:
    """Somebody must get another answer than before, and nobody gets the one of before; once taught, all is known."""
    office = Office(usual(), form)
    asked = everybody()
    for dpid, message in asked:
        office.teach_all(dpid, [message])
    before = [office.plain(dpid, message) for dpid, message in asked]
    office.put(slot, held)
    assert before != [office.plain(dpid, message) for dpid, message in asked]
    for dpid, message in asked:
        office.ask(dpid, [message])
        office.teach_all(dpid, [message])
        assert office.ask(dpid, [message])[0] is office.must_know(dpid, message)


@pytest.mark.parametrize(("slot", "held"), ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_change_while_nobody_is_connected_leaves_none_either(form: ModuleType, slot: Slot, held: Content) -> None:
    """What is known of networks is kept while all dSwitches are away, and is true when they come back (F54)."""
    office = Office(usual(), form)
    asked = everybody()
    for dpid, message in asked:
        office.teach_all(dpid, [message])
    dpids = list(office.desks)
    for dpid in dpids:
        office.lose(dpid)
    office.put(slot, held)
    for dpid in dpids:
        office.connect(dpid)
    for dpid, message in asked:
        office.ask(dpid, [message])
        office.teach_all(dpid, [message])  # with it come the ways to all others


def test_an_address_that_falls_to_a_prefix_is_no_longer_known(form: ModuleType) -> None:
    """Whose prefix it is may move without a word about the address."""
    office = Office(usual(), form)
    asked = to_everybody("n2", by_address=True)
    office.teach_all(1, asked)
    wide = Endpoint("n2", "e3", number(("endpoint", "n2", "e3"), 0), "red", (MACS[2],), ("10.0.0.0/24", IPV4[2]))
    office.put(("endpoint", "n2", "e3"), wide)
    office.put(("endpoint", "n2", "e4"), None)
    office.ask(1, asked)
    office.put(("location", "n2", "e3"), Location("n2", "e3", 3, "q3", 2))
    office.ask(1, asked)


@patient
@given(changes, batches)
def test_answers_are_those_of_the_plain_way(
    form: ModuleType, first: list[Filling], asked: list[tuple[int, list[bytes]]]
) -> None:
    office = Office(usual() | dict(first), form)
    for dpid, messages in asked:
        office.ask(dpid, messages)
        office.teach_all(dpid, filter(_is_read, messages))
        answered = office.ask(dpid, messages)
        for message, known in zip(messages, answered, strict=True):
            assert known or not office.must_know(dpid, message) or _is_from_a_tunnel(message), message.hex()


@patient
@given(
    changes,
    batches,
    st.lists(st.tuples(fillings() | long_lived() | migrating(), batches, st.integers(0, 9)), max_size=6),
    st.integers(1, 4),
)
def test_nothing_that_has_changed_is_answered_as_it_was(
    form: ModuleType,
    first: list[Filling],
    asked: list[tuple[int, list[bytes]]],
    steps: list[tuple[Filling, list[tuple[int, list[bytes]]], int]],
    at_a_time: int,
) -> None:
    """After each change, whatever the lane still answers is what the plain way answers now, halfway filled or not."""
    office = Office(usual() | dict(first), form)
    known = [*asked, *((dpid, [message]) for dpid, message in everybody())]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(lane_tables, "SLICE", at_a_time)
        for dpid, messages in known:
            for message in filter(_is_read, messages):
                office.teach(dpid, message)
        for (slot, held), more, chance in steps:
            for _ in range(chance):
                office.tables.fill()
            _happen(office, slot, held, chance)
            known += more
            for dpid, messages in known:
                if dpid in office.desks:
                    office.ask(dpid, messages)
            for dpid, messages in more:
                for message in filter(_is_read, messages):
                    office.teach(dpid, message)


def _happen(office: Office, slot: Slot, held: Content, chance: int) -> None:
    """A slot of the state changes; or, now and then, a dSwitch goes or comes back."""
    dpid = DPIDS[chance % len(DPIDS)]
    if chance < 8:
        office.put(slot, held)
    elif dpid in office.desks:
        office.lose(dpid)
    else:
        office.connect(dpid)


def _is_read(message: bytes) -> bool:
    """Whether the plain way can read a message as a packet-in."""
    if message[1] != codec.PACKET_IN:
        return False
    try:
        codec.read_packet_in(message)
    except codec.UnknownOnWire:
        return False
    return True


def _is_from_a_tunnel(message: bytes) -> bool:
    """Whether a packet-in names a field that no request of the lane has."""
    return oxm_bytes([(oxm.TUN_ID, 5)]) in message
