"""The fast lane: policy requests answered on the thread that reads them, bytes in and bytes out.

A request is a packet-in of LOCATION or POLICY.  Its match says where the packet stands in the pipeline, its frame where
the packet goes.  Three look-ups answer it: the destination's place, the way there, and the rule for the two domains.
The answer is three messages: the location flow, a template with the numbers of this destination put in; the policy
flow likewise; and the packet itself, sent back into the pipeline with everything as it was.

    packet-in -> Sheet of its network -> Place of its destination -> Way there -> Template, filled in
                                      -> Rule for its two domains -------------> Template, filled in
              -> its own metadata and registers, its frame --------------------> packet-out

Nothing here knows what a policy is.  Templates are cut from what the plain way writes (:mod:`dove_ryu.lane_templates`),
and what the tables do not hold (:mod:`dove_ryu.lane_tables`), or Open vSwitch would not write so, is left to the plain
way.  So the two can differ in speed only.

What the tables hold is too much to be near the processor, and to wait for the memory three times takes as long as all
else.  So the messages of a read take the three steps of :meth:`Desk.take` together: what does each ask, where is it, the
answer.  Each step ends by asking the memory for what the next one reads.

A connection is a :class:`Line` here, and one thread goes the round of all of them (:class:`Ring`): it reads, answers and
sends.  Compiled, it does so without Python's lock, which it wants only for what is not as most things are.

This file is Python, and runs as it is.  Compiled by Cython, which its annotations are for, it is many times as fast;
:mod:`dove_ryu.southbound.lane_memory` is all of it that has two forms.

Sources: OpenFlow 1.3.5, sections 7.2.3, 7.3.7 and 7.4.1.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any, Protocol

import cython

from dove_ryu.openflow.fields import APPLICATION, BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.oxm import IN_PORT, METADATA, REGISTERS, Field

if cython.compiled:
    from cython.cimports.dove_ryu.southbound.lane_memory import (
        Lock,
        Objects,
        Octets,
        Record,
        Table,
        Watch,
        Word,
        address_of,
        approach,
        await_ready,
        be_prompt,
        clear_table,
        copy,
        cut,
        find,
        fixed,
        free_lock,
        free_table,
        free_watch,
        give,
        hold,
        hold_politely,
        items,
        new_lock,
        new_table,
        new_watch,
        octets,
        put16,
        put24,
        put32,
        put64,
        put_record,
        ready_one,
        receive,
        remove_record,
        table_at,
        transmit,
        u8,
        u16,
        u32,
        u48,
        u64,
        widen,
    )
else:
    from dove_ryu.southbound.lane_memory import (
        Lock,
        Objects,
        Octets,
        Record,
        Table,
        Watch,
        Word,
        address_of,
        approach,
        await_ready,
        be_prompt,
        clear_table,
        copy,
        cut,
        find,
        fixed,
        free_lock,
        free_table,
        free_watch,
        give,
        hold,
        hold_politely,
        items,
        new_lock,
        new_table,
        new_watch,
        octets,
        put16,
        put24,
        put32,
        put64,
        put_record,
        ready_one,
        receive,
        remove_record,
        table_at,
        transmit,
        u8,
        u16,
        u32,
        u48,
        u64,
        widen,
    )

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

# A packet-out, and offsets in it.
_PACKET_OUT = cython.declare(cython.uint, 0x040D)
_NO_BUFFER = cython.declare(cython.uint, 0xFFFFFFFF)
_OUT_PORT = cython.declare(cython.int, 12)
_ACTIONS = cython.declare(cython.int, 24)
_SET_FIELD = cython.declare(cython.uint, 0x00190010)  # with one field of up to 8 bytes
_ACTION = cython.declare(cython.int, 16)  # bytes of each action

TO_DSWITCH, TO_PORT = 0, 1
"""What a way leads to."""
_DSWITCH = cython.declare(cython.int, TO_DSWITCH)
_PORT = cython.declare(cython.int, TO_PORT)

# How far the number of the template for each kind of address is shifted in a way's record.
_BY_MAC = cython.declare(cython.int, 0)
_BY_IPV4 = cython.declare(cython.int, 20)
_BY_IPV6 = cython.declare(cython.int, 40)

_LOWER = cython.declare(cython.ulonglong, 0xFFFFFFFF)

RECEIVE_BUFFER = 256 * 1024
"""Bytes of one read of the kernel; an OpenFlow message has at most 64 KiB."""
_INPUT = cython.declare(cython.int, RECEIVE_BUFFER)
# How the thread that reads is preferred: at its busiest it leaves a tenth of a core that has nobody else to others.
_NICE, _TURN = -10, 100_000

# What becomes of a turn: more may be read now, or nothing more, or it is not the line's.
_MORE = cython.declare(cython.int, 1)
_APART = cython.declare(cython.int, 2)

_ROOM = 1 << 16  # bytes that the answers of a read have at first
_TOGETHER = cython.declare(
    cython.int, 32
)  # messages that are dealt with at a time; more would wait for the memory no longer than these


_TABLES = cython.declare(Lock, new_lock())  # held by who writes tables, and while requests are looked up
_AGAIN = cython.declare(cython.int, -errno.EAGAIN)


@cython.final
@cython.cclass
class Template:
    """A flow as a message with holes, and where they are; -1 where the flow has no such value.

    Its cookie and its hard time-out are where every flow-mod has them.

    :ivar data: the message.
    """

    data: bytes
    _octets: Octets
    size: cython.int
    vni: cython.int
    address: cython.int
    domain: cython.int
    endpoint: cython.int
    port: cython.int
    tunnel: cython.int
    mac: cython.int
    source: cython.int
    label: cython.int
    address_size: cython.int
    tunnel_size: cython.int

    def __init__(self, data: bytes, holes: dict[str, int], address_size: int = 0, tunnel_size: int = 0) -> None:
        self.data = data
        self._octets = fixed(data)
        self.size = len(data)
        self.vni = holes["vni"]
        self.domain = holes["domain"]
        self.address = holes.get("address", -1)
        self.endpoint = holes.get("endpoint", -1)
        self.port = holes.get("port", -1)
        self.mac = holes.get("mac", -1)
        self.source = holes.get("source", -1)
        self.label = holes.get("label", -1)
        self.tunnel = holes.get("tunnel", -1)
        self.address_size = address_size
        self.tunnel_size = tunnel_size


@cython.final
@cython.cclass
class Index:
    """Records of five numbers by keys of two, none of more than 64 bits."""

    table: Table

    def __init__(self) -> None:
        self.table = new_table()

    def __dealloc__(self) -> None:
        free_table(self.table)

    def get(self, high: cython.ulonglong, low: cython.ulonglong) -> tuple[int, int, int, int, int] | None:
        """The record under a key."""
        record: Record = find(self.table, approach(self.table, high, low), high, low)
        return (record[0], record[1], record[2], record[3], record[4]) if record else None

    def put(self, high: cython.ulonglong, low: cython.ulonglong, record: tuple[int, int, int, int, int]) -> None:
        """Let there be this record under the key."""
        hold_politely(_TABLES)
        try:
            put_record(self.table, high, low, record)
        finally:
            give(_TABLES)

    def remove(self, high: cython.ulonglong, low: cython.ulonglong) -> None:
        """Let there be no record under the key."""
        hold_politely(_TABLES)
        remove_record(self.table, high, low)
        give(_TABLES)

    def clear(self) -> None:
        """Remove all."""
        hold_politely(_TABLES)
        try:
            clear_table(self.table)
        finally:
            give(_TABLES)


@cython.final
@cython.cclass
class Sheet:
    """What the lane knows of one network.

    :ivar by_mac: by MAC address, where its endpoint is: the numbers of domain (upper half) and endpoint, the cookie of
        the location flow, the endpoint's MAC address, its dSwitch's datapath id, the number of the name of its port.
    :ivar by_ipv4: the same by IPv4 address.
    :ivar by_ipv6: the same by the two halves of an IPv6 address.
    :ivar rules: by the numbers of two domains, the source's first: the cookie of the policy flow, for how many seconds
        it may be cached, the number of its template, whether it allows, the label of its chain.
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


