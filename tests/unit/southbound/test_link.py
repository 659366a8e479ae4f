"""A dSwitch's connection from greeting to end, in the bytes that go over it."""

import struct

import pytest

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Meter, Metered, Output
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK, Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowChange, FlowStrictDelete, PacketOut
from dove_ryu.openflow.match import Match
from dove_ryu.openflow.meters import METERS, port_meter
from dove_ryu.openflow.pipeline import CHAIN_RETURN, LIMIT
from dove_ryu.openflow.session import OutOfTurn, State
from dove_ryu.southbound import codec
from dove_ryu.southbound.lane import Desk
from dove_ryu.southbound.link import MOST_WAITING, Link

FLOW = Flow(8, 100, Match(), (), int(Cookie(Kind.POLICY, 3, 7)), 300)
OTHER = Flow(9, 100, Match(), (), FLOW.cookie)
PACKET = PacketOut(b"frame", (Output(1),), 3)
FIRST = APPLICATION << 24
"""The number of a link's first request; the framework counts its own from elsewhere."""


class Paper:
    """A wire that keeps what is written."""

    id = 0x2A
    address = ("192.0.2.9", 43210)

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.desk: Desk | None = None

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return True


def reply(*flows: Flow, more: bool = False) -> bytes:
    """A flow-statistics reply."""
    entries = b""
    for flow in flows:
        body = codec.match_bytes(flow.match) + codec.instructions(flow.actions)
        head = (48 + len(body), flow.table, 0, 0, flow.priority, 0, flow.hard_timeout, 0, flow.cookie, 0, 0)
        entries += struct.pack("!HBxIIHHHH4xQQQ", *head) + body
    return codec.message(19, struct.pack("!HH4x", 1, more) + entries)


def meters(*present: Meter, more: bool = False) -> bytes:
    """A meter-configuration reply."""
    told = b"".join(struct.pack("!HHIHHII4x", 24, 6, each.number, 1, 16, each.rate, each.burst) for each in present)
    return codec.message(19, struct.pack("!HH4x", 10, more) + told)


def features(most: int) -> bytes:
    """A meter-features reply."""
    return codec.message(19, struct.pack("!HH4xIIIBB2x", 11, 0, most, 2, 15, 8, 0))


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def link(paper: Paper) -> Link:
    return Link(paper)


@pytest.fixture
def reading(link: Link, paper: Paper) -> Link:
    link.greet()
    link.meters.hear_features(features(1000))
    paper.written.clear()
    return link


@pytest.fixture
def syncing(reading: Link, paper: Paper) -> Link:
    reading.hear_flows(reply())
    reading.hear_meters(meters(*METERS))
    reading.synchronise([])
    paper.written.clear()
    return reading


@pytest.fixture
def live(syncing: Link) -> Link:
    assert syncing.hear_barrier(FIRST + 3)
    return syncing


def test_a_link_knows_its_dswitch(link: Link) -> None:
    assert (link.dpid, link.peer, link.live) == (0x2A, "192.0.2.9", False)
    assert (link.received, link.answered) == (0, 0)


def test_the_greeting_asks_for_all_flows_of_ours_and_for_the_meters(link: Link, paper: Paper) -> None:
    link.greet()
    flows = codec.flow_request(APPLICATION << 56, APPLICATION_MASK, FIRST)
    assert paper.written == [codec.meter_features_request(FIRST + 1) + codec.meter_request(FIRST + 2) + flows]


def test_an_audit_asks_for_all_flows_whosever(link: Link, paper: Paper) -> None:
    assert (link.ask_flows(), link.ask_flows()) == (FIRST, FIRST + 1)
    assert paper.written == [codec.flow_request(0, 0, FIRST), codec.flow_request(0, 0, FIRST + 1)]


def test_flows_are_whole_once_the_last_part_of_all_has_come(reading: Link) -> None:
    assert reading.hear_flows(reply(FLOW, more=True)) is None
    assert reading.hear_meters(meters(more=True)) is None
    assert reading.hear_flows(reply(OTHER)) is None
    assert reading.hear_meters(meters(*METERS)) == [FLOW, OTHER]


def test_meters_may_come_before_the_flows(reading: Link) -> None:
    assert reading.hear_meters(meters()) is None
    assert reading.hear_flows(reply(FLOW)) == [FLOW]


def test_what_nobody_asked_for_is_passed_over(link: Link, syncing: Link) -> None:
    assert syncing.hear_flows(reply(FLOW)) is None
    assert syncing.hear_meters(meters(*METERS)) is None


def test_flows_of_another_version_are_told(reading: Link) -> None:
    foreign = reply(FLOW)[:-8] + struct.pack("!HH4x", 1, 64)
    with pytest.raises(codec.UnknownOnWire):
        reading.hear_flows(foreign)


@pytest.mark.parametrize(
    ("present", "sent"),
    [
        ((), b"".join(codec.meter_change(meter, present=False) for meter in METERS)),
        (METERS, b""),
        ((Meter(METERS[0].number, 7, 7), *METERS[1:]), codec.meter_change(METERS[0], present=True)),
    ],
    ids=["missing", "there", "another rate"],
)
def test_what_differs_is_sent_with_a_barrier_in_one_write(
    reading: Link, paper: Paper, present: tuple[Meter, ...], sent: bytes
) -> None:
    """Meters first: a flow that names one is refused without it."""
    reading.hear_flows(reply())
    reading.hear_meters(meters(*present))
    reading.synchronise([FLOW])
    assert paper.written == [sent + codec.change(FLOW) + codec.barrier(FIRST + 3)]
    assert not reading.live


