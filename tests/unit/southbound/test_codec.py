"""Our bytes and the framework's parser tell the same; hostile bytes are told apart from ours, and do no harm."""

import base64
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_parser, ofproto_protocol
from os_ken.ofproto import ofproto_v1_3_parser as parser

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    IN_PORT,
    Action,
    Clone,
    DecrementTtl,
    FinTimeout,
    Goto,
    Learn,
    Meter,
    Metered,
    Move,
    Multipath,
    Output,
    OutputTo,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    Track,
    put,
)
from dove_ryu.openflow.fields import APPLICATION, APPLICATION_MASK, CACHED_COOKIE, CACHED_MASK, SOURCE_DOMAIN, VNI
from dove_ryu.openflow.flow import End, Flow, FlowChange, FlowDelete, FlowEnd, FlowStrictDelete, PacketIn, PacketOut
from dove_ryu.openflow.match import Match, Term, match
from dove_ryu.openflow.oxm import Field
from dove_ryu.openflow.pipeline import miss_flows
from dove_ryu.southbound import codec
from tests.pipeline.worlds import all_flows

DATAPATH = ofproto_protocol.ProtocolDesc(version=4)
NAMES = {register: register.name for register in oxm.REGISTERS} | {
    oxm.TUN_ID: "tunnel_id",
    oxm.TUN_SRC: "tun_ipv4_src",
    oxm.TUN_DST: "tun_ipv4_dst",
    oxm.TUN_IPV6_SRC: "tun_ipv6_src",
    oxm.TUN_IPV6_DST: "tun_ipv6_dst",
    oxm.METADATA: "metadata",
    oxm.CT_STATE: "ct_state",
    oxm.IN_PORT: "in_port",
    oxm.IN_PORT_NXM: "in_port_nxm",
    oxm.VLAN_VID: "vlan_vid",
    oxm.ETH_SRC: "eth_src",
    oxm.ETH_DST: "eth_dst",
    oxm.ETH_TYPE: "eth_type",
    oxm.IPV4_SRC: "ipv4_src",
    oxm.IPV4_DST: "ipv4_dst",
    oxm.IPV6_SRC: "ipv6_src",
    oxm.IPV6_DST: "ipv6_dst",
    oxm.ARP_SPA: "arp_spa",
    oxm.ARP_TPA: "arp_tpa",
    oxm.IP_PROTO: "ip_proto",
    oxm.ARP_OP: "arp_op",
    oxm.ARP_SHA: "arp_sha",
    oxm.ARP_THA: "arp_tha",
    oxm.IP_TTL: "nw_ttl",
    oxm.TCP_SRC: "tcp_src",
    oxm.TCP_DST: "tcp_dst",
    oxm.TCP_FLAGS: "tcp_flags_nxm",
    oxm.ICMP_TYPE: "icmpv4_type",
    oxm.ICMPV6_TYPE: "icmpv6_type",
    oxm.ND_TARGET: "ipv6_nd_target",
    oxm.ND_SLL: "ipv6_nd_sll",
    oxm.ND_TLL: "ipv6_nd_tll",
    oxm.IP_TOS: "nw_tos",
}
"""What the framework calls each field.  It does not know those of :data:`oxm.ND_EXTENSIONS`, and shows their bytes."""


@cache
def rich() -> list[Flow]:
    """Flows of every kind."""
    return list({flow.key: flow for flow in (*miss_flows(), *all_flows())}.values())


def parsed(message: bytes) -> Any:
    """A message as the framework reads it."""
    version, kind, length, xid = ofproto_parser.header(message)
    assert length == len(message)
    return ofproto_parser.msg(DATAPATH, version, kind, length, xid, message)


# Our values in the framework's words.


def name_of(field: Field) -> str:
    """What the framework calls a field."""
    return NAMES.get(field) or f"field_{field.oxm_class << 7 | field.number}"


def value_of(field: Field, value: int) -> object:
    """How the framework writes a value."""
    if field not in NAMES:
        return base64.b64encode(value.to_bytes(field.octets, "big")).decode()
    is_address = field.notation in (oxm.MAC, oxm.IPV4_ADDRESS, oxm.IPV6_ADDRESS)
    return field.notation.text(value) if is_address else value


