"""The application of the report's figures 1 and 4, loaded from a blueprint and shown as its tables 1 to 4.

The expected rows are the report's visible ones, in the report's order.  Where they are spelled otherwise: names
have no blanks, and the External endpoint stands for everyone, which is 0.0.0.0/0.
"""

from collections.abc import Mapping

import pytest
import yaml

from dove_ryu.model.amendment import Numbers, amend
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.blueprint import check_infrastructure, parse, render
from dove_ryu.model.documents import change_of, document_of, key_of
from dove_ryu.model.edits import with_object
from dove_ryu.model.entities import DSwitch, Entity, Location
from dove_ryu.model.facts import Change
from dove_ryu.model.resolution import Outcome, PolicyRequest, resolve
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.world import World

from .worlds import Numbered

FIGURE_1 = """
network: figure1
service: l3
default_policy: deny
domains: [External, Load-Balancer, Application, Database]
actions:
  - {name: FW-1, kind: firewall, appliance: FW-1}
  - {name: SSL, kind: ssl-acceleration, appliance: SSL}
  - {name: Compression, kind: compression, appliance: Compression}
policies:
  - {from: External, to: Load-Balancer, actions: [FW-1]}
  - {from: Load-Balancer, to: External, actions: [FW-1]}
  - {from: Load-Balancer, to: Application, actions: [SSL], ttl: 200}
  - {from: Application, to: Load-Balancer, actions: [SSL], ttl: 200}
  - {from: Application, to: Database, actions: [Compression]}
  - {from: Database, to: Application, actions: [Compression]}
  - {from: Application, to: Application, actions: [accept]}
  - {from: Database, to: Database, actions: [accept]}
endpoints:
  - {name: Ext., domain: External, ips: [0.0.0.0/0]}
  - {name: LB, domain: Load-Balancer, ips: [9.2.10.34]}
  - {name: WS1, domain: Application, ips: [9.2.10.26]}
  - {name: WS2, domain: Application}
  - {name: WS3, domain: Application}
  - {name: DB1, domain: Database}
"""
APPLIANCES = tuple(
    Appliance(name, "appliance", (Instance(ip, 5, "in", "out"),))
    for name, ip in (("FW-1", "9.2.5.1"), ("SSL", "9.2.5.4"), ("Compression", "9.2.4.3"))
)
"""Each in one place, which is called by its address."""

SERVERS = {"Ext.": 1, "LB": 2, "WS1": 3, "WS2": 2, "WS3": 4, "DB1": 4}
"""The last number of the physical IP address of who hosts each endpoint (figure 4)."""

TABLE_1 = """
Unique ID | Name          | Member List
D-1       | External      | E-1
D-2       | Load-Balancer | E-2
D-3       | Application   | E-3, E-4, E-5
D-4       | Database      | E-6
"""
TABLE_2 = """
Unique ID | Source  | Destination | Tracking Number | Caching | Action
P-1       | D-1     | D-2         | 1               | 300     | A-1
P-3       | D-2     | D-3         | 137             | 200     | A-2
P-6       | D-4     | D-3         | 1               | 300     | A-3
P-9       | Default |             | 1               | 300     | A-4
"""
TABLE_3 = """
Unique ID | Name | Policy Domain | Physical IP | Virtual IP
E-1       | Ext. | D-1           | 10.0.0.1    | 0.0.0.0/0
E-2       | LB   | D-2           | 10.0.0.2    | 9.2.10.34
E-3       | WS1  | D-3           | 10.0.0.3    | 9.2.10.26
E-6       | DB1  | D-4           | 10.0.0.4    | N/A
"""
TABLE_4 = """
Unique ID | Name        | Physical Location
A-1       | FW-1        | 9.2.5.1
A-2       | SSL         | 9.2.5.4
A-3       | Compression | 9.2.4.3
A-4       | deny        | N/A
A-5       | accept      | N/A
"""

Rows = list[tuple[str, ...]]


@pytest.fixture
def world() -> World:
    """Figure 4: the application of figure 1 on three servers and the edge."""
    blueprint = parse(yaml.safe_load(FIGURE_1))
    world = World()
    registered = {appliance.name: appliance for appliance in APPLIANCES}
    check_infrastructure(blueprint, registered, world.network_of_vni)
    infrastructure: list[Entity] = [
        *APPLIANCES,
        *(DSwitch(number, encap_ips=(f"10.0.0.{number}",)) for number in range(1, 5)),
        *(Location("figure1", name, number, name) for name, number in SERVERS.items()),
    ]
    for change in [*amend(None, blueprint, Numbers(), registered), *map(Change.put, infrastructure)]:
        world.apply(change)
    updated_often(world, "Load-Balancer>Application", 137)
    return world


def updated_often(world: World, policy: str, tracking: int) -> None:
    """As if the store had this policy from long use."""
    stored = world.tables["figure1"].policies[policy]
    change = change_of(key_of(stored), {**document_of(stored), "tracking": tracking})
    assert change is not None
    world.apply(change)


