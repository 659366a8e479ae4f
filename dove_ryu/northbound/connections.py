"""How it stands with the dSwitches' connections, as an operator is told (F28).

The DPS sees the state of each, the switchboard counts what goes over it.  A state that is not the good one comes with
its reason and with what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dove_ryu.dps import Dps, Observation
from dove_ryu.figures import Connection

LIVE = "live"
"""A dSwitch that holds what it should."""

STALE = "stale"
"""One that was connected and is not now: it goes on with what it has."""

DOWN = "down"
"""One that has not connected since the DPS began."""

Connections = Mapping[int, Connection]
"""By datapath id, of every dSwitch that has ever connected."""

NEVER = Connection()
"""Of one that has not."""


def shown(observation: Observation, connection: Connection) -> dict[str, Any]:
    """A dSwitch's connections as the REST interface shows them."""
    return {
        **asdict(observation),
        "reason": observation.reason or reason(observation.openflow, connection.since),
        **asdict(connection),
        "since": since(connection),
    }


def since(connection: Connection) -> str | None:
    """When a connection came to its state, as RFC 3339 writes it."""
    return None if connection.since is None else connection.since.isoformat(timespec="seconds")


def reason(state: str, lost: datetime | None) -> str:
    """Why the OpenFlow connection is in a state that is not the good one, and what to do; empty for any other.

    :param lost: when it came to that state.
    """
    if state == STALE and lost is not None:
        when = lost.isoformat(timespec="seconds")
        return f"no OpenFlow connection since {when}; is the server up, and does it still reach the DPS?"
    if state == DOWN:
        return "it has not connected since the DPS began; `dove-dswitch show` on the server says where it tries"
    return ""


def states(dps: Dps) -> dict[int, str]:
    """The state of every dSwitch that is registered or was ever seen."""
    known = {*dps.world.dswitches, *dps.observations}
    return {dpid: dps.observations.get(dpid, Observation()).openflow for dpid in sorted(known)}
