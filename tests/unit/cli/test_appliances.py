"""Appliances as the provider sees them: where they are and, at each, which VLAN is whose (F17)."""

from __future__ import annotations

from .conftest import Dove, Dps

FW = {
    "kind": "firewall",
    "sharing": "vlan",
    "routed": False,
    "instances": [
        {"name": "a", "dpid": f"{3:016x}", "ingress": "in", "egress": "out", "weight": 1, "mac": ""},
        {"name": "b", "dpid": f"{4:016x}", "ingress": "both", "egress": "both", "weight": 0, "mac": ""},
    ],
}


def test_appliances_show_whose_their_vlans_are(dove: Dove, dps: Dps) -> None:
    dps.put("/dove/v1/appliances/FW-1", FW)
    dps.put("/dove/v1/networks/shop/segments/app>db:1", {"label": 0x800000, "appliance": "FW-1", "vlan": 7})
    assert dove("get", "appliances").out.split() == [
        *("NAME", "KIND", "SHARING", "ROUTED", "INSTANCES", "SEGMENTS"),
        *("FW-1", "firewall", "vlan", "no", "a:in>out@0000000000000003,b:both@0000000000000004(idle)", "1"),
    ]
    assert dove("get", "appliance", "FW-1", "-o", "wide").out.split()[-1] == "7=shop/app>db:1"
    assert dove("delete", "appliance", "FW-1").out == "appliance 'FW-1' deleted\n"
