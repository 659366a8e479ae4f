"""Appliances' instances as they are shown: where each is, and whether it works (X10, X15)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dove_ryu.dps import Dps
from dove_ryu.model.appliances import Appliance, Health, Instance, Seat
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.pools import lost, shares
from dove_ryu.model.provider import Machine, Provider

UP, DOWN, NOWHERE = "up", "down", "nowhere"

STATES = (UP, DOWN, NOWHERE)
"""What an instance can be; one that no port says to be anywhere is neither up nor down."""


def in_words(instance: Instance) -> dict[str, Any]:
    """An instance in the words in which it is put."""
    return {
        "name": instance.name,
        "dswitch": dpid_text(instance.dpid) if instance.fixed else None,
        "ingress": instance.ingress or None,
        "egress": instance.egress or None,
        "weight": instance.weight,
        "mac": instance.mac or None,
        "drain": instance.drain,
    }


def all_shown(provider: Provider, appliance: Appliance) -> list[dict[str, Any]]:
    """The instances of an appliance with where each is, whether it works, and how many slots of connections it takes."""
    taken = shares(appliance, lost(provider, appliance))
    slots = Counter(share.taker.name for share in taken if share.taker is not None)
    return [_shown(provider, appliance, each) | {"slots": slots[each.name]} for each in appliance.instances]


def _shown(provider: Provider, appliance: Appliance, instance: Instance) -> dict[str, Any]:
    seat = provider.seat(appliance, instance)
    return {
        **in_words(instance),
        "seat": None if seat is None else _seat(seat),
        "health": _health(provider.health.get((appliance.name, instance.name))),
    }


def states(dps: Dps) -> dict[Machine, str]:
    """How it stands with every instance of every appliance, by their names."""
    return {
        (name, instance.name): _state(dps, appliance, instance)
        for name, appliance in sorted(dps.world.appliances.items())
        for instance in appliance.instances
    }


def _state(dps: Dps, appliance: Appliance, instance: Instance) -> str:
    if dps.world.seat(appliance, instance) is None:
        return NOWHERE
    return DOWN if (appliance.name, instance.name) in dps.world.down else UP


def _seat(seat: Seat) -> dict[str, Any]:
    return {"dswitch": dpid_text(seat.dpid), "ingress": seat.ingress, "egress": seat.egress}


def _health(health: Health | None) -> dict[str, Any]:
    """What was last seen of an instance; one of which nothing was works."""
    if health is None:
        return {"up": True, "since": None, "reason": ""}
    return {"up": health.up, "since": health.since or None, "reason": health.reason}
