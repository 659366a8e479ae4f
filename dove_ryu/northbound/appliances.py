"""The provider's appliances: what actions map to, and where its instances are (F6, F16, F17).

They are of no network.  What a network's author sees of them is a name; which of an appliance's VLANs is whose segment
is shown here, so that whoever administers the appliance can partition it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from dove_ryu.dps import Dps
from dove_ryu.model.addresses import canonical_mac
from dove_ryu.model.appliances import Appliance, Health, Instance, OnFailure, Sharing
from dove_ryu.model.blueprint import BlueprintError
from dove_ryu.model.documents import Document, document_of, key_of
from dove_ryu.model.edits import Difference, compare
from dove_ryu.model.entities import Place, Segment, dpid_text
from dove_ryu.model.reading import Part, Problem, suggestion
from dove_ryu.northbound import instances
from dove_ryu.northbound.drafts import Allocation, Draft, version_of
from dove_ryu.northbound.interface import Service, await_revision, settle
from dove_ryu.northbound.placement import PORT_NAME, dpid_of, places_at, ports_of
from dove_ryu.northbound.probes import read_probe
from dove_ryu.northbound.problems import Refusal
from dove_ryu.northbound.versions import Precondition
from dove_ryu.northbound.views import Shown, Versioned
from dove_ryu.store import ABSENT

HEAVIEST = 100

FIELDS = ("name", "kind", "sharing", "routed", "probe", "tap", "on_failure", "instances", "number", "segments", "etag")
"""What the document of an appliance may have: what can be put, and what is shown besides, so that it can be put back."""


class Appliances:
    """Registers appliances, and shows them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store

    def all(self) -> list[Versioned]:
        """Every appliance, by name."""
        items = self._store.list(_key("")).items
        await_revision(self._service, max((item.version for item in items), default=0))
        names = {item.key.rpartition("/")[2]: item.version for item in items}
        shown = self._service.ask(lambda dps: {name: _shown(dps, name) for name in names})
        return [(version, each) for name, version in names.items() if (each := shown[name]) is not None]

    def one(self, name: str) -> Versioned:
        """One appliance.

        :raises Refusal: where there is none of that name.
        """
        item = self._store.get(_key(name))
        await_revision(self._service, version_of(item))
        shown = None if item is None else self._service.ask(partial(_shown, name=name))
        if shown is None:
            known = self._service.ask(lambda dps: list(dps.world.appliances))
            raise Refusal(404, f"no appliance '{name}' is registered{suggestion(name, known)}")
        return version_of(item), shown

    def put(self, name: str, value: object, precondition: Precondition) -> bool:
        """Register an appliance; whether it is new.

        :raises BlueprintError: for what cannot be.
        :raises Refusal: where one of its ports is somebody else's, or segments would have to be shared otherwise.
        """
        wanted = read(name, value)

        def attempt() -> tuple[int, bool]:
            item = self._store.get(_key(name))
            version = version_of(item)
            precondition.check(f"appliance '{name}'", version)
            obstacle = self._service.ask(partial(_obstacle, wanted=wanted))
            if obstacle:
                raise Refusal(409, obstacle)
            allocation = Allocation(self._store)
            number = allocation.numbers.number() if item is None else item.document["number"]
            document = document_of(replace(wanted, number=number))
            if item is not None and item.document == document:
                return version, False
            gone = self._unknown(name, wanted.instances)
            draft = Draft({_key(name): document}, set(gone), {_key(name): version})
            if item is None:
                allocation.keep(draft)
            return draft.commit(self._store), version == ABSENT

        return settle(self._service, attempt)

    def foresee(self, name: str, value: object, precondition: Precondition) -> list[Difference]:
        """What :meth:`put` would change, after every check that it makes; nothing is changed."""
        wanted = read(name, value)
        precondition.check(f"appliance '{name}'", version_of(self._store.get(_key(name))))
        registered = self._service.ask(lambda dps: (_obstacle(dps, wanted), dps.world.appliances.get(name)))
        if registered[0]:
            raise Refusal(409, registered[0])
        number = 0 if registered[1] is None else registered[1].number
        return list(compare(_by_path(registered[1]), _by_path(replace(wanted, number=number))))

    def _unknown(self, name: str, members: Iterable[Instance]) -> list[str]:
        """The keys of what was found of instances that an appliance does not have: another of that name begins anew."""
        known = {key_of(Health(name, instance.name, up=True)) for instance in members}
        found = self._store.list(key_of(Health(name, "", up=True))).items
        return [item.key for item in found if item.key not in known]

    def delete(self, name: str, precondition: Precondition) -> None:
        """Forget an appliance; the policies that lead through it deny from now on."""
        key = _key(name)

        def attempt() -> tuple[int, None]:
            version, _ = self.one(name)
            precondition.check(f"appliance '{name}'", version)
            return self._store.commit(deletes=[key, *self._unknown(name, ())], expect={key: version}), None

        settle(self._service, attempt)


