"""The fast lane: policy requests answered on their connection's own thread, bytes in and bytes out.

A request is a packet-in of LOCATION or POLICY.  Its match says where the packet stands in the pipeline, its frame where
the packet goes.  Three look-ups answer it: the destination's place, the way there, and the rule for the two domains.
The answer is three messages: the location flow, a template with the numbers of this destination put in; the policy
flow, ready as it is; and the packet itself, sent back into the pipeline with everything as it was.

    packet-in -> Sheet of its network -> Place of its destination -> Way there -> Template, filled in
                                      -> Rule for its two domains -------------> ready bytes
              -> its own metadata and registers, its frame --------------------> packet-out

Nothing here knows what a policy is.  Templates and rules are cut from what the plain way writes
(:mod:`dove_ryu.lane_tables`), and what the tables do not hold, or Open vSwitch would not write so, is left to the plain
way.  So the two can differ in speed only.

This file is Python, and runs as it is.  Compiled by Cython, which its annotations are for, it is many times as fast;
the functions at its end are all that has two forms.

Sources: OpenFlow 1.3.5, sections 7.2.3, 7.3.7 and 7.4.1.
"""

from __future__ import annotations

import cython

from dove_ryu.openflow.fields import APPLICATION, BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.oxm import IN_PORT, METADATA, REGISTERS, Field

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcpy

COMPILED: bool = cython.compiled
"""Whether this is the compiled form."""


def _header(field: Field) -> int:
    """What a value of *field* follows in a match (OpenFlow 1.3.5, section 7.2.3.2)."""
    return field.oxm_class << 16 | field.number << 9 | field.octets


_PACKET_IN = cython.declare(cython.uint, 0x040A)  # version and type
_HEADER_SIZE = cython.declare(cython.int, 8)
_LONGEST = cython.declare(cython.int, 0xFFFF)  # bytes that a message may have
# Offsets in a packet-in.
_TABLE = cython.declare(cython.int, 15)
_COOKIE = cython.declare(cython.int, 16)
_MATCH = cython.declare(cython.int, 24)
_ETHERNET_HEADER = cython.declare(cython.int, 14)
_ETH_TYPE = cython.declare(cython.int, 12)
_OURS = cython.declare(cython.uint, APPLICATION)

_IN_PORT = cython.declare(cython.uint, _header(IN_PORT))
_METADATA = cython.declare(cython.uint, _header(METADATA))
_FIRST_REGISTER = cython.declare(cython.uint, _header(REGISTERS[0]))
_LAST_REGISTER = cython.declare(cython.uint, _header(REGISTERS[15]))
_BY_ADDRESS = cython.declare(cython.uint, _header(BY_ADDRESS.field))
_BY_ADDRESS_MASK = cython.declare(cython.uint, BY_ADDRESS.mask)
_SOURCE_DOMAIN = cython.declare(cython.uint, _header(SOURCE_DOMAIN.field))
_IPV4 = cython.declare(cython.uint, 0x0800)
_IPV6 = cython.declare(cython.uint, 0x86DD)

# Offsets in a flow-mod: its cookie, its hard time-out.
_FLOW_COOKIE = cython.declare(cython.int, 8)
_FLOW_TIMEOUT = cython.declare(cython.int, 28)

# A packet-out up to its actions: no buffer; its length, its port and the length of the actions are filled in.
_PACKET_OUT = b"\x04\x0d" + bytes(6) + b"\xff\xff\xff\xff" + bytes(12)
_OUT_PORT = cython.declare(cython.int, 12)
_ACTIONS_SIZE = cython.declare(cython.int, 16)
_ACTIONS = cython.declare(cython.int, 24)
_SET_FIELD = cython.declare(cython.uint, 0x00190010)  # with one field of up to 8 bytes
_ACTION = cython.declare(cython.int, 16)  # bytes of each action
_MOST_ACTIONS = cython.declare(cython.int, 18)  # metadata, all registers, the resubmission

_ROOM = cython.declare(cython.int, 1 << 16)  # bytes that the answers of a read have at first


@cython.cclass
class Template:
    """A location flow as a message with holes, and where they are.

    :ivar data: the message.
    """

    data: bytes
    size: cython.int
    vni: cython.int
    address: cython.int
    domain: cython.int
    endpoint: cython.int
    mac: cython.int

    def __init__(self, data: bytes, vni: int, address: int, domain: int, endpoint: int, mac: int) -> None:
        """Each value's offset is given; that of *mac* is -1 where the flow does not set one."""
        self.data = data
        self.size = len(data)
        self.vni = vni
        self.address = address
        self.domain = domain
        self.endpoint = endpoint
        self.mac = mac


