"""The meters of every dSwitch, and the numbers of those that endpoints and policies have."""

from __future__ import annotations

from dove_ryu.openflow.action import (
    Meter,
)

INVALIDATIONS = Meter(1, rate=100, burst=100)
"""Limits what a dSwitch tells of stale senders (F19); the packets themselves pass."""

ADDRESS_REPORTS = Meter(2, rate=200, burst=1000)
"""Limits how many new addresses of its endpoints a dSwitch reports (F24): each one is a commit to the store."""

EXPIRED_PACKETS = Meter(3, rate=100, burst=100)
"""Limits the packets whose TTL is used up, as every router does (RFC 4443, 2.4)."""

NEIGHBOUR_REQUESTS = Meter(4, rate=5000, burst=5000)
"""Limits what a dSwitch asks in all of neighbours."""

METERS = (INVALIDATIONS, ADDRESS_REPORTS, EXPIRED_PACKETS, NEIGHBOUR_REQUESTS)
"""Every meter of a dSwitch but those of its endpoints: one for each kind of packet that takes the DPS's time."""

_FIRST_PORT_METER = 16

FIRST_RATE_METER = 1 << 16
"""Meters of policies' rates have their numbers from here on: a port's number has 16 bits."""


def port_meter(port: int) -> int:
    """The number of the meter of the endpoint at a port: what it may ask the DPS, whatever the kind (X3)."""
    return _FIRST_PORT_METER + port
