"""How an appliance's document says that its instances are probed (X10)."""

from __future__ import annotations

from dove_ryu.model.addresses import canonical_ip
from dove_ryu.model.appliances import Probe, ProbeKind
from dove_ryu.model.reading import Part

NONE = "none"

SHORTEST, LONGEST = 0.05, 60.0
"""Seconds between probes: a dSwitch must have answered within half of it, and an operator wants to know within minutes."""

MOST_IN_A_ROW = 100

_KINDS = (NONE, *(kind.value for kind in ProbeKind))


def read_probe(part: Part, routed: bool) -> Probe | None:
    """The probe that is written in a field: a word, or a mapping that says more; None for none.

    :param routed: whether the appliance is a router, which passes no frame on as it is.
    """
    if not part or isinstance(part.value, str):
        kind = part.choice(_KINDS, NONE)
        if kind == ProbeKind.ARP.value:
            part.complain(f"needs an address to ask for; write {{kind: {kind}, address: IP}}")
            return None
        return _checked(part, Probe(ProbeKind(kind)), routed) if kind != NONE else None
    fields = part.fields("kind", "address", "interval", "down_after", "up_after")
    if fields is None:
        return None
    kind = fields["kind"].choice(_KINDS, NONE)
    if not fields["kind"]:
        fields["kind"].complain(f"missing; write {' or '.join(_KINDS)}")
    if kind == NONE:
        return None
    address = fields["address"].address(canonical_ip) if kind == ProbeKind.ARP.value else ""
    if fields["address"].value not in (None, "") and kind != ProbeKind.ARP.value:
        fields["address"].complain("is asked for by a probe of kind 'arp' only; leave it out")
    default = Probe(ProbeKind(kind))
    probe = Probe(
        default.kind,
        address,
        fields["interval"].seconds(SHORTEST, LONGEST, default.interval),
        fields["down_after"].number(1, MOST_IN_A_ROW, default.down_after),
        fields["up_after"].number(1, MOST_IN_A_ROW, default.up_after),
    )
    return _checked(fields["kind"], probe, routed)


def _checked(part: Part, probe: Probe, routed: bool) -> Probe:
    """Complain where an appliance cannot answer such a probe."""
    if probe.kind is ProbeKind.FRAME and routed:
        part.complain(
            "a router passes no frame on; write {kind: arp, address: IP} with an address that each instance has"
        )
    if probe.kind is ProbeKind.ARP and not routed:
        part.complain("a transparent appliance has no address to ask for; write 'frame'")
    return probe
