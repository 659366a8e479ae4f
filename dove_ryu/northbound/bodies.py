"""What comes with a request: a document in JSON or YAML, and the parameters of its URL.

What nobody can have meant is refused rather than guessed at: a key written twice, of which the last would win, and a
parameter that is not known, for a misspelt ``dry_run`` would be carried out.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import yaml
from webob import Request

from dove_ryu.model.reading import suggestion
from dove_ryu.northbound.problems import Refusal

LARGEST_BODY = 16 << 20
"""Bytes; a blueprint of 100,000 endpoints has about as many."""

JSON = "application/json"
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})

_YES, _NO = frozenset({"", "1", "true", "yes"}), frozenset({"0", "false", "no"})


def document_of(request: Request) -> Any:
    """The body of *request* as plain values.

    :raises Refusal: 413 for one that is too long, 415 for one of another type, 400 for one that cannot be read.
    """
    kind = (request.content_type or "").lower()
    yaml_sent = kind in YAML_TYPES or kind.endswith("+yaml")
    if not yaml_sent and kind != JSON and not kind.endswith("+json"):
        said = f"'{kind}'" if kind else "nothing"
        raise Refusal(415, f"Content-Type says {said}; send application/json or application/yaml")
    body = _body(request)
    try:
        if yaml_sent:
            return yaml.load(body, _UniqueKeys)
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_none)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise Refusal(400, f"the body is not YAML: {place}{error.problem or error.context}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise Refusal(400, f"the body is not {'YAML' if yaml_sent else 'JSON'}: {error}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None


def check_parameters(request: Request, known: Collection[str]) -> None:
    """See that the URL has no parameters but those that are known, each once.

    :raises Refusal: otherwise.
    """
    seen = set()
    for name in request.GET:
        if name not in known:
            raise Refusal(400, f"no parameter '{name}' here{suggestion(name, known)}")
        if name in seen:
            raise Refusal(400, f"parameter '{name}' is given twice; give it once")
        seen.add(name)


def flag(request: Request, name: str) -> bool:
    """Whether a parameter is set; ``?dry_run`` alone sets it.

    :raises Refusal: where it says neither yes nor no.
    """
    value = str(request.GET.get(name, "no")).lower()
    if value not in _YES | _NO:
        raise Refusal(400, f"parameter '{name}' is '{value}'; write true or false")
    return value in _YES


def _body(request: Request) -> bytes:
    too_long = Refusal(413, f"the body is longer than {LARGEST_BODY >> 20} MiB")
    if (request.content_length or 0) > LARGEST_BODY:
        raise too_long
    try:
        body = bytes(request.body_file.read(LARGEST_BODY + 1))
    except OSError as error:
        raise Refusal(400, f"the body did not come whole: {error}") from None
    if len(body) > LARGEST_BODY:
        raise too_long
    if len(body) < (request.content_length or 0):
        raise Refusal(400, f"the body ended after {len(body)} of {request.content_length} bytes")
    if not body.strip():
        raise Refusal(400, "the body is empty; send the object")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise ValueError(f"'{twice}' is written twice in one object")
    return value


def _none(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's where it is there
    """YAML's plain types, with no key written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(problem=f"'{key.value}' is written twice", problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping
