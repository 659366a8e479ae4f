"""Appliances as the provider sees them: where they are and, at each, which VLAN is whose (F17)."""

from __future__ import annotations

from typing import Any

from dove_ryu.model.appliances import Health
from dove_ryu.model.documents import document_of, key_of

from .conftest import Dove, Dps

INSTANCES: list[dict[str, object]] = [
    {"name": "a", "dpid": f"{3:016x}", "ingress": "in", "egress": "out", "weight": 1, "mac": ""},
    {"name": "b", "dpid": f"{4:016x}", "ingress": "both", "egress": "both", "weight": 0, "mac": ""},
]
FW: dict[str, Any] = {
    "kind": "firewall",
    "sharing": "vlan",
    "routed": False,
    "on_failure": "fail-closed",
    "tap": False,
    "number": 97,
    "instances": INSTANCES,
}

C: dict[str, object] = {"name": "c", "dpid": f"{3:016x}", "ingress": "more", "egress": "more", "weight": 1, "mac": ""}


def test_appliances_show_whose_their_vlans_are(dove: Dove, dps: Dps) -> None:
    dps.put("/dove/v1/appliances/FW-1", FW)
    dps.put("/dove/v1/networks/shop/segments/app>db:1", {"label": 0x800000, "appliance": "FW-1", "vlan": 7})
    assert dove("get", "appliances").out.split() == [
        *("NAME", "KIND", "SHARING", "ROUTED", "INSTANCES", "SEGMENTS"),
        *("FW-1", "firewall", "vlan", "no", "a:in>out@0000000000000003,b:both@0000000000000004(idle)", "1"),
    ]
    assert dove("get", "appliance", "FW-1", "-o", "wide").out.split()[-1] == "7=shop/app>db:1"
    assert dove("delete", "appliance", "FW-1").out == "appliance 'FW-1' deleted\n"


def test_appliances_show_who_works_and_how_that_is_known(dove: Dove, dps: Dps) -> None:
    """X10, X15."""
    bound = {"name": "c", "dpid": f"{0:016x}", "ingress": "", "egress": "", "weight": 1, "mac": ""}
    probe = {"kind": "arp", "address": "192.0.2.1", "interval": 1.5, "down_after": 3, "up_after": 2}
    instances = [*FW["instances"], bound]
    dps.put("/dove/v1/appliances/FW-1", {**FW, "instances": instances, "probe": probe})
    for name in ("a", "b"):
        dps.put(f"/dove/v1/health/FW-1/{name}", {"up": name == "b", "reason": "gone mad", "since": "yesterday"})
    shown = dove("get", "appliances", "-o", "wide").out
    assert " a:in>out@0000000000000003(down),b:both@0000000000000004(idle),c:- " in shown
    assert " arp:192.0.2.1/1.5s " in shown
    assert "a: gone mad, since yesterday" in shown
    status = dove("status").out
    assert [line.split(maxsplit=1)[1] for line in status.splitlines() if "instances" in line] == [
        "up 1, down 1, nowhere 1"
    ]


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
    drained = [{**each, "dpid": f"{3:016x}", "weight": 1, "drain": each["name"] == "c"} for each in (*INSTANCES, C)]
    dps.put("/dove/v1/appliances/FW-1", FW | {"instances": drained})
    dps.plug(3, "both")
    any_connection = dove("trace", "-n", "shop", "app1", "db1").out
    assert "  | fw: FW-1/a|b by connection (older connections: c), VLAN 7\n" in any_connection
    told = [dove("trace", "-n", "shop", "app1", "db1", "--udp", f"{port}:5432").out for port in range(20)]
    assert {name for name in "ab" if any(f"FW-1/{name} at dSwitch" in each for each in told)} == {"a", "b"}
    failing = [Health("FW-1", each, up=False) for each in "abc"]
    dps.put("/dove/v1/appliances/FW-1", FW | {"instances": drained, "on_failure": "fail-open"})
    for each in failing:
        dps.put(key_of(each), document_of(each))
    left_out = dove("trace", "-n", "shop", "app1", "db1", "--tcp", "1:2").out
    assert "  | fw: FW-1 left out, it fails open, VLAN 7\n" in left_out
    dps.put("/dove/v1/appliances/FW-1", FW | {"tap": True, "instances": []})
    assert "a copy to FW-1/none works" in dove("trace", "-n", "shop", "app1", "db1").out
    both = dove("trace", "-n", "shop", "app1", "db1", "--tcp", "1:2", "--udp", "1:2")
    assert "one of --tcp, --udp and --live" in both.err


FILE = """\
network: shop
domains: [app, db]
actions:
  - {name: fw, kind: firewall, appliance: FW-1}
policies:
  - {from: app, to: db, actions: [fw]}
---
appliance: FW-1
kind: firewall
instances:
  - {name: one, dswitch: "3", ingress: fw-in, egress: fw-out}
"""


def test_appliances_and_the_networks_that_need_them_are_applied_from_one_file(dove: Dove, tmp_path) -> None:
    """X13: whatever their order in the file; a second time there is nothing to do."""
    (tmp_path / "all.yaml").write_text(FILE)
    dry = dove("apply", "-f", "all.yaml", "--dry-run")
    assert dry.out.startswith("appliance FW-1: 2 changes, not made: this is a dry run (1 of 2)\n")
    assert "needs an appliance" in dry.err or "FW-1" in dry.err, "the network waits for it"
    done = dove("apply", "-f", "all.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:4] == [
        "appliance FW-1: 2 changes (1 of 2)",
        "  + appliance FW-1",
        "  + instance FW-1/one",
        "network shop: 6 changes (2 of 2)",
    ]
    assert dove("get", "appliances").out.split()[-6:-4] == ["FW-1", "firewall"]
    again = dove("apply", "-f", "all.yaml")
    assert again.out == "appliance FW-1: no change (1 of 2)\nnetwork shop: no change (2 of 2)\n"


def test_a_diff_of_an_appliance_is_by_instance_and_field(dove: Dove, tmp_path) -> None:
    file = tmp_path / "fw.yaml"
    file.write_text(FILE.partition("---\n")[2])
    assert dove("apply", "-f", "fw.yaml").code == 0
    assert dove("diff", "-f", "fw.yaml").code == 0
    file.write_text(file.read_text().replace("egress: fw-out", "egress: fw-back, weight: 3"))
    differs = dove("diff", "-f", "fw.yaml")
    assert differs.code == 1
    assert differs.out.splitlines()[2:] == [
        "~ instance FW-1/one",
        "-   egress: fw-out",
        "+   egress: fw-back",
        "-   weight: 1",
        "+   weight: 3",
    ]


def test_a_mistake_in_an_appliance_is_named_by_its_line(dove: Dove, tmp_path) -> None:
    (tmp_path / "fw.yaml").write_text("appliance: FW-1\nkind: firewall\ninstances:\n  - {name: one, dswitch: 3x}\n")
    refused = dove("apply", "-f", "fw.yaml")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("dove: fw.yaml:4: instances[0].dswitch")
    (tmp_path / "fw.yaml").write_text("appliance: FW-1\n---\nappliance: FW-1\n")
    assert "fw.yaml:3: appliance 'FW-1' is in fw.yaml:1 already" in dove("apply", "-f", "fw.yaml").err
