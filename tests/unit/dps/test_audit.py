"""What a dSwitch holds against what it should hold: every difference, with its reason, and gone once it is remedied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dove_ryu.audit import Difference
from dove_ryu.model.facts import Change
from dove_ryu.openflow.action import Output
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowDelete, FlowStrictDelete
from dove_ryu.openflow.match import Match, match
from dove_ryu.openflow.oxm import ETH_DST
from dove_ryu.openflow.pipeline import CLASSIFY, POLICY

from .pipeline import Fabric
from .test_dps import RED_TO_BLUE, A, B, arrives, cached, fabric
from .test_migration import moves

__all__ = ["fabric"]


def findings(fabric: Fabric) -> list[tuple[Difference, str]]:
    """What differs at dSwitch 1, and why."""
    return [(each.difference, each.why) for each in fabric.dps.audit(1, fabric.switches[1].flows)]


def is_remedied(fabric: Fabric) -> None:
    """Once the remedies are sent nothing differs, and packets pass."""
    fabric.carry_out({1: [each.remedy for each in fabric.dps.audit(1, fabric.switches[1].flows)]})
    assert findings(fabric) == []
    assert arrives(fabric)


def test_nothing_differs_after_any_traffic_and_any_change(fabric: Fabric) -> None:
    assert arrives(fabric)
    assert findings(fabric) == []
    fabric.apply([Change.put(replace(RED_TO_BLUE, tracking=8)), Change.put(replace(A, ips=("10.0.0.10",)))])
    assert arrives(fabric)
    assert findings(fabric) == []


def test_a_flow_that_is_missing(fabric: Fabric) -> None:
    lost = next(flow for flow in fabric.dps.standing_flows(1) if flow.table == CLASSIFY.number and flow.priority)
    fabric.switches[1].carry_out([FlowStrictDelete(lost.key)])
    assert findings(fabric) == [(Difference.MISSING, "it should be there")]
    is_remedied(fabric)


def test_a_flow_that_does_something_else(fabric: Fabric) -> None:
    right = next(flow for flow in fabric.dps.standing_flows(1) if flow.table == CLASSIFY.number and flow.priority)
    fabric.switches[1].carry_out([right._replace(actions=(Output(9),))])
    assert findings(fabric) == [(Difference.CHANGED, f"it should be: {right}")]
    is_remedied(fabric)


def test_a_flow_that_nobody_needs(fabric: Fabric) -> None:
    fabric.switches[1].carry_out([CLASSIFY.flow(77, {}, [], Cookie(Kind.ENDPOINT, 77))])
    assert findings(fabric) == [(Difference.SURPLUS, "nothing here needs it")]
    is_remedied(fabric)


def test_a_lookout_is_nobodys_concern(fabric: Fabric) -> None:
    fabric.switches[1].carry_out([CLASSIFY.flow(77, {}, [], Cookie(Kind.LOOKOUT, 1), hard_timeout=5)])
    assert findings(fabric) == []


@pytest.mark.parametrize("where", [Match(), match({ETH_DST: A.macs[0]})], ids=["all", "some"])
def test_a_flow_of_somebody_else(fabric: Fabric, where: Match) -> None:
    """It goes by its cookie: what it matches may be nothing that ours can match, and is not read."""
    fabric.switches[1].carry_out([Flow(CLASSIFY.number, 9, where, (Output(1),), 0xBAD)])
    (finding,) = fabric.dps.audit(1, fabric.switches[1].flows)
    assert finding.difference is Difference.FOREIGN
    assert finding.remedy == FlowDelete(0xBAD, (1 << 64) - 1, CLASSIFY.number)
    is_remedied(fabric)


def test_a_cached_flow_of_an_older_policy(fabric: Fabric) -> None:
    """F32: the tracking numbers say it."""
    assert arrives(fabric)
    older = cached(fabric)[Kind.POLICY]
    fabric.apply([Change.put(replace(RED_TO_BLUE, tracking=8))])
    fabric.switches[1].carry_out([older])
    assert findings(fabric) == [(Difference.OLDER, "tracking number 7, today 8")]
    is_remedied(fabric)


def test_a_cached_flow_that_does_something_else(fabric: Fabric) -> None:
    assert arrives(fabric)
    right = cached(fabric)[Kind.POLICY]
    fabric.switches[1].carry_out([right._replace(actions=())])
    assert findings(fabric) == [(Difference.CHANGED, f"today it would be: {right}")]
    is_remedied(fabric)


def test_a_cached_flow_where_nothing_is_to_be_cached(fabric: Fabric) -> None:
    fabric.switches[1].carry_out([POLICY.flow(100, {}, [], Cookie(Kind.POLICY, 15, 7))])
    assert findings(fabric) == [(Difference.SURPLUS, "nothing is to be cached there any more")]
    is_remedied(fabric)


def test_a_stale_location_is_older_until_a_packet_goes_by_it(fabric: Fabric) -> None:
    """F19: nobody was told, and so an audit shows it."""
    assert arrives(fabric)
    moves(fabric, B, 3)
    assert findings(fabric) == [(Difference.OLDER, "tracking number 1, today 2")]