@cython.cclass
class Way:
    """How a dSwitch reaches one of its ports, or another dSwitch: a template for each kind of address."""

    by_mac: Template
    by_ipv4: Template
    by_ipv6: Template

    def __init__(self, by_mac: Template, by_ipv4: Template, by_ipv6: Template) -> None:
        self.by_mac = by_mac
        self.by_ipv4 = by_ipv4
        self.by_ipv6 = by_ipv6


@cython.cclass
class Place:
    """Where an endpoint is, and which numbers stand for it.

    :ivar host: the datapath id of its dSwitch.
    :ivar port: the name of its port there.
    """

    domain: cython.uint
    endpoint: cython.uint
    cookie: cython.ulonglong
    mac_high: cython.uint
    mac_low: cython.uint
    host: cython.ulonglong
    port: str

    def __init__(self, domain: int, endpoint: int, cookie: int, mac: int, host: int, port: str) -> None:
        self.domain = domain
        self.endpoint = endpoint
        self.cookie = cookie
        self.mac_high = mac >> 32
        self.mac_low = mac & 0xFFFFFFFF
        self.host = host
        self.port = port


@cython.cclass
class Rule:
    """What governs a pair of domains.

    :ivar flow: the policy flow as a message.
    :ivar expiry: seconds for which a reply that it governs may be cached; 0 for until it is invalidated.
    """

    flow: bytes
    size: cython.int
    expiry: cython.uint
    allows: cython.bint

    def __init__(self, flow: bytes, expiry: int, allows: bool) -> None:
        self.flow = flow
        self.size = len(flow)
        self.expiry = expiry
        self.allows = allows


@cython.cclass
class Sheet:
    """What the lane knows of one network.

    :ivar places: by MAC, IPv4 or IPv6 address, packed.
    :ivar rules: by the numbers of two domains, the source's in the upper 32 bits.
    """

    places: dict[bytes, Place] = cython.declare(dict, visibility="public")
    rules: dict[int, Rule] = cython.declare(dict, visibility="public")

    def __init__(self) -> None:
        self.places = {}
        self.rules = {}


