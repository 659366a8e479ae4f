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
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.stdlib import free
    from cython.cimports.libc.string import memcpy, memset
    from cython.cimports.posix.stdlib import posix_memalign

COMPILED: bool = cython.compiled
"""Whether this is the compiled form."""


def _header(field: Field) -> int:
    """What a value of *field* follows in a match (OpenFlow 1.3.5, section 7.2.3.2)."""
    return field.oxm_class << 16 | field.number << 9 | field.octets


# Version and type.
_PACKET_IN = cython.declare(cython.uint, 0x040A)
_ECHO_REQUEST = cython.declare(cython.uint, 0x0402)
_ECHO_REPLY = cython.declare(cython.uint, 0x0403)

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

TO_DSWITCH, TO_PORT = 0, 1
"""What a way leads to."""

# How far the number of the template for each kind of address is shifted in a way's record.
_BY_MAC = cython.declare(cython.int, 0)
_BY_IPV4 = cython.declare(cython.int, 20)
_BY_IPV6 = cython.declare(cython.int, 40)

_LOWER = cython.declare(cython.ulonglong, 0xFFFFFFFF)

# Odd numbers without a pattern in their bits, by which an index scatters its keys.
_SPREAD = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_MIX = cython.declare(cython.ulonglong, 0xD6E8FEB86659FD93)

_ROOM = cython.declare(cython.int, 1 << 16)  # bytes that the answers of a read have at first


@cython.final
@cython.cclass
class Template:
    """A flow as a message with holes, and where they are; -1 where the flow has no such value.

    Its cookie and its hard time-out are where every flow-mod has them.

    :ivar data: the message.
    """

    data: bytes
    size: cython.int
    vni: cython.int
    address: cython.int
    domain: cython.int
    endpoint: cython.int
    port: cython.int
    tunnel: cython.int
    mac: cython.int
    source: cython.int
    address_size: cython.int
    tunnel_size: cython.int

    def __init__(self, data: bytes, holes: dict[str, int], address_size: int = 0, tunnel_size: int = 0) -> None:
        self.data = data
        self.size = len(data)
        self.vni = holes["vni"]
        self.domain = holes["domain"]
        self.address = holes.get("address", -1)
        self.endpoint = holes.get("endpoint", -1)
        self.port = holes.get("port", -1)
        self.mac = holes.get("mac", -1)
        self.source = holes.get("source", -1)
        self.tunnel = holes.get("tunnel", -1)
        self.address_size = address_size
        self.tunnel_size = tunnel_size


@cython.final
@cython.cclass
class Index:
    """Records of five numbers by keys of two, none of more than 64 bits.

    Compiled, it is one block of memory in which a look-up touches one cache line: with a hundred thousand endpoints the
    way to the memory is what a look-up costs.
    """

    _slots: cython.p_ulonglong  # of eight words each: used, key, record
    _mask: cython.ulonglong  # one less than how many there are
    _taken: cython.ulonglong  # that are not empty, those of removed records included
    _records: dict[tuple[int, int], tuple[int, int, int, int, int]]

    def __init__(self) -> None:
        if cython.compiled:
            self._allocate(8)
        else:
            self._records = {}

    def __dealloc__(self) -> None:
        if cython.compiled:
            free(self._slots)

    def get(self, high: cython.ulonglong, low: cython.ulonglong) -> tuple[int, int, int, int, int] | None:
        """The record under a key."""
        if not cython.compiled:
            return self._records.get((high, low))
        record: cython.p_ulonglong = self.find(high, low)
        return (record[0], record[1], record[2], record[3], record[4]) if record else None

    def put(self, high: cython.ulonglong, low: cython.ulonglong, record: tuple[int, int, int, int, int]) -> None:
        """Let there be this record under the key."""
        if not cython.compiled:
            self._records[high, low] = record
            return
        if 4 * (self._taken + 1) > 3 * self._mask:
            self._rebuild()
        slot: cython.p_ulonglong = self._find(high, low)
        if slot[0] == 0:
            self._taken += 1
        slot[1], slot[2] = high, low
        slot[3], slot[4], slot[5], slot[6], slot[7] = record
        slot[0] = 1

    def remove(self, high: cython.ulonglong, low: cython.ulonglong) -> None:
        """Let there be no record under the key."""
        if not cython.compiled:
            self._records.pop((high, low), None)
            return
        slot: cython.p_ulonglong = self._find(high, low)
        if slot[0] == 1:
            slot[0] = 2

    def clear(self) -> None:
        """Remove all."""
        if not cython.compiled:
            self._records.clear()
            return
        free(self._slots)
        self._allocate(8)

    @cython.cfunc
    def find(self, high: cython.ulonglong, low: cython.ulonglong) -> cython.p_ulonglong:
        """The record under a key, to be read at once; what is not there is false."""
        if not cython.compiled:
            return self._records.get((high, low))
        slot: cython.p_ulonglong = self._find(high, low)
        return slot + 3 if slot[0] == 1 else cython.NULL

    # ---- the compiled form's own ------------------------------------------------------------------

    @cython.cfunc
    def _allocate(self, slots: cython.ulonglong) -> cython.void:
        block: cython.p_void = cython.NULL
        if posix_memalign(cython.address(block), 64, slots * 64):
            raise MemoryError
        self._slots = cython.cast(cython.p_ulonglong, block)
        memset(self._slots, 0, slots * 64)
        self._mask = slots - 1
        self._taken = 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _find(self, high: cython.ulonglong, low: cython.ulonglong) -> cython.p_ulonglong:
        """The slot of a key, or the empty one where it would be. (A removed record's key stays in its slot.)"""
        number: cython.ulonglong = (low ^ (high * _SPREAD)) * _MIX
        number ^= number >> 32
        slot: cython.p_ulonglong = self._slots + (number & self._mask) * 8
        while slot[0] != 0 and (slot[2] != low or slot[1] != high):
            number += 1
            slot = self._slots + (number & self._mask) * 8
        return slot

    @cython.cfunc
    def _rebuild(self) -> cython.void:
        """Make room, and leave what was removed behind."""
        old: cython.p_ulonglong = self._slots
        count: cython.ulonglong = self._mask + 1
        live: cython.ulonglong = 0
        each: cython.ulonglong
        slot: cython.p_ulonglong
        for each in range(count):
            live += old[each * 8] == 1
        self._allocate(count * 2 if 2 * live >= count else count)
        for each in range(count):
            if old[each * 8] == 1:
                slot = self._find(old[each * 8 + 1], old[each * 8 + 2])
                memcpy(slot, old + each * 8, 64)
                self._taken += 1
        free(old)


