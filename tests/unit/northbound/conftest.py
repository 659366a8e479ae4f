"""The REST interface of a DPS on a store of its own, for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dove_ryu.service import Service as RunningService
from dove_ryu.store import open_store

from .served import SHOP, Client, Service


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that has nothing in it: a copy is there far sooner than a new one."""
    path = tmp_path_factory.mktemp("store") / "empty.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def service(empty_store: Path, tmp_path: Path) -> Iterator[Service]:
    path = shutil.copy(empty_store, tmp_path / "dps.sqlite")
    store = open_store(f"sqlite:///{path}")
    service = Service(store)
    yield service
    service.stop()
    store.close()


@pytest.fixture
def running(empty_store: Path, tmp_path: Path) -> Iterator[RunningService]:
    """The DPS in motion, to which dSwitches may connect."""
    path = shutil.copy(empty_store, tmp_path / "running.sqlite")
    store = open_store(f"sqlite:///{path}")
    service = RunningService(store)
    service.start()
    yield service
    service.stop()
    store.close()


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service)


@pytest.fixture
def shop(client: Client) -> Client:
    """A client of a DPS that has the blueprint SHOP."""
    client.put("/v1/networks/shop/blueprint", SHOP)
    return client
