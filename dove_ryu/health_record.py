"""What is found of appliances' instances becomes documents in the store (X10).

Writing waits for the store, and what is written here must not wait for what hosts tell: who takes an instance's packets
instead depends on it.  So this has a thread of its own, with a queue.
"""

from __future__ import annotations

import logging
import queue
import threading

from dove_ryu.model.appliances import Health
from dove_ryu.model.documents import document_of, key_of
from dove_ryu.service import Service
from dove_ryu.store import StoreError

LOG = logging.getLogger(__name__)


class HealthRecord:
    """Records what the judge finds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._queue: queue.SimpleQueue[Health | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dps-health", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._service.switches.record = self._queue.put
        self._thread.start()

    def stop(self) -> None:
        """End after what has been found."""
        self._service.switches.record = None
        self._queue.put(None)
        self._thread.join(1)

    def _run(self) -> None:
        while (health := self._queue.get()) is not None:
            try:
                self._record(health)
                continue
            except StoreError as error:
                LOG.error("what was found of %s is not recorded yet: %s", health.name, error)
            except Exception:
                LOG.exception("what was found of %s is not recorded yet", health.name)
            self._service.post(self._service.switches.find_again, health)

    def _record(self, health: Health) -> None:
        self._service.store.commit({key_of(health): document_of(health)})
        if health.up:
            LOG.info("instance %s of appliance %s works again", health.instance, health.appliance)
        else:
            LOG.warning("instance %s of appliance %s is down: %s", health.instance, health.appliance, health.reason)
