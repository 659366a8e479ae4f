"""The DPS as it starts: the world is read from the store, and the garbage collector leaves it alone (F54, X1)."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from dove_ryu.model.documents import document_of, key_of
from dove_ryu.model.entities import Endpoint, PolicyDomain, VirtualNetwork
from dove_ryu.service import Service, collector_spared
from dove_ryu.store import open_store

WRITTEN = (VirtualNetwork("web", 1, 5), PolicyDomain("web", "app", 2), Endpoint("web", "ws1", 3, "app", ()))


def test_the_world_is_what_the_store_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """But for what cannot be read, which is named; and what is committed afterwards arrives."""
    store = open_store(f"sqlite:///{tmp_path / 'dps.sqlite'}")
    store.commit({key_of(each): document_of(each) for each in WRITTEN} | {"/dove/v1/networks/web/domains/db": {}})
    service = Service(store)
    with caplog.at_level(logging.ERROR):
        service.start()
    assert "networks/web/domains/db lacks 'number'" in caplog.text
    assert service.ready
    assert service.reached(store.commit({key_of(WRITTEN[2]): document_of(WRITTEN[2]) | {"domain": "db"}}))
    tables = service.ask(lambda dps: dps.world.tables["web"])
    assert (tables.network, list(tables.domains), tables.endpoints["ws1"].domain) == (WRITTEN[0], ["app"], "db")
    service.stop()
    store.close()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_a_world_is_read_and_is_then_as_it_was(enabled: bool) -> None:
    was, frozen = gc.isenabled(), gc.get_freeze_count()
    (gc.enable if enabled else gc.disable)()
    try:
        with collector_spared():
            assert not gc.isenabled()
            kept = [[number] for number in range(1000)]
        assert gc.isenabled() is enabled
        assert gc.get_freeze_count() >= frozen + len(kept)
        with pytest.raises(ZeroDivisionError), collector_spared():
            raise ZeroDivisionError
        assert gc.isenabled() is enabled
    finally:
        gc.unfreeze()
        (gc.enable if was else gc.disable)()
