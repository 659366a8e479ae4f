"""Which instance of an appliance takes which connections (X10).

Connections are cut into slots by a hash that is the same for both directions and at every dSwitch, and each slot has an
instance: by weighted rendezvous hashing, so that when one comes, goes or fails only the slots move that must.  An
appliance of one instance has no slots.

An instance that is drained leaves its slots to others as far as connections are new.  Who takes a slot over knows which
ones began with it, and hands the others back; so no connection breaks, and nobody needs to be told of one.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from dove_ryu.model.appliances import Appliance, Instance, OnFailure
from dove_ryu.model.provider import Provider

SLOTS = 64
"""How fine connections are cut: an instance's share is right to about one in as many."""


@dataclass(frozen=True, slots=True)
class Share:
    """What becomes of a slot.

    :ivar taker: whose its connections are; None where they stop or leave the appliance out.
    :ivar drained: whose those are that began before they were the taker's; None for nobody else's.
    :ivar left_out: whether they go on without the appliance.
    """

    taker: Instance | None = None
    drained: Instance | None = None
    left_out: bool = False


def able(appliance: Appliance) -> tuple[Instance, ...]:
    """The instances that have a share of what an appliance takes, whether they work or not."""
    return tuple(instance for instance in appliance.instances if instance.weight)


def spreads(appliance: Appliance) -> bool:
    """Whether connections are cut into slots: an appliance of one instance takes them all alike."""
    return len(able(appliance)) > 1


def outline(appliance: Appliance) -> tuple[object, ...]:
    """All of an appliance that its segments are built on: which instance takes which slot is none of it."""
    left_out = appliance.on_failure is OnFailure.LEAVE_OUT
    where = {(each.name, each.dpid, each.ingress, each.egress, each.mac) for each in appliance.instances}
    kind = (appliance.number, appliance.sharing, appliance.routed, appliance.tap, left_out)
    return (*kind, frozenset(where), spreads(appliance), bool(able(appliance)))


def lost(provider: Provider, appliance: Appliance) -> frozenset[str]:
    """The names of the instances that do not work, or are nowhere."""
    return frozenset(
        instance.name
        for instance in appliance.instances
        if (appliance.name, instance.name) in provider.down or provider.seat(appliance, instance) is None
    )


@lru_cache(maxsize=1 << 10)
def shares(appliance: Appliance, without: frozenset[str]) -> tuple[Share, ...]:
    """What becomes of each slot; of an appliance that has none, of everything.

    :param without: the names of the instances that do not work.
    """
    return tuple(_share(appliance, without, slot) for slot in range(SLOTS if spreads(appliance) else 1))


def _share(appliance: Appliance, without: frozenset[str], slot: int) -> Share:
    everyone = able(appliance)
    first = choose(appliance, slot, everyone)
    takers = tuple(instance for instance in everyone if not instance.drain) or everyone
    if appliance.on_failure is OnFailure.NEXT:
        takers = tuple(instance for instance in takers if instance.name not in without)
    taker = choose(appliance, slot, takers)
    drained = None if first is None or first in takers or not first.drain or first.name in without else first
    if taker is not None and taker.name not in without:
        return Share(taker, drained)
    # While nobody else can take them, new connections too are the drained one's.
    return Share(drained, left_out=drained is None and appliance.on_failure is OnFailure.LEAVE_OUT)


def choose(appliance: Appliance, slot: int, among: Collection[Instance]) -> Instance | None:
    """Which of some instances a slot is for; None where there are none."""
    key = f"{appliance.name}/{slot}"
    return max(among, key=lambda instance: (_draw(instance, key), instance.name), default=None)


def _draw(instance: Instance, key: str) -> float:
    drawn = int.from_bytes(blake2b(f"{key}/{instance.name}".encode(), digest_size=6).digest(), "big")
    return -instance.weight / math.log((drawn + 1) / ((1 << 48) + 1))
