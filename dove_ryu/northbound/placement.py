"""Where endpoints are and how dSwitches are reached, said by hand where no OVSDB says it (F24).

A location has a key of its own and no part in its network's version: an endpoint that moves spoils nobody's edit.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from dove_ryu.dps import Dps
from dove_ryu.model.addresses import canonical_ip
from dove_ryu.model.appliances import Appliance
from dove_ryu.model.blueprint import BlueprintError
from dove_ryu.model.documents import Document, document_of, key_of
from dove_ryu.model.entities import DSwitch, Encapsulation, Location, Place, dpid_text
from dove_ryu.model.reading import Part, Problem
from dove_ryu.northbound.drafts import version_of
from dove_ryu.northbound.interface import Service, settle
from dove_ryu.northbound.missing import member_key, no_object
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.versions import Precondition
from dove_ryu.store import ABSENT

_DPID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")
PORT_NAME = re.compile(r"[^\s/]{1,63}")
_OVSDB = re.compile(r"(?:tcp|ssl):(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(\d{1,5})")


def dpid_of(text: object) -> int | None:
    """The datapath id that *text*, hexadecimal digits, says; None where it says none."""
    digits = _DPID.fullmatch(text) if isinstance(text, str) else None
    return int(digits[1], 16) or None if digits else None


def location_key(network: str, endpoint: str) -> str:
    """The key of an endpoint's location."""
    return key_of(Location(network, endpoint, 0, ""))


class Placement:
    """Carries out what is said by hand about the infrastructure."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store
        self._placing = threading.Lock()

    def put_location(self, network: str, endpoint: str, value: object, precondition: Precondition) -> bool:
        """Say where an endpoint is; whether nobody had said so before.

        :raises BlueprintError: for what is no location.
        :raises Refusal: where there is no such endpoint, or another one is at that port.
        """
        here, target = _read_location(value)
        wanted = Location(network, endpoint, here.dpid, here.port, migrating_to=target)

        def attempt() -> tuple[int, bool]:
            endpoint_version = self._endpoint_version(network, endpoint)
            item = self._store.get(key_of(wanted))
            version = version_of(item)
            precondition.check(f"location of '{endpoint}'", version)
            for place in wanted.places:
                occupant = self._service.ask(partial(_occupant, wanted=wanted, place=place))
                if occupant:
                    raise _occupied(place, occupant)
            document = _moved(None if item is None else item.document, wanted)
            if item is not None and document == item.document:
                return version, False
            expect = {key_of(wanted): version, member_key(network, "endpoints", endpoint): endpoint_version}
            return self._store.commit({key_of(wanted): document}, expect=expect), item is None

        # One at a time: no key guards a port, and the next one must see in the world who has it now.
        with self._placing:
            return settle(self._service, attempt)

    def delete_location(self, network: str, endpoint: str, precondition: Precondition) -> None:
        """Say that an endpoint is nowhere.

        :raises Refusal: where there is no such endpoint, or it is nowhere already.
        """
        key = location_key(network, endpoint)

        def attempt() -> tuple[int, None]:
            self._endpoint_version(network, endpoint)
            item = self._store.get(key)
            if item is None:
                raise Refusal(404, f"endpoint '{endpoint}' of network '{network}' has no location")
            precondition.check(f"location of '{endpoint}'", item.version)
            return self._store.commit(deletes=[key], expect={key: item.version}), None

        settle(self._service, attempt)

    def put_dswitch(self, dpid: int, value: object, precondition: Precondition) -> bool:
        """Register a dSwitch; whether it is new.

        :raises BlueprintError: for what cannot be.
        """
        wanted = _read_dswitch(dpid, value)
        key = key_of(wanted)

        def attempt() -> tuple[int, bool]:
            item = self._store.get(key)
            version = version_of(item)
            precondition.check(f"dSwitch {dpid_text(dpid)}", version)
            if item is not None and item.document == document_of(wanted):
                return version, False
            return self._store.commit({key: document_of(wanted)}, expect={key: version}), version == ABSENT

        return settle(self._service, attempt)

    def delete_dswitch(self, dpid: int, precondition: Precondition) -> None:
        """Forget a dSwitch's registration.

        :raises Refusal: where it is not registered, or endpoints are located or appliances' instances fixed there.
        """
        key = key_of(DSwitch(dpid))

        def attempt() -> tuple[int, None]:
            item = self._store.get(key)
            if item is None:
                raise Refusal(404, f"dSwitch {dpid_text(dpid)} is not registered")
            precondition.check(f"dSwitch {dpid_text(dpid)}", item.version)
            names = self._service.ask(
                lambda dps: [f"{place.network}/{place.endpoint}" for place in places_at(dps, dpid)]
            )
            if names:
                raise Refusal(409, f"endpoints are located there: {_some(names)}; move them first")
            fixed = self._service.ask(partial(_fixed_at, dpid=dpid))
            if fixed:
                raise Refusal(
                    409, f"appliances have instances there: {_some(fixed)}; register them elsewhere, or without, first"
                )
            return self._store.commit(deletes=[key], expect={key: item.version}), None

        settle(self._service, attempt)

    def _endpoint_version(self, network: str, endpoint: str) -> int:
        item = self._store.get(member_key(network, "endpoints", endpoint))
        if item is None:
            raise no_object(self._service, network, "endpoints", endpoint)
        return item.version


def _moved(before: Document | None, wanted: Location) -> Document:
    """The document of a location that was *before*; its tracking number rises when it moves.

    The end of a live migration is what whoever told of its beginning will tell of too: iface-ids, or nobody but us.
    """
    document = document_of(wanted)
    if before is None:
        return document
    if (before["dpid"], before["port"]) == (document["dpid"], document["port"]):
        return {**before, "migrating_to": document["migrating_to"]}
    tracking = before["tracking"] + 1
    if before.get("migrating_to") == {"dpid": document["dpid"], "port": document["port"]}:
        return {**document, "tracking": tracking, "observed": before["observed"]}
    return {**document, "tracking": tracking}


def places_at(dps: Dps, dpid: int) -> Iterator[Location]:
    """The locations of endpoints at a dSwitch, by network and name."""
    for tables in dps.world.hosted(dpid):
        yield from (tables.locations[name] for name in tables.hosted[dpid] if name in tables.declared)


def _occupant(dps: Dps, wanted: Location, place: Place) -> str:
    """Who else is at that very port, one of those where an endpoint is *wanted*; empty for nobody."""
    for other in places_at(dps, place.dpid):
        itself = (other.network, other.endpoint) == (wanted.network, wanted.endpoint)
        if not itself and place.port and other.port_at(place.dpid) == place.port:
            return f"endpoint '{other.network}/{other.endpoint}' is; delete or change that location first"
    for name, appliance in dps.world.appliances.items():
        if place in ports_of(dps, appliance):
            return f"appliance '{name}' is; use another port, or change the appliance first"
    return ""


def _fixed_at(dps: Dps, dpid: int) -> list[str]:
    """The instances that are declared to be at a dSwitch."""
    return [
        f"{name}/{instance.name}"
        for name, appliance in sorted(dps.world.appliances.items())
        for instance in appliance.instances
        if instance.dpid == dpid
    ]


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def ports_of(dps: Dps, appliance: Appliance) -> Iterator[Place]:
    """The ports of all instances of an appliance that are somewhere, each instance's once."""
    for seat in dps.world.provider.seats_of(appliance):
        for port in dict.fromkeys((seat.ingress, seat.egress)):
            yield Place(seat.dpid, port)