@cython.final
@cython.cclass
class Sheet:
    """What the lane knows of one network.

    :ivar by_mac: by MAC address, where its endpoint is: the numbers of domain (upper half) and endpoint, the cookie of
        the location flow, the endpoint's MAC address, its dSwitch's datapath id, the number of the name of its port.
    :ivar by_ipv4: the same by IPv4 address.
    :ivar by_ipv6: the same by the two halves of an IPv6 address.
    :ivar rules: by the numbers of two domains, the source's first: the cookie of the policy flow, for how many seconds
        it may be cached, the number of its template, whether it allows.
    """

    by_mac: Index = cython.declare(Index, visibility="readonly")
    by_ipv4: Index = cython.declare(Index, visibility="readonly")
    by_ipv6: Index = cython.declare(Index, visibility="readonly")
    rules: Index = cython.declare(Index, visibility="readonly")

    def __init__(self) -> None:
        self.by_mac = Index()
        self.by_ipv4 = Index()
        self.by_ipv6 = Index()
        self.rules = Index()


@cython.cclass
class Desk:
    """Where the requests of one dSwitch are answered.

    Only its connection's thread calls :meth:`take`; the tables may change at any time, entry by entry.

    :ivar sheets: of all networks, by VNI; every desk has the same.
    :ivar templates: of all flows, by number; every desk has the same.
    :ivar ways: by TO_DSWITCH and the datapath id of another dSwitch, or TO_PORT and the number of the name of a port of
        this one: the numbers of the templates (20 bits each: for MAC, IPv4 and IPv6 addresses), the output port, and
        the two halves of the address of the tunnel's other end.
    :ivar answers: what is to be sent, in its first :attr:`used` bytes.
    :ivar echoes: whether echo requests are answered here, because nobody else wants to know of them.
    :ivar allowed: how many requests were answered so.
    :ivar denied: how many requests were answered so.
    """

    sheets: dict[int, Sheet] = cython.declare(dict, visibility="readonly")
    templates: list[Template] = cython.declare(list, visibility="readonly")
    ways: Index = cython.declare(Index, visibility="readonly")
    answers: bytearray = cython.declare(bytearray, visibility="readonly")
    used: cython.int = cython.declare(cython.int, visibility="readonly")
    echoes: cython.bint = cython.declare(cython.bint, visibility="public")
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

    def __init__(
        self,
        sheets: dict[int, Sheet],
        templates: list[Template],
        dpid: int,
        tables: tuple[int, int],
        resubmission: bytes,
    ) -> None:
        """
        :param tables: the numbers of LOCATION and of POLICY.
        :param resubmission: the action by which a held packet goes on at LOCATION.
        """
        if len(resubmission) != _ACTION:
            raise ValueError(f"the resubmission has {len(resubmission)} bytes, not {_ACTION}")
        self.sheets = sheets
        self.templates = templates
        self.ways = Index()
        self.answers = bytearray(_ROOM)
        self.used = 0
        self.echoes = False
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
        if self.echoes and _u16(buffer, at) == _ECHO_REQUEST:
            to: cython.int = self._room(length)
            _move(self.answers, to, buffer, at, length)
            _put16(self.answers, to, _ECHO_REPLY)
            return True
        if length < _MATCH + 8 + 2 + _ETHERNET_HEADER or _u16(buffer, at) != _PACKET_IN:
            return False
        table = _u8(buffer, at + _TABLE)
        if _u8(buffer, at + _COOKIE) != _OURS or table not in (self._location, self._policy):
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
        kind: cython.int
        key: cython.int  # where the address is
        place: cython.p_ulonglong
        sheet: Sheet | None = self.sheets.get(self._vni)
        if sheet is None:
            return False
        if not self._by_address:
            kind, key = _BY_MAC, frame
            place = sheet.by_mac.find(0, _u48(buffer, key))
        elif _u16(buffer, frame + _ETH_TYPE) == _IPV4 and size >= 34:
            kind, key = _BY_IPV4, frame + 30
            place = sheet.by_ipv4.find(0, _u32(buffer, key))
        elif _u16(buffer, frame + _ETH_TYPE) == _IPV6 and size >= 54:
            kind, key = _BY_IPV6, frame + 38
            place = sheet.by_ipv6.find(_u64(buffer, key), _u64(buffer, key + 8))
        else:
            return False
        if not place or self._resumed + size > _LONGEST:
            return False
        rule: cython.p_ulonglong = sheet.rules.find(self._source, place[0] >> 32)
        local: cython.bint = place[3] == self._here
        way: cython.p_ulonglong = self.ways.find(1 if local else 0, place[4] if local else place[3])
        if not rule or not way:
            return False
        self._write_location(buffer, key, self.templates[way[0] >> kind & 0xFFFFF], place, way, rule[1])
        self._write_policy(self.templates[rule[2]], rule, place[0] >> 32)
        self._resume(buffer, frame, size)
        if rule[3]:
            self.allowed += 1
        else:
            self.denied += 1
        return True

    @cython.cfunc
    def _write_location(
        self,
        buffer: bytearray,
        key: cython.int,
        template: Template,
        place: cython.p_ulonglong,
        way: cython.p_ulonglong,
        expiry: cython.ulonglong,
    ) -> cython.void:
        to: cython.int = self._room(template.size)
        answers: bytearray = self.answers
        _copy(answers, to, template.data, template.size)
        _put24(answers, to + template.vni, self._vni)
        _put64(answers, to + _FLOW_COOKIE, place[1])
        _put16(answers, to + _FLOW_TIMEOUT, expiry)
        _put32(answers, to + template.domain, place[0] >> 32)
        _put32(answers, to + template.endpoint, place[0] & _LOWER)
        _put32(answers, to + template.port, way[1])
        if template.tunnel_size == 4:
            _put32(answers, to + template.tunnel, way[3])
        elif template.tunnel_size == 16:
            _put64(answers, to + template.tunnel, way[2])
            _put64(answers, to + template.tunnel + 8, way[3])
        _move(answers, to + template.address, buffer, key, template.address_size)
        if template.mac >= 0:
            _put16(answers, to + template.mac, place[2] >> 32)
            _put32(answers, to + template.mac + 2, place[2] & _LOWER)

    @cython.cfunc
    def _write_policy(self, template: Template, rule: cython.p_ulonglong, destination: cython.ulonglong) -> cython.void:
        to: cython.int = self._room(template.size)
        answers: bytearray = self.answers
        _copy(answers, to, template.data, template.size)
        _put24(answers, to + template.vni, self._vni)
        _put64(answers, to + _FLOW_COOKIE, rule[0])
        _put16(answers, to + _FLOW_TIMEOUT, rule[1])
        _put32(answers, to + template.source, self._source)
        _put32(answers, to + template.domain, destination)

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
            more: cython.Py_ssize_t = max(len(self.answers), size)
            if cython.compiled:  # no object is made: a garbage collection here could let an index be rebuilt
                PyByteArray_Resize(self.answers, len(self.answers) + more)
            else:
                self.answers.extend(bytes(more))
        self.used = to + size
        return to


# What is said in two ways.  The caller answers for the bounds: :meth:`Desk._answer` checks them once for each message.


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u8(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        return cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer))[at]
    return buffer[at]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u16(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer)) + at
        return data[0] << 8 | data[1]
    return buffer[at] << 8 | buffer[at + 1]


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u32(buffer: bytearray, at: cython.int) -> cython.uint:
    if cython.compiled:
        data: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(buffer)) + at
        return cython.cast(cython.uint, data[0]) << 24 | data[1] << 16 | data[2] << 8 | data[3]
    return int.from_bytes(buffer[at : at + 4], "big")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u48(buffer: bytearray, at: cython.int) -> cython.ulonglong:
    return cython.cast(cython.ulonglong, _u16(buffer, at)) << 32 | _u32(buffer, at + 2)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _u64(buffer: bytearray, at: cython.int) -> cython.ulonglong:
    return cython.cast(cython.ulonglong, _u32(buffer, at)) << 32 | _u32(buffer, at + 4)


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