@cython.cclass
class Desk:
    """Where the requests of one dSwitch are answered.

    Only its connection's thread calls :meth:`take`; the tables may change at any time, entry by entry.

    :ivar sheets: of all networks, by VNI; every desk has the same.
    :ivar ways: to other dSwitches, by datapath id.
    :ivar outlets: to the dSwitch's own ports, by name.
    :ivar answers: what is to be sent, in its first :attr:`used` bytes.
    :ivar allowed: how many requests were answered so.
    :ivar denied: how many requests were answered so.
    """

    sheets: dict[int, Sheet] = cython.declare(dict, visibility="readonly")
    ways: dict[int, Way] = cython.declare(dict, visibility="public")
    outlets: dict[str, Way] = cython.declare(dict, visibility="public")
    answers: bytearray = cython.declare(bytearray, visibility="readonly")
    used: cython.int = cython.declare(cython.int, visibility="readonly")
    allowed: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    denied: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    _here: cython.ulonglong
    _location: cython.uint
    _policy: cython.uint
    _resubmission: bytes
    # Of the request at hand: its packet-out up to the frame, and what its match says.
    _resumption: bytearray
    _resumed: cython.int
    _vni: cython.uint
    _source: cython.ulonglong
    _by_address: cython.bint

    def __init__(self, sheets: dict[int, Sheet], dpid: int, tables: tuple[int, int], resubmission: bytes) -> None:
        """
        :param tables: the numbers of LOCATION and of POLICY.
        :param resubmission: the action by which a held packet goes on at LOCATION.
        """
        if len(resubmission) != _ACTION:
            raise ValueError(f"the resubmission has {len(resubmission)} bytes, not {_ACTION}")
        self.sheets = sheets
        self.ways = {}
        self.outlets = {}
        self.answers = bytearray(_ROOM)
        self.used = 0
        self.allowed = 0
        self.denied = 0
        self._here = dpid
        self._location, self._policy = tables
        self._resubmission = resubmission
        self._resumption = bytearray(_PACKET_OUT + bytes(_MOST_ACTIONS * _ACTION))

    def take(self, buffer: bytearray, filled: cython.int, others: list[bytes]) -> cython.int:
        """Answer the requests among the first *filled* bytes of *buffer*, and cut out all other messages.

        :param others: takes them, in order.
        :returns: how many bytes the whole messages take; what follows is the beginning of one.
        :raises ValueError: where a message says that it is shorter than its header.
        """
        at: cython.int = 0
        length: cython.int
        self.used = 0
        if filled > len(buffer):
            raise ValueError(f"{filled} bytes in a buffer of {len(buffer)}")
        while filled - at >= _HEADER_SIZE:
            length = _u16(buffer, at + 2)
            if length < _HEADER_SIZE:
                raise ValueError(f"it says it is {length} bytes long, the header alone has {_HEADER_SIZE}")
            if filled - at < length:
                break
            if not self._answer(buffer, at, length):
                others.append(_cut(buffer, at, length))
            at += length
        return at

    @cython.cfunc
    def _answer(self, buffer: bytearray, at: cython.int, length: cython.int) -> cython.bint:
        """Answer one message; False where it is no request, or none that the tables can answer."""
        table: cython.uint
        matched: cython.int
        frame: cython.int
        size: cython.int
        if length < _MATCH + 8 + 2 + _ETHERNET_HEADER or _u16(buffer, at) != _PACKET_IN:
            return False
        table = _u8(buffer, at + _TABLE)
        if _u8(buffer, at + _COOKIE) != _OURS or not (table == self._location or table == self._policy):
            return False
        matched = _u16(buffer, at + _MATCH + 2)
        frame = at + _MATCH + ((matched + 7) & ~7) + 2
        size = at + length - frame
        if size < _ETHERNET_HEADER or not self._read(buffer, at + _MATCH + 4, at + _MATCH + matched):
            return False
        return self._resolve(buffer, frame, size)

    @cython.cfunc
    def _read(self, buffer: bytearray, at: cython.int, end: cython.int) -> cython.bint:
        """Take a match apart, and write the actions that restore it; False where it is not as Open vSwitch writes it."""
        field: cython.uint
        least: cython.uint = _FIRST_REGISTER
        to: cython.int = _ACTIONS + _ACTION  # the metadata's action comes first, wherever it came
        seen: cython.int = 0
        self._source = 0
        self._by_address = False
        _put32(self._resumption, _OUT_PORT, 0)
        while end - at >= 8:
            field = _u32(buffer, at)
            if least <= field <= _LAST_REGISTER and field & 0x1FF == 4:
                least = field + 1
                _put32(self._resumption, to, _SET_FIELD)
                _move(self._resumption, to + 4, buffer, at, 8)
                _put32(self._resumption, to + 12, 0)
                to += _ACTION
                if field == _SOURCE_DOMAIN:
                    self._source = _u32(buffer, at + 4)
                elif field == _BY_ADDRESS:
                    self._by_address = _u32(buffer, at + 4) & _BY_ADDRESS_MASK != 0
                at += 8
            elif field == _IN_PORT and not seen & 1:
                seen |= 1
                _move(self._resumption, _OUT_PORT, buffer, at + 4, 4)
                at += 8
            elif field == _METADATA and not seen & 2 and end - at >= 12:
                seen |= 2
                self._vni = _u32(buffer, at + 8) & 0xFFFFFF
                _put32(self._resumption, _ACTIONS, _SET_FIELD)
                _move(self._resumption, _ACTIONS + 4, buffer, at, 12)
                at += 12
            else:
                return False
        _copy(self._resumption, to, self._resubmission, _ACTION)
        self._resumed = to + _ACTION
        _put16(self._resumption, _ACTIONS_SIZE, self._resumed - _ACTIONS)
        return at == end and seen & 2 != 0

    @cython.cfunc
    def _resolve(self, buffer: bytearray, frame: cython.int, size: cython.int) -> cython.bint:
        """Look up what :meth:`_read` has found; False where the tables do not hold it."""
        kind: cython.int = 6
        key: bytes
        eth_type: cython.uint
        if not self._by_address:
            key = _cut(buffer, frame, 6)
        else:
            eth_type = _u16(buffer, frame + _ETH_TYPE)
            if eth_type == _IPV4 and size >= 34:
                kind = 4
                key = _cut(buffer, frame + 30, 4)
            elif eth_type == _IPV6 and size >= 54:
                kind = 16
                key = _cut(buffer, frame + 38, 16)
            else:
                return False
        sheet: Sheet | None = self.sheets.get(self._vni)
        if sheet is None:
            return False
        place: Place | None = sheet.places.get(key)
        if place is None:
            return False
        rule: Rule | None = sheet.rules.get(self._source << 32 | place.domain)
        way: Way | None = self.outlets.get(place.port) if place.host == self._here else self.ways.get(place.host)
        if rule is None or way is None or self._resumed + size > _LONGEST:
            return False
        self._write(way, place, rule, key, kind)
        self._resume(buffer, frame, size)
        if rule.allows:
            self.allowed += 1
        else:
            self.denied += 1
        return True

    @cython.cfunc
    def _write(self, way: Way, place: Place, rule: Rule, key: bytes, kind: cython.int) -> cython.void:
        """The two flows."""
        template: Template = way.by_ipv4 if kind == 4 else way.by_ipv6 if kind == 16 else way.by_mac
        to: cython.int = self._room(template.size + rule.size)
        answers: bytearray = self.answers
        _copy(answers, to, template.data, template.size)
        _put24(answers, to + template.vni, self._vni)
        _copy(answers, to + template.address, key, kind)
        _put64(answers, to + _FLOW_COOKIE, place.cookie)
        _put16(answers, to + _FLOW_TIMEOUT, rule.expiry)
        _put32(answers, to + template.domain, place.domain)
        _put32(answers, to + template.endpoint, place.endpoint)
        if template.mac >= 0:
            _put16(answers, to + template.mac, place.mac_high)
            _put32(answers, to + template.mac + 2, place.mac_low)
        _copy(answers, to + template.size, rule.flow, rule.size)

    @cython.cfunc
    def _resume(self, buffer: bytearray, frame: cython.int, size: cython.int) -> cython.void:
        """The packet, sent on."""
        to: cython.int = self._room(self._resumed + size)
        _put16(self._resumption, 2, self._resumed + size)
        _move(self.answers, to, self._resumption, 0, self._resumed)
        _move(self.answers, to + self._resumed, buffer, frame, size)

    @cython.cfunc
    def _room(self, size: cython.int) -> cython.int:
        """Where the next *size* bytes of the answers go."""
        to: cython.int = self.used
        if to + size > len(self.answers):
            self.answers.extend(bytes(max(len(self.answers), size)))
        self.used = to + size
        return to