def ids(letter: str, table: Mapping[str, Numbered]) -> dict[str, str]:
    """The report's unique IDs: by kind, in the order in which they came to be."""
    ordered = sorted(table.values(), key=lambda entity: entity.number)
    return {entity.name: f"{letter}-{rank}" for rank, entity in enumerate(ordered, start=1)}


class Tables:
    """The report's tables of a network, row by row."""

    def __init__(self, world: World, tables: NetworkTables) -> None:
        self.world, self.tables = world, tables
        self.domains, self.endpoints = ids("D", tables.domains), ids("E", tables.endpoints)
        self.actions = ids("A", tables.actions)
        for name in ("deny", "accept"):
            self.actions[name] = f"A-{len(self.actions) + 1}"

    def table_1(self) -> Rows:
        members = {
            domain: [self.endpoints[each.name] for each in self.tables.endpoints.values() if each.domain == domain]
            for domain in self.domains
        }
        rows = [(unique, name, ", ".join(sorted(members[name]))) for name, unique in self.domains.items()]
        return [("Unique ID", "Name", "Member List"), *rows]

    def table_2(self) -> Rows:
        head = ("Unique ID", "Source", "Destination", "Tracking Number", "Caching", "Action")
        return [head, *(self.policy(name, unique) for name, unique in ids("P", self.tables.policies).items())]

    def policy(self, name: str, unique: str) -> tuple[str, ...]:
        policy = self.tables.policies[name]
        pair = ("Default", "")
        if policy.source is not None and policy.destination is not None:
            pair = (self.domains[policy.source], self.domains[policy.destination])
        actions = ", ".join(self.actions[action] for action in policy.actions)
        return (unique, *pair, str(policy.tracking), str(policy.ttl), actions)

    def table_3(self) -> Rows:
        head = ("Unique ID", "Name", "Policy Domain", "Physical IP", "Virtual IP")
        return [head, *(self.endpoint(name, unique) for name, unique in self.endpoints.items())]

    def endpoint(self, name: str, unique: str) -> tuple[str, ...]:
        endpoint = self.tables.endpoints[name]
        host = self.world.dswitches[self.tables.locations[name].dpid]
        virtual = ", ".join(endpoint.ips) or "N/A"
        return (unique, name, self.domains[endpoint.domain], host.encap_ips[0], virtual)

    def table_4(self) -> Rows:
        head = ("Unique ID", "Name", "Physical Location")
        return [head, *((unique, name, self.place(name)) for name, unique in self.actions.items())]

    def place(self, name: str) -> str:
        action = self.tables.action(name)
        appliance = None if action is None else self.world.appliances.get(action.appliance or "")
        return "N/A" if appliance is None else appliance.instances[0].name


def visible(rows: Rows, golden: str) -> str:
    """Rows as text, those of them that the report shows."""
    shown = {line.partition("|")[0].strip() for line in golden.splitlines()}
    rows = [row for row in rows if row[0] in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (" | ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_tables_of_the_report(world: World, number: int) -> None:
    tables = Tables(world, world.tables["figure1"])
    golden = (TABLE_1, TABLE_2, TABLE_3, TABLE_4)[number - 1]
    rows = (tables.table_1, tables.table_2, tables.table_3, tables.table_4)[number - 1]()
    assert visible(rows, golden) == golden


def test_a_request_of_the_load_balancer_is_resolved_as_section_4_2_2_says(world: World) -> None:
    reply = resolve(world.tables["figure1"], PolicyRequest("Load-Balancer", "9.2.10.26"))
    assert reply.outcome is Outcome.ALLOWED
    assert reply.location is not None
    assert world.dswitches[reply.location.dpid].encap_ips == ("10.0.0.3",)
    assert [world.appliances[action.appliance or ""].instances[0].name for action in reply.path] == ["9.2.5.4"]
    assert reply.policy is not None
    assert (reply.policy.tracking, reply.expiry) == (137, 200)


def test_any_other_address_is_external_and_the_default_policy_denies(world: World) -> None:
    tables = world.tables["figure1"]
    outside = resolve(tables, PolicyRequest("Load-Balancer", "198.51.100.9"))
    assert outside.endpoint is not None
    assert (outside.outcome, outside.endpoint.name) == (Outcome.ALLOWED, "Ext.")
    denied = resolve(tables, PolicyRequest("Database", "198.51.100.9"))
    assert denied.policy is not None
    assert (denied.outcome, denied.policy.name) == (Outcome.DENIED, "default")


def test_the_next_update_of_the_policy_is_number_138(world: World) -> None:
    tables = world.tables["figure1"]
    document = with_object(render(tables), "policies", "Load-Balancer>Application", {"actions": ["SSL"], "ttl": 100})
    (change,) = amend(tables, parse(document), Numbers({"next_number": 1000}), world.appliances)
    world.apply(change)
    policy = tables.policies["Load-Balancer>Application"]
    assert (policy.ttl, policy.tracking) == (100, 138)
