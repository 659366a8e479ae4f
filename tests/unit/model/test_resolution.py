"""Policy resolution against an oracle that reads like section 4.2.2 of the report: scans over plain lists."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.model.addresses import is_mac
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.entities import Endpoint, Entity, Learned, Location, Policy, PolicyAction, Segment
from dove_ryu.model.facts import Change
from dove_ryu.model.resolution import Outcome, PolicyReply, PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables

from .worlds import DOMAINS, IPS, MACS, appliances, contents_of, world_of

destinations = st.sampled_from((*MACS, *IPS, "10.0.0.77", "172.16.0.1", "fd00::77"))
requests = st.builds(PolicyRequest, st.sampled_from(DOMAINS), destinations)


def addresses_of(endpoint, content) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses that the Endpoint table has, or else those that dSwitches collected."""
    macs, ips = endpoint.macs, endpoint.ips
    for entry in content:
        if isinstance(entry, Learned) and entry.endpoint == endpoint.name:
            macs, ips = macs or entry.macs, ips or entry.ips
    return macs, ips


def specificity(endpoint, content, address: str) -> int:
    """How closely an endpoint has an address: 129 for its own, a prefix's length, -1 for not at all."""
    macs, ips = addresses_of(endpoint, content)
    if address in (*macs, *ips):
        return 129
    if is_mac(address):
        return -1
    number = ipaddress.ip_address(address)
    around = [ipaddress.ip_network(ip) for ip in ips if "/" in ip]
    return max((each.prefixlen for each in around if number in each), default=-1)


def by_the_report(content, source: str, address: str):
    """Outcome, destination endpoint, policy, location and path."""
    # "First, the DPS uses the Endpoint table to resolve the destination endpoint location ..."
    ranked = sorted(
        (-specificity(entry, content, address), entry.name, entry)
        for entry in content
        if isinstance(entry, Endpoint) and specificity(entry, content, address) >= 0
    )
    if not ranked:
        return Outcome.UNKNOWN, None, None, None, ()
    endpoint = ranked[0][2].name
    location = next((each for each in content if isinstance(each, Location) and each.endpoint == endpoint), None)
    # "Using the same entry ... the DPS obtains the policy domain of the destination endpoint."
    domain = ranked[0][2].domain
    # "Then, using the source policy domain ... and the destination policy domain, the DPS locates the policy"
    policies = [each for each in content if isinstance(each, Policy)]
    explicit = [each for each in policies if (each.source, each.destination) == (source, domain)]
    default = [each for each in policies if each.source is None]
    policy = (explicit + default + [None])[0]
    # "The path control information is determined according to the Action field and the Policy Action table"
    declared = {each.name: (each.kind, each) for each in content if isinstance(each, PolicyAction)}
    known = {"accept": ("accept", None), "deny": ("deny", None), "log": ("log", None)} | declared
    steps = [known.get(name, ("deny", None)) for name in policy.actions] if policy else [("deny", None)]
    if "deny" in [kind for kind, _ in steps]:
        return Outcome.DENIED, endpoint, policy, location, ()
    if not backed(content, policy):
        return Outcome.DENIED, endpoint, policy, location, ()
    if location is None:
        return Outcome.UNLOCATED, endpoint, policy, None, ()
    return Outcome.ALLOWED, endpoint, policy, location, tuple(action for kind, action in steps if kind == "firewall")


def backed(content, policy) -> bool:
    """Whether each action that needs an appliance has one behind it, on a segment that is told there from others."""
    declared = {each.name: each for each in content if isinstance(each, PolicyAction)}
    appliances = {each.name: each for each in content if isinstance(each, Appliance)}
    segments = {(each.policy, each.hop): each for each in content if isinstance(each, Segment)}
    led = [declared[name] for name in policy.actions if name in declared and declared[name].kind == "firewall"]
    for hop, action in enumerate(led, 1):
        appliance, segment = appliances.get(action.appliance or ""), segments.get((policy.name, hop))
        if appliance is None or segment is None or segment.appliance != appliance.name:
            return False
        if (appliance.sharing.value == "vlan") != (segment.vlan > 0) or not any(i.weight for i in appliance.instances):
            return False
    return True


@given(contents_of("blue"), st.lists(appliances, max_size=3), requests)
def test_every_reply_is_what_the_report_says(content, infrastructure, request) -> None:
    content = [*content, *infrastructure]
    tables = world_of([Change.put(entry) for entry in content]).tables.get("blue") or NetworkTables("blue")
    reply = resolve(tables, request)
    outcome, endpoint, policy, location, path = by_the_report(content, request.source_domain, request.destination)
    assert (reply.outcome, reply.policy, reply.location) == (outcome, policy, location)
    assert reply.path == path
    assert (None if reply.endpoint is None else reply.endpoint.name) == endpoint
    assert reply.expiry == (0 if policy is None else policy.ttl)
    assert reply.reason


def web() -> NetworkTables:
    """Two endpoints in two domains, one of them nowhere."""
    content: list[Entity] = [
        PolicyAction("web", "fw", 1, "firewall", "FW-1"),
        Appliance("FW-1", "firewall", (Instance("one", 0xD1, "in", "out"),)),
        Segment("web", "lb>app", 1, 0x800000, "FW-1", 1),
        Policy("web", "lb", "app", 2, ("fw", "accept"), ttl=200, tracking=137),
        Policy("web", "app", "app", 3, ("lost",)),
        Policy("web", "db", "app", 4, ("deny",)),
        Endpoint("web", "ws1", 5, "app", (), ("10.0.0.1",)),
        Endpoint("web", "ws2", 6, "app", (), ("10.0.0.2",)),
        Location("web", "ws1", 0xD0, "tap0"),
    ]
    return world_of([Change.put(entry) for entry in content]).tables["web"]


def reply(source: str, destination: str) -> PolicyReply:
    return resolve(web(), PolicyRequest(source, destination))


def test_reasons_name_the_entities() -> None:
    policy = "'lb' to 'app': policy 'lb>app' (tracking 137) allows"
    assert reply("lb", "10.0.0.1").reason == f"{policy}; 'ws1' is at port tap0 of dSwitch 00000000000000d0"
    assert reply("lb", "10.0.0.2").reason == f"{policy}, but endpoint 'ws2' is not attached to any dSwitch"
    assert reply("lb", "10.0.0.3").reason == "no endpoint of network 'web' has 10.0.0.3"
    assert reply("db", "10.0.0.1").reason == "'db' to 'app': policy 'db>app' (tracking 1) denies"
    assert reply("ext", "10.0.0.1").reason == "'ext' to 'app': neither a policy nor a default policy is there"
    undeclared = "'app' to 'app': policy 'app>app' (tracking 1) has an action 'lost' that is not declared"
    assert reply("app", "10.0.0.1").reason == undeclared


def test_one_reply_carries_location_path_tracking_number_and_expiry() -> None:
    """F35, and with it the new location that an invalidation will carry (F20)."""
    answer = reply("lb", "10.0.0.1")
    assert answer.policy is not None
    assert answer.location == Location("web", "ws1", 0xD0, "tap0")
    assert [action.appliance for action in answer.path] == ["FW-1"]
    assert (answer.policy.tracking, answer.expiry) == (137, 200)
