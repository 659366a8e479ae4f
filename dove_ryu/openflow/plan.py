"""Desired minus installed: the messages that make a switch's flows what they should be.

The order is safe for packets in flight: what is new comes first and from the last table to the first, so that no
packet is sent on to a table that is not ready for it; what is old goes afterwards, from the first table to the last.
"""

from __future__ import annotations

from collections.abc import Iterable

from dove_ryu.openflow.flow import Flow, FlowChange, FlowStrictDelete


def plan(desired: Iterable[Flow], installed: Iterable[Flow]) -> list[FlowChange]:
    """What to send so that a switch that holds *installed* holds *desired*, and nothing else of what was named."""
    wanted = {flow.key: flow for flow in desired}
    present = {flow.key: flow for flow in installed}
    adds = [flow for key, flow in wanted.items() if present.get(key) != flow]
    gone = [key for key in present if key not in wanted]
    adds.sort(key=lambda flow: flow.table, reverse=True)
    gone.sort(key=lambda key: key.table)
    return [*adds, *map(FlowStrictDelete, gone)]
