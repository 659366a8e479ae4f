"""OpenFlow 1.3 messages as bytes: what the fast lane reads and writes.

One encoder serves the lane and the slow path, so that a flow is the same on the wire whichever way it goes.  The
framework's own parser stays the oracle: tests hold the two equal.

Sources: OpenFlow 1.3.5, sections 7.2 to 7.4; ovs-actions(7) for the Nicira actions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
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
    Unit,
)
from dove_ryu.openflow.flow import End, Flow, FlowChange, FlowDelete, FlowEnd, PacketIn, PacketOut
from dove_ryu.openflow.match import Match, Term
from dove_ryu.openflow.oxm import Field
from dove_ryu.southbound import nicira

VERSION = 4
FLOW_MOD, PACKET_OUT, MULTIPART_REQUEST, BARRIER_REQUEST = 14, 13, 18, 20
_FLOW_STATISTICS, _METER_CONFIGURATION, _METER_FEATURES = 1, 10, 11
METER_MOD, PACKET_IN, FLOW_REMOVED, BARRIER_REPLY = 29, 10, 11, 21
_MODIFY_METER, _DELETE_METER, _BURST, _DROP_BAND = 1, 2, 4, 1
_UNITS = {Unit.KILOBITS: 1, Unit.PACKETS: 2}
_ADD, _DELETE, _DELETE_STRICT = 0, 3, 4
_ALL_TABLES, _ANY, _NO_BUFFER = 0xFF, 0xFFFFFFFF, 0xFFFFFFFF
_ANYWHERE = struct.pack("!III", _NO_BUFFER, _ANY, _ANY)
"""No packet that waits in a buffer, and out of any port and group."""
_IN_PORT_ONLY_16_BITS, _CONTROLLER, _WHOLE_PACKET = 0xFFF8, 0xFFFFFFFD, 0xFFFF
_OUTPUT, _PUSH_VLAN, _POP_VLAN, _DECREMENT_TTL, _SET_FIELD, _EXPERIMENTER = 0, 17, 18, 24, 25, 0xFFFF
_DOT1Q = 0x8100
_REG_MOVE, _REG_LOAD, _RESUBMIT_TABLE, _OUTPUT_REG, _CONNTRACK, _CONTROLLER_2, _CLONE = 6, 7, 14, 15, 35, 37, 42
_COMMIT, _NO_TABLE = 1, 0xFF
_METER_PROPERTY = 5
_GOTO_TABLE, _APPLY_ACTIONS, _METER = 1, 4, 6
_NOTIFY = 1
_OXM_MATCH = 1
_PADDING = bytes(7)

_HEADER = struct.Struct("!BBHI")
_ADDITION, _DELETION = struct.Struct("!BBH4xQ8xBxHHH12sH2x"), struct.Struct("!BBH4xQQBB4xH12s4x")
_MATCH = struct.Struct("!HH")
_GOTO, _METERED, _APPLIED = struct.Struct("!HHB3x"), struct.Struct("!HHI"), struct.Struct("!HH4x")
_OUT, _SET = struct.Struct("!HHIH6x"), struct.Struct("!HH")
_PACKET_OUT = struct.Struct("!IIH6x")
_FLOW_REQUEST = struct.Struct("!HH4xB3xII4xQQ")
_FLOW_ENTRY = struct.Struct("!HBxIIHHHH4xQQQ")
_FLOW_REMOVED = struct.Struct("!QHBBIIHHQQ")
_PACKET_IN = struct.Struct("!IHBBQ")


UnknownOnWire = nicira.UnknownOnWire


def message(kind: int, body: bytes, xid: int = 0) -> bytes:
    """A message of *kind* with its header."""
    return _HEADER.pack(VERSION, kind, _HEADER.size + len(body), xid) + body


def change(what: FlowChange) -> bytes:
    """A flow-mod message."""
    if isinstance(what, Flow):
        return _addition(what)
    if isinstance(what, FlowDelete):
        table = _ALL_TABLES if what.table is None else what.table
        return _deletion(what.cookie, what.cookie_mask, table, _DELETE, 0, what.match)
    return _deletion(0, 0, what.key.table, _DELETE_STRICT, what.key.priority, what.key.match)


def _addition(flow: Flow) -> bytes:
    table, priority, where, actions, cookie, hard, idle, notify = flow
    body = match_bytes(where) + instructions(actions)
    length = _ADDITION.size + len(body)
    return _ADDITION.pack(VERSION, FLOW_MOD, length, cookie, table, idle, hard, priority, _ANYWHERE, notify) + body


def _deletion(cookie: int, mask: int, table: int, command: int, priority: int, where: Match) -> bytes:
    body = match_bytes(where)
    length = _DELETION.size + len(body)
    return _DELETION.pack(VERSION, FLOW_MOD, length, cookie, mask, table, command, priority, _ANYWHERE) + body


def packet_out(what: PacketOut) -> bytes:
    """A packet-out message."""
    actions = b"".join(map(action_bytes, what.actions))
    return message(PACKET_OUT, _PACKET_OUT.pack(_NO_BUFFER, what.in_port, len(actions)) + actions + what.data)


def barrier(xid: int) -> bytes:
    """A barrier request."""
    return message(BARRIER_REQUEST, b"", xid)


def flow_request(cookie: int, cookie_mask: int, xid: int) -> bytes:
    """A request for all flows whose cookie agrees under the mask."""
    head = _FLOW_REQUEST.pack(_FLOW_STATISTICS, 0, _ALL_TABLES, _ANY, _ANY, cookie, cookie_mask)
    return message(MULTIPART_REQUEST, head + match_bytes(Match()), xid)


def match_bytes(where: Match) -> bytes:
    """An OXM match, padded to 8 bytes."""
    terms = b"".join(map(_term_bytes, where))
    length = 4 + len(terms)
    return _MATCH.pack(_OXM_MATCH, length) + terms + _PADDING[: -length % 8]


def _term_bytes(term: Term) -> bytes:
    which, value, mask = term
    if mask == which.full_mask:
        return which.header + value.to_bytes(which.octets, "big")
    return which.masked_header + (value << which.octets * 8 | mask).to_bytes(which.octets * 2, "big")


def instructions(actions: Iterable[Action]) -> bytes:
    """Meter, apply-actions and goto-table, as far as *actions* have them."""
    metered, applied, onward = b"", b"", b""
    for action in actions:
        if isinstance(action, Goto):
            onward = _GOTO.pack(_GOTO_TABLE, 8, action.table)
        elif isinstance(action, Metered):
            metered = _METERED.pack(_METER, 8, action.meter)
        else:
            applied += action_bytes(action)
    if applied:
        applied = _APPLIED.pack(_APPLY_ACTIONS, 8 + len(applied)) + applied
    return metered + applied + onward


def action_bytes(action: Action) -> bytes:
    """One action; :class:`Goto` and :class:`Metered` are instructions and have none."""
    return _ENCODERS[type(action)](action)


def _set_field(action: SetField) -> bytes:
    if action.mask != action.field.full_mask:
        low = (action.mask & -action.mask).bit_length() - 1
        span = low << 6 | (action.mask.bit_count() - 1)
        return nicira.action(_REG_LOAD, struct.pack("!H", span) + action.field.header, action.value >> low)
    body = action.field.header + action.value.to_bytes(action.field.octets, "big")
    length = 4 + len(body)
    return _SET.pack(_SET_FIELD, length + -length % 8) + body + _PADDING[: -length % 8]


def _move(action: Move) -> bytes:
    spans = struct.pack("!HHH", action.width, action.source_low, action.target_low)
    return nicira.action(_REG_MOVE, spans + action.source.header + action.target.header)


def _output(action: Output) -> bytes:
    return _OUT.pack(_OUTPUT, 16, action.port, 0)


def _output_to(action: OutputTo) -> bytes:
    return nicira.action(_OUTPUT_REG, struct.pack("!H", action.field.width - 1) + action.field.header + b"\xff\xff")


def _to_controller(action: ToController) -> bytes:
    if action.meter is not None:
        return nicira.action(_CONTROLLER_2, struct.pack("!6xHHI", _METER_PROPERTY, 8, action.meter))
    return _OUT.pack(_OUTPUT, 16, _CONTROLLER, _WHOLE_PACKET)


def _decrement_ttl(action: DecrementTtl) -> bytes:
    return struct.pack("!HH4x", _DECREMENT_TTL, 8)


def _resubmit(action: Resubmit) -> bytes:
    return nicira.action(_RESUBMIT_TABLE, struct.pack("!HB3x", _IN_PORT_ONLY_16_BITS, action.table))


def _track(action: Track) -> bytes:
    commit, table = (_COMMIT, _NO_TABLE) if action.table is None else (0, action.table)
    zone = action.zone.header + struct.pack("!H", action.width - 1)
    return nicira.action(_CONNTRACK, struct.pack("!H", commit) + zone + struct.pack("!B5x", table))


def _push_vlan(action: PushVlan) -> bytes:
    return struct.pack("!HHH2x", _PUSH_VLAN, 8, _DOT1Q)


def _pop_vlan(action: PopVlan) -> bytes:
    return struct.pack("!HH4x", _POP_VLAN, 8)


def _clone(action: Clone) -> bytes:
    return nicira.action(_CLONE, bytes(6) + b"".join(map(action_bytes, action.actions)))


_ENCODERS: dict[type[Action], Callable[..., bytes]] = {
    SetField: _set_field,
    Move: _move,
    PushVlan: _push_vlan,
    PopVlan: _pop_vlan,
    Multipath: nicira.multipath,
    Learn: nicira.learn,
    FinTimeout: nicira.fin_timeout,
    Clone: _clone,
    Output: _output,
    OutputTo: _output_to,
    ToController: _to_controller,
    DecrementTtl: _decrement_ttl,
    Resubmit: _resubmit,
    Track: _track,
}


def read_packet_in(data: bytes) -> PacketIn:
    """A packet-in message.

    :raises UnknownOnWire: where it is cut short.
    """
    try:
        _, _, _, table, cookie = _PACKET_IN.unpack_from(data, 8)
        fields, end = _pipeline_fields(data, 24)
    except (struct.error, IndexError) as error:
        raise UnknownOnWire(f"packet-in of {len(data)} bytes is cut short ({error})") from None
    if not 28 <= end <= len(data) - 2:
        raise UnknownOnWire(f"packet-in of {len(data)} bytes is cut short: its match says it ends at {end}")
    return PacketIn(cookie, table, fields, data[end + 2 :])


def came_up_from(data: bytes, table: int) -> bool:
    """Whether a message is a packet-in from a flow of *table*."""
    return data[1] == PACKET_IN and data[15:16] == bytes((table,))


def _pipeline_fields(data: bytes, offset: int) -> tuple[dict[Field, int], int]:
    """The fields that the pipeline knows, and where the match ends; others are passed over."""
    length = int.from_bytes(data[offset + 2 : offset + 4], "big")
    end, at = offset + length, offset + 4
    fields: dict[Field, int] = {}
    while at + 4 <= end:
        octets = data[at + 3]
        known = oxm.BY_HEADER.get((data[at] << 8 | data[at + 1], data[at + 2] >> 1))
        if known is not None and octets == known.octets:
            fields[known] = int.from_bytes(data[at + 4 : at + 4 + octets], "big")
        at += 4 + octets
    return fields, end + -length % 8


def more_follows(data: bytes) -> bool:
    """Whether a multipart reply is not the last of its answer."""
    return bool(int.from_bytes(data[10:12], "big") & 1)


def kind(data: bytes) -> int:
    """A message's type."""
    return data[1]