@cython.final
@cython.cclass
class Request:
    """A message of a read, and what is found out about it, step by step.

    :ivar at: where it begins.
    :ivar length: of the whole.
    :ivar hopeful: whether what was found out until now was all there.
    :ivar frame: where its frame begins.
    :ivar size: of the frame.
    :ivar match_end: where its match's fields end.
    :ivar resumed: bytes of the packet-out up to the frame.
    :ivar kind: of the destination's address, as a way's record has it.
    :ivar key: where that address is.
    :ivar places: where it is looked up, under *high* and *low*.
    :ivar rules: where the rule for its *source* and its destination's domain is looked up.
    :ivar end: what the way leads to, and *toward* which number.
    """

    at: cython.int
    length: cython.int
    hopeful: cython.bint
    frame: cython.int
    size: cython.int
    resumed: cython.int
    match_end: cython.int
    by_address: cython.bint
    vni: cython.uint
    source: Word
    kind: cython.int
    key: cython.int
    high: Word
    low: Word
    places: Table
    rules: Table
    place_spot: Word
    rule_spot: Word
    way_spot: Word
    place: Record
    end: Word
    toward: Word
    rule: Record
    way: Record


@cython.final
@cython.cclass
class Archive:
    """What all desks share: what they know of every network, and where they write.

    :ivar sheets: of networks, by VNI.
    :ivar templates: of all flows, by number.
    :ivar answers: room for those of one read; it is at one desk at a time.
    """

    sheets: dict[int, Sheet] = cython.declare(dict, visibility="readonly")
    templates: list[Template] = cython.declare(list, visibility="readonly")
    answers: bytearray = cython.declare(bytearray, visibility="readonly")
    _requests: list[Request]
    _sheets: Index  # once more, for who goes to a table straight: where each of a sheet's tables is
    _cut: Objects  # the templates
    _asked: Objects  # the requests
    _output: Octets  # the answers
    _room: cython.int

    def __init__(self) -> None:
        self.sheets = {}
        self.templates = []
        self.answers = bytearray(_ROOM)
        self._requests = [Request() for _ in range(_TOGETHER)]
        self._sheets = Index()
        self._cut, self._asked = items(self.templates), items(self._requests)
        self._output, self._room = octets(self.answers), _ROOM

    def put(self, vni: int, sheet: Sheet) -> None:
        """Let this be the sheet of a network that has none."""
        self.sheets[vni] = sheet
        places = address_of(sheet.by_mac.table), address_of(sheet.by_ipv4.table), address_of(sheet.by_ipv6.table)
        self._sheets.put(0, vni, (*places, address_of(sheet.rules.table), 0))

    def drop(self, vni: int) -> Sheet | None:
        """Forget a network: the sheet that it had, which is empty now."""
        self._sheets.remove(0, vni)
        dropped = self.sheets.pop(vni, None)
        if dropped is not None:
            for index in (dropped.by_mac, dropped.by_ipv4, dropped.by_ipv6, dropped.rules):
                index.clear()
        return dropped

    def keep(self, number: int, template: Template) -> None:
        """Let this be the template of a number, one that another had or the next."""
        hold_politely(_TABLES)
        self.templates[number : number + 1] = [template]
        self._cut = items(self.templates)
        give(_TABLES)

    @cython.ccall
    def widen(self, least: cython.int) -> cython.void:
        """Let there be room for so many bytes of answers."""
        if least > self._room:
            self._room = max(2 * self._room, least)
            widen(self.answers, self._room)
            self._output = octets(self.answers)


