"""What a host's database says of its dSwitch, and what the DPS wants it to say.

`ovs-scripts/dove-dswitch` writes three things into a host's OVSDB: where the host's tunnels end
(`external_ids:dove-encap-ip` and `dove-encap-type` of the Open_vSwitch row), which bridge is the dSwitch
(known by its datapath id), and which endpoint sits behind an interface (`external_ids:iface-id`, as libvirt,
Nova and OVN write it). `read_host` turns those rows into one immutable `HostView`; every value that it could
not use becomes a sentence that names the row and the remedy. `wishes` is the other direction: the ovsdbapp
commands that are still missing for the bridge to be a dSwitch as the DPS needs it. It compares with what is
there, so a bridge that is right costs no transaction, and one that somebody changes is put right again.

Nothing here does I/O: rows come in, values and commands go out. The connection is ovsdb.py.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dove_ryu.openflow.pipeline import TABLES

# The IDL's rows carry their columns as attributes and no types.
Row = Any
Tables = Mapping[str, Any]
Command = Any

TUNNEL_TYPES = ("geneve", "vxlan")
INIT = "dove-dswitch init --dps tcp:IP:6653"  # as sentences for operators cite it


def tunnel_port(encap_type: str) -> str:
    """The name of the port, and of its interface, that carries all tunnels of one type."""
    return f"dove-{encap_type}"


TUNNEL_PORTS = frozenset(map(tunnel_port, TUNNEL_TYPES))


# ---- the part of the schema that is read and written (RFC 7047, section 3.2) ---------------------

_STRING = {"type": "string"}
_STRING_OR_NONE = {"type": {"key": "string", "min": 0, "max": 1}}
_INTEGER_OR_NONE = {"type": {"key": "integer", "min": 0, "max": 1}}
_STRINGS_BY_NAME = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}

_ROWS_BY_TABLE_NUMBER = {
    "type": {"key": "integer", "value": {"type": "uuid", "refTable": "Flow_Table"}, "min": 0, "max": "unlimited"}
}


def _rows_of(table: str) -> dict[str, Any]:
    return {"type": {"key": {"type": "uuid", "refTable": table}, "min": 0, "max": "unlimited"}}


def schema() -> dict[str, Any]:
    """The Open_vSwitch schema, cut down to the columns that are monitored: a fresh copy for each connection.

    Asking the server for its own schema is usual, but it is a blocking call before each connection, for some
    200 columns of which 19 matter. Those have long had the types below, and the server checks each
    request against its own schema anyway. Interface statistics, which change every five seconds on every
    port, are not among them: a quiet host sends nothing.
    """
    tables: dict[str, Any] = {
        "Open_vSwitch": {"columns": {"external_ids": _STRINGS_BY_NAME}, "maxRows": 1},
        "Bridge": {
            "columns": {
                "name": _STRING,
                "datapath_id": _STRING_OR_NONE,
                "fail_mode": _STRING_OR_NONE,
                "other_config": _STRINGS_BY_NAME,
                "controller": _rows_of("Controller"),
                "flow_tables": _ROWS_BY_TABLE_NUMBER,
                "ports": _rows_of("Port"),
            },
            "indexes": [["name"]],
        },
        "Port": {"columns": {"name": _STRING, "interfaces": _rows_of("Interface")}, "indexes": [["name"]]},
        "Interface": {
            "columns": {
                "name": _STRING,
                "type": _STRING,
                "options": _STRINGS_BY_NAME,
                "external_ids": _STRINGS_BY_NAME,
                "ofport": _INTEGER_OR_NONE,
                "error": _STRING_OR_NONE,
            },
            "indexes": [["name"]],
        },
        "Flow_Table": {"columns": {"name": _STRING_OR_NONE}},
        "Controller": {
            "columns": {
                "controller_rate_limit": _INTEGER_OR_NONE,
                "controller_burst_limit": _INTEGER_OR_NONE,
                "max_backoff": _INTEGER_OR_NONE,
            }
        },
    }
    return {"name": "Open_vSwitch", "version": "7.3.0", "tables": tables}


# ---- what is read --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BoundInterface:
    """An interface that says which endpoint it belongs to, or which instance of an appliance (X15)."""

    name: str
    ofport: int | None  # None until ovs-vswitchd has opened it
    iface_id: str  # NETWORK/NAME, appliance/NAME/INSTANCE, appliance/NAME/INSTANCE/ingress or .../egress
    attached_mac: str | None  # aa:bb:cc:dd:ee:ff


@dataclass(frozen=True, slots=True)
class HostView:
    """All that the DPS learns from one host about one dSwitch, at one moment (F10, F24, F26)."""

    dpid: int
    bridge: str
    encap_ips: tuple[str, ...]  # canonical text, in the host's order of preference
    encap_types: tuple[str, ...]  # of TUNNEL_TYPES, in the host's order of preference
    interfaces: tuple[BoundInterface, ...]  # by name; only those with an iface-id


@dataclass(frozen=True, slots=True)
class Reading:
    """A view, the row it was read from, and what could not be used."""

    view: HostView
    bridge: Row
    problems: tuple[str, ...]
    tunnels: Mapping[str, Row]  # the Interface rows of the tunnel ports that the bridge has, by name
    types_understood: bool  # dove-encap-type was there and held nothing unknown: what it omits is meant to go


class NoBridgeError(LookupError):
    """No bridge, or more than one, has the dSwitch's datapath id; str() says what the database holds."""