def is_about_meters(data: bytes) -> bool:
    """Whether a multipart reply tells meters."""
    return int.from_bytes(data[8:10], "big") == _METER_CONFIGURATION


def is_about_meter_features(data: bytes) -> bool:
    """Whether a multipart reply tells what meters there can be."""
    return int.from_bytes(data[8:10], "big") == _METER_FEATURES


def xid(data: bytes) -> int:
    """The number by which a message is answered."""
    return int.from_bytes(data[4:8], "big")


def read_any_flows(data: bytes) -> Iterator[Flow]:
    """The flows of a flow-statistics reply, whosever; one that ours cannot be has no match and no actions."""
    for entry in _pieces(data[16:], 0, _FLOW_ENTRY.size + 8):
        try:
            yield from read_flows(data[:16] + entry)
        except UnknownOnWire:
            _, table, _, _, priority, _, _, _, cookie, _, _ = _FLOW_ENTRY.unpack_from(entry)
            yield Flow(table, priority, Match(), (), cookie)


def read_flows(data: bytes) -> Iterator[Flow]:
    """The flows of a flow-statistics reply.

    :raises UnknownOnWire: where one has a field or an action that ours never have, or is cut short.
    """
    for entry in _pieces(data[16:], 0, _FLOW_ENTRY.size + 8):
        _, table, _, _, priority, idle, hard, flags, cookie, _, _ = _FLOW_ENTRY.unpack_from(entry)
        where, body = _read_match(entry[_FLOW_ENTRY.size :])
        actions = tuple(_read_instructions(body))
        yield Flow(table, priority, where, actions, cookie, hard, idle, bool(flags & _NOTIFY))


