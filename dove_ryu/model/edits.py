"""Edits of a blueprint: one object put in or taken out, and what two blueprints differ in.

A single object is edited in the document of its whole network, so that every edit, however small, is checked by
the same rules and carried out in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dove_ryu.model.blueprint import Blueprint, BlueprintError, Document, document_of_blueprint, parse
from dove_ryu.model.entities import DEFAULT_TTL
from dove_ryu.model.reading import Problem, suggestion

KINDS = {"domains": "domain", "actions": "action", "policies": "policy", "endpoints": "endpoint"}
"""What a blueprint has lists of, and what one of each is called."""

DEFAULT = ("policies", "default")
"""The kind and the name under which the default policy is edited, as ``{verdict, ttl}``."""


class NoSuchObject(BlueprintError):
    """The object that was to be shown or deleted is not there."""


class StillInUse(BlueprintError):
    """The object that was to be deleted is referred to by others, which the message names."""


def objects_in(document: Document, kind: str) -> dict[str, Document]:
    """The objects of one of :data:`KINDS` by name, in a document as :func:`blueprint.render` gives it.

    A policy's name is like ``web>app``; the default policy is among the policies.
    """
    objects = {_name(kind, member): _object(kind, member) for member in document[kind]}
    return {**objects, "default": _default_policy(document)} if kind == "policies" else objects


def object_in(document: Document, kind: str, name: str) -> Document:
    """One object of :func:`objects_in`.

    :raises NoSuchObject: when it is not there.
    """
    objects = objects_in(document, kind)
    if name not in objects:
        network = document["network"]
        message = f"no {KINDS[kind]} '{name}' in network '{network}'{suggestion(name, objects)}"
        raise NoSuchObject(Problem("", message))
    return objects[name]


def with_object(document: Document, kind: str, name: str, value: object) -> Document:
    """*document* with one object being what *value* says, in place of the one of that name or as the last.

    The name itself, and a policy's ``from`` and ``to``, need not be said again in *value*.  What it says
    otherwise is for :func:`blueprint.parse` to check.

    :raises BlueprintError: when *value* is no mapping, or calls the object something else.
    """
    if not isinstance(value, Mapping):
        raise BlueprintError(Problem("", f"must be a mapping of fields: it says what a {KINDS[kind]} is"))
    if (kind, name) == DEFAULT:
        return {**document, "default_policy": {**value}}
    identity = _identity(kind, name)
    problems = [
        Problem(field, f"'{value[field]}' is not '{said}', which is put here; leave it out")
        for field, said in identity.items()
        if value.get(field, said) != said
    ]
    if kind == "domains":
        problems += [Problem(str(field), "no such field") for field in value if field != "name"]
    if problems:
        raise BlueprintError(*problems)
    member = name if kind == "domains" else {**identity, **value}
    members = {_name(kind, each): each for each in document[kind]} | {name: member}
    return {**document, kind: list(members.values())}


def without_object(document: Document, kind: str, name: str) -> Document:
    """*document* without one object.

    :raises NoSuchObject: when it is not there.
    :raises StillInUse: when a policy or an endpoint refers to it.
    :raises BlueprintError: for the default policy, which every network has.
    """
    object_in(document, kind, name)
    if (kind, name) == DEFAULT:
        raise BlueprintError(Problem("", "a network always has a default policy; set it to allow or deny"))
    users = list(_users(document, kind, name))
    if users:
        said = f"{KINDS[kind]} '{name}' is still used by {_enumerated(users)}; change or delete these first"
        raise StillInUse(Problem("", said))
    return {**document, kind: [each for each in document[kind] if _name(kind, each) != name]}


def seen_from(document: Document, kind: str, name: str, error: BlueprintError) -> BlueprintError:
    """*error*, which :func:`parse` raised for *document*, for someone who sees but one object of it.

    ``endpoints[12].macs[0]`` becomes ``macs[0]`` where that endpoint is the object.
    """
    names = [_name(kind, each) for each in document[kind]]
    here = "default_policy" if (kind, name) == DEFAULT else f"{kind}[{names.index(name)}]"
    problems = (
        replace(problem, place=problem.place.removeprefix(here).removeprefix("."))
        if problem.place == here or problem.place.startswith(f"{here}.")
        else problem
        for problem in error.problems
    )
    return type(error)(*problems)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two blueprints differ; ``str()`` is a line such as ``~ policies lb>app ttl 200 -> 300``.

    :ivar sign: ``+`` for an object that is new, ``-`` for one that is gone, ``~`` for a field that changes.
    :ivar path: the kind and name of the object, for a field followed by its name.
    :ivar old: the object's fields or the field's value before; None where it was not there.
    :ivar new: what it is then; likewise.
    """

    sign: Literal["+", "-", "~"]
    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        change = f" {_text(self.old)} -> {_text(self.new)}" if self.sign == "~" else ""
        return f"{self.sign} {self.path}{change}"


