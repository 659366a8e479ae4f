"""What is found of an instance comes to the store, to the world and into the log, whatever the store does first (X10)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dove_ryu import switchboard
from dove_ryu.dps import Dps
from dove_ryu.health_record import HealthRecord
from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.documents import document_of, key_of
from dove_ryu.service import Service
from dove_ryu.store import StoreUnavailable
from dove_ryu.store.interface import NOTHING
from dove_ryu.store.sqlite import SqliteStore

FW = Appliance("FW", "firewall", (Instance("one", 1, "in", "out"),))
KEY = "/dove/v1/health/FW/one"


class Moody(SqliteStore):
    """A store that is not there for some commits.

    :ivar refusals: how many more it refuses.
    """

    refusals = 0
    failure: type[Exception] = StoreUnavailable

    def commit(self, puts: Mapping[str, dict] = NOTHING, *others: Any, **named: Any) -> int:
        if KEY in puts and self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("the store", "it is away", "wait") if self.failure is StoreUnavailable else OSError
        return super().commit(puts, *others, **named)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Moody]:
    made = Moody(tmp_path / "dps.sqlite")
    made.commit({key_of(FW): document_of(FW)})
    yield made
    made.close()


@pytest.fixture
def service(store: Moody, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(switchboard, "PAUSE", 0.01)
    made = Service(store)
    made.start()
    record = HealthRecord(made)
    record.start()
    made.ask(lambda dps: dps.world.ports.update({1: {"in": 1, "out": 2}}))
    yield made
    record.stop()
    made.stop()


def see(service: Service, *dark: str) -> None:
    """A dSwitch says which of its ports have no link."""
    service.post(service.switches.judge.see_ports, 1, frozenset(dark))


def until(service: Service, holds: Callable[[Dps], object]) -> None:
    """Wait until something is so in the world, which is looked at after each commit."""
    for _ in range(1000):
        if service.ask(holds):
            return
        service.reached(service.revision + 1, 0.01)
    raise AssertionError("the world is not so within ten seconds")


def test_what_is_found_is_recorded_and_logged(service: Service, store: Moody, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    see(service, "in")
    until(service, lambda dps: dps.world.down)
    item = store.get(KEY)
    assert item is not None
    assert (item.document["up"], item.document["reason"]) == (False, "port in of dSwitch 0000000000000001 is down")
    see(service)

    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "dove_ryu.health_record"]

    until(service, lambda dps: not dps.world.down and len(lines()) == 2)  # it is recorded first, and then logged
    assert lines() == [
        "instance one of appliance FW is down: port in of dSwitch 0000000000000001 is down",
        "instance one of appliance FW works again",
    ]
    assert service.probes().changes == 2


@pytest.mark.parametrize("failure", [StoreUnavailable, OSError], ids=["the store's", "a fault of ours"])
def test_what_cannot_be_recorded_is_found_again(
    service: Service, store: Moody, caplog: pytest.LogCaptureFixture, failure: type[Exception]
) -> None:
    store.refusals, store.failure = 3, failure
    see(service, "out")
    until(service, lambda dps: dps.world.down)
    assert store.refusals == 0
    assert "what was found of FW/one is not recorded yet" in caplog.text


def test_who_has_stopped_records_nothing_more(store: Moody) -> None:
    service = Service(store)
    service.start()
    record = HealthRecord(service)
    record.start()
    record.stop()
    service.ask(lambda dps: dps.world.ports.update({1: {"in": 1}}))
    see(service)
    assert service.probes().changes == 1
    assert store.get(KEY) is None
    assert all(thread.name != "dps-health" for thread in threading.enumerate())
    service.stop()