def read_flow_end(data: bytes) -> FlowEnd:
    """A flow-removed message.

    :raises UnknownOnWire: where its flow matches what ours never do, or is cut short.
    """
    try:
        cookie, priority, why, table, seconds, nanoseconds, idle, hard, packets, octets = _FLOW_REMOVED.unpack_from(
            data, 8
        )
    except struct.error as error:
        raise UnknownOnWire(f"flow-removed of {len(data)} bytes is cut short ({error})") from None
    where, _ = _read_match(data[8 + _FLOW_REMOVED.size :])
    flow = Flow(table, priority, where, (), cookie, hard, idle, True)
    return FlowEnd(flow, End(min(why, End.OTHER.value)), packets, octets, seconds + nanoseconds / 1e9)


def meter_change(meter: Meter, present: bool) -> bytes:
    """A meter-mod message: make a meter, or change one that is present."""
    head = struct.pack("!HHI", _MODIFY_METER if present else _ADD, _UNITS[meter.unit] | _BURST, meter.number)
    band = struct.pack("!HHII4x", _DROP_BAND, 16, meter.rate, meter.burst)
    return message(METER_MOD, head + band)


def meter_deletion(number: int) -> bytes:
    """A meter-mod message: remove a meter, and the flows that still name it."""
    return message(METER_MOD, struct.pack("!HHI", _DELETE_METER, 0, number))


