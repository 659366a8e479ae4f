"""The tables refuse what their declarations do not allow, and say so in words; the manual shows them as they are."""

import runpy
import warnings

import pytest

from dove_ryu.openflow import oxm, pipeline
from dove_ryu.openflow.action import (
    IN_PORT,
    Action,
    Clone,
    DecrementTtl,
    Metered,
    Output,
    OutputTo,
    Resubmit,
    Track,
    copy,
    put,
)
from dove_ryu.openflow.fields import BY_ADDRESS, OUTPUT_PORT, SOURCE_DOMAIN, VNI, ZONE, Cookie, Kind
from dove_ryu.openflow.flow import text
from dove_ryu.openflow.manual import manual_page
from dove_ryu.openflow.meters import METERS, NEIGHBOUR_REQUESTS, port_meter
from dove_ryu.openflow.pipeline import (
    CHAIN,
    CLASSIFY,
    GROUPCAST,
    LIMIT,
    LOCATION,
    NEIGHBOUR,
    OUTPUT,
    POLICY,
    REPLIES,
    ROUTER,
    SOURCE_GUARD,
    TABLES,
    goto,
    miss_flows,
)
from dove_ryu.openflow.table import MAX_TIMEOUT, IllegalFlow, Miss, Table

COOKIE = Cookie(Kind.POLICY, 3, 7)


def test_a_legal_flow_is_made() -> None:
    flow = POLICY.flow(100, {VNI: 5, SOURCE_DOMAIN: 7}, [goto(OUTPUT)], COOKIE, 300)
    assert str(flow) == (
        f"cookie=0xd090000003000007, table={POLICY.number}, hard_timeout=300, priority=100,reg1=0x7,metadata=0x5"
        f" actions=goto_table:{OUTPUT.number}"
    )


def test_a_time_out_is_what_openflow_can_say() -> None:
    assert POLICY.flow(100, {}, [], COOKIE, MAX_TIMEOUT + 1).hard_timeout == MAX_TIMEOUT


def test_prerequisites_of_a_legal_field_are_legal() -> None:
    flow = LOCATION.flow(1, {oxm.ETH_TYPE: oxm.IPV4, oxm.IPV4_DST: "10.0.0.1"}, [goto(POLICY)], COOKIE)
    assert str(flow.match) == "ip,nw_dst=10.0.0.1"


@pytest.mark.parametrize("table", [POLICY, CLASSIFY])
def test_a_match_that_is_not_declared_is_refused(table: Table) -> None:
    assert NEIGHBOUR.flow(1, {oxm.ARP_OP: 1}, [], COOKIE), "what one table may match another may not"
    with pytest.raises(IllegalFlow, match=f"table {table.name} may not match arp_op"):
        table.flow(1, {oxm.ARP_OP: 1}, [], COOKIE)


@pytest.mark.parametrize(
    ("table", "action", "reason"),
    [
        (POLICY, put(VNI, 6), "table POLICY may not write metadata"),
        (GROUPCAST, put(oxm.ETH_DST, 1), "table GROUPCAST may not write dl_dst"),
        (OUTPUT, copy(oxm.METADATA, oxm.TUN_SRC), "table OUTPUT may not write tun_src"),
        (POLICY, goto(LOCATION), "table POLICY does not lead to LOCATION"),
        (CLASSIFY, goto(OUTPUT), "table CLASSIFY does not lead to OUTPUT"),
        (POLICY, Output(1), "table POLICY may not do output:1"),
        (LOCATION, OutputTo(OUTPUT_PORT.field), "table LOCATION may not do output:NXM_NX_REG5"),
        (SOURCE_GUARD, DecrementTtl(), "table SOURCE_GUARD may not do dec_ttl"),
        (GROUPCAST, Resubmit(0), "table GROUPCAST does not look into CLASSIFY"),
        (CHAIN, Clone((Output(1),)), "table CHAIN may not do output:1"),
        (POLICY, Metered(17), "table POLICY may not do meter:17"),
        (REPLIES, Track(ZONE.field, 16), "table REPLIES may not do ct"),
        (REPLIES, Track(ZONE.field, 16, LOCATION.number), "table REPLIES does not lead to LOCATION"),
    ],
)
def test_an_action_that_is_not_declared_is_refused(table: Table, action: Action, reason: str) -> None:
    with pytest.raises(IllegalFlow, match=reason):
        table.flow(1, {}, [action], COOKIE)


