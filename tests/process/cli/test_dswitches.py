"""dSwitches that come, differ, go and are migrated to, as the command shows them (F18, F28, X1, X5)."""

import json

import pytest

from tests.unit.northbound.switch import Switch

from .conftest import Dove, Dps

ONE, TWO = "0000000000000001", "0000000000000002"


@pytest.fixture
def switch(dps: Dps, shop: str) -> Switch:
    """A live dSwitch that hosts `app1`."""
    location = {"dpid": ONE, "port": "tap-app1", "tracking": 1, "observed": False}
    dps.put("/dove/v1/locations/shop/app1", location)
    switch = Switch(dps.service, 1)
    switch.connect("tap-app1")
    return switch


def row(dove: Dove, *arguments: str) -> dict[str, str]:
    """The cells of the one line of a table, by heading."""
    headings, cells = (line.split() for line in dove(*arguments).out.splitlines())
    return dict(zip(headings, cells, strict=True))


def test_the_state_of_a_connection(dps: Dps, dove: Dove, switch: Switch) -> None:
    shown = row(dove, "get", "dswitches", "-o", "wide")
    assert (shown["OPENFLOW"], shown["LAG"], shown["OUTSTANDING"], shown["PEER"]) == ("live", "0", "0", "192.0.2.1")
    assert (shown["CONFIRMED"], shown["REQUESTS"], shown["CHANGES"]) == (str(dps.service.revision), "0", "0")
    switch.disconnect()
    dps.put("/dove/v1/dswitches/" + ONE, {"name": "one", "encap_ips": [], "encap_types": [], "ovsdb": None})
    stale = dove("get", "dswitch", "1").out
    assert stale.splitlines()[1].split()[:5] == [ONE, "one", "stale", "1", "0"]
    assert "no OpenFlow connection since 2" in stale
    status = dove("status").out
    assert "  dSwitches        1, 0 of them connected, 0 live\n" in status
    assert "  flow changes     0 sent, not all confirmed: the slowest dSwitch is 1 revision behind\n" in status


def test_an_audit_says_what_differs_and_repairs_it(dove: Dove, switch: Switch) -> None:
    clean = dove("audit")
    assert (clean.code, clean.out) == (0, f"dSwitch {ONE}: as it should be\n")
    gone = next(iter(switch.flows))
    del switch.flows[gone]
    different = dove("audit", "1")
    assert different.code == 1
    first, why, flow = different.out.splitlines()
    assert (first, why) == (f"dSwitch {ONE}: 1 difference", "  missing  it should be there")
    assert flow.startswith("           cookie=0x")
    assert json.loads(dove("audit", "1", "-o", "json").out)[0]["findings"][0]["flow"] == flow.strip()
    repaired = dove("audit", "1", "--repair")
    assert repaired.code == 0
    assert repaired.out.splitlines() == [
        f"dSwitch {ONE}: 1 difference, repaired",
        why,
        flow,
        f"dSwitch {ONE}: as it should be",
    ]
    assert gone in switch.flows


def test_an_audit_of_all_says_which_cannot_be_audited(dps: Dps, dove: Dove, switch: Switch) -> None:
    dps.put("/dove/v1/dswitches/" + TWO, {"name": "two", "encap_ips": [], "encap_types": [], "ovsdb": None})
    seen = dove("audit")
    assert (seen.code, seen.out) == (3, f"dSwitch {ONE}: as it should be\n")
    assert seen.err.startswith(f"dove: dSwitch {TWO} is down, and only a live one can be audited: ")
    assert seen.err.count("\n") == 1


@pytest.mark.usefixtures("switch")
def test_a_migration_begins_or_ends(dove: Dove) -> None:
    assert dove("migrate", "-n", "shop", "app1", "--to", "2", "--abort").code == 2
    assert dove("migrate", "-n", "shop", "app1", "--to", "1").err == (
        "dove: migrating_to: is the dSwitch where the endpoint is; name another, or null to end it\n"
    )


@pytest.mark.usefixtures("switch")
def test_a_live_migration_and_its_end(dove: Dove) -> None:
    migrate = "migrate", "-n", "shop", "app1"
    begun = dove(*migrate, "--to", "2", "--port", "tap7")
    assert begun.code == 0
    assert begun.out == (
        f"endpoint 'app1' is at port tap-app1 of dSwitch {ONE}, migrating to port tap7 of dSwitch {TWO}\n"
    )
    assert row(dove, "get", "endpoint", "app1", "-n", "shop")["LOCATION"] == f"tap-app1@{ONE}->tap7@{TWO}"
    assert row(dove, "get", "dswitch", "1", "-o", "wide")["HOSTS"] == "shop/app1"
    assert "  shop/app1(arriving)" in dove("get", "dswitch", "2", "-o", "wide").out
    assert (
        f"| port tap-app1, migrating to port tap7 of dSwitch {TWO}" in dove("trace", "-n", "shop", "app1", "web1").out
    )
    assert dove(*migrate, "--abort").out == f"endpoint 'app1' is at port tap-app1 of dSwitch {ONE}\n"
    again = dove(*migrate, "--abort")
    assert (again.code, again.err) == (3, f"dove: endpoint 'app1' is not migrating: it is at tap-app1@{ONE}\n")
    assert dove(*migrate, "--to", "2").out.endswith(f", migrating to a port of dSwitch {TWO}\n")
    nowhere = dove(*migrate, "--complete")
    assert (nowhere.code, "say it with --port" in nowhere.err) == (3, True)
    assert dove(*migrate, "--complete", "--port", "tap8").out == f"endpoint 'app1' is at port tap8 of dSwitch {TWO}\n"


@pytest.mark.usefixtures("shop")
def test_what_is_nowhere_is_not_migrated(dove: Dove) -> None:
    seen = dove("migrate", "-n", "shop", "app1", "--to", "2")
    assert (seen.code, seen.err) == (3, "dove: endpoint 'app1' of network 'shop' is not attached to any dSwitch\n")