@cython.cclass
class Desk:
    """Where the requests of one dSwitch are answered.

    One thread at a time is at any desk; the tables may change between two batches of requests, entry by entry.

    :ivar archive: every desk has the same.
    :ivar ways: by TO_DSWITCH and the datapath id of another dSwitch, or TO_PORT and the number of the name of a port of
        this one: the numbers of the templates (20 bits each: for MAC, IPv4 and IPv6 addresses), the output port, and
        the two halves of the address of the tunnel's other end.
    :ivar answers: what is to be sent, in its first :attr:`used` bytes, until another desk answers.
    :ivar echoes: whether echo requests are answered here, because nobody else wants to know of them.
    :ivar allowed: how many requests were answered so.
    :ivar denied: how many requests were answered so.
    """

    archive: Archive = cython.declare(Archive, visibility="readonly")
    ways: Index = cython.declare(Index, visibility="readonly")
    answers: bytearray = cython.declare(bytearray, visibility="readonly")
    used: cython.int = cython.declare(cython.int, visibility="readonly")
    echoes: cython.bint = cython.declare(cython.bint, visibility="public")
    allowed: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    denied: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    _others: list[bytes]
    _left: cython.int  # how many others the last read had
    _malformed: cython.int  # how long a message says it is that cannot be so short
    _here: cython.ulonglong
    _location: cython.uint
    _policy: cython.uint
    _resubmission: bytes
    _resubmits: Octets

    def __init__(
        self,
        archive: Archive,
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
        self.archive = archive
        self.ways = Index()
        self.answers = archive.answers
        self._others = []
        self.used = 0
        self.echoes = False
        self.allowed = 0
        self.denied = 0
        self._left = 0
        self._malformed = 0
        self._here = dpid
        self._location, self._policy = tables
        self._resubmission, self._resubmits = resubmission, fixed(resubmission)

    def take(self, buffer: bytearray, filled: cython.int, others: list[bytes]) -> cython.int:
        """Answer the requests among the first *filled* bytes of *buffer*, and cut out all other messages.

        :param others: takes them, in order.
        :returns: how many bytes the whole messages take; what follows is the beginning of one.
        :raises ValueError: where a message says that it is shorter than its header; then nothing is answered.
        """
        if filled > len(buffer):
            raise ValueError(f"{filled} bytes in a buffer of {len(buffer)}")
        data: Octets = octets(buffer)
        taken: cython.int
        with cython.nogil:
            taken = self._take(data, filled)
        others += self.take_others()
        if taken < 0:
            raise ValueError(self.complaint())
        return taken

    def take_others(self) -> list[bytes]:
        """The messages that the last reads have left to others, once."""
        others, self._others = self._others, []
        return others

    def complaint(self) -> str:
        """What is wrong with a message of the last read."""
        return f"it says it is {self._malformed} bytes long, the header alone has {_HEADER_SIZE}"

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _take(self, data: Octets, filled: cython.int) -> cython.int:
        """The same; -1 where a message is malformed."""
        at: cython.int = 0
        before: cython.int = -1
        self.used = self._left = 0
        while at > before:
            before = at
            hold(_TABLES)
            at = self._take_some(data, at, filled)
            give(_TABLES)
        if at < 0:
            self.used = 0
        return at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _take_some(self, data: Octets, at: cython.int, filled: cython.int) -> cython.int:
        """As many messages as are dealt with together: where the next one begins."""
        count: cython.int = 0
        number: cython.int
        length: cython.int
        asked: Objects = self.archive._asked
        while count < _TOGETHER and filled - at >= _HEADER_SIZE:
            length = u16(data, at + 2)
            if length < _HEADER_SIZE:
                self._malformed = length
                return -1
            if filled - at < length:
                break
            self._read(data, at, length, cython.cast(Request, asked[count]))
            at += length
            count += 1
        for number in range(count):
            self._locate(cython.cast(Request, asked[number]))
        for number in range(count):
            self._answer(data, cython.cast(Request, asked[number]))
        return at

    # ---- first step: what does it ask? ------------------------------------------------------------

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _read(self, data: Octets, at: cython.int, length: cython.int, request: Request) -> cython.void:
        """Take a message apart, which is no request perhaps, or not as Open vSwitch writes one."""
        request.at, request.length = at, length
        request.hopeful = self._is_read(data, request)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_read(self, data: Octets, request: Request) -> cython.bint:
        at: cython.int = request.at
        table: cython.uint = u8(data, at + _TABLE) if request.length > _TABLE else 0
        matched: cython.int
        if request.length < _MATCH + 8 + 2 + _ETHERNET_HEADER or u16(data, at) != _PACKET_IN:
            return False
        if u8(data, at + _COOKIE) != _OURS or table not in (self._location, self._policy):
            return False
        matched = u16(data, at + _MATCH + 2)
        request.frame = at + _MATCH + ((matched + 7) & ~7) + 2
        request.size = at + request.length - request.frame
        if request.size < _ETHERNET_HEADER or not _read_match(data, at + _MATCH + 4, at + _MATCH + matched, request):
            return False
        if request.resumed + request.size > _LONGEST:
            return False
        return self._read_frame(data, request)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _read_frame(self, data: Octets, request: Request) -> cython.bint:
        """Find the address that the packet goes to, and let the way to its place be paved."""
        frame: cython.int = request.frame
        sheets: Table = self.archive._sheets.table
        sheet: Record = find(sheets, approach(sheets, 0, request.vni), 0, request.vni)
        if not sheet:
            return False
        request.high = 0
        if not request.by_address:
            request.kind, request.key, request.places = _BY_MAC, frame, table_at(sheet[0])
            request.low = u48(data, frame)
        elif u16(data, frame + _ETH_TYPE) == _IPV4 and request.size >= 34:
            request.kind, request.key, request.places = _BY_IPV4, frame + 30, table_at(sheet[1])
            request.low = u32(data, frame + 30)
        elif u16(data, frame + _ETH_TYPE) == _IPV6 and request.size >= 54:
            request.kind, request.key, request.places = _BY_IPV6, frame + 38, table_at(sheet[2])
            request.high, request.low = u64(data, frame + 38), u64(data, frame + 46)
        else:
            return False
        request.rules = table_at(sheet[3])
        request.place_spot = approach(request.places, request.high, request.low)
        return True

    # ---- second step: where is it? ----------------------------------------------------------------

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _locate(self, request: Request) -> cython.void:
        """Look up the destination's place."""
        if not request.hopeful:
            return
        place: Record = find(request.places, request.place_spot, request.high, request.low)
        if not place:
            request.hopeful = False
            return
        request.place = place
        request.end = _PORT if place[3] == self._here else _DSWITCH
        request.toward = place[4] if place[3] == self._here else place[3]
        request.way_spot = approach(self.ways.table, request.end, request.toward)
        request.rule_spot = approach(request.rules, request.source, place[0] >> 32)

    # ---- third step: the answer -------------------------------------------------------------------

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _answer(self, data: Octets, request: Request) -> cython.void:
        """Write the answer, or leave the message to the others."""
        if request.hopeful and self._is_found(request):
            self._write(
                data,
                request,
                cython.cast(Template, self.archive._cut[request.way[0] >> request.kind & 0xFFFFF]),
                cython.cast(Template, self.archive._cut[request.rule[2]]),
            )
        elif self.echoes and u16(data, request.at) == _ECHO_REQUEST:
            self._echo(data, request)
        else:
            with cython.gil:
                self._leave(data, request)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _is_found(self, request: Request) -> cython.bint:
        """Look up the rule and the way; False where the tables do not hold them."""
        rule: Record = find(request.rules, request.rule_spot, request.source, request.place[0] >> 32)
        way: Record = find(self.ways.table, request.way_spot, request.end, request.toward)
        if not rule or not way:
            return False
        request.rule, request.way = rule, way
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _write(self, data: Octets, request: Request, location: Template, policy: Template) -> cython.void:
        to: cython.int = self._reserve(location.size + policy.size + request.resumed + request.size)
        _write_location(self.archive._output, to, data, location, request)
        _write_policy(self.archive._output, to + location.size, policy, request)
        self._resume(self.archive._output, to + location.size + policy.size, data, request)
        if request.rule[3]:
            self.allowed += 1
        else:
            self.denied += 1

    @cython.cfunc
    def _leave(self, data: Octets, request: Request) -> cython.void:
        self._others.append(cut(data, request.at, request.length))
        self._left += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _resume(self, answers: Octets, to: cython.int, data: Octets, request: Request) -> cython.void:
        """The packet, sent on with its port, its metadata and its registers."""
        at: cython.int = request.at + _MATCH + 4
        register: cython.int = to + _ACTIONS + _ACTION  # the metadata's action comes first, wherever it came
        field: cython.uint
        put16(answers, to, _PACKET_OUT)
        put16(answers, to + 2, request.resumed + request.size)
        put32(answers, to + 4, 0)
        put32(answers, to + 8, _NO_BUFFER)
        put32(answers, to + _OUT_PORT, 0)
        put16(answers, to + 16, request.resumed - _ACTIONS)
        put16(answers, to + 18, 0)
        put32(answers, to + 20, 0)
        while at < request.match_end:
            field = u32(data, at)
            if field == _IN_PORT:
                copy(answers, to + _OUT_PORT, data, at + 4, 4)
                at += 8
            elif field == _METADATA:
                put32(answers, to + _ACTIONS, _SET_FIELD)
                copy(answers, to + _ACTIONS + 4, data, at, 12)
                at += 12
            else:
                put32(answers, register, _SET_FIELD)
                copy(answers, register + 4, data, at, 8)
                put32(answers, register + 12, 0)
                register += _ACTION
                at += 8
        copy(answers, register, self._resubmits, 0, _ACTION)
        copy(answers, to + request.resumed, data, request.frame, request.size)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _echo(self, data: Octets, request: Request) -> cython.void:
        """Answer an echo request."""
        to: cython.int = self._reserve(request.length)
        copy(self.archive._output, to, data, request.at, request.length)
        put16(self.archive._output, to, _ECHO_REPLY)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _reserve(self, size: cython.int) -> cython.int:
        """Where the next *size* bytes of the answers go."""
        to: cython.int = self.used
        self.used = to + size
        if self.used > self.archive._room:
            with cython.gil:
                self.archive.widen(self.used)
        return to


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _read_match(data: Octets, at: cython.int, end: cython.int, request: Request) -> cython.bint:
    """Take a match apart; False where it is not as Open vSwitch writes it."""
    field: cython.uint
    least: cython.uint = _FIRST_REGISTER
    seen: cython.int = 0
    request.source = 0
    request.by_address = False
    request.match_end = end
    request.resumed = _ACTIONS + 2 * _ACTION  # with the metadata's action and the resubmission
    while end - at >= 8:
        field = u32(data, at)
        if least <= field <= _LAST_REGISTER and field & 0x1FF == 4:
            least = field + 1
            request.resumed += _ACTION
            if field == _SOURCE_DOMAIN:
                request.source = u32(data, at + 4)
            elif field == _BY_ADDRESS:
                request.by_address = u32(data, at + 4) & _BY_ADDRESS_MASK != 0
            at += 8
        elif field == _IN_PORT and not seen & 1:
            seen |= 1
            at += 8
        elif field == _METADATA and not seen & 2 and end - at >= 12:
            seen |= 2
            request.vni = u32(data, at + 8) & 0xFFFFFF
            at += 12
        else:
            return False
    return at == end and seen & 2 != 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _write_location(
    answers: Octets,
    to: cython.int,
    data: Octets,
    template: Template,
    request: Request,
) -> cython.void:
    """The location flow: the way's template with this destination's numbers."""
    place: Record = request.place
    way: Record = request.way
    copy(answers, to, template._octets, 0, template.size)
    put24(answers, to + template.vni, request.vni)
    put64(answers, to + _FLOW_COOKIE, place[1])
    put16(answers, to + _FLOW_TIMEOUT, request.rule[1])
    put32(answers, to + template.domain, place[0] >> 32)
    put32(answers, to + template.endpoint, place[0] & _LOWER)
    put32(answers, to + template.port, way[1])
    if template.tunnel_size == 4:
        put32(answers, to + template.tunnel, way[3])
    elif template.tunnel_size == 16:
        put64(answers, to + template.tunnel, way[2])
        put64(answers, to + template.tunnel + 8, way[3])
    copy(answers, to + template.address, data, request.key, template.address_size)
    if template.mac >= 0:
        put16(answers, to + template.mac, place[2] >> 32)
        put32(answers, to + template.mac + 2, place[2] & _LOWER)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _write_policy(answers: Octets, to: cython.int, template: Template, request: Request) -> cython.void:
    """The policy flow: the rule's template with the numbers of these two domains."""
    rule: Record = request.rule
    copy(answers, to, template._octets, 0, template.size)
    put24(answers, to + template.vni, request.vni)
    put64(answers, to + _FLOW_COOKIE, rule[0])
    put16(answers, to + _FLOW_TIMEOUT, rule[1])
    put32(answers, to + template.source, request.source)
    put32(answers, to + template.domain, request.place[0] >> 32)
    if template.label >= 0:
        put24(answers, to + template.label, rule[4])


# ---- connections ---------------------------------------------------------------------------------


class Keeper(Protocol):
    """Whose connection a line is, as far as the line needs it."""

    def end_turn(self, unsent: bytes, reason: str | None) -> bool:
        """A turn has left something over: whether more may be read now.  Its thread holds the line.

        Messages may be among the desk's others.

        :param unsent: what the kernel did not take of the answers.
        :param reason: why the connection can be used no more, if it cannot.
        """

    def keep_unsent(self, unsent: bytes, reason: str | None) -> None:
        """What :meth:`Line.say` could not send, and why never, if so.  Its thread holds the line."""

    def read_apart(self, buffer: bytearray) -> bool:
        """A turn of a line that is not :attr:`Line.clear`, which its thread does not hold."""


@cython.final
@cython.cclass
class Line:
    """A connection, and its lock: ``with line:`` holds it.

    Whoever sends over the connection holds the line, and so does a turn, from the reading to the sending: what takes an
    answer back is sent after it.

    :ivar clear: whether a turn is as most are: there is a desk, nothing is pending, nothing is encrypted.  Who holds the
        line may change it.
    :ivar desk: where its requests are answered, while it is clear; likewise.
    """

    clear: cython.bint = cython.declare(cython.bint, visibility="public")
    desk: Desk = cython.declare(Desk, visibility="public")
    _keeper: Any
    _lock: Lock
    _descriptor: cython.int
    _rest: bytearray  # the beginning of a message, in its first _kept bytes
    _beginning: Octets
    _kept: cython.int
    _most: cython.int

    def __init__(self, keeper: Keeper | None, descriptor: int) -> None:
        """
        :param keeper: None for a line that has no turn.
        """
        self.clear = False
        self._keeper = keeper
        self._lock = new_lock()
        self._descriptor = descriptor
        self._kept, self._most = 0, 0
        self._rest = bytearray()
        self._beginning = octets(self._rest)

    def __dealloc__(self) -> None:
        free_lock(self._lock)

    def __enter__(self) -> None:
        hold_politely(self._lock)

    def __exit__(self, *_: object) -> None:
        give(self._lock)

    @property
    def rest(self) -> bytes:
        """The beginning of a message, all of which has not come."""
        return bytes(self._rest[: self._kept])

    @rest.setter
    def rest(self, beginning: bytes) -> None:
        self._kept = len(beginning)
        if self._kept > self._most:
            self._most = 2 * self._kept
            widen(self._rest, self._most)
            self._beginning = octets(self._rest)
        self._rest[: self._kept] = beginning

    def say(self, data: bytes) -> bool:
        """Send, if the line is clear; whether it was.  What the kernel does not take now is the keeper's.

        In one piece: a thread that had to wait for Python's lock in the middle would let the line wait as well.
        """
        size: cython.int = len(data)
        sent: cython.int
        hold_politely(self._lock)
        try:
            if not self.clear:
                return False
            sent = transmit(self._descriptor, fixed(data), size)
            if sent != size:
                self._keeper.keep_unsent(data[max(0, sent) :], _trouble("send", sent))
            return True
        finally:
            give(self._lock)

    def turn(self, buffer: bytearray) -> bool:
        """Read once, answer what the desk can, leave the rest to the keeper; whether more may be read now."""
        data: Octets = octets(buffer)
        room: cython.int = len(buffer)
        more: cython.int
        with cython.nogil:
            more = self._turn(data, room)
        return bool(self._keeper.read_apart(buffer) if more == _APART else more)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _turn(self, data: Octets, room: cython.int) -> cython.int:
        """The same, but for lines that are not clear."""
        more: cython.int = _APART
        hold(self._lock)
        if self.clear:
            more = self._read(data, room)
        give(self._lock)
        return more

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _read(self, data: Octets, room: cython.int) -> cython.int:
        taken: cython.int
        sent: cython.int = 0
        copy(data, 0, self._beginning, 0, self._kept)
        filled: cython.int = receive(self._descriptor, data, self._kept, room)
        if filled == _AGAIN:
            return _MORE
        if filled <= 0:
            with cython.gil:
                return self._lose(filled)
        filled += self._kept
        taken = self.desk._take(data, filled)
        if self.desk.used:
            sent = transmit(self._descriptor, self.desk.archive._output, self.desk.used)
        if taken == filled and sent == self.desk.used and not self.desk._left:
            self._kept = 0
            return _MORE
        with cython.gil:
            return self._settle(data, filled, taken, sent)

    @cython.cfunc
    def _settle(self, data: Octets, filled: cython.int, taken: cython.int, sent: cython.int) -> cython.int:
        """Let the keeper see to what a turn has left over."""
        if taken < 0:
            return bool(self._keeper.end_turn(b"", f"malformed message: {self.desk.complaint()}"))
        self.rest = cut(data, taken, filled - taken)
        if sent == self.desk.used and not self.desk._left:
            return _MORE
        unsent = bytes(self.desk.answers[max(0, sent) : self.desk.used])
        return bool(self._keeper.end_turn(unsent, _trouble("send", sent)))

    @cython.cfunc
    def _lose(self, received: cython.int) -> cython.int:
        """Let the keeper know that nothing more will come."""
        return bool(self._keeper.end_turn(b"", _trouble("receive", received) or "the switch has closed it"))


@cython.cfunc
def _trouble(what: str, outcome: cython.int) -> str | None:
    """Why a socket can be used no more, of what the kernel says."""
    return None if outcome >= 0 or outcome == _AGAIN else f"cannot {what}: {os.strerror(-outcome)}"


@cython.final
@cython.cclass
class Ring:
    """All the lines that one thread reads, and its work, for which it wants Python's lock only now and then.

    What is as most turns are it does alone.
    """

    _lines: list[Line]  # by descriptor, with nobody's where there is none
    _nobody: Line
    _buffer: bytearray
    _epoll: select.epoll
    _lock: Lock  # held for the turns of a round: a line that has been removed has no turn any more
    _watch: Watch
    _at: Objects
    _size: cython.int
    _input: Octets

    def __init__(self, epoll: select.epoll) -> None:
        """
        :param epoll: is told which descriptors to watch.
        """
        self._nobody = Line(None, -1)
        self._lines, self._buffer, self._epoll = [], bytearray(RECEIVE_BUFFER), epoll
        self._lock, self._watch = new_lock(), new_watch(self._epoll)
        self._at, self._size, self._input = items(self._lines), 0, octets(self._buffer)

    def __dealloc__(self) -> None:
        free_lock(self._lock)
        free_watch(self._watch)

    def fileno(self) -> int:
        """What can be read when a line can be."""
        return int(self._epoll.fileno())

    def add(self, line: Line, descriptor: int) -> None:
        """Read this line from now on."""
        hold_politely(self._lock)
        self._lines += [self._nobody] * (descriptor + 1 - len(self._lines))
        self._lines[descriptor] = line
        self._at, self._size = items(self._lines), len(self._lines)
        give(self._lock)
        self._epoll.register(descriptor, select.EPOLLIN)

    def resume(self, descriptor: int) -> None:
        """A line whose turn said that nothing more may be read can be read again."""
        self._epoll.modify(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Leave a line alone, whose socket may then be closed."""
        hold_politely(self._lock)
        self._lines[descriptor] = self._nobody
        give(self._lock)
        self._epoll.unregister(descriptor)

    def serve(self) -> None:
        """Do this for ever, before all else that wants the processor."""
        be_prompt(_NICE, _TURN)
        with cython.nogil:
            while True:
                self._round(-1)

    def round(self) -> None:
        """A turn for each line that has something now."""
        with cython.nogil:
            self._round(0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _round(self, patience: cython.int) -> cython.void:
        number: cython.int
        count: cython.int = await_ready(self._watch, patience)
        hold(self._lock)
        for number in range(count):
            self._serve(ready_one(self._watch, number))
        give(self._lock)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _serve(self, descriptor: cython.int) -> cython.void:
        more: cython.int
        if descriptor < self._size and cython.cast(Line, self._at[descriptor])._descriptor == descriptor:
            more = cython.cast(Line, self._at[descriptor])._turn(self._input, _INPUT)
            if more != _MORE:
                with cython.gil:
                    self._see_to(self._lines[descriptor], more)

    @cython.cfunc
    def _see_to(self, line: Line, more: cython.int) -> cython.void:
        if more == _APART:
            more = bool(line._keeper.read_apart(self._buffer))
        if not more:
            self._epoll.modify(line._descriptor, select.EPOLLONESHOT)  # nothing more, not even of its end
