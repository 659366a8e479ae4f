"""The commands, against a DPS that really is one: what they print and how they end (X2, X13)."""

import json

import pytest
import yaml

from dove_ryu.southbound import lane_form

from .conftest import SHOP, Dove, Dps, Ended


@pytest.fixture
def deployed(dps: Dps, shop: str) -> None:
    """`shop` with two of its endpoints at two dSwitches."""
    for dpid, address in ((1, "192.0.2.11"), (2, "192.0.2.12")):
        document = {"name": f"server{dpid}", "encap_ips": [address], "encap_types": ["geneve", "vxlan"], "ovsdb": None}
        dps.put(f"/dove/v1/dswitches/{dpid:016x}", document)
    dps.attach("app1", 1, "tap-app1")
    dps.attach("db1", 2, "tap-db1")


def edited(tmp_path, *replacements: tuple[str, str]) -> None:
    text = SHOP
    for old, new in replacements:
        text = text.replace(old, new)
    (tmp_path / "shop.yaml").write_text(text)


# apply and diff


def test_apply_creates_a_network_and_says_so(dove: Dove, tmp_path) -> None:
    (tmp_path / "tiny.yaml").write_text("network: tiny\ndomains: [a]\n")
    assert dove("apply", "-f", "tiny.yaml").out == (
        "network tiny: 3 changes\n  + network tiny\n  + domain a\n  + policy default\n"
    )
    assert dove("apply", "-f", "tiny.yaml").out == "network tiny: no change\n"


def test_a_dry_run_prints_the_changes_and_makes_none(dove: Dove, shop: str, tmp_path) -> None:
    edited(tmp_path, ("ttl: 200", "ttl: 20"), ("[app, db, web]", "[app, db, web, lb]"))
    seen = dove("apply", "-f", shop, "--dry-run")
    assert seen.out == (
        "network shop: 2 changes, not made: this is a dry run\n  + domain lb\n  ~ policy app>db ttl 200 -> 20\n"
    )
    assert dove("apply", "-f", shop, "--dry-run") == seen
    assert dove("apply", "-f", shop).code == 0
    assert dove("apply", "-f", shop, "--dry-run").out == "network shop: no change\n"


def test_diff_shows_both_sides_and_ends_with_1(dove: Dove, shop: str, tmp_path) -> None:
    assert dove("diff", "-f", shop) == Ended(0, "", "")
    edited(tmp_path, ("ttl: 200", "ttl: 20"), ("10.0.0.31", "10.0.0.32"), ("[app, db, web]", "[app, db, web, lb]"))
    with (tmp_path / "shop.yaml").open("a") as file:
        file.write("  - {name: app2, domain: app, ips: [10.0.0.12]}\n")
    seen = dove("diff", "-f", shop)
    assert seen.code == 1
    assert (
        seen.out
        == """\
--- network shop
+++ shop.yaml
+ domain lb
~ policy app>db
-   ttl: 200
+   ttl: 20
~ endpoint web1
-   ips: 10.0.0.31
+   ips: 10.0.0.32
+ endpoint app2
+   domain: app
+   ips: 10.0.0.12
+   guard: yes
"""
    )
    assert "ttl: 200" in dove("get", "blueprint", "shop").out


def test_several_documents_are_counted_and_one_refused_does_not_hold_up_the_others(dove: Dove, tmp_path) -> None:
    (tmp_path / "a.yaml").write_text(
        "network: one\n---\nnetwork: two\npolicies:\n  - {from: x, to: x, actions: [up]}\n"
    )
    (tmp_path / "b.yaml").write_text("network: three\n")
    seen = dove("apply", "-f", "a.yaml", "-f", "b.yaml")
    assert seen.code == 3
    assert "network one: 2 changes (1 of 3)" in seen.out
    assert "network three: 2 changes (3 of 3)" in seen.out
    assert seen.err.splitlines() == [
        "dove: a.yaml:5: policies[0].from: no domain 'x'; declare it under domains",
        "dove: a.yaml:5: policies[0].to: no domain 'x'; declare it under domains",
        "dove: a.yaml:5: policies[0].actions[0]: no action 'up'; declare it under actions",
    ]
    assert [each["name"] for each in json.loads(dove("get", "networks", "-o", "json").out)] == ["one", "three"]


def test_nothing_is_applied_when_a_file_cannot_be_read(dove: Dove, tmp_path) -> None:
    (tmp_path / "good.yaml").write_text("network: good\n")
    (tmp_path / "bad.yaml").write_text("network: [\n")
    seen = dove("apply", "-f", "good.yaml", "-f", "bad.yaml")
    assert (seen.code, seen.out) == (2, "")
    assert seen.err.startswith("dove: bad.yaml:2: ")
    assert json.loads(dove("get", "networks", "-o", "json").out) == []


# get and delete


