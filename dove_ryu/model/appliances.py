"""What the provider has besides dSwitches: appliances, their instances, where these are and whether they work (F6, X10)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Sharing(enum.Enum):
    """Whom an appliance works for (F17)."""

    VLAN = "vlan"
    """Any number of segments, each of which has a VLAN of its own there."""

    DEDICATED = "dedicated"
    """One segment, whose packets carry no tag."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the machines that make up an appliance: two ports of a dSwitch, which may be the same.

    :ivar dpid: datapath id of the dSwitch; 0 where the ports' own iface-ids say which it is, and which ports (X15).
    :ivar ingress: name of the port that packets are handed to it through.
    :ivar egress: name of the port that it gives them back through.
    :ivar weight: its share of what the appliance takes, among those of all instances; 0 for nothing new.
    :ivar mac: where it is routed, the address that it takes packets at.
    :ivar drain: whether new connections go to others, while its own go on.
    """

    name: str
    dpid: int
    ingress: str
    egress: str
    weight: int = 1
    mac: str = ""
    drain: bool = False

    @property
    def fixed(self) -> bool:
        """Whether it is declared where it is."""
        return self.dpid != 0


class OnFailure(enum.Enum):
    """What becomes of connections whose instance does not work (X10)."""

    STOP = "fail-closed"
    """They stop until it works again or is taken out."""

    NEXT = "next"
    """They go to the instances that work; where none does, they stop."""

    LEAVE_OUT = "fail-open"
    """They go on without the appliance."""


PROBE_VLAN = 4094
"""What tags probes at an appliance that is shared by VLAN; no segment has it."""


class ProbeKind(enum.Enum):
    """How it is found out whether an instance works (X10)."""

    FRAME = "frame"
    """A frame is sent in at its ingress port and expected back at its egress port."""

    ARP = "arp"
    """Its address is asked for at its ingress port, by ARP or neighbour discovery, and an answer is expected there."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How often an appliance's instances are asked for a sign that they work, and what is made of it (X10).

    :ivar address: the IP address that is asked for; empty where a frame is sent through.
    :ivar interval: seconds from one probe to the next.
    :ivar down_after: how many in a row an instance leaves unanswered before it is down.
    :ivar up_after: how many in a row it answers before it is up again.
    """

    kind: ProbeKind
    address: str = ""
    interval: float = 0.2
    down_after: int = 3
    up_after: int = 2


@dataclass(frozen=True, slots=True)
class Appliance:
    """What an action with infrastructure behind it maps to: the provider's, of no network.

    :ivar number: what registers and cookies call it.
    :ivar kind: what it does, like ``firewall``.
    :ivar instances: where it is, by name.
    :ivar routed: whether it takes packets at its own MAC address and leaves others' on them, as a router does; a
        transparent one is a bump in the wire.
    :ivar probe: how it is found out whether its instances work; None where their ports are all that is looked at.
    :ivar tap: whether it gets a copy and gives nothing back, so that nothing waits for it.
    """

    name: str
    kind: str
    instances: tuple[Instance, ...] = ()
    sharing: Sharing = Sharing.VLAN
    routed: bool = False
    probe: Probe | None = None
    on_failure: OnFailure = OnFailure.STOP
    tap: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an instance of an appliance is (X15).

    :ivar ingress: name of the port that packets are handed to it through.
    :ivar egress: name of the port that it gives them back through.
    :ivar former: where it was before, while its ports are still there: what is on its way there is still taken.
    """

    appliance: str
    instance: str
    dpid: int
    ingress: str
    egress: str
    former: Seat | None = None

    @property
    def name(self) -> str:
        """What it is called among the seats of all appliances: ``FW-1/one``."""
        return f"{self.appliance}/{self.instance}"

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of its ports, each once."""
        return tuple(dict.fromkeys((self.ingress, self.egress)))


@dataclass(frozen=True, slots=True)
class Health:
    """Whether an instance of an appliance works, as it was last seen (X10); one of which nothing was seen does.

    :ivar reason: what was seen, where it is down.
    :ivar since: the time at which it came to be so, as ISO 8601 has it.
    """

    appliance: str
    instance: str
    up: bool
    reason: str = ""
    since: str = ""

    @property
    def name(self) -> str:
        """What it is called among the health of all appliances: ``FW-1/one``."""
        return f"{self.appliance}/{self.instance}"


Provided = Appliance | Seat | Health
"""What is the provider's, and of no network."""
