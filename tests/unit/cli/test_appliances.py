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


def test_a_trace_draws_the_appliances_on_the_way(dove: Dove, dps: Dps, shop: str) -> None:
    """F16: from app1 through the appliance and out at db1, all at one dSwitch."""
    assert shop == "shop.yaml", "it has been applied"
    dps.attach("app1", 3, "tap1")
    dps.attach("db1", 3, "tap2")
    dps.plug(3, "in")
    dps.plug(3, "out")
    dps.put("/dove/v1/appliances/FW-1", FW)
    dps.put("/dove/v1/networks/shop/actions/fw", {"number": 99, "kind": "x", "appliance": "FW-1", "config": ""})
    dps.put("/dove/v1/networks/shop/segments/app>db:1", {"label": 0x800000, "appliance": "FW-1", "vlan": 7})
    policy = {"number": 98, "from": "app", "to": "db", "actions": ["fw"], "ttl": 5, "tracking": 2}
    dps.put("/dove/v1/networks/shop/policies/app>db", policy)
    assert "  | fw: FW-1/a at dSwitch 0000000000000003, VLAN 7\n" in dove("trace", "-n", "shop", "app1", "db1").out
