"""The policy half of the policy cache: allow, deny or a chain, with the policy's time-out and number (F1, F21, F32)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dove_ryu.features import IDLE_TIMEOUT, Feature, Request
from dove_ryu.model.chains import chain
from dove_ryu.model.entities import Policy, PolicyAction, PolicyDomain, Verdict, VirtualNetwork
from dove_ryu.model.facts import Fact
from dove_ryu.model.resolution import answerable, judge
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import treatment
from dove_ryu.model.world import World
from dove_ryu.openflow.action import Action, Resubmit, put
from dove_ryu.openflow.fields import (
    CACHED_COOKIE,
    CACHED_MASK,
    DESTINATION_DOMAIN,
    DSCP,
    OBJECT_MASK,
    REPLY,
    SEGMENT_LABEL,
    SOURCE_DOMAIN,
    VNI,
    ZONE,
    Cookie,
    Kind,
)
from dove_ryu.openflow.flow import Flow, FlowDelete
from dove_ryu.openflow.match import Terms, match
from dove_ryu.openflow.pipeline import CHAIN, COMMIT, MARK, OUTPUT, POLICY, RATE, goto


class PolicyCache(Feature):
    """Flows of POLICY."""

    def cache(self, request: Request) -> Iterable[Flow]:
        """What governs the pair of domains; nothing where there is no pair."""
        endpoint = request.reply.endpoint
        source = request.tables.domain_of_number(request.source_domain)
        destination = None if endpoint is None else request.tables.domains.get(endpoint.domain)
        if source is not None and destination is not None and _wanted(request, source, destination):
            yield entry(request.tables, source, destination)

    def recall(self, world: World, dpid: int, tables: NetworkTables, installed: Flow) -> Flow | None:
        """The entry for the same pair today."""
        if installed.table != POLICY.number:
            return None
        source = tables.domain_of_number(installed.match.value(SOURCE_DOMAIN) or 0)
        destination = tables.domain_of_number(installed.match.value(DESTINATION_DOMAIN) or 0)
        return None if source is None or destination is None else entry(tables, source, destination)

    def stale(self, tables: NetworkTables, fact: Fact) -> Iterable[FlowDelete]:
        """Entries of a policy that changed or whose action did, and of its pair when it is the first to govern it."""
        match fact.either:
            case Policy() as policy:
                for side in (fact.before, fact.after):
                    if isinstance(side, Policy):
                        yield from _forget(tables, side)
                yield from _forget_pair(tables, policy.source, policy.destination)
            case PolicyAction(name=name):
                for policy in tables.policies.values():
                    if name in policy.actions:
                        yield from _forget(tables, policy)


def _wanted(request: Request, source: PolicyDomain, destination: PolicyDomain) -> bool:
    """Whether the entry is to be sent with this reply.

    One whose packets are logged is sent when POLICY asks for it and not otherwise, or what it has counted would be lost
    when a dSwitch that has it asks for another address of the same domain.
    """
    policy = request.tables.policy(source.name, destination.name)
    return request.packet.table == POLICY.number or not treatment(request.tables, policy).log


NO_POLICY = 0
"""Stands for a policy's number in the entries of pairs that nothing governs, not even a default policy."""


def _forget_number(number: int) -> FlowDelete:
    return FlowDelete(int(Cookie(Kind.POLICY, number)), OBJECT_MASK, POLICY.number)


def _forget(tables: NetworkTables, policy: Policy) -> Iterator[FlowDelete]:
    """What a policy said, and where it may let replies pass, whatever forbids them."""
    yield _forget_number(policy.number)
    if policy.stateful:
        yield from _forget_pair(tables, policy.destination, policy.source)


def _forget_pair(tables: NetworkTables, one: str | None, other: str | None) -> Iterator[FlowDelete]:
    """What another policy, or none, said of the pair of domains, or of those that a default policy may now govern."""
    if one is None or other is None:
        yield _forget_number(NO_POLICY)
        return
    source, destination = tables.domains.get(one), tables.domains.get(other)
    if tables.network is not None and source is not None and destination is not None:
        terms: Terms = {
            VNI: tables.network.vni,
            SOURCE_DOMAIN: source.number,
            DESTINATION_DOMAIN: destination.number,
        }
        yield FlowDelete(CACHED_COOKIE, CACHED_MASK, POLICY.number, match(terms))


def entry(tables: NetworkTables, source: PolicyDomain, destination: PolicyDomain) -> Flow:
    """What a dSwitch caches about a pair of domains."""
    assert tables.network is not None
    policy = tables.policy(source.name, destination.name)
    verdict, _ = judge(tables, policy)
    answered = answerable(tables, source.name, destination.name) if verdict is Verdict.DENY else None
    if answered is not None:
        return _replying(tables.network, source, destination, answered)
    hops = () if policy is None else chain(tables, policy)
    actions: list[Action] = [goto(OUTPUT)]
    if verdict is Verdict.DENY or isinstance(hops, str):
        actions = []
    elif hops:
        actions = [put(SEGMENT_LABEL, hops[0].segment.label), goto(CHAIN)]
    if actions:
        actions = [*_treated(tables, policy), *actions]
    number, tracking, ttl = (NO_POLICY, 0, 0) if policy is None else (policy.number, policy.tracking, policy.ttl)
    cookie = Cookie(Kind.POLICY, number, tracking)
    return governing(tables.network.vni, source.number, destination.number, cookie, actions, ttl)


def _replying(network: VirtualNetwork, source: PolicyDomain, destination: PolicyDomain, answered: Policy) -> Flow:
    """The entry about a pair of domains of which the source may only answer: who was asked will see to that."""
    actions = [put(SEGMENT_LABEL, network.reply_label), put(ZONE, network.zone), put(REPLY, 1), goto(OUTPUT)]
    cookie = Cookie(Kind.POLICY, answered.number, answered.tracking)
    return governing(network.vni, source.number, destination.number, cookie, actions, answered.ttl)


def _treated(tables: NetworkTables, policy: Policy | None) -> Iterator[Action]:
    """What is done to packets that pass: those that are too many first, for they go no further."""
    wanted = treatment(tables, policy)
    if wanted.rate is not None:
        yield Resubmit(RATE.number)
    if wanted.dscp is not None:
        yield put(DSCP, wanted.dscp)
        yield Resubmit(MARK.number)
    if policy is not None and policy.stateful and tables.network is not None and tables.network.zone:
        yield put(ZONE, tables.network.zone)
        yield Resubmit(COMMIT.number)


def governing(vni: int, source: int, destination: int, cookie: Cookie, actions: Iterable[Action], ttl: int = 0) -> Flow:
    """The entry about the pair of two domains' numbers.

    :param ttl: seconds that it may be cached, 0 for until it is invalidated.
    """
    terms: Terms = {VNI: vni, SOURCE_DOMAIN: source, DESTINATION_DOMAIN: destination}
    return POLICY.flow(100, terms, actions, cookie, ttl, IDLE_TIMEOUT)
