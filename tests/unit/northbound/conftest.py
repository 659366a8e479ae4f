"""The REST interface of a DPS on a store of its own, for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dove_ryu.store import open_store

from .served import SHOP, Client, Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = open_store(f"sqlite:///{tmp_path / 'dps.sqlite'}")
    service = Service(store)
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
