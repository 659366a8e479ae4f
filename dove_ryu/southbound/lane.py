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

This file is Python, and runs as it is.  Compiled by Cython, which its annotations are for, it is many times as fast;
:mod:`dove_ryu.southbound.lane_memory` is all of it that has two forms.

Sources: OpenFlow 1.3.5, sections 7.2.3, 7.3.7 and 7.4.1.
"""

from __future__ import annotations

import cython

from dove_ryu.openflow.fields import APPLICATION, BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.oxm import IN_PORT, METADATA, REGISTERS, Field

if cython.compiled:
    from cython.cimports.dove_ryu.southbound.lane_memory import (
        Octets,
        Record,
        Table,
        Word,
        address_of,
        approach,
        clear_table,
        copy,
        cut,
        find,
        fixed,
        free_table,
        new_table,
        octets,
        put16,
        put24,
        put32,
        put64,
        put_record,
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
        Octets,
        Record,
        Table,
        Word,
        address_of,
        approach,
        clear_table,
        copy,
        cut,
        find,
        fixed,
        free_table,
        new_table,
        octets,
        put16,
        put24,
        put32,
        put64,
        put_record,
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

# How far the number of the template for each kind of address is shifted in a way's record.
_BY_MAC = cython.declare(cython.int, 0)
_BY_IPV4 = cython.declare(cython.int, 20)
_BY_IPV6 = cython.declare(cython.int, 40)

_LOWER = cython.declare(cython.ulonglong, 0xFFFFFFFF)

_ROOM = 1 << 16  # bytes that the answers of a read have at first
_TOGETHER = 32  # messages that are dealt with at a time; more would wait for the memory no longer than these


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
    label: cython.int
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
        put_record(self.table, high, low, record)

    def remove(self, high: cython.ulonglong, low: cython.ulonglong) -> None:
        """Let there be no record under the key."""
        remove_record(self.table, high, low)

    def clear(self) -> None:
        """Remove all."""
        clear_table(self.table)


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

    def __init__(self) -> None:
        self.sheets = {}
        self.templates = []
        self.answers = bytearray(_ROOM)
        self._requests = [Request() for _ in range(_TOGETHER)]
        self._sheets = Index()

    def put(self, vni: int, sheet: Sheet) -> None:
        """Let this be the sheet of a network that has none."""
        self.sheets[vni] = sheet
        self._sheets.put(
            0,
            vni,
            (
                address_of(sheet.by_mac.table),
                address_of(sheet.by_ipv4.table),
                address_of(sheet.by_ipv6.table),
                address_of(sheet.rules.table),
                0,
            ),
        )

    def drop(self, vni: int) -> Sheet | None:
        """Forget a network: the sheet that it had."""
        self._sheets.remove(0, vni)
        return self.sheets.pop(vni, None)


@cython.cclass
class Desk:
    """Where the requests of one dSwitch are answered.

    Only one thread calls :meth:`take`, of all desks; the tables may change at any other time, entry by entry.

    :ivar archive: every desk has the same.
    :ivar ways: by TO_DSWITCH and the datapath id of another dSwitch, or TO_PORT and the number of the name of a port of
        this one: the numbers of the templates (20 bits each: for MAC, IPv4 and IPv6 addresses), the output port, and
        the two halves of the address of the tunnel's other end.
    :ivar answers: what is to be sent, in its first :attr:`used` bytes, until another desk answers.
    :ivar filled: how many bytes of the buffer the last :meth:`read` has left filled.
    :ivar echoes: whether echo requests are answered here, because nobody else wants to know of them.
    :ivar allowed: how many requests were answered so.
    :ivar denied: how many requests were answered so.
    """

    archive: Archive = cython.declare(Archive, visibility="readonly")
    ways: Index = cython.declare(Index, visibility="readonly")
    answers: bytearray = cython.declare(bytearray, visibility="readonly")
    used: cython.int = cython.declare(cython.int, visibility="readonly")
    filled: cython.int = cython.declare(cython.int, visibility="readonly")
    echoes: cython.bint = cython.declare(cython.bint, visibility="public")
    allowed: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    denied: cython.ulonglong = cython.declare(cython.ulonglong, visibility="readonly")
    _here: cython.ulonglong
    _location: cython.uint
    _policy: cython.uint
    _resubmission: bytes

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
        self.used = 0
        self.filled = 0
        self.echoes = False
        self.allowed = 0
        self.denied = 0
        self._here = dpid
        self._location, self._policy = tables
        self._resubmission = resubmission

    def read(self, descriptor: cython.int, buffer: bytearray, kept: cython.int, others: list[bytes]) -> cython.int:
        """Read from a socket once, without waiting, and :meth:`take` what has come.

        :param kept: how many bytes of *buffer* are the beginning of a message that had not all come before.
        :returns: how many bytes the whole messages take, of the first :attr:`filled` of *buffer*.
        :raises ValueError: where a message says that it is shorter than its header.
        :raises EOFError: at the stream's end.
        :raises OSError: where the socket cannot be read any more.
        """
        self.used = 0
        self.filled = kept
        received: cython.int = receive(descriptor, buffer, kept)
        if received == 0:
            raise EOFError("the switch has closed it")
        if received < 0:
            return 0
        self.filled = kept + received
        return self.take(buffer, self.filled, others)

    def send(self, descriptor: cython.int) -> cython.int:
        """Give a socket the answers, as many as it takes now: how many bytes.

        :raises OSError: where it can take no more at all.
        """
        return transmit(descriptor, self.answers, self.used)

    def take(self, buffer: bytearray, filled: cython.int, others: list[bytes]) -> cython.int:
        """Answer the requests among the first *filled* bytes of *buffer*, and cut out all other messages.

        :param others: takes them, in order.
        :returns: how many bytes the whole messages take; what follows is the beginning of one.
        :raises ValueError: where a message says that it is shorter than its header; then nothing is answered.
        """
        at: cython.int = 0
        count: cython.int = _TOGETHER
        number: cython.int
        length: cython.int
        request: Request
        requests: list[Request] = self.archive._requests
        data: Octets = octets(buffer)
        self.used = 0
        if filled > len(buffer):
            raise ValueError(f"{filled} bytes in a buffer of {len(buffer)}")
        while count == _TOGETHER:
            count = 0
            while count < _TOGETHER and filled - at >= _HEADER_SIZE:
                length = u16(data, at + 2)
                if length < _HEADER_SIZE:
                    self.used = 0
                    raise ValueError(f"it says it is {length} bytes long, the header alone has {_HEADER_SIZE}")
                if filled - at < length:
                    break
                request = requests[count]
                request.at, request.length = at, length
                request.hopeful = self._read(data, request)
                at += length
                count += 1
            for number in range(count):
                request = requests[number]
                request.hopeful = request.hopeful and self._locate(request)
            for number in range(count):
                request = requests[number]
                if not (request.hopeful and self._answer(data, request)) and not self._echo(data, request):
                    others.append(cut(data, request.at, request.length))
        return at

    # ---- first step: what does it ask? ------------------------------------------------------------

    @cython.cfunc
    def _read(self, data: Octets, request: Request) -> cython.bint:
        """Take a message apart; False where it is no request, or not as Open vSwitch writes one."""
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
    def _locate(self, request: Request) -> cython.bint:
        """Look up the destination's place; False where the tables do not hold it."""
        place: Record = find(request.places, request.place_spot, request.high, request.low)
        if not place:
            return False
        request.place = place
        request.end = TO_PORT if place[3] == self._here else TO_DSWITCH
        request.toward = place[4] if place[3] == self._here else place[3]
        request.way_spot = approach(self.ways.table, request.end, request.toward)
        request.rule_spot = approach(request.rules, request.source, place[0] >> 32)
        return True

    # ---- third step: the answer -------------------------------------------------------------------

    @cython.cfunc
    def _answer(self, data: Octets, request: Request) -> cython.bint:
        """Write the answer; False where the tables do not hold the rule or the way."""
        rule: Record = find(request.rules, request.rule_spot, request.source, request.place[0] >> 32)
        way: Record = find(self.ways.table, request.way_spot, request.end, request.toward)
        templates: list[Template] = self.archive.templates
        location: Template
        policy: Template
        to: cython.int
        if not rule or not way:
            return False
        request.rule, request.way = rule, way
        location = templates[way[0] >> request.kind & 0xFFFFF]
        policy = templates[rule[2]]
        to = self._room(location.size + policy.size + request.resumed + request.size)
        answers: Octets = octets(self.answers)
        _write_location(answers, to, data, location, request, way, rule[1])
        _write_policy(answers, to + location.size, policy, request, rule)
        self._resume(answers, to + location.size + policy.size, data, request)
        if rule[3]:
            self.allowed += 1
        else:
            self.denied += 1
        return True

    @cython.cfunc
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
        copy(answers, register, fixed(self._resubmission), 0, _ACTION)
        copy(answers, to + request.resumed, data, request.frame, request.size)

    @cython.cfunc
    def _echo(self, data: Octets, request: Request) -> cython.bint:
        """Answer an echo request, if that is to be done here."""
        if not self.echoes or u16(data, request.at) != _ECHO_REQUEST:
            return False
        to: cython.int = self._room(request.length)
        answers: Octets = octets(self.answers)
        copy(answers, to, data, request.at, request.length)
        put16(answers, to, _ECHO_REPLY)
        return True

    @cython.cfunc
    def _room(self, size: cython.int) -> cython.int:
        """Where the next *size* bytes of the answers go."""
        to: cython.int = self.used
        if to + size > len(self.answers):
            widen(self.answers, max(2 * len(self.answers), to + size))
        self.used = to + size
        return to


@cython.cfunc
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
@cython.exceptval(check=False)
def _write_location(
    answers: Octets,
    to: cython.int,
    data: Octets,
    template: Template,
    request: Request,
    way: Record,
    expiry: Word,
) -> cython.void:
    """The location flow: the way's template with this destination's numbers."""
    place: Record = request.place
    copy(answers, to, fixed(template.data), 0, template.size)
    put24(answers, to + template.vni, request.vni)
    put64(answers, to + _FLOW_COOKIE, place[1])
    put16(answers, to + _FLOW_TIMEOUT, expiry)
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
@cython.exceptval(check=False)
def _write_policy(answers: Octets, to: cython.int, template: Template, request: Request, rule: Record) -> cython.void:
    """The policy flow: the rule's template with the numbers of these two domains."""
    copy(answers, to, fixed(template.data), 0, template.size)
    put24(answers, to + template.vni, request.vni)
    put64(answers, to + _FLOW_COOKIE, rule[0])
    put16(answers, to + _FLOW_TIMEOUT, rule[1])
    put32(answers, to + template.source, request.source)
    put32(answers, to + template.domain, request.place[0] >> 32)
    if template.label >= 0:
        put24(answers, to + template.label, rule[4])
