"""What a dSwitch holds against what it should hold, each difference with its reason and its remedy (X1, X12).

Standing flows are compared with a full computation; a cached one with what would be cached in its place today.  A flow with
another's cookie has no business on a dSwitch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, FlowStrictDelete

WHOLE_COOKIE = (1 << 64) - 1
"""The mask under which a cookie is compared in full."""


class Difference(enum.Enum):
    """How a flow differs."""

    MISSING = "missing"
    CHANGED = "changed"
    OLDER = "older"
    SURPLUS = "surplus"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Finding:
    """One flow that is not as it should be.

    :ivar why: the reason, in words.
    :ivar flow: the flow as it is or, missing, as it should be.
    :ivar remedy: what to send.
    """

    difference: Difference
    why: str
    flow: Flow
    remedy: FlowChange


def audit(standing: Iterable[Flow], held: Iterable[Flow], recall: Callable[[Flow], Flow | None]) -> list[Finding]:
    """What differs at a dSwitch.

    :param standing: the standing flows that it should hold.
    :param held: all the flows that it holds, others' included.
    :param recall: what should be cached in the place of a cached flow, None for nothing.
    """
    ours = [(flow, Cookie.parse(flow.cookie)) for flow in held]
    findings = [_foreign(flow) for flow, cookie in ours if cookie is None]
    # Lookouts are there for a moment and go by themselves.
    lasting = ((flow, cookie) for flow, cookie in ours if cookie is not None and cookie.kind is not Kind.LOOKOUT)
    present = {flow.key: (flow, cookie) for flow, cookie in lasting}
    wanted = {flow.key: flow for flow in standing}
    findings += _missing(wanted.values(), present.keys())
    for key, (flow, cookie) in present.items():
        if cookie.kind.recalled:
            findings += _outdated(flow, cookie, recall(flow))
        elif key not in wanted:
            findings.append(_surplus(flow, Difference.SURPLUS, "nothing here needs it"))
        elif flow != wanted[key]:
            why = f"it should be: {wanted[key]}"
            findings.append(Finding(Difference.CHANGED, why, flow, wanted[key]))
    return sorted(findings, key=lambda finding: (finding.flow.table, str(finding.flow)))


def _missing(wanted: Iterable[Flow], present: Iterable[object]) -> Iterator[Finding]:
    held = set(present)
    for flow in wanted:
        if flow.key not in held:
            yield Finding(Difference.MISSING, "it should be there", flow, flow)


def _outdated(flow: Flow, cookie: Cookie, today: Flow | None) -> Iterator[Finding]:
    if today is None:
        yield _surplus(flow, Difference.SURPLUS, "nothing is to be cached there any more")
        return
    now = Cookie.parse(today.cookie)
    if now is not None and (cookie.kind, cookie.number) == (now.kind, now.number) and cookie.tracking != now.tracking:
        yield Finding(Difference.OLDER, f"tracking number {cookie.tracking}, today {now.tracking}", flow, today)
    elif (today.actions, today.cookie) != (flow.actions, flow.cookie):
        yield Finding(Difference.CHANGED, f"today it would be: {today}", flow, today)


def _foreign(flow: Flow) -> Finding:
    """Somebody else's flow goes by its cookie: its match may be one that ours never have, and is not shown then."""
    remedy = FlowDelete(flow.cookie, WHOLE_COOKIE, flow.table)
    return Finding(Difference.FOREIGN, "its cookie is not the DPS's", flow, remedy)


def _surplus(flow: Flow, difference: Difference, why: str) -> Finding:
    return Finding(difference, why, flow, FlowStrictDelete(flow.key))
