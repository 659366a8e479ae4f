"""Whether appliances' instances work (X10): what their ports and their answers to probes say, weighed.

A port that is gone or has no link is proof at once.  Of probes it takes some in a row: so many unanswered until an instance
is down, so many answered until it is up again.  As long as neither is there, and while an instance's dSwitch is not
connected, what was last recorded holds: a DPS that has just started believes the one before it, and a dSwitch without a
DPS goes on giving packets to appliances that may well work.

What is found goes to the store like everything else that is seen, and counts when the world has it.  The world is
looked at each time: what somebody else recorded meanwhile, or nobody could record, is said again where it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dove_ryu.model.appliances import Health, Probe, ProbeKind, Seat
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.provider import Machine
from dove_ryu.model.world import World

Said = tuple[bool, str]
"""Whether an instance works, and why it does not."""


@dataclass(slots=True)
class Evidence:
    """What is known of an instance.

    :ivar seat: where it is; None where it is nowhere.
    :ivar probe: how it is asked for a sign that it works.
    :ivar answered: how many probes in a row it has answered until now.
    :ivar missed: how many in a row it has not.
    :ivar told: what was last found and is yet to be recorded.
    """

    seat: Seat | None
    probe: Probe | None
    answered: int = 0
    missed: int = 0
    told: Said | None = None


class Judge:
    """Weighs what is seen of every instance.  It lives on the DPS's thread.

    :ivar changes: how often an instance was found to be down, or up again.
    """

    def __init__(self, world: World, tell: Callable[[Health], object], now: Callable[[], str]) -> None:
        """
        :param tell: is told what is to be recorded.
        :param now: the time as ISO 8601 has it.
        """
        self.changes = 0
        self._world = world
        self._tell = tell
        self._now = now
        self._evidence: dict[Machine, Evidence] = {}
        self._dark: dict[int, frozenset[str]] = {}

    def follow(self) -> None:
        """What the provider has, or what is recorded of it, may be another thing now."""
        known, self._evidence = self._evidence, {}
        for machine, seat, probe in _machines(self._world):
            evidence = known.get(machine)
            if evidence is None or (evidence.seat, evidence.probe) != (seat, probe):
                evidence = Evidence(seat, probe)
            self._evidence[machine] = evidence
            self._weigh(machine)

    def see_ports(self, dpid: int, dark: frozenset[str]) -> None:
        """A connected dSwitch's ports are as the world has them by now; those of *dark* have no link."""
        self._dark[dpid] = dark
        self._look_at(dpid)

    def lose(self, dpid: int) -> None:
        """A dSwitch is not connected: what it has said of its ports and answers is no more than a memory."""
        self._dark.pop(dpid, None)
        self._look_at(dpid)

    def answered(self, machine: Machine) -> None:
        """An instance has answered a probe."""
        self._count(machine, answered=True)

    def missed(self, machine: Machine) -> None:
        """An instance has left a probe unanswered, and nothing but itself can be the cause."""
        self._count(machine, answered=False)

    def unrecorded(self, health: Health) -> None:
        """What was told could not be recorded."""
        machine = health.appliance, health.instance
        if machine in self._evidence:
            self._evidence[machine].told = None
            self._weigh(machine)

    def _look_at(self, dpid: int) -> None:
        """Weigh what is at a dSwitch whose ports are others: what came before of probes says nothing about now."""
        for machine, evidence in self._evidence.items():
            if evidence.seat is not None and evidence.seat.dpid == dpid:
                if self._fault(evidence.seat) != "":
                    evidence.answered = evidence.missed = 0
                self._weigh(machine)

    def _count(self, machine: Machine, answered: bool) -> None:
        evidence = self._evidence.get(machine)
        if evidence is not None:
            evidence.answered = evidence.answered + 1 if answered else 0
            evidence.missed = 0 if answered else evidence.missed + 1
            if evidence.probe is not None and evidence.answered <= evidence.probe.up_after:  # what follows is no news
                self._weigh(machine)

    def _weigh(self, machine: Machine) -> None:
        """Tell what is found of an instance, where it is not what is recorded."""
        evidence, recorded = self._evidence[machine], self._world.provider.health.get(machine)
        found = self._find(evidence)
        present = (True, "") if recorded is None else (recorded.up, recorded.reason)
        if found in (None, present):
            evidence.told = None
        elif found != evidence.told:
            evidence.told = found
            changed = recorded is None or recorded.up != found[0]
            self.changes += changed
            since = self._now() if changed or recorded is None else recorded.since
            self._tell(Health(*machine, *found, since))

    def _find(self, evidence: Evidence) -> Said | None:
        """What the evidence says; None where it says nothing."""
        fault = None if evidence.seat is None else self._fault(evidence.seat)
        if fault is None or evidence.seat is None:
            return None
        if fault:
            return False, fault
        probe = evidence.probe
        if probe is None or evidence.answered >= probe.up_after:
            return True, ""
        return (False, _silence(probe, evidence.seat)) if evidence.missed >= probe.down_after else None

    def _fault(self, seat: Seat) -> str | None:
        """What is wrong with an instance's ports; empty for nothing, None where nobody knows."""
        ports, dark = self._world.ports.get(seat.dpid), self._dark.get(seat.dpid)
        if ports is None or dark is None:
            return None
        for port in seat.ports:
            if port not in ports:
                return f"dSwitch {dpid_text(seat.dpid)} has no port {port}"
            if port in dark:
                return f"port {port} of dSwitch {dpid_text(seat.dpid)} is down"
        return ""


def _machines(world: World) -> Iterator[tuple[Machine, Seat | None, Probe | None]]:
    for appliance in world.appliances.values():
        for instance in appliance.instances:
            yield (appliance.name, instance.name), world.seat(appliance, instance), appliance.probe


def _silence(probe: Probe, seat: Seat) -> str:
    """What is the matter with who does not answer."""
    if probe.kind is ProbeKind.ARP:
        return f"{probe.address} is asked for at port {seat.ingress} and does not answer"
    return f"no probe that goes in at port {seat.ingress} comes back at port {seat.egress}"
