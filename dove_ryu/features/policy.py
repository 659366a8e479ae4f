"""The policy half of the policy cache: allow or deny, with the policy's time-out and tracking number (F1, F21, F32)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import Feature, Request
from dove_ryu.model.entities import Policy, PolicyAction
from dove_ryu.model.resolution import Outcome
from dove_ryu.model.world import Fact, NetworkTables
from dove_ryu.openflow.fields import (
    CACHED_COOKIE,
    CACHED_MASK,
    DESTINATION_DOMAIN,
    OBJECT_MASK,
    SOURCE_DOMAIN,
    VNI,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Action, Flow, FlowDelete, Terms, match
from dove_ryu.openflow.pipeline import CHAIN, OUTPUT, POLICY, goto


class PolicyCache(Feature):
    """Flows of POLICY."""

    def cache(self, request: Request) -> Iterable[Flow]:
        """What governs the pair of domains; nothing where there is no pair."""
        reply, tables = request.reply, request.tables
        domain = None if reply.endpoint is None else tables.domains.get(reply.endpoint.domain)
        if domain is None or tables.network is None:
            return
        terms: Terms = {
            VNI: tables.network.vni,
            SOURCE_DOMAIN: request.source_domain,
            DESTINATION_DOMAIN: domain.number,
        }
        actions: list[Action] = [goto(CHAIN if reply.path else OUTPUT)]
        if reply.outcome is Outcome.DENIED:
            actions = []
        number, tracking = (NO_POLICY, 0) if reply.policy is None else (reply.policy.number, reply.policy.tracking)
        yield POLICY.flow(100, terms, actions, Cookie(Kind.POLICY, number, tracking), reply.expiry)

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """Entries of a policy that changed or whose action did, and of its pair when it is the first to govern it."""
        match fact.either:
            case Policy() as policy:
                for side in (fact.before, fact.after):
                    if isinstance(side, Policy):
                        yield _forget_number(side.number)
                yield from _forget_pair(tables, policy)
            case PolicyAction(name=name):
                for policy in tables.policies.values():
                    if name in policy.actions:
                        yield _forget_number(policy.number)


NO_POLICY = 0
"""Stands for a policy's number in the entries of pairs that nothing governs, not even a default policy."""


def _forget_number(number: int) -> FlowDelete:
    return FlowDelete(int(Cookie(Kind.POLICY, number)), OBJECT_MASK, POLICY.number)


def _forget_pair(tables: NetworkTables, policy: Policy) -> Iterator[FlowDelete]:
    """What another policy, or none, said of the pairs that *policy* may now govern."""
    if policy.source is None or policy.destination is None:
        yield _forget_number(NO_POLICY)
        return
    source, destination = tables.domains.get(policy.source), tables.domains.get(policy.destination)
    if tables.network is not None and source is not None and destination is not None:
        terms: Terms = {
            VNI: tables.network.vni,
            SOURCE_DOMAIN: source.number,
            DESTINATION_DOMAIN: destination.number,
        }
        yield FlowDelete(CACHED_COOKIE, CACHED_MASK, POLICY.number, match(terms))
