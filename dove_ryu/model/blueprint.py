"""The blueprint: one document that says all of a virtual network (report, section 3).

From the document of an architect, checked by every rule that needs nothing but the document, comes a
:class:`Blueprint`; from the tables as they stand comes the same, and from a blueprint the document again.  So
``parse(render(tables))`` is the network, and what two blueprints differ in is what an edit does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from dove_ryu.model.addresses import canonical_interface, canonical_ip, canonical_mac, canonical_prefix
from dove_ryu.model.appliances import Appliance
from dove_ryu.model.chains import MOST_ACTIONS
from dove_ryu.model.entities import (
    BUILT_IN_ACTIONS,
    BUILT_IN_KINDS,
    DEFAULT_TTL,
    Gateway,
    Service,
    Verdict,
    policy_name,
)
from dove_ryu.model.pools import able
from dove_ryu.model.qos import Config, Rate, document_of_config, document_of_rate, read_config, read_dscp, read_rate
from dove_ryu.model.reading import Part, Problem
from dove_ryu.model.resolution import judge
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import refuse_contradictions

Plan = TypeVar("Plan")
Document = dict[str, Any]
"""A blueprint as YAML and JSON load it."""

HIGHEST_VNI = (1 << 23) - 1
"""The upper half of the 24 bits is for segment labels."""

HIGHEST_TTL = (1 << 16) - 1
"""OpenFlow's time-outs are 16 bits wide."""


class BlueprintError(ValueError):
    """A blueprint that cannot be.

    :ivar problems: every mistake in it.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class VniTaken(BlueprintError):
    """The VNI that a blueprint asks for is another network's."""


