"""The REST interface as one WSGI application.

A request comes through the door, its URL leads to a resource, its method to what that resource does; whatever is
raised on the way becomes a problem document. ``docs/rest.rst`` is the specification.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from routes import Mapper
from webob import Request

from dove_ryu.northbound.auth import Door
from dove_ryu.northbound.bodies import check_parameters
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.metrics import Metrics
from dove_ryu.northbound.problems import Refusal, refusal_of, response_to
from dove_ryu.northbound.resources import Handler, Names, Resource, table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def application(service: Service) -> WSGIApplication:
    """The whole interface, behind its door."""
    return Door(Rest(service))


class Rest:
    """From a request to the resource that answers it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._metrics = Metrics(service)
        self._resources = {each.pattern: each for each in table(service, self._metrics)}
        self._mapper = Mapper(explicit=True)
        for pattern in self._resources:
            self._mapper.connect(pattern, resource=pattern)
        self._mapper.create_regs()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request, resource = Request(environ), None
        began = time.monotonic()
        try:
            resource, names = self._match(request)
            response = self._handler(request, resource)(request, names)
        except Exception as error:
            response = response_to(refusal_of(error), request)
        pattern = None if resource is None else resource.pattern
        self._metrics.observe(request.method, pattern, response.status_code, time.monotonic() - began)
        return response(environ, start_response)

    def _match(self, request: Request) -> tuple[Resource, Names]:
        try:
            path, _ = request.path_info, request.GET  # both are decoded when they are first looked at
        except UnicodeDecodeError:
            raise Refusal(400, "the URL is not UTF-8") from None
        names = None if "\0" in path else self._mapper.match(path)  # no store has a key with that
        if names is None:
            raise Refusal(404, f"there is nothing at {path}; the manual lists the resources under 'The REST interface'")
        resource = self._resources[names.pop("resource")]
        return resource, {**names, "kind": resource.kind}

    def _handler(self, request: Request, resource: Resource) -> Handler:
        handler = resource.methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            detail = f"{request.method} is not a method of this resource; it has {resource.allow}"
            raise Refusal(405, detail, headers={"Allow": resource.allow})
        if not resource.always and not self._service.ready:
            raise Refusal(503, "the DPS is not ready: it has not read its store, or can no longer follow it")
        if resource.parameters is not None:
            check_parameters(request, resource.parameters)
        return handler
