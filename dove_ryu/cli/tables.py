"""The tables of ``get``: for each kind, which columns, and how a cell is made of what REST returns.

A cell that has nothing to say holds a dash, so that in a pipe the third word of a line is always the third column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dove_ryu.cli import screen
from dove_ryu.cli.kinds import ACTIONS, APPLIANCES, DOMAINS, DSWITCHES, ENDPOINTS, NETWORKS, POLICIES, Kind

Object = Mapping[str, Any]

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    :ivar cell: makes the cell of an object.
    :ivar wide: whether it is shown with ``-o wide`` only.
    """

    heading: str
    cell: Callable[[Object], str]
    wide: bool = False


def show(kind: Kind, objects: Iterable[Object], wide: bool) -> None:
    """Print the table of some objects of a kind."""
    columns = [column for column in _COLUMNS[kind] if wide or not column.wide]
    screen.table([column.heading for column in columns], _rows(columns, objects), STYLES)


def connections(dswitches: Iterable[Object]) -> None:
    """Print how it stands with the connections to some dSwitches."""
    screen.table([column.heading for column in _CONNECTIONS], _rows(_CONNECTIONS, dswitches), STYLES)


def text(value: Any, nothing: str = NOTHING) -> str:
    """A JSON value in one word."""
    match value:
        case None | "" | []:
            return nothing
        case bool():
            return "yes" if value else "no"
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)


def place(location: Object | None) -> str:
    """``PORT@DPID``, for where an endpoint is, with ``->PORT@DPID`` behind it for where a live migration takes it."""
    if not location:
        return NOTHING
    target = location["migrating_to"]
    onward = f"->{target['port'] or '?'}@{target['dswitch']}" if target else ""
    return f"{location['port']}@{location['dswitch']}{onward}"


def _host(endpoint: Object) -> str:
    """A hosted endpoint, marked while it is still arriving."""
    return f"{endpoint['network']}/{endpoint['name']}{'(arriving)' if endpoint['arriving'] else ''}"


def _instance(instance: Object) -> str:
    """``NAME:INGRESS>EGRESS@DPID``, or one port where there is one, or a dash where it is nowhere.

    Behind it ``(down)`` where it does not work, ``(idle)`` where it gets nothing, ``(drained)`` nothing new.
    """
    seat = instance["seat"]
    idle = "(idle)" if not instance["weight"] else "(drained)" if instance["drain"] else ""
    marks = ("" if instance["health"]["up"] else "(down)", idle)
    place = NOTHING
    if seat:
        ports = dict.fromkeys((seat["ingress"], seat["egress"]))
        place = f"{'>'.join(ports)}@{seat['dswitch']}"
    return f"{instance['name']}:{place}{''.join(marks)}"


def _ailment(instance: Object) -> str:
    """``NAME: why it is down, since when``; empty where it is not."""
    health = instance["health"]
    return "" if health["up"] else f"{instance['name']}: {health['reason']}, since {health['since'] or 'ever'}"


def _probe(probe: Object | None) -> str:
    """What is asked, and how often."""
    if not probe:
        return NOTHING
    asked = f"{probe['kind']}:{probe['address']}" if probe["address"] else probe["kind"]
    return f"{asked}/{probe['interval']:g}s"


def _segment(segment: Object) -> str:
    """``VLAN=NETWORK/POLICY:HOP``: whose packets carry a tag at an appliance."""
    return f"{segment['vlan'] or 'untagged'}={segment['network']}/{segment['policy']}:{segment['hop']}"


def _at(each: Object, path: tuple[str, ...]) -> Any:
    """A field, or a field of a field; None where it is not there."""
    value: Any = each
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _rows(columns: Sequence[Column], objects: Iterable[Object]) -> list[list[str]]:
    return [[column.cell(each) for column in columns] for each in objects]


def _field(heading: str, *path: str, wide: bool = False) -> Column:
    """A column that shows the field at *path*, by default the one that is called like the heading."""
    return Column(heading, lambda each: text(_at(each, path or (heading,))), wide)