def test_a_dswitch_is_live_once_it_confirms_what_was_sent(syncing: Link) -> None:
    assert not syncing.hear_barrier(99)
    assert syncing.session.state is State.SYNCING
    assert syncing.hear_barrier(FIRST + 3)
    assert syncing.live
    assert not syncing.hear_barrier(FIRST + 3)


def test_a_barrier_before_there_was_any_confirms_nothing(link: Link) -> None:
    assert not link.hear_barrier(0)


def test_a_lost_connection_is_closed(syncing: Link) -> None:
    syncing.lose()
    assert syncing.session.state is State.CLOSED
    with pytest.raises(OutOfTurn):
        syncing.greet()


def test_changes_go_out_in_order(link: Link, paper: Paper) -> None:
    link.send([FLOW, OTHER])
    assert paper.written == [codec.change(FLOW) + codec.change(OTHER)]


def test_a_sign_of_life_confirms_nothing(live: Link, paper: Paper) -> None:
    live.send([FLOW], revision=7)
    live.ask_sign()
    assert paper.written[1:] == [codec.barrier(FIRST + 5)]
    assert not live.hear_barrier(FIRST + 5)
    assert live.confirmed(7) == 6


def test_a_dswitch_follows_a_revision_once_it_has_confirmed_it(live: Link, paper: Paper) -> None:
    """F28: what is confirmed is the last revision before the first that is not."""
    assert live.confirmed(6) == 6
    live.send([FLOW], revision=7)
    live.send([OTHER], revision=9)
    assert paper.written == [
        codec.change(FLOW) + codec.barrier(FIRST + 4),
        codec.change(OTHER) + codec.barrier(FIRST + 5),
    ]
    assert live.confirmed(9) == 6
    assert not live.hear_barrier(FIRST + 4)
    assert live.confirmed(9) == 8
    assert not live.hear_barrier(FIRST + 5)
    assert live.confirmed(12) == 12


def test_a_batch_of_answers_is_one_write_flows_before_their_packets(link: Link, paper: Paper) -> None:
    link.answer([([FLOW], [PACKET]), ([], []), ([], [PACKET])])
    assert paper.written == [codec.change(FLOW) + codec.packet_out(PACKET) + codec.packet_out(PACKET)]


def test_no_answer_is_no_write(link: Link, paper: Paper) -> None:
    link.answer([([], [])])
    assert paper.written == []


# Meters of endpoints (X3).


def limit(port: int) -> Flow:
    """What limits the endpoint at a port."""
    return LIMIT.flow(100, {oxm.IN_PORT: port}, [Metered(port_meter(port))], Cookie(Kind.ENDPOINT, 3))


def of_port(port: int, rate: int = Link.allowance.rate) -> Meter:
    return Meter(port_meter(port), rate, Link.allowance.burst)


def test_an_endpoints_meter_is_there_before_its_flow_and_goes_after_it(live: Link, paper: Paper) -> None:
    live.send([FLOW, limit(1)])
    live.send([limit(1)])
    live.send([FlowStrictDelete(limit(1).key), FlowStrictDelete(FLOW.key)])
    live.send([FlowStrictDelete(limit(1).key)])
    assert paper.written == [
        codec.meter_change(of_port(1), present=False) + codec.change(FLOW) + codec.change(limit(1)),
        codec.change(limit(1)),
        codec.change(FlowStrictDelete(limit(1).key))
        + codec.change(FlowStrictDelete(FLOW.key))
        + codec.meter_deletion(port_meter(1)),
        codec.change(FlowStrictDelete(limit(1).key)),
    ]


def test_a_reconnected_dswitch_keeps_the_meters_that_are_right(reading: Link, paper: Paper) -> None:
    """Port 1 stays, port 2 has the rate of another time, port 3 comes, port 4 goes, and port 5 was forgotten."""
    reading.hear_flows(reply(limit(1), limit(2), limit(4), FLOW))
    reading.hear_meters(meters(*METERS, of_port(1), of_port(2, rate=7), of_port(4), of_port(5)))
    changes: list[FlowChange] = [limit(3), FlowStrictDelete(limit(4).key)]
    reading.synchronise(changes)
    (written,) = paper.written
    changed = {codec.meter_change(of_port(2), present=True), codec.meter_change(of_port(3), present=False)}
    before, after = written.split(b"".join(map(codec.change, changes)))
    assert {before[: len(before) // 2], before[len(before) // 2 :]} == changed
    gone = codec.meter_deletion(port_meter(4)) + codec.meter_deletion(port_meter(5))
    assert after == gone + codec.barrier(FIRST + 3)


def test_a_dswitch_that_can_have_no_meters_is_sent_none(link: Link, paper: Paper) -> None:
    link.greet()
    link.meters.hear_features(features(0))
    assert not link.meters.supported
    link.hear_meters(meters())
    link.hear_flows(reply())
    paper.written.clear()
    link.synchronise([FLOW])
    assert paper.written == [codec.change(FLOW) + codec.barrier(FIRST + 3)]


def test_packets_are_refused_while_too_many_wait(link: Link) -> None:
    """X3: what the dSwitch says of our flows is heard all the same, and an answer to a probe (X10), and so are packets
    once fewer wait."""
    packet, end = codec.message(codec.PACKET_IN, bytes(34)), codec.message(codec.FLOW_REMOVED, bytes(48))
    sign = codec.message(codec.PACKET_IN, bytes(7) + bytes((CHAIN_RETURN.number,)) + bytes(26))
    assert link.let_in([packet] * (MOST_WAITING + 1)) == [packet] * (MOST_WAITING + 1)
    assert link.let_in([packet, end, packet, sign]) == [end, sign]
    assert link.refused == 2
    link.answered = MOST_WAITING
    assert link.let_in([packet]) == [packet]
