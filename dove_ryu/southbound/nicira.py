"""Open vSwitch's own part of OpenFlow as bytes: the form of its actions, and those that are about connections.

Sources: ovs-actions(7), ``nicira-ext.h`` for the layout of each action, ovs-fields(7) for OXM headers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import Action, FinTimeout, Learn, Multipath
from dove_ryu.openflow.match import Term
from dove_ryu.openflow.oxm import Field

VENDOR = 0x00002320
_EXPERIMENTER = 0xFFFF
_ONF = 0x4F4E4600
_ONF_TCP_FLAGS = 42
_MULTIPATH, _LEARN, _FIN_TIMEOUT = 10, 16, 19
_SYMMETRIC_L3L4_UDP, _MODULO_N = 3, 0
_IMMEDIATE, _LOAD = 1 << 13, 1 << 11
_BITS = 0x7FF

_ACTION = struct.Struct("!HHIH")
_MULTIPATH_BODY = struct.Struct("!HH2xHHI2xH")
_LEARN_BODY = struct.Struct("!HHHQHBxHH")


class UnknownOnWire(ValueError):
    """Bytes that no message of ours has; whoever wrote them, it was not this version of the DPS."""


def action(subtype: int, body: bytes, last: int | None = None) -> bytes:
    """An action of Open vSwitch's own, padded to 8 bytes.

    :param last: a number that takes the last 8 bytes of the body.
    """
    if last is not None:
        body += last.to_bytes(8, "big")
    body += bytes(-(10 + len(body)) % 8)
    return _ACTION.pack(_EXPERIMENTER, 10 + len(body), VENDOR, subtype) + body


def read_header(data: bytes, with_value: bool = True) -> tuple[Field, bool, int]:
    """The field that *data* begins with, whether it has a mask, and how many bytes its value (and mask) take.

    :raises UnknownOnWire: where it is none of ours.
    """
    if len(data) < 4:
        raise UnknownOnWire(f"an OXM field of {len(data)} bytes is cut short")
    oxm_class, number, octets = struct.unpack_from("!HBB", data)
    known, masked = oxm.BY_HEADER.get((oxm_class, number >> 1)), bool(number & 1)
    if known is None or octets != known.octets << masked or (with_value and len(data) < 4 + octets):
        raise UnknownOnWire(f"OXM field {number >> 1} of class {oxm_class:#x} and {octets} bytes is in no flow of ours")
    return known, masked, octets


def standard(data: bytes) -> bytes:
    """A match from its next field on, with TCP flags under their shorter header.

    Open vSwitch takes either, but says them back to an OpenFlow 1.3 connection as the ONF's extension to it.
    """
    if len(data) < 8 or data[:2] != b"\xff\xff" or int.from_bytes(data[4:8], "big") != _ONF:
        return data
    if data[2] >> 1 != _ONF_TCP_FLAGS or data[3] < 4:
        return data
    return oxm.TCP_FLAGS.header[:2] + bytes((oxm.TCP_FLAGS.number << 1 | data[2] & 1, data[3] - 4)) + data[8:]


def multipath(what: Multipath) -> bytes:
    """NXAST_MULTIPATH."""
    body = _MULTIPATH_BODY.pack(_SYMMETRIC_L3L4_UDP, 0, _MODULO_N, what.links - 1, 0, what.width - 1)
    return action(_MULTIPATH, body + what.target.header)


def fin_timeout(what: FinTimeout) -> bytes:
    """NXAST_FIN_TIMEOUT."""
    return action(_FIN_TIMEOUT, struct.pack("!HH2x", what.idle_timeout, 0))


def learn(what: Learn) -> bytes:
    """NXAST_LEARN: fixed terms first, then fields of the packet, then what is loaded."""
    head = (what.idle_timeout, 0, what.priority, what.cookie, 0, what.table, what.fin_timeout, 0)
    body = _LEARN_BODY.pack(*head)
    for term in what.where:
        width = term.field.width
        value = term.value.to_bytes((width + 15) // 16 * 2, "big")
        body += struct.pack("!H", _IMMEDIATE | width) + value + _whole(term.field)
    for target, source in what.like:
        body += struct.pack("!H", target.width) + _whole(source) + _whole(target)
    return action(_LEARN, body + struct.pack("!H", _LOAD | what.load.width) + _whole(what.load) * 2)


def _whole(what: Field) -> bytes:
    """A field from its first bit on."""
    return what.header + b"\0\0"


def _read_multipath(data: bytes) -> Action:
    fields, basis, algorithm, last, argument, span = _MULTIPATH_BODY.unpack_from(data, 10)
    if (fields, basis, algorithm, argument, span >> 6) != (_SYMMETRIC_L3L4_UDP, 0, _MODULO_N, 0, 0):
        raise UnknownOnWire(f"a multipath over fields {fields} by algorithm {algorithm} is in no flow of ours")
    return Multipath(read_header(data[28:32], with_value=False)[0], span + 1, last + 1)


def _read_fin_timeout(data: bytes) -> Action:
    return FinTimeout(int.from_bytes(data[10:12], "big"))


def _read_learn(data: bytes) -> Action:
    idle, _, priority, cookie, _, table, fin, _ = _LEARN_BODY.unpack_from(data, 10)
    where: list[Term] = []
    like: list[tuple[Field, Field]] = []
    load: Field | None = None
    for source, target, loads in _specifications(data[10 + _LEARN_BODY.size :]):
        if loads:
            load = target
        elif isinstance(source, int):
            where.append(Term(target, source, target.full_mask))
        else:
            like.append((target, source))
    if load is None:
        raise UnknownOnWire("an action that learns flows without any effect is in no flow of ours")
    return Learn(table, priority, cookie, idle, fin, tuple(where), tuple(like), load)


def _specifications(data: bytes) -> Iterator[tuple[Field | int, Field, bool]]:
    """What learned flows are made of: a field of the packet or a number, for which field, and whether it is loaded."""
    at = 0
    while at + 2 <= len(data) and (head := int.from_bytes(data[at : at + 2], "big")):
        at += 2
        if head & _IMMEDIATE:
            octets = ((head & _BITS) + 15) // 16 * 2
            source: Field | int = int.from_bytes(data[at : at + octets], "big")
            at += octets
        else:
            source = read_header(data[at : at + 4], with_value=False)[0]
            at += 6
        yield source, read_header(data[at : at + 4], with_value=False)[0], bool(head & _LOAD)
        at += 6


_SIZES = {_MULTIPATH: 32, _FIN_TIMEOUT: 16, _LEARN: 10 + _LEARN_BODY.size}


def _sized(subtype: int, read: Callable[[bytes], Action]) -> Callable[[bytes], Action]:
    def reader(data: bytes) -> Action:
        if len(data) < _SIZES[subtype]:
            raise UnknownOnWire(f"Nicira action {subtype} of {len(data)} bytes is in no flow of ours")
        return read(data)

    return reader


READERS: dict[int, Callable[[bytes], Action]] = {
    _MULTIPATH: _sized(_MULTIPATH, _read_multipath),
    _FIN_TIMEOUT: _sized(_FIN_TIMEOUT, _read_fin_timeout),
    _LEARN: _sized(_LEARN, _read_learn),
}
"""What reads each action, by its subtype."""