# What is said in two ways.  The caller answers for the bounds: :meth:`Desk._answer` checks them once for each message.


@cython.cfunc
@cython.inline
def _u8(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        return cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer))[at]
    return buffer[at]


@cython.cfunc
@cython.inline
def _u16(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer)) + at
        return data[0] << 8 | data[1]
    return buffer[at] << 8 | buffer[at + 1]


@cython.cfunc
@cython.inline
def _u32(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer)) + at
        return cython.cast(cython.uint, data[0]) << 24 | data[1] << 16 | data[2] << 8 | data[3]
    return int.from_bytes(buffer[at : at + 4], "big")


@cython.cfunc
@cython.inline
def _cut(buffer: bytearray, at: cython.int, size: cython.int) -> bytes:
    if cython.compiled:
        return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer) + at, size)
    return bytes(buffer[at : at + size])


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put16(target: bytearray, at: cython.int, value: cython.uint) -> cython.void:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(target)) + at
        data[0] = value >> 8 & 0xFF
        data[1] = value & 0xFF
    else:
        target[at : at + 2] = value.to_bytes(2, "big")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put24(target: bytearray, at: cython.int, value: cython.uint) -> cython.void:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(target)) + at
        data[0] = value >> 16 & 0xFF
        _put16(target, at + 1, value)
    else:
        target[at : at + 3] = value.to_bytes(3, "big")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put32(target: bytearray, at: cython.int, value: cython.uint) -> cython.void:
    if cython.compiled:
        _put16(target, at, value >> 16)
        _put16(target, at + 2, value)
    else:
        target[at : at + 4] = value.to_bytes(4, "big")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put64(target: bytearray, at: cython.int, value: cython.ulonglong) -> cython.void:
    if cython.compiled:
        _put32(target, at, cython.cast(cython.uint, value >> 32))
        _put32(target, at + 4, cython.cast(cython.uint, value))
    else:
        target[at : at + 8] = value.to_bytes(8, "big")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _copy(target: bytearray, at: cython.int, data: bytes, size: cython.int) -> cython.void:
    """All of *data*, which has *size* bytes."""
    if cython.compiled:
        memcpy(PyByteArray_AS_STRING(target) + at, PyBytes_AS_STRING(data), size)
    else:
        target[at : at + size] = data


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _move(target: bytearray, at: cython.int, source: bytearray, start: cython.int, size: cython.int) -> cython.void:
    if cython.compiled:
        memcpy(PyByteArray_AS_STRING(target) + at, PyByteArray_AS_STRING(source) + start, size)
    else:
        target[at : at + size] = source[start : start + size]
