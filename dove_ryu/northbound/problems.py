"""Every way of saying no, as a problem document (RFC 9457).

Whatever goes wrong below arrives here as an exception and leaves as a status, one sentence that says what to do, and,
for a document that cannot be, every place in it with its reason. What nobody expected becomes a number that is found
in the log beside the traceback; the traceback itself is no one else's business.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import quote

from webob import Request, Response

from dove_ryu.model.amendment import Exhausted
from dove_ryu.model.blueprint import BlueprintError, VniTaken
from dove_ryu.model.edits import NoSuchObject, StillInUse
from dove_ryu.model.reading import Problem
from dove_ryu.store import StoreUnavailable

LOG = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

RETRY_SECONDS = 1
"""What a client that finds the DPS not ready is told to wait."""

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""RFC 9110's names where Python's are older."""


class Refusal(Exception):
    """A request that is not carried out.

    :ivar status: the HTTP status.
    :ivar problems: the places in the request's document that are wrong.
    :ivar headers: what the response has to say besides.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        problems: tuple[Problem, ...] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.problems, self.headers = status, detail, problems, headers


def refusal_of(error: Exception) -> Refusal:
    """What the client is told of *error*."""
    match error:
        case Refusal():
            return error
        case NoSuchObject():
            return Refusal(404, _summary(error))
        case StillInUse():
            return Refusal(409, _summary(error))
        case VniTaken():
            return Refusal(409, _summary(error), error.problems)
        case BlueprintError():
            return Refusal(422, _summary(error), error.problems)
        case StoreUnavailable() | TimeoutError() | Exhausted():
            return Refusal(503, str(error))
        case _:
            return _unexpected(error)


def response_to(refusal: Refusal, request: Request) -> Response:
    """The problem document of *refusal*."""
    title = _TITLES.get(refusal.status) or HTTPStatus(refusal.status).phrase
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": path_of(request),
    }
    if refusal.problems:
        problem["errors"] = [{"place": each.place, "reason": each.message} for each in refusal.problems]
    response = Response(status=f"{refusal.status} {title}", content_type=PROBLEM_TYPE)
    response.body = json.dumps(problem, indent=2).encode() + b"\n"
    response.headers.update(list(refusal.headers.items()))
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def path_of(request: Request) -> str:
    """The URL's path as it was sent, which need not be UTF-8."""
    return quote(request.environ["SCRIPT_NAME"] + request.environ["PATH_INFO"], safe="/>", encoding="latin-1")


def _summary(error: BlueprintError) -> str:
    first, *others = error.problems
    return f"{first} (and {len(others)} more)" if others else str(first)


def _unexpected(error: Exception) -> Refusal:
    number = uuid.uuid4().hex[:12]
    LOG.error("error %s", number, exc_info=error)
    return Refusal(500, f"an error that is ours; the DPS's log has it under {number}: please report it")