def read(name: str, value: object) -> Appliance:
    """The appliance that a document says.

    :raises BlueprintError: with every problem in it.
    """
    problems: list[Problem] = []
    Part(name, "name", problems).name()
    fields = Part(value, "", problems).fields(*FIELDS)
    if fields is None:
        raise BlueprintError(*problems)
    if fields["name"] and fields["name"].value != name:
        fields["name"].complain(f"is not '{name}', which is put here; leave it out")
    kind = fields["kind"].name()
    sharing = Sharing(fields["sharing"].choice([each.value for each in Sharing], Sharing.VLAN.value))
    routed, tap = fields["routed"].flag(default=False), fields["tap"].flag(default=False)
    on_failure = OnFailure(fields["on_failure"].choice([each.value for each in OnFailure], OnFailure.STOP.value))
    if tap and routed:
        fields["routed"].complain("a tap gets a copy and routes nothing; leave one of them out")
    if tap and on_failure is not OnFailure.STOP:
        fields["on_failure"].complain("nothing waits for a tap, so that nothing fails with it; leave it out")
    probe = read_probe(fields["probe"], routed)
    if tap and probe is not None:
        fields["probe"].complain("a tap gives nothing back, so that it answers no probe; leave it out")
    members = tuple(filter(None, (_instance(part, routed, tap) for part in fields["instances"].items())))
    names = [instance.name for instance in members]
    for position, each in enumerate(names):
        if each in names[:position]:
            fields["instances"].complain(f"'{each}' is there twice; leave one of them out")
    if problems:
        raise BlueprintError(*problems)
    return Appliance(name, kind, members, sharing, routed, probe, on_failure, tap)


def _instance(part: Part, routed: bool, tap: bool) -> Instance | None:
    fields = part.fields("name", "dswitch", "ingress", "egress", "weight", "mac", "drain", "seat", "health", "slots")
    if fields is None:
        return None
    dpid, ingress, egress = 0, "", ""
    if any(fields[each] for each in ("dswitch", "ingress", "egress")):  # or else its ports' iface-ids say where it is
        dpid = dpid_of(fields["dswitch"].value) or 0
        if not dpid:
            fields["dswitch"].complain(
                "must be a datapath id: up to 16 hexadecimal digits in quotes, not all zero; leave it out with the ports "
                "where their iface-ids say where the instance is"
            )
        ingress = _port(fields["ingress"])
        egress = _port(fields["egress"]) if fields["egress"] else ingress
        if tap and egress != ingress:
            fields["egress"].complain("a tap gives nothing back; leave it out")
    mac = fields["mac"].address(canonical_mac) if routed or fields["mac"] else ""
    if mac and not routed:
        fields["mac"].complain(
            "a transparent appliance takes packets at any address; leave it out or say 'routed: true'"
        )
    weight = fields["weight"].number(0, HEAVIEST, 1)
    drain = fields["drain"].flag(default=False)
    return Instance(fields["name"].name(), dpid, ingress, egress, weight, mac, drain)


def _port(part: Part) -> str:
    port = part.text(default="")
    if not PORT_NAME.fullmatch(port):
        part.complain("must be the name of a port, without spaces and '/'")
    return port


def _obstacle(dps: Dps, wanted: Appliance) -> str:
    """Why an appliance cannot be registered so; empty where it can."""
    registered = dps.world.appliances.get(wanted.name)
    segment = next(segments_of(dps, wanted.name), None)
    if registered is not None and segment is not None:
        fixed = {"sharing": registered.sharing is wanted.sharing, "tap": registered.tap is wanted.tap}
        changed = next((field for field, same in fixed.items() if not same), None)
        if changed is not None:
            policy = f"policy '{segment.policy}' of network '{segment.network}'"
            return f"it is in use by {policy}, so its {changed} cannot change; register another one and change over to that"
    taken: dict[Place, str] = {}
    for name, appliance in dps.world.appliances.items():
        for place in ports_of(dps, appliance) if name != wanted.name else ():
            taken[place] = f"appliance '{name}'"
    for place in ports_of(dps, wanted):
        for other in places_at(dps, place.dpid):
            if other.port_at(place.dpid) == place.port:
                taken[place] = f"endpoint '{other.network}/{other.endpoint}'"
        if place in taken:
            return f"port {place.port} of dSwitch {dpid_text(place.dpid)} is where {taken[place]} is; use another one"
        taken[place] = "another instance of it"
    return ""


def segments_of(dps: Dps, name: str) -> Iterator[Segment]:
    """The segments that lead to an appliance, by network, policy and hop."""
    for tables in dps.world.chained():
        for _, segment in sorted(tables.segments.items()):
            if segment.appliance == name:
                yield segment


def _shown(dps: Dps, name: str) -> Shown | None:
    appliance = dps.world.appliances.get(name)
    if appliance is None:
        return None
    return {
        "name": name,
        **_in_words(appliance),
        "instances": instances.all_shown(dps.world.provider, appliance),
        "segments": list(map(_segment_shown, segments_of(dps, name))),
    }


def _in_words(appliance: Appliance) -> Document:
    """An appliance in the words in which it is put."""
    return {**document_of(appliance), "instances": list(map(instances.in_words, appliance.instances))}


def _by_path(appliance: Appliance | None) -> dict[str, Document]:
    """An appliance and its instances, each as an object of its own."""
    if appliance is None:
        return {}
    said = _in_words(appliance)
    members = {f"instances {appliance.name}/{each['name']}": each for each in said.pop("instances")}
    return {f"appliances {appliance.name}": said, **members}


def _segment_shown(segment: Segment) -> Shown:
    """Whose segment, and how its packets are known at the appliance and on the tunnels."""
    return {
        "vlan": segment.vlan or None,
        "network": segment.network,
        "policy": segment.policy,
        "hop": segment.hop,
        "label": f"{segment.label:#x}",
    }


def _key(name: str) -> str:
    return key_of(Appliance(name, ""))