def match_of(where: Match) -> dict[str, object]:
    """A match as the framework has it."""
    found: dict[str, object] = {}
    for term in where:
        value = value_of(term.field, term.value)
        masked = term.mask != term.field.full_mask
        found[name_of(term.field)] = (value, value_of(term.field, term.mask)) if masked else value
    return found


def action_of(action: Action) -> tuple[object, ...]:
    """An action as :func:`heard` tells the framework's."""
    match action:
        case SetField(field, value, mask) if mask == field.full_mask:
            return "set", name_of(field), value_of(field, value)
        case SetField(field, value, mask):
            low = (mask & -mask).bit_length() - 1
            return "load", name_of(field), low << 6 | mask.bit_count() - 1, value >> low
        case Move(source, target, width, source_low, target_low):
            return "move", name_of(source), name_of(target), width, source_low, target_low
        case Track(field, width, table):
            return "ct", int(table is None), name_of(field), width - 1, 0xFF if table is None else table
        case Output(port):
            return "output", port, 0
        case OutputTo(field):
            return "output to", name_of(field), field.width - 1
        case ToController():
            return "output", 0xFFFFFFFD, 0xFFFF
        case PushVlan():
            return "push", 0x8100
        case PopVlan():
            return ("pop",)
        case DecrementTtl():
            return ("decrement",)
        case Resubmit(table):
            return "resubmit", 0xFFF8, table
        case Metered(meter):
            return "meter", meter
        case Goto(table):
            return "goto", table
        case Multipath(target, width, links):
            return "multipath", 3, 0, 0, links - 1, 0, width - 1, name_of(target)
        case FinTimeout(idle):
            return "fin", idle, 0
        case Learn():
            specifications: list[tuple[object, ...]] = [
                ("match", each.value, name_of(each.field), each.field.width) for each in action.where
            ]
            specifications += [("match", name_of(source), name_of(it), it.width) for it, source in action.like]
            specifications.append(("load", name_of(action.load), name_of(action.load), action.load.width))
            head = (action.table, action.priority, action.cookie, action.idle_timeout, action.fin_timeout)
            return "learn", *head, tuple(specifications)
        case Clone(actions):
            return "clone", 42, b"".join([bytes(6), *map(codec.action_bytes, actions)])


def heard(action: Any) -> tuple[object, ...]:
    """What the framework's parser makes of an action."""
    match action:
        case parser.OFPActionSetField(key=name, value=value):
            return "set", name, value
        case parser.NXActionRegLoad(dst=name, ofs_nbits=span, value=value):
            return "load", name, span, value
        case parser.NXActionRegMove(src_field=source, dst_field=target, n_bits=width, src_ofs=one, dst_ofs=two):
            return "move", source, target, width, one, two
        case parser.OFPActionOutput(port=port, max_len=most):
            return "output", port, most
        case parser.NXActionOutputReg(src=name, ofs_nbits=span):
            return "output to", name, span
        case parser.OFPActionPushVlan(ethertype=kind):
            return "push", kind
        case parser.OFPActionPopVlan():
            return ("pop",)
        case parser.OFPActionDecNwTtl():
            return ("decrement",)
        case parser.NXActionResubmitTable(in_port=port, table_id=table):
            return "resubmit", port, table
        case parser.NXActionCT(flags=flags, zone_src=source, zone_ofs_nbits=span, recirc_table=table, actions=[]):
            return "ct", flags, source, span, table
        case parser.NXActionMultipath(fields=fields, basis=basis, algorithm=how, max_link=last, arg=argument):
            return "multipath", fields, basis, how, last, argument, action.ofs_nbits, action.dst
        case parser.NXActionFinTimeout(fin_idle_timeout=idle, fin_hard_timeout=hard):
            return "fin", idle, hard
        case parser.NXActionLearn(table_id=table, priority=priority, cookie=cookie, idle_timeout=idle):
            head = (table, priority, cookie, idle, action.fin_idle_timeout)
            assert (action.hard_timeout, action.flags, action.fin_hard_timeout) == (0, 0, 0)
            return "learn", *head, tuple(map(specified, action.specs))
        case parser.NXActionUnknown(subtype=42, data=data):  # the framework does not know clone
            return "clone", 42, data
        case parser.OFPInstructionMeter(meter_id=meter):
            return "meter", meter
        case parser.OFPInstructionGotoTable(table_id=table):
            return "goto", table
    raise AssertionError(f"the framework reads {action!r}")


