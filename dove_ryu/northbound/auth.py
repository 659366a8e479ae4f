"""The one door through which every request comes.

Nobody is asked who they are yet: the interface listens on loopback unless it is told otherwise, and whoever comes in
may do everything. The door notes who that was and what they did. Roles and tenants, when they come, are decided here
and nowhere else: nothing behind the door looks at who is asking.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request

from dove_ryu.northbound.problems import path_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Door:
    """WSGI middleware around everything."""

    def __init__(self, inside: WSGIApplication) -> None:
        self._inside = inside

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        began = time.monotonic()
        answer = request.call_application(self._inside)
        status, headers, body = answer[0], answer[1], answer[2]
        level = logging.DEBUG if request.method in READING else logging.INFO
        took = 1000 * (time.monotonic() - began)
        LOG.log(level, "%s %s %s: %s in %.1f ms", request.remote_addr, request.method, path_of(request), status, took)
        start_response(status, headers)
        return body