def find_bridge(tables: Tables, dpid: int) -> Row:
    """The Bridge row whose datapath id is `dpid`. Raises NoBridgeError."""
    wanted = f"{dpid:016x}"
    bridges = sorted(tables["Bridge"].rows.values(), key=lambda row: row.name)
    found = [row for row in bridges if row.datapath_id == [wanted]]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoBridgeError(
            f"bridges {' and '.join(row.name for row in found)} share the datapath id {wanted};"
            f" give one of them another: ovs-vsctl set Bridge {found[-1].name} other_config:datapath-id=ID"
        )
    present = ", ".join(f"{row.name} ({''.join(row.datapath_id) or 'no datapath id yet'})" for row in bridges)
    raise NoBridgeError(
        f"no bridge has the datapath id {wanted}; there is {present or 'no bridge'}. Make one: {INIT} --encap-ip IP"
    )


def read_host(tables: Tables, dpid: int) -> Reading:
    """What the database says of the dSwitch `dpid`. Raises NoBridgeError."""
    bridge = find_bridge(tables, dpid)
    settings: Mapping[str, str] = next((row.external_ids for row in tables["Open_vSwitch"].rows.values()), {})
    encap_ips, ip_problems = _ENCAP_IP.read(settings, bridge.name)
    encap_types, type_problems = _ENCAP_TYPE.read(settings, bridge.name)
    elsewhere = _tunnels_elsewhere(tables, bridge)
    interfaces = list(_interfaces(bridge))
    bound = tuple(found for interface in interfaces if (found := _bound_interface(interface)))
    carried = tuple(encap_type for encap_type in encap_types if encap_type not in elsewhere)
    problems = (
        *ip_problems,
        *type_problems,
        *(elsewhere[encap_type] for encap_type in encap_types if encap_type in elsewhere),
        *(problem for interface in interfaces for problem in _interface_problems(interface)),
        *_shared_endpoints(bound),
    )
    view = HostView(dpid, bridge.name, encap_ips, carried, bound)
    tunnels = {interface.name: interface.row for interface in interfaces if interface.is_tunnel}
    return Reading(view, bridge, problems, tunnels, types_understood=not type_problems)


@dataclass(frozen=True, slots=True)
class _Setting:
    """A comma-separated list in external_ids of Open_vSwitch."""

    key: str
    option: str  # of dove-dswitch init
    parse: Callable[[str], str]  # text to canonical text, or ValueError

    def read(self, settings: Mapping[str, str], bridge: str) -> tuple[tuple[str, ...], list[str]]:
        """The good values in order, each once, and the problems of the others."""
        remedy = f"{INIT} {self.option} --bridge {bridge}"
        values = [value.strip() for value in settings.get(self.key, "").split(",") if value.strip()]
        if not values:
            return (), [f"Open_vSwitch: external_ids:{self.key} is missing; set it: {remedy}"]
        good: dict[str, None] = {}
        problems = []
        for value in values:
            try:
                good[self.parse(value)] = None
            except ValueError as error:
                problems.append(f"Open_vSwitch: external_ids:{self.key}: {error}; correct it: {remedy}")
        return tuple(good), problems


