"""Desired minus installed: the messages that make a switch's flows what they should be.

The order is safe for packets in flight: what is new comes first and from the last table to the first, so that no
packet is sent on to a table that is not ready for it; what is old goes afterwards, from the first table to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

from dove_ryu.openflow.flow import Flow, FlowChange, FlowKey, FlowStrictDelete

_TABLE = attrgetter("table")


def by_key(flows: Iterable[Flow]) -> dict[FlowKey, Flow]:
    """Flows as a switch keeps them: of two with one key the later."""
    return {flow.key: flow for flow in flows}


def plan(desired: Mapping[FlowKey, Flow], installed: Mapping[FlowKey, Flow]) -> list[FlowChange]:
    """What to send so that a switch that holds *installed* holds *desired*, and nothing else of what was named."""
    adds = [flow for key, flow in desired.items() if installed.get(key) != flow]
    gone = [key for key in installed if key not in desired]
    adds.sort(key=_TABLE, reverse=True)
    gone.sort(key=_TABLE)
    return [*adds, *map(FlowStrictDelete, gone)]
