"""An audit as an operator asks for it: a dSwitch's real flows against those that it should hold (X1).

The flows are read while the world goes on.  A change that is under way between the two looks like a difference, so what
differs is looked at a second time, and only what is still so counts.
"""

from __future__ import annotations

from typing import Any

from dove_ryu.audit import Finding
from dove_ryu.dps import Observation
from dove_ryu.model.entities import dpid_text
from dove_ryu.northbound.connections import NEVER, reason
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.problems import Refusal

PATIENCE = 10.0
"""Seconds that a dSwitch has to tell its flows."""


def audit(service: Service, dpid: int, repair: bool) -> dict[str, Any]:
    """What differs at a dSwitch that is known, as the REST interface shows it.

    :param repair: whether to send the remedies too; what differed before is told all the same.
    :raises Refusal: 409 where it is not live, 504 where it does not answer.
    """
    findings = _look(service, dpid, repair)
    if findings and not repair:
        first, findings = findings, _look(service, dpid, repair=False)
        findings = [finding for finding in findings if finding in first]
    return {"dpid": dpid_text(dpid), "clean": not findings, "findings": list(map(_shown, findings))}


def _look(service: Service, dpid: int, repair: bool) -> list[Finding]:
    try:
        findings = service.audit(dpid, repair, PATIENCE)
    except TimeoutError as error:
        raise Refusal(504, f"{error}; `dove get dswitch {dpid_text(dpid)}` says how it is connected") from None
    if findings is None:
        raise _not_live(service, dpid)
    return findings


def _not_live(service: Service, dpid: int) -> Refusal:
    state = service.ask(lambda dps: dps.observations.get(dpid, Observation()).openflow)
    why = reason(state, service.connections().get(dpid, NEVER).since) or "try again in a moment"
    return Refusal(409, f"dSwitch {dpid_text(dpid)} is {state}, and only a live one can be audited: {why}")


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        "difference": finding.difference.value,
        "why": finding.why,
        "table": finding.flow.table,
        "flow": str(finding.flow),
    }