def _address(value: str) -> str:
    address = ipaddress.ip_address(value)
    if address.is_multicast or address.is_unspecified:
        raise ValueError(f"{value!r} cannot be the end of a tunnel")
    return str(address)


def _encap_type(value: str) -> str:
    if value.lower() not in TUNNEL_TYPES:
        raise ValueError(f"{value!r} is none of {', '.join(TUNNEL_TYPES)}")
    return value.lower()


_ENCAP_IP = _Setting("dove-encap-ip", "--encap-ip IP", _address)
_ENCAP_TYPE = _Setting("dove-encap-type", "--encap-ip IP --encap-type geneve,vxlan", _encap_type)


def _tunnels_elsewhere(tables: Tables, bridge: Row) -> dict[str, str]:
    """The tunnel types whose port another bridge of this host has, each with the problem it makes.

    Port names are unique in a database, and ovs-vswitchd hands each arriving tunnel packet to the one
    flow-based port of its type: tunnels of two dSwitches in one Open vSwitch cannot be told apart.
    """
    return {
        encap_type: (
            f"Port {port.name}: it belongs to bridge {other.name}, so {bridge.name} has no {encap_type}"
            " tunnels; one Open vSwitch carries those of one dSwitch."
            f" Free it: ovs-vsctl del-port {port.name}"
        )
        for other in tables["Bridge"].rows.values()
        if other is not bridge
        for port in other.ports
        for encap_type in TUNNEL_TYPES
        if port.name == tunnel_port(encap_type)
    }


_IFACE_ID = re.compile(r"[^/\s]+/[^/\s]+|appliance/[^/\s]+/[^/\s]+(/ingress|/egress)?")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class _Interface:
    """An interface that concerns us, an endpoint's or a tunnel's, with each column read once.

    The IDL converts a column anew at every access, which is nearly all that reading a large host costs
    (200 endpoints: 5 ms).
    """

    row: Row
    name: str
    is_tunnel: bool
    iface_id: str | None
    attached_mac: str
    ofport: int | None
    error: str


def _interfaces(bridge: Row) -> Iterator[_Interface]:
    rows = {row.name: (port, row) for port in bridge.ports for row in port.interfaces}
    for name, (port, row) in sorted(rows.items()):
        ids = row.external_ids
        # A bond may have swallowed an interface of that name.
        is_tunnel = name in TUNNEL_PORTS and port.name == name
        if is_tunnel or "iface-id" in ids:
            # -1 is how ovs-vswitchd says that it could not open the interface, and then `error` says why.
            ofport = next((number for number in row.ofport if number > 0), None)
            error = "" if ofport else "".join(row.error)
            mac = ids.get("attached-mac", "")
            yield _Interface(row, name, is_tunnel, ids.get("iface-id"), mac, ofport, error)


def _bound_interface(interface: _Interface) -> BoundInterface | None:
    if interface.iface_id is None or not _IFACE_ID.fullmatch(interface.iface_id):
        return None
    mac = interface.attached_mac.lower()
    return BoundInterface(interface.name, interface.ofport, interface.iface_id, mac if _MAC.fullmatch(mac) else None)


def _interface_problems(interface: _Interface) -> Iterator[str]:
    name, iface_id, mac = interface.name, interface.iface_id, interface.attached_mac
    if interface.error:
        yield f"Interface {name}: Open vSwitch cannot open it: {interface.error}"
    if iface_id is not None and not _IFACE_ID.fullmatch(iface_id):
        yield (
            f"Interface {name}: external_ids:iface-id {iface_id!r} names no endpoint and no instance;"
            f" correct it: dove-dswitch attach {name} --endpoint NETWORK/NAME, or --instance APPLIANCE/NAME/ingress"
        )
    if mac and not _MAC.fullmatch(mac.lower()):
        yield (
            f"Interface {name}: external_ids:attached-mac {mac!r} is not aa:bb:cc:dd:ee:ff;"
            f" correct it: ovs-vsctl set Interface {name} 'external_ids:attached-mac=\"MAC\"'"
        )


