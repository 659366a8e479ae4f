"""Policy resolution: from a policy request to the policy reply (report, section 4.2.2).

The destination's virtual address leads to its endpoint, the endpoint to its location and its domain, the two
domains to the policy, the policy's actions to the path.  This plain form is the oracle for any faster one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dove_ryu.model.chains import chain, path
from dove_ryu.model.entities import Endpoint, Location, Policy, PolicyAction, Verdict, dpid_text, policy_name
from dove_ryu.model.tables import NetworkTables


class Outcome(enum.Enum):
    """How a request ends."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"
    UNLOCATED = "unlocated"


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What a dSwitch asks: may packets of this domain go to this address, and where is it?

    :ivar source_domain: the name of the sender's domain.
    :ivar destination: a MAC or IP address.
    """

    source_domain: str
    destination: str


@dataclass(frozen=True, slots=True)
class PolicyReply:
    """What the DPS answers (F35): location, path, tracking number and expiry in one.

    :ivar reason: why, in a sentence that names the entities.
    :ivar endpoint: who has the destination address; None when nobody has.
    :ivar policy: what governs the pair, with its tracking number and TTL; None when there is no pair.
    :ivar location: where the endpoint is; None when it is nowhere.
    :ivar path: the actions with an appliance behind them, in the order in which packets pass them.
    :ivar replies: whether nothing but replies may pass, by *policy*, which is then that of the other direction (X7).
    """

    outcome: Outcome
    reason: str
    endpoint: Endpoint | None = None
    policy: Policy | None = None
    location: Location | None = None
    path: tuple[PolicyAction, ...] = ()
    replies: bool = False

    @property
    def expiry(self) -> int:
        """Seconds the reply may be cached, 0 for until invalidated (F21)."""
        return 0 if self.policy is None else self.policy.ttl


def resolve(tables: NetworkTables, request: PolicyRequest) -> PolicyReply:
    """The reply to *request* in the network of *tables*."""
    endpoint = tables.owner(request.destination)
    if endpoint is None:
        return PolicyReply(Outcome.UNKNOWN, f"no endpoint of network '{tables.name}' has {request.destination}")
    policy = tables.policy(request.source_domain, endpoint.domain)
    location = tables.locations.get(endpoint.name)
    verdict, why = judge(tables, policy)
    pair = f"'{request.source_domain}' to '{endpoint.domain}'"
    answered = answerable(tables, request.source_domain, endpoint.domain) if verdict is Verdict.DENY else None
    if answered is not None:
        policy, why = answered, f"{why}, but replies pass by the stateful policy '{answered.name}'"
    elif verdict is Verdict.DENY:
        return PolicyReply(Outcome.DENIED, f"{pair}: {why}", endpoint, policy, location)
    if location is None:
        reason = f"{pair}: {why}, but endpoint '{endpoint.name}' is not attached to any dSwitch"
        return PolicyReply(Outcome.UNLOCATED, reason, endpoint, policy, replies=answered is not None)
    reason = f"{pair}: {why}; '{endpoint.name}' is at port {location.port} of dSwitch {dpid_text(location.dpid)}"
    led = path(tables, policy) if answered is None else ()
    return PolicyReply(Outcome.ALLOWED, reason, endpoint, policy, location, led, answered is not None)


def answerable(tables: NetworkTables, source: str, destination: str) -> Policy | None:
    """The stateful policy by which a domain that may not send to another may answer it (X7)."""
    policy = tables.policies.get(policy_name(destination, source))
    if policy is None or not policy.stateful or tables.network is None or not tables.network.zone:
        return None
    return policy if judge(tables, policy)[0] is Verdict.ALLOW else None


def judge(tables: NetworkTables, policy: Policy | None) -> tuple[Verdict, str]:
    """Whether *policy* lets packets pass, and why; what cannot be enforced is denied."""
    if policy is None:
        return Verdict.DENY, "neither a policy nor a default policy is there"
    said = f"policy '{policy.name}' (tracking {policy.tracking})"
    for name in policy.actions:
        action = tables.action(name)
        if action is None:
            return Verdict.DENY, f"{said} has an action '{name}' that is not declared"
        if action.kind == "deny":
            return Verdict.DENY, f"{said} denies"
    hops = chain(tables, policy)
    if isinstance(hops, str):
        return Verdict.DENY, f"{said} {hops}"
    return Verdict.ALLOW, f"{said} allows"
