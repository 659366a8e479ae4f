"""The fast lane as it runs where nobody could compile it: it repeats what it has written before.

The one source, :mod:`dove_ryu.southbound.lane`, runs uncompiled as well, at some fifteen microseconds a request, most of
them calls.  Its answers are made of few different pieces, however.  All requests of an endpoint come with the same
match, so all its packet-outs begin alike; a rule's policy flow is always the same; and a location flow has a part that
is the destination's and a part that is the way's.  So here the one source answers whatever is asked for the first time,
and its answer is cut into these pieces, which are kept where they belong: with the sender's match, and beside the
records of rule, place and way, with which they go.  An answer of known pieces is put together
without looking at what they say.

    what the one source wrote = | location flow          | policy flow | packet-out                    |
    the pieces of it          = | place | rule | place | way | place | rule | length | sender | frame  |

Nothing is decided here: a request of which any piece is unknown, or that looks odd, is the one source's.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from dove_ryu.southbound import lane
from dove_ryu.southbound.lane import COMPILED, TO_PORT, Archive, Index, Line, Ring, Sheet, Template
from dove_ryu.southbound.lane_memory import Record, Table

__all__ = ["COMPILED", "Archive", "Desk", "Index", "Line", "Ring", "Sheet", "Template"]

_number = int.from_bytes
_HEAD = Struct("!HH22xH").unpack_from  # version and type, length; the length of the match
_BEYOND = bytes(28)  # zeros behind a read, so that a head is never cut short
_PACKET_IN, _PACKET_OUT = 0x040A, 0x040D
_ECHO_REQUEST = 2
_TABLE = 15  # where a packet-in begins to be the same for all packets of an endpoint
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_LOCAL = TO_PORT << 64
_MOST_SENDERS = 4096
_MOST = 2048
_BEGINNINGS = [bytes((_PACKET_OUT >> 8, _PACKET_OUT & 0xFF, size >> 8, size & 0xFF)) for size in range(_MOST)]
"""How a packet-out of so many bytes begins."""

Pieces = dict[int, Any]
Sender = tuple[Pieces | None, Pieces, Pieces, Pieces, int, int, bytes]
"""What a match says: where to look its destinations up, by MAC address if that is so, by IPv4 and by IPv6 address; where
its rules are, and its source domain as a rule's key has it; how long its packet-outs are without their frames, and how they
begin, after their length.  A network that is dropped leaves its tables empty."""


class Desk(lane.Desk):
    """A desk that knows what it has written by heart."""

    def __init__(self, archive: Archive, dpid: int, tables: tuple[int, int], resubmission: bytes) -> None:
        super().__init__(archive, dpid, tables, resubmission)
        self._senders: dict[bytes, Sender] = {}
        self._ways: Pieces = self.ways.table.made

    def _take(self, data: bytearray, filled: int) -> int:
        """Answer the requests among the first *filled* bytes of *data*; -1 where a message is malformed."""
        read, at, pieces = bytes(data[: max(0, filled)]) + _BEYOND, 0, list[bytes]()
        senders, ways, here, left, allowed, denied = self._senders, self._ways, self._here, 0, 0, 0
        while filled - at >= 8:
            kind, length, matched = _HEAD(read, at)
            end = at + length
            if length < 8:
                self.used, self._malformed = 0, length
                return -1
            if end > filled:
                break
            frame = at + 26 + (matched + 7 & ~7)
            sender, size, place = senders.get(read[at + _TABLE : frame]), end - frame, None
            if sender is not None and kind == _PACKET_IN and size >= 14:
                by_mac, by_ipv4, by_ipv6, rules, source, resumed, opening = sender
                if by_mac is not None:
                    place = by_mac.get(_number(read[frame : frame + 6]))
                elif size >= 34 and read[frame + 12 : frame + 14] == _IPV4:
                    place = by_ipv4.get(_number(read[frame + 30 : frame + 34]))
                elif size >= 54 and read[frame + 12 : frame + 14] == _IPV6:
                    place = by_ipv6.get(_number(read[frame + 38 : frame + 54]))
            if place is not None:
                domain, dpid, near, family, first, second, last = place
                rule = rules.get(source | domain)
                way = ways.get(near if dpid == here else dpid)
                size += resumed
                if rule is not None and way is not None and way[0] == family and size < _MOST:
                    timeout, policy, allows = rule
                    pieces += (
                        first,
                        timeout,
                        second,
                        way[1],
                        last,
                        policy,
                        _BEGINNINGS[size],
                        opening,
                        read[frame:end],
                    )
                    if allows:
                        allowed += 1
                    else:
                        denied += 1
                    at = end
                    continue
            left += self._learn(read[at:end], pieces)
            at = end
        self._left = left
        self.allowed += allowed
        self.denied += denied
        self._put(b"".join(pieces))
        return at

    def _put(self, answers: bytes) -> None:
        """Let these be what is to be sent."""
        self.used = 0
        self._reserve(len(answers))
        self.answers[: self.used] = answers

    def _learn(self, message: bytes, pieces: list[bytes]) -> int:
        """Let the one source deal with a message, and keep the pieces of what it writes; how many it has left over."""
        super()._take(bytearray(message), len(message))
        if self._left:
            return self._left
        answer = bytes(self.answers[: self.used])
        pieces.append(answer)
        if message[1] != _ECHO_REQUEST:
            self._keep(message, answer)
        return 0

    def _keep(self, message: bytes, answer: bytes) -> None:
        """Cut an answer into its pieces."""
        asked: lane.Request = self.archive._requests[0]
        location = int.from_bytes(answer[2:4])
        packet = location + int.from_bytes(answer[location + 2 : location + 4])
        template: Template = self.archive.templates[asked.way[0] >> asked.kind & 0xFFFFF]
        port, end = template.port, max(template.port + 4, template.tunnel + template.tunnel_size)
        family = asked.way[0]
        numbers = asked.place[0] >> 32, asked.place[3], _LOCAL | asked.place[4], family
        place = *map(_once, numbers), answer[:28], answer[30:port], answer[end:location]
        rule = _once(answer[28:30]), answer[location:packet], asked.rule[3]
        _put_by(asked.places, asked.place_spot, asked.place, place)
        _put_by(asked.rules, asked.rule_spot, asked.rule, rule)
        _put_by(self.ways.table, asked.way_spot, asked.way, _once((family, answer[port:end])))
        if len(self._senders) >= _MOST_SENDERS:
            self._senders.clear()
        sheet = self.archive.sheets[asked.vni]
        self._senders[message[_TABLE : asked.frame]] = (
            None if asked.by_address else sheet.by_mac.table.made,
            sheet.by_ipv4.table.made,
            sheet.by_ipv6.table.made,
            asked.rules.made,
            asked.source << 64,
            asked.resumed,
            answer[packet + 4 : packet + asked.resumed],
        )


def _put_by(table: Table, spot: int, record: Record, made: Any) -> None:
    """Keep what was made of a record as long as the table has it, which another thread may be changing."""
    table.made[spot] = made
    if table.records.get(spot) is not record:
        table.made.pop(spot, None)


def _once(piece: Any) -> Any:
    """A number or a piece that many answers have is one object: likely to be near the processor."""
    return _SHARED.setdefault(piece, piece)


_SHARED: dict[Any, Any] = {}
