"""What becomes of packets that a policy lets pass, besides that they pass: marked, limited, logged (F31, X8).

It is done where they are sent, when the policy is decided and before the first appliance, wherever among the actions it
is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dove_ryu.model.entities import Policy
from dove_ryu.model.qos import Mark, Rate
from dove_ryu.model.reading import Part
from dove_ryu.model.tables import NetworkTables


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a policy does to packets with no appliance for it.

    :ivar dscp: the code point that they get; None to leave them theirs.
    :ivar rate: what may be sent; None for all.
    :ivar log: whether it is put on record that, and how much, is sent.
    """

    dscp: int | None = None
    rate: Rate | None = None
    log: bool = False


NOTHING = Treatment()


def treatment(tables: NetworkTables, policy: Policy | None) -> Treatment:
    """What *policy* says in its own fields and by its actions, of which it has one of each kind."""
    if policy is None:
        return NOTHING
    dscp, rate, log = policy.dscp, policy.rate, False
    for action in filter(None, map(tables.action, policy.actions)):
        log = log or action.kind == "log"
        match action.config:
            case Mark():
                dscp = action.config.dscp
            case Rate():
                rate = action.config
    return Treatment(dscp, rate, log)


def rated(tables: NetworkTables) -> Iterator[tuple[Policy, Rate]]:
    """The policies that limit what is sent, by name."""
    limits = {action.name for action in tables.actions.values() if isinstance(action.config, Rate)}
    for name in sorted(tables.policies):
        policy = tables.policies[name]
        if policy.rate is not None or not limits.isdisjoint(policy.actions):
            rate = treatment(tables, policy).rate
            assert rate is not None, "it says so"
            yield policy, rate


def refuse_contradictions(fields: Mapping[str, Part], actions: Sequence[str], kinds: Mapping[str, str]) -> None:
    """Note what a policy, as a blueprint has it, cannot mean.

    :param fields: of the policy.
    :param actions: the names of its actions.
    :param kinds: of all actions, by name.
    """
    places = list(zip(fields["actions"].items(), map(kinds.get, actions), strict=True))
    for kind, field in (("mark", "dscp"), ("rate", "rate")):
        for again in [part for part, each in places if each == kind][0 if fields[field] else 1 :]:
            again.complain(f"a second '{kind}' in one policy; leave one of them out")
    if "deny" not in map(kinds.get, actions):
        return
    spoken = [part for part, kind in places if kind not in ("deny", "log")]
    spoken += [fields[name] for name in ("dscp", "rate") if fields[name]]
    spoken += [fields["stateful"]] if fields["stateful"].value is True else []
    for part in spoken:
        part.complain("of a policy that denies, nothing is left but to log it; leave this out, or the denial")
