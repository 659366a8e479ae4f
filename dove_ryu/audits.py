"""Audits whose dSwitches have not told all their flows yet.

An audit asks a dSwitch for everything that it holds, and waits for the parts of the answer; what to make of them is
:mod:`dove_ryu.audit`'s.  It lives on the DPS's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dove_ryu.audit import Finding
from dove_ryu.openflow.flow import Flow
from dove_ryu.southbound import codec
from dove_ryu.southbound.link import Link

Compare = Callable[[int, list[Flow]], list[Finding]]
"""What differs at a dSwitch that holds these flows."""

Done = Callable[[list[Finding] | None], None]
"""Takes what an audit has found; None where the dSwitch is not live, or no longer."""


@dataclass(slots=True)
class _Audit:
    done: Done
    repair: bool
    held: list[Flow] = field(default_factory=list)


class Audits:
    """The audits under way, by dSwitch and the number of the question."""

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._pending: dict[tuple[int, int], _Audit] = {}

    def begin(self, link: Link | None, repair: bool, done: Done) -> None:
        """Compare a dSwitch's flows with what they should be.

        :param repair: whether to send the remedies too.
        """
        if link is None or not link.live:
            done(None)
            return
        self._pending[link.dpid, link.ask_flows()] = _Audit(done, repair)

    def hear(self, link: Link, message: bytes) -> bool:
        """Take a part of a dSwitch's flows; whether it answers an audit."""
        key = link.dpid, codec.xid(message)
        audit = self._pending.get(key)
        if audit is None:
            return False
        audit.held += codec.read_any_flows(message)
        if not codec.more_follows(message):
            del self._pending[key]
            findings = self._compare(link.dpid, audit.held)
            if audit.repair:
                link.send(finding.remedy for finding in findings)
            audit.done(findings)
        return True

    def end(self, dpid: int) -> None:
        """Whoever asked a connection that is gone gets no answer from it."""
        for key in [key for key in self._pending if key[0] == dpid]:
            self._pending.pop(key).done(None)
