"""What goes back to the client: objects in JSON, each with its ETag.

A single object is laid out for reading; a collection has a line for each member, which is as easily read and made far
sooner.
"""

from __future__ import annotations

import json
from typing import Any

from webob import Request, Response

from dove_ryu.northbound.versions import digest, etag
from dove_ryu.northbound.views import WITH_OBSERVED, Versioned


def single(request: Request, kind: str, versioned: Versioned, created: bool = False) -> Response:
    """One object with its ETag."""
    tag = _tag(kind, versioned)
    if request.method in ("GET", "HEAD") and tag in request.if_none_match:
        return _unchanged(tag)
    return as_json(versioned[1], tag, 201 if created else 200)


def collection(request: Request, kind: str, members: list[Versioned]) -> Response:
    """Objects, a line each, with their ETags; the collection's own is of all that is shown."""
    lines = [_line({**each[1], "etag": f'"{_tag(kind, each)}"'}) for each in members]
    body = b"[\n" + b",\n".join(lines) + b"\n]\n"
    tag = digest(body)
    return _unchanged(tag) if tag in request.if_none_match else _response(body, tag, 200)


def as_json(shown: Any, tag: str | None = None, status: int = 200) -> Response:
    """Any value."""
    return _response(json.dumps(shown, indent=2).encode() + b"\n", tag, status)


def plain(text: str, status: int) -> Response:
    """A line of text, for those who only look at the status."""
    return Response(status=status, content_type="text/plain", charset="UTF-8", text=f"{text}\n")


def _tag(kind: str, versioned: Versioned) -> str:
    version, shown = versioned
    return etag(version, _line(shown) if kind in WITH_OBSERVED else b"")


def _line(shown: Any) -> bytes:
    return json.dumps(shown).encode()


def _response(body: bytes, tag: str | None, status: int) -> Response:
    response = Response(status=status, content_type="application/json", body=body)
    if tag is not None:
        response.etag = tag
    return response


def _unchanged(tag: str) -> Response:
    response = Response(status=304)
    response.etag = tag
    return response