@pytest.mark.parametrize("kind", ["policies", "policy", "pol", "POLICIES"])
def test_a_kind_by_any_of_its_names(dove: Dove, shop: str, kind: str) -> None:
    assert (
        dove("get", kind, "-n", "shop").out
        == """\
NAME     ACTIONS  TTL  TRACKING
app>db   accept   200  1
db>app   accept   300  1
default  deny     300  1
web>db   deny     0    1
"""
    )


@pytest.mark.usefixtures("deployed")
def test_tables(dove: Dove) -> None:
    assert (
        dove("get", "networks").out
        == """\
NAME  VNI   SERVICE  DEFAULT  DOMAINS  POLICIES  ENDPOINTS
shop  5001  l2       deny     3        4         3
"""
    )
    assert (
        dove("get", "domains", "-n", "shop", "-o", "wide").out
        == """\
NAME  ENDPOINTS  NUMBER  MEMBERS
app   1          2       app1
db    1          3       db1
web   1          4       web1
"""
    )
    assert (
        dove("get", "endpoints", "-n", "shop").out
        == """\
NAME  DOMAIN  MACS               IPS                     LOCATION
app1  app     02:00:00:00:00:01  10.0.0.11               tap-app1@0000000000000001
db1   db      02:00:00:00:00:02  10.0.0.21,2001:db8::21  tap-db1@0000000000000002
web1  web     02:00:00:00:00:03  10.0.0.31               -
"""
    )
    assert (
        dove("get", "dswitches", "1").out
        == """\
DPID              NAME     OPENFLOW  LAG  OUTSTANDING  OVSDB      TUNNELS       ADDRESSES   ENDPOINTS  REASON
0000000000000001  server1  live      -    0            connected  geneve,vxlan  192.0.2.11  1          -
"""
    )
    assert dove("get", "actions", "-n", "shop").out == "NAME  KIND  APPLIANCE\n"


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("kind", ["networks", "domains", "actions", "policies", "endpoints", "dswitches"])
def test_every_kind_can_be_shown_in_every_way(dove: Dove, kind: str) -> None:
    network = () if kind in ("networks", "dswitches") else ("-n", "shop")
    for output in ("table", "wide", "json", "yaml"):
        seen = dove("get", kind, *network, "-o", output)
        assert (seen.code, seen.err) == (0, "")
        assert seen.out


@pytest.mark.usefixtures("shop")
def test_json_and_yaml_say_the_same(dove: Dove) -> None:
    as_json, as_yaml = (dove("get", "endpoints", "-n", "shop", "-o", form).out for form in ("json", "yaml"))
    assert json.loads(as_json) == yaml.safe_load(as_yaml)
    assert json.loads(dove("get", "endpoint", "web1", "-n", "shop", "-o", "json").out)["ips"] == ["10.0.0.31"]


def test_a_network_makes_the_round_through_a_file(dove: Dove, shop: str, tmp_path) -> None:
    (tmp_path / "copy.yaml").write_text(dove("get", "blueprint", "shop").out)
    assert dove("diff", "-f", "copy.yaml").code == 0
    assert dove("delete", "network", "shop").out == "network 'shop' deleted\n"
    assert dove("apply", "-f", "copy.yaml").code == 0
    assert dove("diff", "-f", shop).code == 0


@pytest.mark.usefixtures("shop")
def test_delete(dove: Dove) -> None:
    seen = dove("delete", "domain", "web", "-n", "shop")
    assert (seen.code, seen.out) == (3, "")
    assert seen.err == (
        "dove: domain 'web' is still used by policy web>db, endpoint web1; change or delete these first\n"
    )
    assert dove("delete", "policy", "web>db", "-n", "shop").out == "policy 'web>db' deleted from network 'shop'\n"
    assert dove("delete", "ep", "web1", "-n", "shop").code == 0
    assert dove("delete", "domain", "web", "-n", "shop").code == 0
    assert dove("get", "domains", "-n", "shop").out.split() == ["NAME", "ENDPOINTS", "app", "1", "db", "1"]


# trace and status


@pytest.mark.usefixtures("deployed")
def test_trace_draws_the_decision_the_policy_the_path_and_the_reason(dove: Dove) -> None:
    assert (
        dove("trace", "-n", "shop", "app1", "db1").out
        == """\
allowed: app1 -> db1 in network shop

  policy  app>db, tracking 1: accept; cached for 200 s
  path    app1 (app)
            | port tap-app1
            | dSwitch 0000000000000001 server1
            | geneve to 192.0.2.12, VNI 5001
            | dSwitch 0000000000000002 server2
            | port tap-db1
          db1 (db)
  reason  'app' to 'db': policy 'app>db' (tracking 1) allows; 'db1' is at port tap-db1 of dSwitch 0000000000000002
"""
    )