def test_what_is_declared_is_allowed() -> None:
    assert ROUTER.flow(1, {}, [DecrementTtl(), put(BY_ADDRESS, 1), goto(LOCATION)], COOKIE).actions
    assert NEIGHBOUR.flow(1, {}, [copy(oxm.ETH_SRC, oxm.ETH_DST), Output(IN_PORT)], COOKIE).actions
    assert LIMIT.flow(1, {oxm.IN_PORT: 1}, [Metered(17)], COOKIE).actions
    assert POLICY.ask(1, {}).cookie == POLICY.miss_flow().cookie == int(Cookie(Kind.MISS, POLICY.number))


def test_a_packet_only_goes_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    backward = Table(99, "LAST", "", (), (), ("CLASSIFY",), Miss.DROP, answers=False)
    monkeypatch.setattr(pipeline, "TABLES", [*TABLES, backward])
    with pytest.raises(IllegalFlow, match="table LAST leads back to CLASSIFY; OpenFlow only goes forward"):
        pipeline._refuse_backward_edges()


def test_every_table_says_what_becomes_of_a_miss() -> None:
    flows = miss_flows()
    assert [(flow.table, flow.priority) for flow in flows] == [(table.number, 0) for table in TABLES]
    assert text(flows[:9]).splitlines() == [
        "cookie=0xd000000000000000, priority=0 actions=drop",
        "cookie=0xd000000001000000, table=1, priority=0 actions=drop",
        "cookie=0xd000000002000000, table=2, priority=0 actions=resubmit(,23),controller(meter_id=2)",
        "cookie=0xd000000003000000, table=3, priority=0 actions=goto_table:5",
        "cookie=0xd000000004000000, table=4, priority=0 actions=drop",
        "cookie=0xd000000005000000, table=5, priority=0 actions=goto_table:6",
        "cookie=0xd000000006000000, table=6, priority=0 actions=goto_table:7",
        "cookie=0xd000000007000000, table=7, priority=0 actions=goto_table:10",
        "cookie=0xd000000008000000, table=8, priority=0 actions=drop",
    ]
    assert text(flows[22:24]).splitlines() == [
        "cookie=0xd000000016000000, table=22, priority=0 actions=controller(meter_id=1)",
        "cookie=0xd000000017000000, table=23, priority=0 actions=drop",
    ]


def test_what_asks_looks_into_the_limits_first() -> None:
    """X3: the packet comes up from the table that asks, as it did when nothing limited it."""
    assert str(POLICY.ask(1, {}).actions[0]) == f"resubmit(,{LIMIT.number})"
    assert [str(action) for action in NEIGHBOUR.ask(1, {}, NEIGHBOUR_REQUESTS).actions] == [
        f"resubmit(,{LIMIT.number})",
        "controller(meter_id=4)",
    ]


def test_a_ports_meter_is_nobody_elses() -> None:
    assert [port_meter(port) for port in (1, 2)] == [17, 18]
    assert max(meter.number for meter in METERS) < port_meter(1)
    assert len({meter.number for meter in METERS}) == len(METERS)


def test_the_manual_shows_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    page = manual_page()
    assert page.startswith(".. list-table::\n   :header-rows: 1\n")
    for table in TABLES:
        assert f"   * - {table.number}\n     - {table.name}\n     - {table.purpose}\n" in page
        assert f"     - {table.miss.value}\n" in page
    assert "     - –\n" in page, "a table that matches nothing shows a dash"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module is there already
        runpy.run_module("dove_ryu.openflow.manual", run_name="__main__")
    assert capsys.readouterr().out == page