def meter_request(xid: int) -> bytes:
    """A request for all meters."""
    return message(MULTIPART_REQUEST, struct.pack("!HH4xI4x", _METER_CONFIGURATION, 0, _ANY), xid)


def meter_features_request(xid: int) -> bytes:
    """A request for what meters there can be."""
    return message(MULTIPART_REQUEST, struct.pack("!HH4x", _METER_FEATURES, 0), xid)


def read_most_meters(data: bytes) -> int:
    """How many meters a switch can have, from a meter-features reply; one that says nothing has none."""
    return int.from_bytes(data[16:20], "big")


def read_meters(data: bytes) -> Iterator[Meter]:
    """The meters of a meter-configuration reply."""
    for entry in _pieces(data[16:], 0, 24):
        flags, number = struct.unpack_from("!HI", entry, 2)
        rate, burst = struct.unpack_from("!II", entry, 12)
        yield Meter(number, rate, burst, Unit.KILOBITS if flags & _UNITS[Unit.KILOBITS] else Unit.PACKETS)


def _pieces(data: bytes, length_at: int, least: int) -> Iterator[bytes]:
    """Cut *data* into pieces that each say their length, 16 bits at *length_at*, and are no shorter than *least*."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + length_at : at + length_at + 2], "big")
        if not least <= length <= len(data) - at:
            raise UnknownOnWire(f"a piece that says it has {length} bytes, of {least} at least, in {len(data) - at}")
        yield data[at : at + length]
        at += length


def _read_match(data: bytes) -> tuple[Match, bytes]:
    """The match that *data* begins with, and what follows."""
    length = int.from_bytes(data[2:4], "big")
    end = length + -length % 8
    if length < 4 or end > len(data):
        raise UnknownOnWire(f"a match that says it has {length} bytes in {len(data)}")
    terms: list[Term] = []
    left = data[4:length]
    while left:
        left = nicira.standard(left)
        known, masked, octets = nicira.read_header(left)
        value = int.from_bytes(left[4 : 4 + known.octets], "big")
        mask = int.from_bytes(left[4 + known.octets : 4 + octets], "big") if masked else known.full_mask
        terms.append(Term(known, value, mask))
        left = left[4 + octets :]
    terms.sort(key=lambda term: term.field.rank)
    return Match(terms), data[end:]


def _read_instructions(data: bytes) -> Iterator[Action]:
    onward: list[Action] = []
    for instruction in _pieces(data, 2, 8):
        kind = int.from_bytes(instruction[:2], "big")
        if kind == _GOTO_TABLE:
            onward.append(Goto(instruction[4]))
        elif kind == _METER:
            yield Metered(int.from_bytes(instruction[4:8], "big"))
        elif kind == _APPLY_ACTIONS:
            yield from map(_read_action, _pieces(instruction[8:], 2, 8))
        else:
            raise UnknownOnWire(f"instruction {kind} is in no flow of ours")
    yield from onward


def _read_action(data: bytes) -> Action:
    kind = int.from_bytes(data[:2], "big")
    if kind == _OUTPUT:
        port = int.from_bytes(data[4:8], "big")
        return ToController() if port == _CONTROLLER else Output(port)
    if kind == _DECREMENT_TTL:
        return DecrementTtl()
    if kind == _PUSH_VLAN and int.from_bytes(data[4:6], "big") == _DOT1Q:
        return PushVlan()
    if kind == _POP_VLAN:
        return PopVlan()
    if kind == _SET_FIELD:
        known, _, octets = nicira.read_header(data[4:])
        return SetField(known, int.from_bytes(data[8 : 8 + octets], "big"), known.full_mask)
    if kind == _EXPERIMENTER and int.from_bytes(data[4:8], "big") == nicira.VENDOR:
        return _read_extension(int.from_bytes(data[8:10], "big"), data)
    raise UnknownOnWire(f"action {kind} is in no flow of ours")


def _read_extension(subtype: int, data: bytes) -> Action:
    if subtype == _REG_LOAD and len(data) == 24:
        span = int.from_bytes(data[10:12], "big")
        low, width = span >> 6, (span & 0x3F) + 1
        known = nicira.read_header(data[12:16], with_value=False)[0]
        return SetField(known, int.from_bytes(data[16:24], "big") << low, ((1 << width) - 1) << low)
    if subtype == _REG_MOVE and len(data) == 24:
        source, target = (nicira.read_header(data[at : at + 4], with_value=False)[0] for at in (16, 20))
        return Move(source, target, *struct.unpack_from("!HHH", data, 10))
    if subtype == _OUTPUT_REG and len(data) == 24:
        return OutputTo(nicira.read_header(data[12:16], with_value=False)[0])
    if subtype == _RESUBMIT_TABLE and len(data) == 16:
        return Resubmit(data[12])
    if subtype == _CONNTRACK and len(data) == 24:
        zone = nicira.read_header(data[12:16], with_value=False)[0]
        width, table = int.from_bytes(data[16:18], "big") + 1, data[18]
        return Track(zone, width, None if table == _NO_TABLE else table)
    if subtype == _CONTROLLER_2 and len(data) == 24:
        return ToController(int.from_bytes(data[20:24], "big"))
    if subtype == _CLONE and len(data) > 16:
        return Clone(tuple(map(_read_action, _pieces(data[16:], 2, 8))))
    if subtype in nicira.READERS:
        return nicira.READERS[subtype](data)
    raise UnknownOnWire(f"Nicira action {subtype} of {len(data)} bytes is in no flow of ours")
