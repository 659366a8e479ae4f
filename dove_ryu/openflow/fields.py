"""What each register bit and each cookie bit means, named once.

A packet carries the DPS's knowledge about it through the tables in metadata and registers; a flow carries in its
cookie whose it is.  Two names for one bit would be a silent leak between networks, so an overlap is refused when this
module is imported.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple

from dove_ryu.openflow.oxm import METADATA, REGISTERS, Field


class Bits(NamedTuple):
    """Some bits of a field, under the name that the pipeline knows them by.

    :ivar name: the name in the documentation.
    :ivar field: the field that holds them.
    :ivar low: the lowest bit.
    :ivar width: how many bits.
    """

    name: str
    field: Field
    low: int
    width: int

    @property
    def mask(self) -> int:
        """The bits' mask within the field."""
        return ((1 << self.width) - 1) << self.low

    def read(self, value: int) -> int:
        """These bits of the field's *value*."""
        return (value & self.mask) >> self.low


def refuse_overlap(bits: Iterable[Bits]) -> None:
    """ValueError where two of *bits* share a bit or one does not fit its field."""
    taken: dict[Field, int] = {}
    for item in bits:
        if item.mask & ~item.field.full_mask:
            raise ValueError(f"{item.name} does not fit {item.field.name}")
        if item.mask & taken.get(item.field, 0):
            raise ValueError(f"{item.name} overlaps another name in {item.field.name}")
        taken[item.field] = taken.get(item.field, 0) | item.mask


VNI = Bits("virtual network identifier", METADATA, 0, 24)
BY_ADDRESS = Bits("look the destination up by its IP address", REGISTERS[0], 0, 1)
CHAINED = Bits("has passed all appliances of its policy", REGISTERS[0], 1, 1)
DSCP = Bits("code point to mark the packet with", REGISTERS[0], 2, 6)
REPLY = Bits("may pass as a reply only", REGISTERS[0], 8, 1)
SOURCE_DOMAIN = Bits("source domain", REGISTERS[1], 0, 32)
DESTINATION_DOMAIN = Bits("destination domain", REGISTERS[2], 0, 32)
SOURCE_ENDPOINT = Bits("source endpoint", REGISTERS[3], 0, 32)
DESTINATION_ENDPOINT = Bits("destination endpoint", REGISTERS[4], 0, 32)
OUTPUT_PORT = Bits("output port", REGISTERS[5], 0, 32)
SEGMENT_LABEL = Bits("segment label", REGISTERS[6], 0, 24)
APPLIANCE = Bits("appliance", REGISTERS[7], 0, 32)
SLOT = Bits("slot of the connection", REGISTERS[8], 0, 6)
BEGINS = Bits("first packet of a connection", REGISTERS[8], 6, 1)
HANDED_BACK = Bits("belongs to an instance that is being drained", REGISTERS[9], 0, 1)
LOOKED_AT = Bits("tables in which a lookout has seen the packet", REGISTERS[15], 0, 32)
ZONE = Bits("zone of connection tracking", REGISTERS[10], 0, 16)

PIPELINE_BITS = (
    VNI,
    BY_ADDRESS,
    CHAINED,
    DSCP,
    REPLY,
    SOURCE_DOMAIN,
    DESTINATION_DOMAIN,
    SOURCE_ENDPOINT,
    DESTINATION_ENDPOINT,
    OUTPUT_PORT,
    SEGMENT_LABEL,
    APPLIANCE,
    SLOT,
    BEGINS,
    HANDED_BACK,
    LOOKED_AT,
    ZONE,
)
refuse_overlap(PIPELINE_BITS)


APPLICATION = 0xD0
"""The top byte of the cookie of every flow that is ours; a flow with another belongs to somebody else."""


class Kind(enum.IntEnum):
    """What a flow is about: four bits of its cookie, beside the object's number.

    Kinds from ``LOCATION`` on are cached: they answer a policy request and can be asked for again.
    """

    MISS = 0
    BASE = 1
    ENDPOINT = 2
    NETWORK = 3
    TOMBSTONE = 4
    CHAIN = 5
    CONNECTION = 6
    LOOKOUT = 7
    LOCATION = 8
    POLICY = 9
    NEIGHBOUR = 10
    UNKNOWN = 11

    @property
    def cached(self) -> bool:
        """Whether flows of this kind are answers to policy requests."""
        return self >= Kind.LOCATION

    @property
    def recalled(self) -> bool:
        """Whether it comes of what packets did, so that nobody but its feature can say, of each, what it should be."""
        return self.cached or self in (Kind.TOMBSTONE, Kind.CONNECTION)


_KINDS = frozenset(Kind)
NUMBER_BITS, TRACKING_BITS = 28, 24
_KIND_LOW = NUMBER_BITS + TRACKING_BITS
APPLICATION_MASK = 0xFF << 56
_CACHED_BIT = 8 << _KIND_LOW
CACHED_COOKIE, CACHED_MASK = APPLICATION << 56 | _CACHED_BIT, APPLICATION_MASK | _CACHED_BIT
"""Selects every flow of ours that answers a policy request."""

OBJECT_MASK = APPLICATION_MASK | 0xF << _KIND_LOW | ((1 << NUMBER_BITS) - 1) << TRACKING_BITS
"""Selects all flows of one kind for one object, whatever their tracking number."""


class Cookie(int):
    """A flow's cookie: application (8 bits) | kind (4) | object number (28) | tracking number (24).

    Tracking numbers are compared modulo 2**24 (report, section 4.2.1).
    """

    __slots__ = ()

    def __new__(cls, kind: Kind, number: int = 0, tracking: int = 0) -> Cookie:
        tracking %= 1 << TRACKING_BITS
        return super().__new__(cls, APPLICATION << 56 | kind << _KIND_LOW | number << TRACKING_BITS | tracking)

    @property
    def kind(self) -> Kind:
        """What the flow is about."""
        return Kind(self >> _KIND_LOW & 0xF)

    @property
    def number(self) -> int:
        """The object's number."""
        return self >> TRACKING_BITS & ((1 << NUMBER_BITS) - 1)

    @property
    def tracking(self) -> int:
        """The tracking number of the object's form."""
        return self & ((1 << TRACKING_BITS) - 1)

    @classmethod
    def parse(cls, cookie: int) -> Cookie | None:
        """*cookie* with its parts; None where the flow is not ours."""
        if cookie >> 56 != APPLICATION or (cookie >> _KIND_LOW & 0xF) not in _KINDS:
            return None
        return super().__new__(cls, cookie)