def _shared_endpoints(interfaces: tuple[BoundInterface, ...]) -> Iterator[str]:
    """An endpoint is behind one interface. Both stay in the view: which is right is not ours to guess."""
    first: dict[str, str] = {}
    for bound in interfaces:
        if (holder := first.setdefault(bound.iface_id, bound.name)) != bound.name:
            yield (
                f"Interface {bound.name}: external_ids:iface-id {bound.iface_id!r} is on {holder} too;"
                f" release one: dove-dswitch detach {bound.name}"
            )


# ---- what is written -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """How many packets a second a dSwitch may send up (X3), 0 for no limit; the bounds are the schema's.

    `burst` is what it may save up while it is quiet and also its queue: beyond it packets are lost.
    """

    rate: int
    burst: int

    def __post_init__(self) -> None:
        if 0 < self.rate < 100 or self.rate < 0 or self.burst < 25:
            raise ValueError(
                f"controller rate limit {self.rate}, burst limit {self.burst}: Open vSwitch takes"
                " no rate below 100 packets a second and no burst below 25 packets"
            )


def wishes(api: Any, reading: Reading, limits: Limits) -> list[Command]:
    """The ovsdbapp commands, of `api`, that make the bridge a dSwitch; empty when it is one."""
    return [
        *_bridge_wishes(api, reading.bridge),
        *_table_wishes(api, reading.bridge),
        *_controller_wishes(api, reading.bridge, limits),
        *_tunnel_wishes(api, reading),
    ]


def _bridge_wishes(api: Any, bridge: Row) -> Iterator[Command]:
    # With `standalone` a dSwitch that loses its DPS would become a learning switch across all networks (F11).
    if bridge.fail_mode != ["secure"]:
        yield api.set_fail_mode(bridge.name, "secure")
    # In-band control puts hidden flows above ours, and lets ARP and DHCP pass beside every policy.
    if bridge.other_config.get("disable-in-band") != "true":
        yield api.db_set("Bridge", bridge.uuid, ("other_config", {"disable-in-band": "true"}))


def _table_wishes(api: Any, bridge: Row) -> Iterator[Command]:
    """Tables bear their names, so that ``ovs-ofctl --names`` shows them to an operator."""
    named = {number: row.name for number, row in bridge.flow_tables.items()}
    if any(named.get(table.number) != [table.name] for table in TABLES):
        rows = {table.number: api.db_create("Flow_Table", name=table.name) for table in TABLES}
        yield from rows.values()
        yield api.db_set("Bridge", bridge.uuid, ("flow_tables", rows))


MAX_BACKOFF = 1000
"""Milliseconds after which Open vSwitch tries again to reach a DPS that was away: the least it takes; it has 8000."""


def _controller_wishes(api: Any, bridge: Row, limits: Limits) -> Iterator[Command]:
    wishes = {
        "controller_rate_limit": [limits.rate] if limits.rate else [],
        "controller_burst_limit": [limits.burst] if limits.rate else [],
        "max_backoff": [MAX_BACKOFF],
    }
    for controller in bridge.controller:
        if any(getattr(controller, column) != value for column, value in wishes.items()):
            yield api.db_set("Controller", controller.uuid, *wishes.items())


def _tunnel_wishes(api: Any, reading: Reading) -> Iterator[Command]:
    """Ports made, put right, and taken away when their type is no longer listed.

    A missing or misspelt dove-encap-type takes nothing away: a slip of the pen must not cut a host off.
    """
    options = tunnel_options(reading.view.encap_ips)
    for encap_type in TUNNEL_TYPES:
        name = tunnel_port(encap_type)
        interface = reading.tunnels.get(name)
        if encap_type not in reading.view.encap_types:
            if interface is not None and reading.types_understood:
                yield api.del_port(name, reading.bridge.name)
        elif interface is None:
            yield api.add_port(reading.bridge.name, name, type=encap_type, options=options)
        # Options that an operator added (tos, dst_port, df_default, ...) are left as they are.
        elif interface.type != encap_type or not options.items() <= interface.options.items():
            yield api.db_set("Interface", interface.uuid, ("type", encap_type), ("options", options))


def tunnel_options(encap_ips: tuple[str, ...]) -> dict[str, str]:
    """`flow`: the flows choose destination and key. UDP over IPv6 must have its checksum (RFC 8200, 8.1)."""
    options = {"remote_ip": "flow", "key": "flow"}
    if any(":" in ip for ip in encap_ips):
        options["csum"] = "true"
    return options