STYLES = {
    "live": screen.GOOD,
    "connected": screen.GOOD,
    "allow": screen.GOOD,
    "down": screen.BAD,
    "stale": screen.BAD,
    "closed": screen.BAD,
    "lost": screen.BAD,
    "deny": screen.BAD,
    "connecting": screen.WAITING,
    "reading": screen.WAITING,
    "syncing": screen.WAITING,
    "waiting": screen.WAITING,
    "incomplete": screen.WAITING,
    NOTHING: screen.FAINT,
}
"""How words stand out on a terminal."""

_OPENFLOW = _field("openflow", "connections", "openflow")
_OVSDB = _field("ovsdb", "connections", "ovsdb")
_REASON = _field("reason", "connections", "reason")

_LAG = _field("lag", "connections", "lag")
_OUTSTANDING = _field("outstanding", "connections", "outstanding")

_CONNECTIONS = (_field("dpid"), _field("name"), _OPENFLOW, _LAG, _OUTSTANDING, _OVSDB, _REASON)

_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    NETWORKS: (
        _field("name"),
        _field("vni"),
        _field("service"),
        Column("default", lambda each: _verdict(each["default_policy"])),
        _field("domains", "counts", "domains"),
        _field("policies", "counts", "policies"),
        _field("endpoints", "counts", "endpoints"),
        _field("number", wide=True),
        Column("gateways", lambda each: text([ip for one in each["gateways"] for ip in one["ips"]]), wide=True),
    ),
    DOMAINS: (
        _field("name"),
        Column("endpoints", lambda each: str(len(each["members"]))),
        _field("number", wide=True),
        _field("members", wide=True),
    ),
    ACTIONS: (
        _field("name"),
        _field("kind"),
        _field("appliance"),
        _field("number", wide=True),
        _field("config", wide=True),
    ),
    POLICIES: (
        _field("name"),
        Column("actions", lambda each: text(each.get("actions") or each.get("verdict"))),
        _field("ttl"),
        _field("tracking"),
        _field("number", wide=True),
    ),
    ENDPOINTS: (
        _field("name"),
        _field("domain"),
        _field("macs"),
        _field("ips"),
        Column("location", lambda each: place(each["location"])),
        _field("guard", wide=True),
        Column("learned", lambda each: text([*each["learned"]["macs"], *each["learned"]["ips"]]), wide=True),
        _field("number", wide=True),
    ),
    APPLIANCES: (
        _field("name"),
        _field("kind"),
        _field("sharing"),
        _field("routed"),
        _field("tap", wide=True),
        _field("on_failure", wide=True),
        Column("instances", lambda each: text(list(map(_instance, each["instances"])))),
        Column("segments", lambda each: str(len(each["segments"]))),
        Column("probe", lambda each: _probe(each["probe"]), wide=True),
        Column("down", lambda each: text("; ".join(filter(None, map(_ailment, each["instances"])))), wide=True),
        Column("vlans", lambda each: text(list(map(_segment, each["segments"]))), wide=True),
    ),
    DSWITCHES: (
        _field("dpid"),
        _field("name"),
        _OPENFLOW,
        _LAG,
        _OUTSTANDING,
        _OVSDB,
        _field("tunnels", "encap_types"),
        _field("addresses", "encap_ips"),
        Column("endpoints", lambda each: str(len(each["endpoints"]))),
        _REASON,
        _field("peer", "connections", "peer", wide=True),
        _field("since", "connections", "since", wide=True),
        _field("confirmed", "connections", "confirmed", wide=True),
        _field("requests", "connections", "requests", wide=True),
        _field("changes", "connections", "flow_changes", wide=True),
        _field("registered", wide=True),
        Column("hosts", lambda each: text(list(map(_host, each["endpoints"]))), wide=True),
    ),
}


def _verdict(default: Any) -> str:
    """The verdict of a default policy, which may be written with its time."""
    return text(default["verdict"] if isinstance(default, Mapping) else default)
