"""What the provider has: appliances, where each of their instances is, and whether it works (X10, X15).

An appliance is declared.  Where an instance is may be declared with it, by dSwitch and ports, or be seen: its ports'
iface-ids say it, and it may move.  Whether it works is only ever seen.  Both are kept apart from the appliance, because
they change without anybody having edited it; and as a world's other tables do, these depend on what they hold and not on
the order in which they came to hold it: an instance may be down before its appliance is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from dove_ryu.model.appliances import Appliance, Health, Instance, Provided, Seat
from dove_ryu.model.entities import Entity

Machine = tuple[str, str]
"""An appliance's name and an instance's."""

PROVIDED: tuple[type[Provided], ...] = get_args(Provided)
"""The kinds of what is held here."""


class Provider:
    """Appliances by name; seats and health by appliance and instance.

    :ivar seats: where instances are that their ports' iface-ids place.
    :ivar health: what was last seen of instances of which anything was.
    :ivar down: the instances that do not work.
    """

    def __init__(self) -> None:
        self.appliances: dict[str, Appliance] = {}
        self.seats: dict[Machine, Seat] = {}
        self.health: dict[Machine, Health] = {}
        self.down: set[Machine] = set()

    def seat(self, appliance: Appliance, instance: Instance) -> Seat | None:
        """Where an instance is, as declared or as seen; None where it is nowhere."""
        if instance.fixed:
            return Seat(appliance.name, instance.name, instance.dpid, instance.ingress, instance.egress)
        return self.seats.get((appliance.name, instance.name))

    def seats_of(self, appliance: Appliance, *instances: Instance) -> list[Seat]:
        """Where some of an appliance's instances are, by default all of them, and where they still are from before."""
        found = (self.seat(appliance, instance) for instance in instances or appliance.instances)
        return [place for seat in found if seat is not None for place in (seat, seat.former) if place is not None]

    def dpids(self, names: Iterable[str]) -> set[int]:
        """The dSwitches that host an instance of some appliances."""
        known = filter(None, map(self.appliances.get, names))
        return {seat.dpid for appliance in known for seat in self.seats_of(appliance)}

    def seated(self, appliance: Appliance) -> Appliance:
        """An appliance with those of its instances only that are somewhere."""
        there = tuple(each for each in appliance.instances if self.seat(appliance, each) is not None)
        return appliance if there == appliance.instances else replace(appliance, instances=there)

    def present(self, kind: type[Entity], name: str) -> Provided | None:
        """What is written under a name; None where nothing is."""
        if kind is Appliance:
            return self.appliances.get(name)
        return (self.seats if kind is Seat else self.health).get(_machine(name))

    def replace(self, name: str, before: Entity | None, after: Entity | None) -> None:
        """Put *after* where *before* is, one of which may be None, for nothing."""
        match before:
            case Appliance():
                del self.appliances[name]
            case Seat():
                del self.seats[_machine(name)]
            case Health():
                del self.health[_machine(name)]
                self.down.discard(_machine(name))
        match after:
            case Appliance():
                self.appliances[name] = after
            case Seat():
                self.seats[_machine(name)] = after
            case Health():
                self.health[_machine(name)] = after
                if not after.up:
                    self.down.add(_machine(name))


def _machine(name: str) -> Machine:
    appliance, _, instance = name.partition("/")
    return appliance, instance