@dataclass(frozen=True, slots=True)
class ActionPlan:
    """An action as the blueprint declares it; see :class:`dove_ryu.model.entities.PolicyAction`."""

    name: str
    kind: str
    appliance: str | None = None
    config: Config = ""


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """A policy as the blueprint says it; see :class:`dove_ryu.model.entities.Policy`."""

    source: str
    destination: str
    actions: tuple[str, ...]
    ttl: int = DEFAULT_TTL
    dscp: int | None = None
    rate: Rate | None = None
    stateful: bool = False

    @property
    def name(self) -> str:
        """Like ``web>app``."""
        return policy_name(self.source, self.destination)


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """An endpoint as the blueprint says it; see :class:`dove_ryu.model.entities.Endpoint`."""

    name: str
    domain: str
    macs: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    guard: bool = True


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A virtual network in plain values, in the order in which the document has them.

    :ivar vni: None for the one that the network has or is given.
    :ivar verdict: what holds for a pair of domains without a policy (F5).
    :ivar verdict_ttl: seconds that this may be cached.
    """

    network: str
    vni: int | None = None
    service: Service = Service.L2
    verdict: Verdict = Verdict.DENY
    verdict_ttl: int = DEFAULT_TTL
    gateways: tuple[Gateway, ...] = ()
    domains: tuple[str, ...] = ()
    actions: tuple[ActionPlan, ...] = ()
    policies: tuple[PolicyPlan, ...] = ()
    endpoints: tuple[EndpointPlan, ...] = ()


def parse(document: object) -> Blueprint:
    """The blueprint that *document*, loaded from YAML or JSON, says.

    :raises BlueprintError: with every problem in it.
    """
    problems: list[Problem] = []
    blueprint = _Reader().blueprint(Part(document, "", problems))
    if problems or blueprint is None:
        raise BlueprintError(*problems)
    return blueprint


def check_infrastructure(
    blueprint: Blueprint,
    appliances: Mapping[str, Appliance],
    network_of_vni: Callable[[int], NetworkTables | None],
) -> None:
    """See that the provider has what *blueprint*, which is right in itself, asks for.

    :param appliances: those that are registered, by name.
    :param network_of_vni: who has a VNI: :meth:`dove_ryu.model.world.World.network_of_vni`.
    :raises VniTaken: when another network has the VNI.
    :raises BlueprintError: with every action of a policy that has no appliance behind it, or none at work (F6).
    """
    holder = None if blueprint.vni is None else network_of_vni(blueprint.vni)
    if holder is not None and holder.name != blueprint.network:
        message = f"{blueprint.vni} belongs to network '{holder.name}'; leave it out to have one allocated"
        raise VniTaken(Problem("vni", message))
    needing = (action for action in blueprint.actions if action.kind not in BUILT_IN_KINDS)
    lacks = {action.name: _lack(action, appliances) for action in needing}
    lacking = {name: lack for name, lack in lacks.items() if lack}
    problems = [
        Problem(f"policies[{index}].actions[{position}]", lacking[name])
        for index, policy in enumerate(blueprint.policies)
        for position, name in enumerate(policy.actions)
        if name in lacking
    ]
    if problems:
        raise BlueprintError(*problems)


def _lack(action: ActionPlan, appliances: Mapping[str, Appliance]) -> str:
    """What an action lacks, and what to do about it; empty for nothing."""
    appliance = appliances.get(action.appliance or "")
    if action.appliance is None:
        need = f"an appliance for '{action.kind}' and names none; name one that is registered"
    elif appliance is None:
        need = f"appliance '{action.appliance}', which is not registered; register it"
    elif not appliance.tap and not able(appliance):
        need = f"appliance '{action.appliance}', of which no instance takes packets; give it one with a weight"
    else:
        return ""
    return f"action '{action.name}' needs {need} or use accept or deny"


def blueprint_of(tables: NetworkTables) -> Blueprint:
    """The blueprint of a network as it stands, in the order in which its parts came to be."""
    network = tables.network
    assert network is not None, f"network '{tables.name}' exists"
    default = tables.policies.get(policy_name(None, None))
    verdict, _ = judge(tables, default)
    return Blueprint(
        network.name,
        network.vni,
        network.service,
        verdict,
        DEFAULT_TTL if default is None else default.ttl,
        network.gateways,
        tuple(each.name for each in sorted(tables.domains.values(), key=_number)),
        tuple(
            ActionPlan(each.name, each.kind, each.appliance, each.config)
            for each in sorted(tables.actions.values(), key=_number)
        ),
        tuple(
            PolicyPlan(each.source, each.destination, each.actions, each.ttl, each.dscp, each.rate, each.stateful)
            for each in sorted(tables.policies.values(), key=_number)
            if each.source is not None and each.destination is not None
        ),
        tuple(
            EndpointPlan(each.name, each.domain, each.macs, each.ips, each.guard)
            for each in sorted(tables.declared.values(), key=_number)
        ),
    )


def _number(entity: Any) -> int:
    number: int = entity.number
    return number


def render(tables: NetworkTables) -> Document:
    """The document of a network as it stands: :func:`parse` makes the same blueprint of it."""
    return document_of_blueprint(blueprint_of(tables))


def document_of_blueprint(blueprint: Blueprint) -> Document:
    """*blueprint* as a document with every field written out; the VNI is left out where there is none yet."""
    verdict: object = blueprint.verdict.value
    if blueprint.verdict_ttl != DEFAULT_TTL:
        verdict = {"verdict": verdict, "ttl": blueprint.verdict_ttl}
    return {
        "network": blueprint.network,
        **({} if blueprint.vni is None else {"vni": blueprint.vni}),
        "service": blueprint.service.value,
        "default_policy": verdict,
        "gateways": [{"mac": each.mac, "ips": list(each.addresses)} for each in blueprint.gateways],
        "domains": list(blueprint.domains),
        "actions": [
            {
                "name": each.name,
                "kind": each.kind,
                "appliance": each.appliance,
                "config": document_of_config(each.config),
            }
            for each in blueprint.actions
        ],
        "policies": [
            {
                "from": each.source,
                "to": each.destination,
                "actions": list(each.actions),
                "ttl": each.ttl,
                "dscp": each.dscp,
                "rate": document_of_rate(each.rate),
                "stateful": each.stateful,
            }
            for each in blueprint.policies
        ],
        "endpoints": [
            {
                "name": each.name,
                "domain": each.domain,
                "macs": list(each.macs),
                "ips": list(each.ips),
                "guard": each.guard,
            }
            for each in blueprint.endpoints
        ],
    }


class _Reader:
    """Reads a document from its top down, remembering what is declared and who claims which address."""

    def __init__(self) -> None:
        self.domains: dict[str, str] = {}
        self.actions: dict[str, str] = dict.fromkeys(BUILT_IN_ACTIONS, "in every network")
        self.kinds: dict[str, str] = {name: name for name in BUILT_IN_ACTIONS}
        self.pairs: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.claims: dict[str, str] = {}
        self.symmetric: list[tuple[Part, PolicyPlan]] = []

    def blueprint(self, document: Part) -> Blueprint | None:
        """The whole document; None where it is no mapping."""
        fields = document.fields(*_FIELDS)
        if fields is None:
            return None
        service = Service(fields["service"].choice(_SERVICES, Service.L2.value))
        if fields["service"].value in (None, Service.L2.value) and fields["gateways"].items():
            fields["gateways"].complain("an l2 network has no router; leave them out or say 'service: l3'")
        verdict, verdict_ttl = _default_policy(fields["default_policy"])
        vni = fields["vni"]
        if isinstance(vni.value, int) and vni.value > HIGHEST_VNI:
            vni.complain(f"{vni.value} is kept for segments of service chains; use a number from 1 to {HIGHEST_VNI}")
            vni = Part(None, vni.place, vni.problems)
        return Blueprint(
            fields["network"].name(),
            vni.number(1, HIGHEST_VNI, 1) if vni else None,
            service,
            verdict,
            verdict_ttl,
            _each(fields["gateways"], self.gateway),
            _each(fields["domains"], self.domain),
            _each(fields["actions"], self.action),
            self.with_reversed(_each(fields["policies"], self.policy)),
            _each(fields["endpoints"], self.endpoint),
        )

    def gateway(self, part: Part) -> Gateway | None:
        fields = part.fields("mac", "ips")
        if fields is None:
            return None
        mac = self._claim(fields["mac"], canonical_mac, part.place)
        if not fields["ips"].items():
            fields["ips"].complain("a gateway needs an address with its subnet's length, like '10.0.0.1/24'")
        interfaces = (self._claim(ip, canonical_interface, part.place) for ip in fields["ips"].items())
        return Gateway(mac, tuple(interfaces))

    def domain(self, part: Part) -> str:
        return _declare(self.domains, part, part.name())

    def action(self, part: Part) -> ActionPlan | None:
        fields = part.fields("name", "kind", "appliance", "config")
        if fields is None:
            return None
        name = _declare(self.actions, fields["name"], fields["name"].name())
        kind = fields["kind"].name()
        appliance = fields["appliance"].name() if fields["appliance"] else None
        if appliance and kind in BUILT_IN_KINDS:
            fields["appliance"].complain(f"an action of kind '{kind}' needs no appliance; leave it out")
        self.kinds.setdefault(name, kind)
        return ActionPlan(name, kind, appliance, read_config(fields["config"], kind))

    def policy(self, part: Part) -> PolicyPlan | None:
        fields = part.fields("from", "to", "actions", "ttl", "dscp", "rate", "stateful", "symmetric")
        if fields is None:
            return None
        source = fields["from"].one_of(self.domains, "domain")
        destination = fields["to"].one_of(self.domains, "domain")
        if source and destination:
            _declare(self.pairs, part, policy_name(source, destination))
        if not fields["actions"].items():
            fields["actions"].complain("a policy needs an action; accept and deny need no declaration")
        if len(fields["actions"].items()) > MOST_ACTIONS:
            fields["actions"].complain(f"a policy has at most {MOST_ACTIONS} actions; leave some out")
        actions = tuple(action.one_of(self.actions, "action") for action in fields["actions"].items())
        refuse_contradictions(fields, actions, self.kinds)
        ttl, dscp = fields["ttl"].number(0, HIGHEST_TTL, DEFAULT_TTL), read_dscp(fields["dscp"])
        rate = read_rate(fields["rate"]) if fields["rate"] else None
        stateful = fields["stateful"].flag(default=False)
        plan = PolicyPlan(source, destination, actions, ttl, dscp, rate, stateful)
        if fields["symmetric"].flag(default=False):
            if stateful:
                fields["stateful"].complain("a symmetric policy lets all packets back already; leave one of them out")
            if source == destination:
                fields["symmetric"].complain("within one domain the policy governs both directions; leave it out")
            self.symmetric.append((part, plan))
        return plan

    def with_reversed(self, plans: tuple[PolicyPlan, ...]) -> tuple[PolicyPlan, ...]:
        """Some policies, and the reverse of those that are symmetric: the other way with the actions in reverse."""
        said = {plan.name: plan for plan in plans}
        for part, plan in self.symmetric:
            back = replace(plan, source=plan.destination, destination=plan.source, actions=plan.actions[::-1])
            if said.setdefault(back.name, back) != back:
                part.complain(f"is symmetric, but '{back.name}' is declared otherwise; leave one of them out")
        return tuple(said.values())

    def endpoint(self, part: Part) -> EndpointPlan | None:
        fields = part.fields("name", "domain", "macs", "ips", "guard")
        if fields is None:
            return None
        name = _declare(self.endpoints, fields["name"], fields["name"].name())
        holder = f"endpoint '{name}'"
        return EndpointPlan(
            name,
            fields["domain"].one_of(self.domains, "domain"),
            tuple(self._claim(mac, canonical_mac, holder) for mac in fields["macs"].items()),
            tuple(self._claim(ip, _canonical_ip_or_prefix, holder) for ip in fields["ips"].items()),
            fields["guard"].flag(default=True),
        )

    def _claim(self, part: Part, canonical: Callable[[object], str], holder: str) -> str:
        """An address that nobody else may have; a gateway's counts without its subnet's length."""
        text = part.address(canonical)
        address = text.partition("/")[0] if canonical is canonical_interface else text
        if address in self.claims:
            part.complain(f"{address} belongs to {self.claims[address]} already")
        elif address:
            self.claims[address] = holder
        return text


def _canonical_ip_or_prefix(text: object) -> str:
    return canonical_prefix(text) if isinstance(text, str) and "/" in text else canonical_ip(text)


def _default_policy(part: Part) -> tuple[Verdict, int]:
    if not isinstance(part.value, Mapping):
        return Verdict(part.choice(_VERDICTS, Verdict.DENY.value)), DEFAULT_TTL
    fields = part.fields("verdict", "ttl")
    assert fields is not None, "it is a mapping"
    verdict = Verdict(fields["verdict"].choice(_VERDICTS, Verdict.DENY.value))
    return verdict, fields["ttl"].number(0, HIGHEST_TTL, DEFAULT_TTL)


def _declare(declared: dict[str, str], part: Part, name: str) -> str:
    """Enter *name* into what is declared of its kind; twice is a problem."""
    if name in declared:
        part.complain(f"'{name}' is declared {declared[name]} already; leave one of them out")
    elif name:
        declared[name] = f"at {part.place}"
    return name


def _each(part: Part, read: Callable[[Part], Plan | None]) -> tuple[Plan, ...]:
    """What *read* makes of each member of a list, those left out that it noted a problem with."""
    return tuple(plan for plan in map(read, part.items()) if plan is not None)


_FIELDS = (
    "network",
    "vni",
    "service",
    "default_policy",
    "gateways",
    "domains",
    "actions",
    "policies",
    "endpoints",
)
_SERVICES = tuple(service.value for service in Service)
_VERDICTS = tuple(verdict.value for verdict in Verdict)