def _occupied(place: Place, occupant: str) -> Refusal:
    return Refusal(409, f"port {place.port} of dSwitch {dpid_text(place.dpid)} is where {occupant}")


def _read_location(value: object) -> tuple[Place, Place | None]:
    """Where an endpoint is, and where a live migration takes it."""
    problems: list[Problem] = []
    fields = Part(value, "", problems).fields("dswitch", "port", "migrating_to", "tracking", "observed")
    here, target = None, None
    if fields is not None:
        here = _read_place(fields)
        if fields["migrating_to"].value is not None:
            there = fields["migrating_to"].fields("dswitch", "port")
            target = None if there is None else _read_place(there, port_known=there["port"].value not in (None, ""))
        if here is not None and target is not None and here.dpid == target.dpid:
            fields["migrating_to"].complain("is the dSwitch where the endpoint is; name another, or null to end it")
    if problems or here is None:
        raise BlueprintError(*problems)
    return here, target


def _read_place(fields: Mapping[str, Part], port_known: bool = True) -> Place | None:
    """A port of a dSwitch; without a port where the port's own iface-id is to say it."""
    dpid = dpid_of(fields["dswitch"].value)
    if dpid is None:
        fields["dswitch"].complain("must be a datapath id: up to 16 hexadecimal digits in quotes, not all zero")
    port = fields["port"].text(default="")
    if port_known and not PORT_NAME.fullmatch(port):
        fields["port"].complain("must be the name of a port, without spaces and '/'")
    return None if dpid is None else Place(dpid, port)


def _read_dswitch(dpid: int, value: object) -> DSwitch:
    problems: list[Problem] = []
    fields = Part(value, "", problems).fields("name", "encap_ips", "encap_types", "ovsdb", *_OBSERVED_FIELDS)
    if fields is None:
        raise BlueprintError(*problems)
    if fields["dpid"] and dpid_of(fields["dpid"].value) != dpid:
        fields["dpid"].complain(f"is not '{dpid_text(dpid)}', which is put here; leave it out")
    name = fields["name"].name() if fields["name"].value not in (None, "") else ""
    ips = tuple(ip.address(canonical_ip) for ip in fields["encap_ips"].items())
    default = Encapsulation.GENEVE.value
    types = tuple(Encapsulation(each.choice(_ENCAPSULATIONS, default)) for each in fields["encap_types"].items())
    ovsdb = fields["ovsdb"].text(default="") or None
    if ovsdb not in (None, "none") and not _is_ovsdb(ovsdb):
        fields["ovsdb"].complain(f"'{ovsdb}' is no OVSDB; write it like 'tcp:192.0.2.1:6640', or 'none'")
    if problems:
        raise BlueprintError(*problems)
    return DSwitch(dpid, name, ips, types if fields["encap_types"] else DSwitch(dpid).encap_types, ovsdb)


def _is_ovsdb(text: str | None) -> bool:
    found = _OVSDB.fullmatch(text or "")
    return found is not None and 0 < int(found[1]) < 1 << 16


_ENCAPSULATIONS = tuple(each.value for each in Encapsulation)

_OBSERVED_FIELDS = ("etag", "dpid", "registered", "connections", "metered", "ports", "endpoints")
"""What is shown of a dSwitch and not anyone's to say; ignored in a PUT."""
