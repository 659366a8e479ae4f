"""The whole REST interface on a real store, with a DPS that takes each commit in as it is made."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from webob import Request, Response

from dove_ryu.audit import Finding
from dove_ryu.dps import Dps
from dove_ryu.expeditions import Counts
from dove_ryu.figures import Connection, LaneFigures, ProbeFigures
from dove_ryu.lookouts import MarkedPacket, Point
from dove_ryu.model.documents import BadDocument, change_of
from dove_ryu.northbound import interface
from dove_ryu.northbound.rest import application
from dove_ryu.store import Store
from dove_ryu.switchboard import Switchboard

T = TypeVar("T")

SHOP: dict[str, Any] = {
    "network": "shop",
    "vni": 5001,
    "service": "l3",
    "default_policy": "deny",
    "gateways": [{"mac": "02:00:5e:00:00:01", "ips": ["10.0.1.1/24", "2001:db8:1::1/64"]}],
    "domains": ["lb", "app", "db"],
    "actions": [{"name": "permit", "kind": "accept"}],
    "policies": [
        {"from": "lb", "to": "app", "actions": ["permit"], "ttl": 200},
        {"from": "app", "to": "app", "actions": ["accept"]},
        {"from": "app", "to": "db", "actions": ["deny"]},
    ],
    "endpoints": [
        {"name": "lb1", "domain": "lb", "macs": ["02:00:00:00:00:03"], "ips": ["10.0.1.3"]},
        {"name": "web1", "domain": "app", "macs": ["02:00:00:00:00:01"], "ips": ["10.0.1.11", "2001:db8:1::11"]},
        {"name": "web2", "domain": "app", "macs": ["02:00:00:00:00:02"], "ips": ["10.0.1.12"]},
        {"name": "db1", "domain": "db", "macs": ["02:00:00:00:00:04"], "ips": ["10.0.1.21"]},
    ],
}


class Service:
    """A DPS on an empty store: one thread at a time has it, and it follows the store commit by commit.

    :ivar patience: the longest wait, in seconds, for tests of not waiting for ever.
    :ivar seen: how many packets lookouts see, by the hop and the point that they are for; None: they do not say.
    """

    version = "1.2.3"

    def __init__(self, store: Store) -> None:
        self.store = store
        self.started = datetime.now(UTC)
        self.ready = True
        self.patience = 30.0
        self.seen: dict[tuple[int, Point], int | None] = {}
        self.dps = Dps()
        self.switches = Switchboard(self.dps)
        self.turn = threading.Lock()
        self.revision = store.list("").revision
        self._watch = store.watch(self.revision)
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def ask(self, question: Callable[[Dps], T], timeout: float = 5.0) -> T:
        if not self.turn.acquire(timeout=min(timeout, self.patience)):
            raise TimeoutError(f"the DPS did not answer within {timeout:g} s")
        try:
            return question(self.dps)
        finally:
            self.turn.release()

    def connections(self, timeout: float = 5.0) -> dict[int, Connection]:
        return self.ask(lambda _: self.switches.connections(), timeout)

    def lane(self, timeout: float = 5.0) -> LaneFigures:
        return self.ask(lambda _: self.switches.lane_figures(), timeout)

    def probes(self, timeout: float = 5.0) -> ProbeFigures:
        return self.ask(lambda _: self.switches.probe_figures(), timeout)

    def audit(self, dpid: int, repair: bool = False, timeout: float = 10.0) -> list[Finding] | None:
        return None  # nothing connects to it; :fixture:`running` is for that

    def expedition(self, timeout: float = 5.0) -> int:
        return self.ask(lambda _: self.switches.expeditions.next_number())

    def send_marked(self, number: int, marked: MarkedPacket, timeout: float = 10.0) -> Counts:
        return [self.seen.get((lookout.hop, lookout.point), 0) for lookout in marked.lookouts]

    def reached(self, revision: int, timeout: float = 5.0) -> bool:
        with self._arrived:
            return self._arrived.wait_for(lambda: self.revision >= revision, min(timeout, self.patience))

    def stop(self) -> None:
        """Follow the store no longer."""
        self._watch.close()
        self._thread.join()

    def _follow(self) -> None:
        for commit in self._watch:
            for change in commit.changes:
                with suppress(BadDocument), self.turn:
                    known = change_of(change.key, change.document)
                    self.dps.apply(() if known is None else (known,))
            with self._arrived:
                self.revision = commit.revision
                self._arrived.notify_all()


class Client:
    """Sends requests straight into the application."""

    def __init__(self, service: interface.Service) -> None:
        self.application = application(service)

    def __call__(self, method: str, path: str, value: Any = None, **headers: str) -> Response:
        """A request with *value* as JSON, or as it is where it is bytes; ``If_Match`` and the like are headers."""
        request = Request.blank(path, method=method)
        if value is not None:
            request.content_type = "application/json"
            request.body = value if isinstance(value, bytes) else json.dumps(value).encode()
        request.headers.update({name.replace("_", "-"): said for name, said in headers.items()})
        return request.get_response(self.application)

    def get(self, path: str, **headers: str) -> Any:
        """What a GET that succeeds shows."""
        response = self("GET", path, **headers)
        assert response.status_code == 200, response.text
        return response.json

    def put(self, path: str, value: Any, **headers: str) -> Any:
        """What a PUT that succeeds answers."""
        response = self("PUT", path, value, **headers)
        assert response.status_code in (200, 201), response.text
        return response.json

    def refused(self, status: int, method: str, path: str, value: Any = None, **headers: str) -> dict[str, Any]:
        """The problem document of a request that is refused with *status*."""
        response = self(method, path, value, **headers)
        assert response.status_code == status, response.text
        assert response.content_type == "application/problem+json"
        problem: dict[str, Any] = response.json
        assert problem["status"] == status
        assert problem["type"] == "about:blank"
        return problem