def specified(part: Any) -> tuple[object, ...]:
    """What the framework's parser makes of a part of what is learned."""
    source = part.src if isinstance(part.src, int) else part.src[0]
    assert isinstance(part.src, int) or part.src[1] == 0
    assert part.dst[1] == 0
    return "load" if isinstance(part, parser.NXFlowSpecLoad) else "match", source, part.dst[0], part.n_bits


def heard_all(instructions: Iterable[Any]) -> list[tuple[object, ...]]:
    """What the framework's parser makes of instructions."""
    found = []
    for instruction in instructions:
        applied = isinstance(instruction, parser.OFPInstructionActions)
        found += [heard(action) for action in (instruction.actions if applied else [instruction])]
    return found


def is_metered(flow: Flow) -> bool:
    """Whether a flow has the one action whose bytes the framework's parser ends in an error over."""
    return any(isinstance(action, ToController) and action.meter is not None for action in flow.actions)


def test_a_metered_copy_for_the_dps_is_the_bytes_of_ovs_ofctl() -> None:
    """``controller(meter_id=3)``: NXAST_CONTROLLER2 with one property, 5."""
    assert codec.action_bytes(ToController(3)) == bytes.fromhex(
        "ffff 0018 00002320 0025 000000000000 0005 0008 00000003"
    )


def test_the_framework_reads_our_flows_as_they_are() -> None:
    for flow in rich():
        if is_metered(flow):
            continue
        read = parsed(codec.change(flow))
        assert isinstance(read, parser.OFPFlowMod)
        assert (read.command, read.table_id, read.priority) == (0, flow.table, flow.priority)
        timeouts = (flow.hard_timeout, flow.idle_timeout)
        assert (read.cookie, (read.hard_timeout, read.idle_timeout)) == (flow.cookie, timeouts)
        assert read.flags == (parser.ofproto.OFPFF_SEND_FLOW_REM if flow.notify else 0)
        assert dict(read.match.items()) == match_of(flow.match), str(flow)
        assert heard_all(read.instructions) == [action_of(action) for action in flow.actions], str(flow)


NO_ONE = 0xFFFFFFFF
WHERE = match({VNI: 5, oxm.IPV4_DST: "10.0.0.0/8"})


@pytest.mark.parametrize(
    ("change", "command", "table", "priority", "cookie", "mask"),
    [
        (FlowDelete(CACHED_COOKIE, CACHED_MASK), 3, 0xFF, 0, CACHED_COOKIE, CACHED_MASK),
        (FlowDelete(CACHED_COOKIE, CACHED_MASK, 8, WHERE), 3, 8, 0, CACHED_COOKIE, CACHED_MASK),
        (FlowStrictDelete(Flow(8, 100, WHERE, (), 1).key), 4, 8, 100, 0, 0),
    ],
)
def test_the_framework_reads_our_deletions_as_they_are(
    change: FlowChange, command: int, table: int, priority: int, cookie: int, mask: int
) -> None:
    read = parsed(codec.change(change))
    assert (read.command, read.table_id, read.priority) == (command, table, priority)
    assert (read.cookie, read.cookie_mask, read.out_port, read.out_group) == (cookie, mask, NO_ONE, NO_ONE)
    where = change.match if isinstance(change, FlowDelete) else WHERE
    assert (dict(read.match.items()), read.instructions) == (match_of(where), [])


def written(message: Any, xid: int = 0) -> bytes:
    """A message as the framework writes it."""
    message.xid = xid
    message.serialize()
    return bytes(message.buf)


