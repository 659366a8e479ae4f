"""How two dSwitches reach each other over the underlay (report, section 4; F10, F12)."""

from __future__ import annotations

from dove_ryu.model.addresses import is_ipv6
from dove_ryu.model.entities import DSwitch, Encapsulation


def tunnel_between(ours: DSwitch, theirs: DSwitch) -> tuple[Encapsulation, str] | None:
    """The best tunnel protocol that both speak and the address to send to; None where they have none in common."""
    families = {is_ipv6(ip) for ip in ours.encap_ips}
    address = next((ip for ip in theirs.encap_ips if is_ipv6(ip) in families), None)
    common = next((kind for kind in Encapsulation if kind in ours.encap_types and kind in theirs.encap_types), None)
    return None if address is None or common is None else (common, address)
