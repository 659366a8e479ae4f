"""Every flow that the features can make is taken by Open vSwitch and comes back the same, as bytes and as text (F9)."""

from __future__ import annotations

import pytest

from dove_ryu.openflow import oxm
from dove_ryu.openflow.flow import Flow
from dove_ryu.openflow.pipeline import miss_flows

from .ovs import PrivateOvs
from .switch import RawSwitch
from .worlds import all_flows


@pytest.fixture(scope="module")
def flows() -> list[Flow]:
    """Standing and cached flows of a world that has everything in it."""
    return list({flow.key: flow for flow in (*miss_flows(), *all_flows())}.values())


def test_flows_survive_the_switch(ovs: PrivateOvs, flows: list[Flow]) -> None:
    """What was written is read back, value for value."""
    with RawSwitch(ovs, "br-codec") as switch:
        switch.send(flows)
        assert {flow.key: flow for flow in switch.flows()} == {flow.key: flow for flow in flows}


def test_text_is_that_of_ovs_ofctl(ovs: PrivateOvs, flows: list[Flow]) -> None:
    """What a flow prints is what ``ovs-ofctl dump-flows`` prints, statistics left out."""
    with RawSwitch(ovs, "br-text") as switch:
        switch.send(flows)
        printed = set(ovs.ofctl("--no-stats", "--no-names", "dump-flows", "br-text").splitlines())
    assert {line.strip() for line in printed} == {str(flow) for flow in flows}


def test_every_field_has_its_own_header() -> None:
    """No two fields share an OXM header."""
    assert set(oxm.BY_HEADER.values()) == {*oxm.FIELDS, oxm.IN_PORT_NXM}