def test_the_framework_writes_our_packet_outs_and_requests_alike() -> None:
    actions = [
        parser.OFPActionSetField(metadata=5),
        parser.OFPActionSetField(reg1=7),
        parser.NXActionResubmitTable(in_port=0xFFF8, table_id=8),
        parser.OFPActionOutput(IN_PORT, 0),
    ]
    theirs = parser.OFPPacketOut(DATAPATH, buffer_id=NO_ONE, in_port=3, actions=actions, data=b"frame")
    ours = PacketOut(b"frame", (put(VNI, 5), put(SOURCE_DOMAIN, 7), Resubmit(8), Output(IN_PORT)), 3)
    assert codec.packet_out(ours) == written(theirs)
    request = parser.OFPFlowStatsRequest(DATAPATH, cookie=APPLICATION << 56, cookie_mask=APPLICATION_MASK)
    assert codec.flow_request(APPLICATION << 56, APPLICATION_MASK, 17) == written(request, 17)
    assert codec.barrier(18) == written(parser.OFPBarrierRequest(DATAPATH), 18)


# What comes back.


def packet_in(fields: Mapping[str, object], frame: bytes, table: int = 8, cookie: int = 0xD0 << 56) -> bytes:
    """A packet-in whose match the framework's serializer wrote."""
    where = bytearray()
    parser.OFPMatch(**fields).serialize(where, 0)
    body = struct.pack("!IHBBQ", NO_ONE, len(frame), 1, table, cookie) + where + bytes(2) + frame
    return codec.message(10, body, 7)


def test_a_packet_in_is_read_as_the_framework_wrote_it() -> None:
    fields = {"in_port": 3, "metadata": 5, "reg1": 7, "reg5": 0xFFFFFFFF, "tunnel_id": 6, "eth_type": 0x800}
    assert codec.read_packet_in(packet_in(fields, b"frame")) == PacketIn(
        0xD0 << 56,
        8,
        {
            oxm.IN_PORT: 3,
            oxm.METADATA: 5,
            oxm.REGISTERS[1]: 7,
            oxm.REGISTERS[5]: 0xFFFFFFFF,
            oxm.TUN_ID: 6,
            oxm.ETH_TYPE: 0x800,
        },
        b"frame",
    )


@given(
    st.dictionaries(st.sampled_from(["in_port", *(f"reg{n}" for n in range(16))]), st.integers(0, NO_ONE)),
    st.binary(max_size=40),
    st.integers(0, 0xFF),
    st.integers(0, (1 << 64) - 1),
)
def test_any_packet_in_is_read_as_the_frameworks_parser_reads_it(
    fields: dict[str, object], frame: bytes, table: int, cookie: int
) -> None:
    message = packet_in(fields, frame, table, cookie)
    ours, theirs = codec.read_packet_in(message), parsed(message)
    assert (ours.cookie, ours.table, ours.data) == (theirs.cookie, theirs.table_id, bytes(theirs.data))
    assert {NAMES[field]: value for field, value in ours.fields.items()} == dict(theirs.match.items()) == fields


def test_fields_that_the_pipeline_does_not_know_are_passed_over() -> None:
    fields = {"udp_dst": 80, "metadata": (5, 0xFF), "reg1": 7, "ct_mark": 1}
    assert codec.read_packet_in(packet_in(fields, b"")).fields == {oxm.REGISTERS[1]: 7}


def reply(flows: Iterable[Flow], more: bool = False) -> bytes:
    """A flow-statistics reply (OpenFlow 1.3.5, 7.3.5.2)."""
    entries = b""
    for flow in flows:
        body = codec.match_bytes(flow.match) + codec.instructions(flow.actions)
        timeouts = (flow.idle_timeout, flow.hard_timeout)
        head = (48 + len(body), flow.table, 1, 2, flow.priority, *timeouts, flow.notify, flow.cookie, 3, 4)
        entries += struct.pack("!HBxIIHHHH4xQQQ", *head) + body
    return codec.message(19, struct.pack("!HH4x", 1, more) + entries)


