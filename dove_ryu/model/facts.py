"""What a world is told, and what that changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from dove_ryu.model.appliances import Appliance, Health, Seat
from dove_ryu.model.entities import (
    DSwitch,
    Entity,
    Learned,
    Location,
    VirtualNetwork,
    dpid_text,
)

Kind = TypeVar("Kind", bound=Entity)


@dataclass(frozen=True, slots=True)
class Change:
    """What a table is told: this entity is now so, or is not there.

    :ivar kind: the entity's class.
    :ivar network: the network that it is in; empty for a dSwitch and for what is the provider's.
    :ivar name: its name within the network; a policy's :attr:`Policy.name`, a dSwitch's datapath id in
        hexadecimal, a seat's :attr:`Seat.name`.
    :ivar entity: as it is now; None when it is gone.
    """

    kind: type[Entity]
    network: str
    name: str
    entity: Entity | None

    @classmethod
    def put(cls, entity: Entity) -> Change:
        """The change after which *entity* is so."""
        return cls(type(entity), *_network_and_name(entity), entity)

    @classmethod
    def gone(cls, entity: Entity) -> Change:
        """The change after which *entity* is not there."""
        return cls(type(entity), *_network_and_name(entity), None)


@dataclass(frozen=True, slots=True)
class Fact:
    """One entity as it was and as it is; None where it was or is not there."""

    before: Entity | None
    after: Entity | None

    @property
    def either(self) -> Entity:
        """The entity as it is or, gone, as it was."""
        known = self.after if self.after is not None else self.before
        assert known is not None, "a fact is about something"
        return known

    @property
    def network(self) -> str | None:
        """The name of the network it is about; None for a dSwitch and for what is the provider's."""
        match self.either:
            case VirtualNetwork(name=name):
                return name
            case DSwitch() | Appliance() | Seat() | Health():
                return None
            case entity:
                return entity.network


def _network_and_name(entity: Entity) -> tuple[str, str]:
    match entity:
        case VirtualNetwork(name=name):
            return name, name
        case DSwitch(dpid=dpid):
            return "", dpid_text(dpid)
        case Appliance(name=name) | Seat(name=name) | Health(name=name):
            return "", name
        case Location(network=network, endpoint=name) | Learned(network=network, endpoint=name):
            return network, name
        case _:
            return entity.network, entity.name


def of_kind(kind: type[Kind], entity: Entity | None) -> Kind | None:
    """The entity, which must be of that class where there is one."""
    if entity is not None and not isinstance(entity, kind):
        raise TypeError(f"a change of a {kind.__name__} carries a {type(entity).__name__}")
    return entity


def facts_of(before: Entity | None, after: Entity | None) -> list[Fact]:
    """What is other now: one fact, or none."""
    return [] if before == after else [Fact(before, after)]
