"""What people want of their networks: every edit is a revision of a whole blueprint, committed as one.

The network as it stands becomes a document, the document is revised, the rules are applied to all of it, and what
differs is committed on the condition that the network's version is still the one that was read. So validation holds
across objects, whoever else is editing, and an edit is in force when its answer comes: the commit is waited for until
the world has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dove_ryu.model.amendment import amend, remove
from dove_ryu.model.appliances import Appliance
from dove_ryu.model.blueprint import Blueprint, BlueprintError, check_infrastructure, parse, render
from dove_ryu.model.documents import Document, network_key
from dove_ryu.model.edits import KINDS, Difference, differences, seen_from, with_object, without_object
from dove_ryu.model.reading import Problem, suggestion
from dove_ryu.model.tables import NetworkTables
from dove_ryu.northbound.drafts import Allocation, Draft, version_of
from dove_ryu.northbound.interface import Service, await_revision, settle
from dove_ryu.northbound.missing import member_key, no_network
from dove_ryu.northbound.versions import Precondition
from dove_ryu.store import ABSENT

Revise = Callable[[Document | None], Blueprint]
"""From the document of a network, None where there is no such network, to what it is to be."""

NETWORK_FIELDS = ("vni", "service", "default_policy", "gateways")
"""What a network says of itself; all else is of the objects in it."""

READ_ONLY = {
    "networks": ("etag", "number", "counts"),
    "domains": ("etag", "number", "members"),
    "actions": ("etag", "number"),
    "policies": ("etag", "number", "tracking"),
    "endpoints": ("etag", "number", "location", "learned"),
}
"""What is shown of an object and is not its author's to say; ignored in a PUT, so that what GET shows can be put."""


def network_as_it_is(service: Service, name: str) -> tuple[int, NetworkTables | None]:
    """A network's version and a copy of its tables, which may be newer than that version but never older.

    So a version that is still good when a change is committed proves that the tables were, too.
    """
    item = service.store.get(network_key(name))
    if item is None:
        return ABSENT, None
    await_revision(service, item.version)
    return item.version, service.ask(lambda dps: _copy(dps.world.network(name)))


