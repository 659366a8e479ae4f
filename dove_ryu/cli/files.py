"""Blueprints and appliances in files: YAML documents, each with the line on which every part of it stands.

The DPS names a mistake by its place in the document, ``policies[3].to``; who wrote the file wants the line. So a
document is composed to YAML's nodes first, which know their lines, and from these the value is made that
``yaml.safe_load`` would give. What YAML lets pass and nobody means (a key written twice, a date for a name) is
refused on the way.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from dove_ryu.cli.errors import BadFile

STDIN = "-"

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, which reads ten thousand endpoints in the time that Python's own takes for one thousand."""

_INT = "tag:yaml.org,2002:int"
_NULL = "tag:yaml.org,2002:null"
_PLAIN = {_INT, _NULL, *(f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "bool", "merge"))}
"""What a blueprint is made of. Left out are what JSON has not, and numbers with a point, which are mostly names and
versions that someone forgot to quote; as is a MAC address that YAML 1.1 reads as a number to the base of 60."""


class About(enum.Enum):
    """What a document is about: the key that says which one."""

    APPLIANCE = "appliance"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a file: a network's blueprint, or an appliance.

    :ivar name: of the network or appliance that it is about.
    :ivar content: what is sent.
    :ivar source: the file's name.
    :ivar lines: the line on which each place of the document begins; the document as a whole under ``""``.
    """

    kind: About
    name: str
    content: dict[str, Any]
    source: str
    lines: dict[str, int]

    @property
    def title(self) -> str:
        """Like ``network shop``."""
        return f"{self.kind.value} {self.name}"

    def where(self, place: str = "") -> str:
        """Like ``shop.yaml:12``, for *place* or the nearest thing around it that is written in the file."""
        while place not in self.lines:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        return f"{self.source}:{self.lines[place]}"


def read(names: tuple[str, ...]) -> list[Document]:
    """Every document of the files, in order; appliances before the networks that may need them.

    :param names: of files; ``-`` is the standard input.
    :raises BadFile: when a file cannot be read or sent, or two documents say the same thing.
    """
    documents: dict[str, Document] = {}
    for name in names:
        for document in _documents(name):
            other = documents.setdefault(document.title, document)
            if other is not document:
                word = document.kind.value
                raise BadFile(
                    f"{document.where(word)}: {word} '{other.name}' is in {other.where(word)} already; "
                    f"a document says all of its {word}, so make one of the two"
                )
    if not documents:
        raise BadFile(f"{', '.join(map(_title, names))}: there is no blueprint in it, and no appliance")
    return sorted(documents.values(), key=lambda document: list(About).index(document.kind))


def _documents(name: str) -> Iterator[Document]:
    source = _title(name)
    text = _text(name, source)
    strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if strange is not None:
        line = text.count("\n", 0, strange.start()) + 1
        raise BadFile(f"{source}:{line}: character U+{ord(strange[0]):04X} cannot be in YAML; delete it")
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.tag != _NULL:  # an empty document, as between two lines of ---
                yield _document(loader, node, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise BadFile(f"{source}:{mark.line + 1 if mark else 1}: {reason}") from None
    except RecursionError:
        raise BadFile(f"{source}: this is nested too deeply for a blueprint") from None


def _title(name: str) -> str:
    return "standard input" if name == STDIN else name


def _text(name: str, source: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise BadFile(f"{source}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile(f"{source}:{line}: this is not UTF-8; save the file in that encoding") from None


def _document(loader: yaml.SafeLoader, node: yaml.Node, source: str) -> Document:
    survey = _Survey(source)
    survey.visit(node)
    lines = survey.lines
    content = loader.construct_document(node)
    if not isinstance(content, dict):
        raise BadFile(
            f"{source}:{lines['']}: a document is a mapping, beginning with 'network: NAME' or 'appliance: NAME'"
        )
    kind = About.APPLIANCE if "appliance" in content and "network" not in content else About.NETWORK
    name = content.get(kind.value)
    if not isinstance(name, str) or not name:
        raise BadFile(f"{source}:{lines.get(kind.value, lines[''])}: {kind.value}: write the {kind.value}'s name")
    if kind is About.APPLIANCE:
        del content["appliance"]  # its address says it
    return Document(kind, name, content, source, lines)


class _Survey:
    """Where everything in a document stands; what cannot be sent, or cannot be meant, is refused on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[str, int] = {}

    def visit(self, node: yaml.Node, place: str = "", around: tuple[yaml.Node, ...] = ()) -> None:
        self.lines[place] = node.start_mark.line + 1
        if node.tag not in _PLAIN or (node.tag == _INT and ":" in node.value):
            kind = node.tag.rpartition(":")[2]
            self._refuse(node, f"YAML takes this for a value of type {kind}; put text in quotes")
        if any(node is each for each in around):
            self._refuse(node, "this alias stands within its own anchor; write the content out")
        if isinstance(node, yaml.SequenceNode):
            for index, member in enumerate(node.value):
                self.visit(member, f"{place}[{index}]", (*around, node))
        elif isinstance(node, yaml.MappingNode):
            self._visit_fields(node, place, (*around, node))

    def _visit_fields(self, node: yaml.MappingNode, place: str, around: tuple[yaml.Node, ...]) -> None:
        said = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key is a word, not a list or a mapping")
            if key.value in said:
                self._refuse(key, f"'{key.value}' is here a second time; leave one of them out")
            said.add(key.value)
            within = f"{place}.{key.value}" if place else key.value
            self.visit(value, within, around)
            self.lines[within] = key.start_mark.line + 1

    def _refuse(self, node: yaml.Node, reason: str) -> NoReturn:
        raise BadFile(f"{self.source}:{node.start_mark.line + 1}: {reason}")
