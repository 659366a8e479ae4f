"""The HTTP server that carries the REST interface: cheroot, with threads of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from cheroot import wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)

WORKERS = 10

STOP_SECONDS = 0.3
"""How long requests that are being answered may take to end; then their connections are cut."""

LOOK_SECONDS = 0.1
"""How often the server looks for idle connections, and whether it is to stop."""


class RestServer:
    """Serves a WSGI application until it is stopped.

    :param port: 0 for any that is free; see :attr:`address`.
    """

    def __init__(self, host: str, port: int, application: WSGIApplication) -> None:
        self._server = _Server((host, port), application, numthreads=WORKERS)
        self._server.shutdown_timeout = STOP_SECONDS
        self._server.expiration_interval = LOOK_SECONDS
        self._thread = threading.Thread(target=self._server.serve, name="rest", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, once it is started."""
        host, port = self._server.bind_addr
        return str(host), int(port)

    def start(self) -> None:
        """Listen, then serve in a thread.

        :raises OSError: where the address is taken or not ours.
        """
        try:
            self._server.prepare()
        except OSError as error:
            raise self._server.refusal or error from None
        self._thread.start()
        LOG.info("REST on http://%s:%d", *self.address)

    def stop(self) -> None:
        """Take no more requests and end those that are running, within a second."""
        self._server.stop()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)


class _Server(wsgi.Server):
    """cheroot's server, which tells why it cannot listen and what goes wrong to where we look."""

    refusal: OSError | None = None

    def bind(self, family: int, type: int, proto: int = 0) -> Any:  # noqa: A002  # cheroot's own name
        """Bind; `prepare` would turn the reason into text."""
        try:
            return super().bind(family, type, proto)
        except OSError as error:
            self.refusal = error
            raise

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """What cheroot has to say, to the log and not to standard error."""
        LOG.log(level, "%s", msg, exc_info=traceback)