def test_flows_come_back_as_they_were_sent() -> None:
    for flows in (rich()[at : at + 100] for at in range(0, len(rich()), 100)):
        assert list(codec.read_flows(reply(flows))) == flows
        known = [flow for flow in flows if not is_metered(flow)]
        theirs = parsed(reply(known))
        assert isinstance(theirs, parser.OFPFlowStatsReply)
        assert [entry.cookie for entry in theirs.body] == [flow.cookie for flow in known]


def test_the_order_of_terms_on_the_wire_does_not_matter() -> None:
    terms = match({VNI: 5, oxm.IPV6_DST: "fd00::1", SOURCE_DOMAIN: 7})
    backward = Flow(8, 100, Match(terms[::-1]), (), 1)
    assert list(codec.read_flows(reply([backward]))) == [Flow(8, 100, terms, (), 1)]


def test_a_reply_says_whether_more_follows() -> None:
    assert codec.more_follows(reply([], more=True))
    assert not codec.more_follows(reply([]))
    assert list(codec.read_flows(reply([]))) == []


PORT_OUT = struct.pack("!HHIH6x", 0, 16, 3, 0)


def entry(where: bytes, instructions: bytes = b"") -> bytes:
    """A flow-statistics reply with one entry of these bytes."""
    body = where + instructions
    return codec.message(
        19, struct.pack("!HH4xHBxIIHHHH4xQQQ", 1, 0, 48 + len(body), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0) + body
    )


def applied(actions: bytes) -> bytes:
    """A flow-statistics reply whose entry applies actions of these bytes."""
    return entry(codec.match_bytes(Match()), struct.pack("!HH4x", 4, 8 + len(actions)) + actions)


def terms(body: bytes) -> bytes:
    """A flow-statistics reply whose entry matches terms of these bytes."""
    return entry(struct.pack("!HH", 1, 4 + len(body)) + body + bytes(-(4 + len(body)) % 8))


NICIRA = 0x2320
IN_PORT_HEADER = struct.pack("!HBB", 0x8000, 0, 4)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (terms(struct.pack("!HBBH", 0x8000, 16 << 1, 2, 80)), "OXM field 16 of class 0x8000"),
        (terms(struct.pack("!HBBI", 0x8000, 0, 2, 1)), "OXM field 0 of class 0x8000 and 2 bytes"),
        (terms(b"\x80\x00"), "cut short"),
        (terms(IN_PORT_HEADER + b"\x00"), "OXM field 0"),
        (entry(struct.pack("!HH4x", 1, 64)), "a match that says it has 64 bytes in 8"),
        (entry(struct.pack("!HH4x", 1, 0)), "a match that says it has 0 bytes"),
        (entry(codec.match_bytes(Match()), struct.pack("!HHI", 2, 8, 0)), "instruction 2"),
        (entry(codec.match_bytes(Match()), struct.pack("!HHI", 1, 0, 0)), "a piece that says it has 0 bytes"),
        (applied(struct.pack("!HHI", 17, 8, 0x88A8)), "action 17"),
        (applied(struct.pack("!HHI8x", 0xFFFF, 16, 0x4F4E4600)), "action 65535"),
        (applied(struct.pack("!HHIH6x", 0xFFFF, 16, NICIRA, 99)), "Nicira action 99 of 16 bytes"),
        (applied(struct.pack("!HHIH6x", 0xFFFF, 16, NICIRA, 7)), "Nicira action 7 of 16 bytes"),
        (applied(struct.pack("!HHIH14x", 0xFFFF, 24, NICIRA, 6)), "OXM field 0 of class 0x0"),
        (applied(struct.pack("!HHI", 25, 8, 0)), "OXM field 0 of class 0x0"),
        (applied(PORT_OUT[:2] + b"\x00\x04" + PORT_OUT[4:]), "a piece that says it has 4 bytes"),
        (reply([Flow(0, 0, Match(), (), 1)])[:-1], "a piece that says it has 56 bytes, of 56 at least, in 55"),
    ],
    ids=[
        "another field",
        "a field of another size",
        "half a field",
        "a field without value",
        "a match too long",
        "a match too short",
        "another instruction",
        "an instruction of no length",
        "another action",
        "another vendor's action",
        "another Nicira action",
        "a Nicira action of another size",
        "a move of no field",
        "a set-field of no field",
        "an action too short",
        "an entry cut short",
    ],
)
def test_what_is_in_no_flow_of_ours_is_refused(message: bytes, reason: str) -> None:
    with pytest.raises(codec.UnknownOnWire, match=reason):
        list(codec.read_flows(message))


