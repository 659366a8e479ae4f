"""The command against a DPS: the real service and REST interface on a socket, its store in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from dove_ryu import dps as dove_dps
from dove_ryu.cli.commands import run
from dove_ryu.northbound.rest import application
from dove_ryu.northbound.server import RestServer
from dove_ryu.service import Service
from dove_ryu.store import open_store

SHOP = """\
network: shop
vni: 5001
default_policy: deny
domains: [app, db, web]
policies:
  - {from: app, to: db, actions: [accept], ttl: 200}
  - {from: db, to: app, actions: [accept]}
  - {from: web, to: db, actions: [deny], ttl: 0}
endpoints:
  - {name: app1, domain: app, macs: ["02:00:00:00:00:01"], ips: [10.0.0.11]}
  - {name: db1, domain: db, macs: ["02:00:00:00:00:02"], ips: [10.0.0.21, "2001:db8::21"]}
  - {name: web1, domain: web, macs: ["02:00:00:00:00:03"], ips: [10.0.0.31]}
"""


@dataclass(frozen=True)
class Dps:
    """A running DPS."""

    url: str
    service: Service

    def attach(self, endpoint: str, dpid: int, port: str) -> None:
        """Say that an endpoint of `shop` is there, as a dSwitch and its OVSDB would."""
        self.plug(dpid, port)
        key = f"/dove/v1/locations/shop/{endpoint}"
        self.put(key, {"dpid": f"{dpid:016x}", "port": port, "tracking": 1, "observed": True})

    def plug(self, dpid: int, port: str) -> None:
        """Say that a dSwitch is connected and has a port, besides those that it had."""
        self.service.ask(lambda dps: _connect(dps, dpid, port))

    def put(self, key: str, document: Mapping[str, object]) -> None:
        """Put a document into the store and wait until the world has it."""
        assert self.service.reached(self.service.store.commit({key: dict(document)}))


def _connect(dps: dove_dps.Dps, dpid: int, port: str) -> None:
    ports = dps.world.ports.get(dpid, {})
    dps.connect(dpid, {**ports, port: len(ports) + 1}, [])
    dps.observations[dpid] = dove_dps.Observation(openflow="live", peer="127.0.0.1:50000", ovsdb="connected")


@dataclass(frozen=True)
class Ended:
    """What a command line has come to."""

    code: int
    out: str
    err: str


Dove = Callable[..., Ended]


@pytest.fixture
def dps(tmp_path) -> Iterator[Dps]:
    store = open_store(f"sqlite:///{tmp_path}/dps.sqlite")
    service = Service(store)
    service.start()
    server = RestServer("127.0.0.1", 0, application(service))
    server.start()
    host, port = server.address
    yield Dps(f"http://{host}:{port}", service)
    server.stop()
    service.stop()
    store.close()


@pytest.fixture
def dove(dps: Dps, capfd, monkeypatch, tmp_path) -> Dove:
    """Run the command in a folder of its own, against `dps`."""
    monkeypatch.setenv("DOVE_URL", dps.url)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Ended:
        capfd.readouterr()
        code = run(arguments)
        return Ended(code, *capfd.readouterr())

    return call


@pytest.fixture
def shop(dove: Dove, tmp_path) -> str:
    """The file of a network that has been applied."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    assert dove("apply", "-f", "shop.yaml").code == 0
    return "shop.yaml"