class Intent:
    """Carries edits out, each as one commit.

    Every method raises :class:`BlueprintError` for what cannot be and :class:`Refusal` for what is not there, or no
    longer as the caller expects.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store

    def put_blueprint(self, network: str, value: object, precondition: Precondition) -> tuple[bool, list[Difference]]:
        """Make a network what a blueprint says; whether it is new, and what changes."""
        wanted = _named(network, value)
        compared: list[Difference] = []

        def revise(document: Document | None) -> Blueprint:
            compared[:] = differences(document, wanted)
            return parse(wanted)

        return self._edit(network, revise, _of_network(network, precondition)), compared

    def foresee(self, network: str, value: object, precondition: Precondition) -> list[Difference]:
        """What :meth:`put_blueprint` would change, after every check that it makes; nothing is changed."""
        wanted = _named(network, value)
        version, tables = network_as_it_is(self._service, network)
        _of_network(network, precondition)(version)
        compared = differences(None if tables is None else render(tables), wanted)
        self._check_infrastructure(parse(wanted))
        return compared

    def put_network(self, network: str, value: object, precondition: Precondition) -> bool:
        """Set what a network says of itself, creating it if need be; whether it is new."""
        said = _authored("networks", "network", value)
        name = said.pop("name", network)
        problems = [
            Problem(field, f"no such field{suggestion(field, NETWORK_FIELDS)}")
            for field in said
            if field not in NETWORK_FIELDS
        ]
        if name != network:
            problems.append(Problem("name", f"'{name}' is not '{network}', which is put here; leave it out"))
        if problems:
            raise BlueprintError(*problems)

        def revise(document: Document | None) -> Blueprint:
            return parse({"network": network, **said, **{kind: (document or {}).get(kind, []) for kind in KINDS}})

        return self._edit(network, revise, _of_network(network, precondition))

    def delete_network(self, network: str, precondition: Precondition) -> None:
        """Delete a network with all that is in it."""

        def attempt() -> tuple[int, None]:
            version, tables = network_as_it_is(self._service, network)
            if tables is None:
                raise no_network(self._service, network)
            _of_network(network, precondition)(version)
            return Draft.of(self._store, version, tables.network, remove(tables)).commit(self._store), None

        settle(self._service, attempt)

    def put_object(self, network: str, kind: str, name: str, value: object, precondition: Precondition) -> bool:
        """Put one object into a network; whether it is new.

        :param kind: one of :data:`KINDS`.
        """
        said = _authored(kind, KINDS[kind], value)
        if kind == "policies" and said.get("name") == name:
            del said["name"]

        def revise(document: Document | None) -> Blueprint:
            if document is None:
                raise no_network(self._service, network)
            revised = with_object(document, kind, name, said)
            try:
                return parse(revised)
            except BlueprintError as error:
                raise seen_from(revised, kind, name, error) from None

        return self._edit_object(network, kind, name, revise, precondition)

    def delete_object(self, network: str, kind: str, name: str, precondition: Precondition) -> None:
        """Take one object out of a network."""

        def revise(document: Document | None) -> Blueprint:
            if document is None:
                raise no_network(self._service, network)
            return parse(without_object(document, kind, name))

        self._edit_object(network, kind, name, revise, precondition)

    def _edit_object(self, network: str, kind: str, name: str, revise: Revise, precondition: Precondition) -> bool:
        key = member_key(network, kind, name)
        version = ABSENT

        def check(_: int) -> None:
            nonlocal version
            version = version_of(self._store.get(key))
            precondition.check(f"{KINDS[kind]} '{name}'", version)

        self._edit(network, revise, check)
        return version == ABSENT

    def _edit(self, network: str, revise: Revise, check: Callable[[int], None]) -> bool:
        """Revise a network's document and commit what differs; whether the network is new.

        :param check: raises where the network's version, or another that it looks up, is not what the caller expects.
            It comes after the network's version is read, so that what it finds is still so when the commit succeeds.
        """

        def attempt() -> tuple[int, bool]:
            version, tables = network_as_it_is(self._service, network)
            check(version)
            blueprint = revise(None if tables is None else render(tables))
            appliances = self._check_infrastructure(blueprint)
            return self._amend(version, tables, blueprint, appliances), tables is None

        return settle(self._service, attempt)

    def _check_infrastructure(self, blueprint: Blueprint) -> Mapping[str, Appliance]:
        """See that the provider has what a blueprint asks for; the appliances that there are."""
        appliances = self._service.ask(lambda dps: dict(dps.world.appliances))
        check_infrastructure(
            blueprint, appliances, lambda vni: self._service.ask(lambda dps: dps.world.network_of_vni(vni))
        )
        return appliances

    def _amend(
        self, version: int, tables: NetworkTables | None, blueprint: Blueprint, appliances: Mapping[str, Appliance]
    ) -> int:
        allocation = Allocation(self._store)
        changes = amend(tables, blueprint, allocation.numbers, appliances)
        if not changes:
            return version
        draft = Draft.of(self._store, version, None if tables is None else tables.network, changes)
        allocation.keep(draft)
        return draft.commit(self._store)


def _of_network(network: str, precondition: Precondition) -> Callable[[int], None]:
    return lambda version: precondition.check(f"network '{network}'", version)


def _copy(tables: NetworkTables | None) -> NetworkTables | None:
    """What an edit needs of a network's tables, for another thread to keep; the entities themselves are frozen."""
    if tables is None:
        return None
    copy = NetworkTables(tables.name)
    copy.network = tables.network
    copy.domains = dict(tables.domains)
    copy.actions = dict(tables.actions)
    copy.policies = dict(tables.policies)
    copy.segments = dict(tables.segments)
    copy.declared = dict(tables.declared)
    copy.learned = dict(tables.learned)
    copy.locations = dict(tables.locations)
    return copy


def _named(network: str, value: object) -> Document:
    """The document of *network* that *value* is; it need not name the network again."""
    if not isinstance(value, Mapping):
        raise BlueprintError(Problem("", "must be a mapping of fields: it says what a network is"))
    document = {"network": network, **value}
    if document["network"] != network:
        message = f"'{document['network']}' is not '{network}', which is put here; leave it out"
        raise BlueprintError(Problem("network", message))
    return document


def _authored(kind: str, title: str, value: object) -> dict[str, Any]:
    """The fields of *value* that an author has a say in."""
    if not isinstance(value, Mapping):
        raise BlueprintError(Problem("", f"must be a mapping of fields: it says what a {title} is"))
    return {str(field): said for field, said in value.items() if field not in READ_ONLY[kind]}