scribbles = st.lists(st.tuples(st.integers(8, 300), st.integers(0, 255)), max_size=4)


def scribbled(message: bytes, cut: int, scribble: Iterable[tuple[int, int]]) -> bytes:
    """A message with some bytes overwritten, and its end cut off."""
    bad = bytearray(message)
    for at, value in scribble:
        bad[at % len(bad)] = value
    return bytes(bad[: max(0, len(bad) - cut)])


def survives(message: bytes) -> None:
    """Whatever is made of a message, it is a flow, a packet, or UnknownOnWire."""
    with suppress(codec.UnknownOnWire):
        str([str(flow) for flow in codec.read_flows(message)])
    with suppress(codec.UnknownOnWire):
        codec.read_packet_in(message)
    with suppress(codec.UnknownOnWire):
        str(codec.read_flow_end(message).flow)
    with suppress(codec.UnknownOnWire):
        str([str(flow) for flow in codec.read_any_flows(message)])
    with suppress(codec.UnknownOnWire):
        list(codec.read_meters(message))


@given(st.integers(0, 10_000), st.integers(0, 120), scribbles)
def test_flows_that_were_tampered_with_do_no_harm(which: int, cut: int, scribble: list[tuple[int, int]]) -> None:
    survives(scribbled(reply([rich()[which % len(rich())]]), cut, scribble))


@given(st.integers(0, 80), scribbles)
def test_packets_that_were_tampered_with_do_no_harm(cut: int, scribble: list[tuple[int, int]]) -> None:
    survives(scribbled(packet_in({"in_port": 3, "metadata": 5, "reg1": 7}, b"frame"), cut, scribble))


@given(st.binary(max_size=200))
def test_noise_does_no_harm(noise: bytes) -> None:
    survives(noise)


@pytest.mark.parametrize("length", range(47))
def test_a_packet_in_that_is_cut_short_is_refused(length: int) -> None:
    """Its match of one field ends, with the two bytes behind it, at byte 42."""
    message = packet_in({"in_port": 3}, b"frame")
    if length < 42:
        with pytest.raises(codec.UnknownOnWire, match="cut short"):
            codec.read_packet_in(message[:length])
    else:
        assert codec.read_packet_in(message[:length]).data == b"frame"[: length - 42]


def test_a_term_and_an_action_of_every_kind_come_back() -> None:
    terms = tuple(Term(field, 1, field.full_mask) for field in oxm.FIELDS)
    actions: tuple[Action, ...] = (
        Metered(17),
        *(SetField(field, 1, field.full_mask) for field in oxm.FIELDS),
        SetField(oxm.REGISTERS[0], 2, 6),
        Move(oxm.METADATA, oxm.TUN_ID, 24),
        Output(1),
        OutputTo(oxm.REGISTERS[5]),
        ToController(),
        ToController(3),
        PushVlan(),
        PopVlan(),
        DecrementTtl(),
        Resubmit(3),
        Goto(4),
    )
    flow = Flow(8, 100, Match(terms), actions, 1, 300, 60, True)
    assert list(codec.read_flows(reply([flow]))) == [flow]


# The end of a flow.


def flow_removed(flow: Flow, why: int, packets: int) -> bytes:
    """A flow-removed message (OpenFlow 1.3.5, 7.4.2)."""
    head = (flow.cookie, flow.priority, why, flow.table, 2, 3, flow.idle_timeout, flow.hard_timeout, packets, 5)
    return codec.message(11, struct.pack("!QHBBIIHHQQ", *head) + codec.match_bytes(flow.match))