def differences(old: object, new: object) -> list[Difference]:
    """What an edit from the document *old* to the document *new* changes; None is for no network.

    :raises BlueprintError: when one of them cannot be.
    """
    before = None if old is None else parse(old)
    after = None if new is None else parse(new)
    if before is not None and after is not None and after.vni is None:
        after = replace(after, vni=before.vni)
    return list(compare(_by_path(before), _by_path(after)))


def compare(old: dict[str, Document], new: dict[str, Document]) -> Iterator[Difference]:
    """In what two sets of objects, by path, differ; objects of one kind have the same fields."""
    for path, fields in new.items():
        known = old.get(path)
        if known is None:
            yield Difference("+", path, None, fields)
        else:
            for field, value in fields.items():
                if known[field] != value:
                    yield Difference("~", f"{path} {field}", known[field], value)
    for path, fields in old.items():
        if path not in new:
            yield Difference("-", path, fields, None)


def _by_path(blueprint: Blueprint | None) -> dict[str, Document]:
    """The objects of a blueprint, each with its fields under kind and name."""
    if blueprint is None:
        return {}
    document = document_of_blueprint(blueprint)
    network = {"vni": blueprint.vni, "service": document["service"]}
    objects = {f"network {blueprint.network}": network}
    objects |= {f"gateways {each['mac']}": {"ips": each["ips"]} for each in document["gateways"]}
    for kind in KINDS:
        objects |= {f"{kind} {name}": fields for name, fields in objects_in(document, kind).items()}
    return objects


def _identity(kind: str, name: str) -> Document:
    if kind != "policies":
        return {"name": name}
    source, arrow, destination = name.partition(">")
    if not arrow:
        raise BlueprintError(Problem("", f"'{name}' names no policy; write it like 'web>app', or 'default'"))
    return {"from": source, "to": destination}


def _name(kind: str, member: Any) -> str:
    if kind == "domains":
        return str(member)
    return f"{member['from']}>{member['to']}" if kind == "policies" else str(member["name"])


def _object(kind: str, member: Any) -> Document:
    return {"name": member} if kind == "domains" else member


def _default_policy(document: Document) -> Document:
    said = document["default_policy"]
    return said if isinstance(said, dict) else {"verdict": said, "ttl": DEFAULT_TTL}


def _users(document: Document, kind: str, name: str) -> Iterator[str]:
    """Who refers to an object."""
    for policy in document["policies"]:
        referred = {"domains": [policy["from"], policy["to"]], "actions": policy["actions"]}
        if name in referred.get(kind, ()):
            yield f"policy {_name('policies', policy)}"
    for endpoint in document["endpoints"] if kind == "domains" else ():
        if endpoint["domain"] == name:
            yield f"endpoint {endpoint['name']}"


def _enumerated(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case None | []:
            return "none"
        case list():
            return ", ".join(value)
        case "":
            return "''"
        case _:
            return str(value)