@pytest.mark.usefixtures("deployed")
def test_a_live_trace_says_what_came_of_a_packet(dove: Dove, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is connected here but by word, so that nobody takes the packet."""
    for pause in ("SETTLING", "FLIGHT", "GRACE"):
        monkeypatch.setattr(f"dove_ryu.expeditions.{pause}", 0.01)
    nowhere = (
        "it was seen nowhere behind the source's own dSwitch; dSwitch 0000000000000002 did not say what it has seen"
    )
    lines = dove("trace", "-n", "shop", "app1", "db1", "--live").out.splitlines()
    assert lines[0] == "allowed: app1 -> db1 in network shop"
    assert lines[-2:] == [
        "  live    a ping was sent from the source's port",
        f"          {nowhere}",
    ]
    assert dove("trace", "-n", "shop", "app1", "10.9.9.9", "--live").out.splitlines()[-2:] == [
        "  live    nothing was sent",
        "          a packet is sent from an endpoint to an endpoint, and one of the two is none",
    ]


@pytest.mark.usefixtures("deployed")
def test_trace_on_one_dswitch(dps: Dps, dove: Dove) -> None:
    dps.attach("db1", 1, "tap-db1")
    assert (
        """\
            | port tap-app1
            | dSwitch 0000000000000001 server1
            | port tap-db1
          db1 (db)
"""
        in dove("trace", "-n", "shop", "app1", "db1").out
    )


@pytest.mark.usefixtures("deployed")
def test_a_path_ends_where_the_packet_does(dove: Dove) -> None:
    seen = dove("trace", "-n", "shop", "app1", "web1")
    assert seen.code == 0
    assert (
        seen.out
        == """\
denied: app1 -> web1 in network shop

  policy   default, tracking 1: deny; cached for 300 s
  path     app1 (app)
             | port tap-app1
             | dSwitch 0000000000000001 server1
             x goes no further
  towards  web1 (web) attached to no dSwitch
  reason   'app' to 'web': policy 'default' (tracking 1) denies
"""
    )


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("source", "destination", "first"),
    [
        ("app1", "db1", "unlocated: app1 -> db1 in network shop"),
        ("app1", "10.9.9.9", "unknown: app1 -> 10.9.9.9 in network shop"),
        ("nobody", "db1", "source unknown: nobody -> db1 in network shop"),
    ],
)
def test_whatever_is_traced_is_answered(dove: Dove, source: str, destination: str, first: str) -> None:
    seen = dove("trace", "-n", "shop", source, destination)
    assert seen.code == 0
    assert seen.out.splitlines()[0] == first
    assert "  reason  " in seen.out


@pytest.mark.usefixtures("deployed")
def test_a_packet_that_is_allowed_but_has_no_way(dps: Dps, dove: Dove) -> None:
    dps.service.ask(lambda each: each.disconnect(2))
    seen = dove("trace", "-n", "shop", "app1", "db1").out
    assert seen.startswith("allowed, but not delivered: app1 -> db1 in network shop\n")
    assert "dSwitch 0000000000000002 server2 not connected" in seen


def test_a_gateway_is_traced_to_itself(dps: Dps, dove: Dove, tmp_path) -> None:
    (tmp_path / "l3.yaml").write_text(
        SHOP.replace("default_policy: deny", "service: l3\ngateways: [{mac: '02:00:5e:00:00:01', ips: [10.0.0.1/24]}]")
    )
    assert dove("apply", "-f", "l3.yaml").code == 0
    dps.attach("app1", 1, "tap-app1")
    seen = dove("trace", "-n", "shop", "app1", "10.0.0.1").out.splitlines()
    assert seen[0] == "gateway: app1 -> 10.0.0.1 in network shop"
    assert "          10.0.0.1" in seen


@pytest.mark.usefixtures("shop")
def test_trace_as_json_is_what_rest_says(dove: Dove) -> None:
    answer = json.loads(dove("trace", "-n", "shop", "web1", "db1", "-o", "json").out)
    assert (answer["decision"], answer["policy"]["name"]) == ("denied", "web>db")


@pytest.mark.usefixtures("deployed")
def test_status(dps: Dps, dove: Dove) -> None:
    lines = dove("status").out.splitlines()
    assert lines[0] == f"DPS at {dps.url}: ready"
    assert "  endpoints        3, 2 of them attached" in lines
    assert "  dSwitches        2, 2 of them connected, 2 live" in lines
    assert "  policy requests  allowed 0, denied 0, unknown 0, unlocated 0; 0 outstanding" in lines
    assert "  flow changes     0 sent, all confirmed" in lines
    form = "compiled" if lane_form.load().COMPILED else "python"
    assert f"  fast lane        {form}: 0 answered, 0 left to the plain way" in lines
    assert "  caches           0 locations invalidated, 0 entries refreshed" in lines
    assert lines[-1].split() == ["0000000000000002", "server2", "live", "-", "0", "connected", "-"]


def test_status_of_a_dps_without_dswitches(dove: Dove) -> None:
    assert "DPID" not in dove("status").out