@pytest.mark.parametrize(
    ("why", "end"), [(0, End.IDLE), (1, End.HARD), (2, End.DELETED), (3, End.OTHER), (5, End.OTHER)]
)
def test_the_end_of_a_flow_is_read_as_the_frameworks_parser_reads_it(why: int, end: End) -> None:
    for flow in (each for each in rich() if each.notify):
        message = flow_removed(flow, why, 17)
        ours, theirs = codec.read_flow_end(message), parsed(message)
        assert ours == FlowEnd(flow._replace(actions=()), end, 17, 5, 2.000000003)
        assert (theirs.cookie, theirs.table_id, theirs.priority) == (flow.cookie, flow.table, flow.priority)
        assert (theirs.reason, theirs.packet_count) == (why, 17)
        assert (theirs.idle_timeout, theirs.hard_timeout) == (flow.idle_timeout, flow.hard_timeout)
        assert dict(theirs.match.items()) == match_of(flow.match)


def test_the_end_of_a_flow_that_is_cut_short_is_refused() -> None:
    message = flow_removed(rich()[0], 0, 0)
    for length in range(len(message)):
        with pytest.raises(codec.UnknownOnWire):
            codec.read_flow_end(message[:length])


def test_the_flows_of_others_are_told_without_what_ours_never_have() -> None:
    """An audit shows them by table, priority and cookie."""
    foreign = entry(struct.pack("!HHHBBHxx", 1, 10, 0x8000, 16 << 1, 2, 80) + bytes(4))
    ours = reply([Flow(8, 100, WHERE, (Output(1),), 1)])
    both = codec.message(19, foreign[8:] + ours[16:])
    assert list(codec.read_any_flows(both)) == [Flow(0, 0, Match(), (), 1), Flow(8, 100, WHERE, (Output(1),), 1)]


# Meters.


@pytest.mark.parametrize(("present", "command"), [(False, 0), (True, 1)])
def test_the_framework_writes_our_meters_alike(present: bool, command: int) -> None:
    theirs = parser.OFPMeterMod(DATAPATH, command, 0b110, 3, [parser.OFPMeterBandDrop(100, 50)])
    assert codec.meter_change(Meter(3, 100, 50), present) == written(theirs)


def test_the_framework_removes_a_meter_alike() -> None:
    assert codec.meter_deletion(3) == written(parser.OFPMeterMod(DATAPATH, 2, 0, 3))


def test_the_framework_asks_what_meters_there_can_be_alike() -> None:
    assert codec.meter_features_request(17) == written(parser.OFPMeterFeaturesStatsRequest(DATAPATH), 17)


@pytest.mark.parametrize("most", [0, 262_144])
def test_how_many_meters_there_can_be(most: int) -> None:
    message = codec.message(19, struct.pack("!HH4xIIIBB2x", 11, 0, most, 2, 15, 8, 0), 17)
    assert codec.is_about_meter_features(message)
    assert not codec.is_about_meters(message)
    assert codec.read_most_meters(message) == most == parsed(message).body[0].max_meter


def test_who_says_nothing_of_meters_has_none() -> None:
    assert codec.read_most_meters(codec.message(19, struct.pack("!HH4x", 11, 0))) == 0


def test_the_framework_asks_for_meters_alike() -> None:
    assert codec.meter_request(17) == written(parser.OFPMeterConfigStatsRequest(DATAPATH), 17)


def test_meters_come_back_as_they_were_sent() -> None:
    meters = [Meter(1, 100, 100), Meter(2, 7, 9)]
    told = b"".join(struct.pack("!HHIHHII4x", 24, 6, each.number, 1, 16, each.rate, each.burst) for each in meters)
    message = codec.message(19, struct.pack("!HH4x", 10, 0) + told, 17)
    assert codec.is_about_meters(message)
    assert not codec.is_about_meters(reply([]))
    assert (codec.xid(message), codec.kind(message)) == (17, 19)
    assert list(codec.read_meters(message)) == meters
    theirs = parsed(message)
    assert [(each.meter_id, each.bands[0].rate, each.bands[0].burst_size) for each in theirs.body] == [
        (each.number, each.rate, each.burst) for each in meters
    ]


def test_a_meter_that_is_cut_short_is_refused() -> None:
    with pytest.raises(codec.UnknownOnWire, match="24 at least"):
        list(codec.read_meters(codec.message(19, struct.pack("!HH4x", 10, 0) + bytes(20))))
