"""The Ryu framework that is there, and nothing of it elsewhere.

Ryu lives on as os-ken; the original ended at 4.34. Both have the same modules under another top-level name, so
this file finds out which one is installed and hands the rest of the program the few names it needs. No other
file of ours imports `os_ken` or `ryu`: what the framework does unexpectedly is met here, once.

The framework runs on a *hub*: native threads (os-ken's default) or eventlet's greenlets (`OSKEN_HUB_TYPE=eventlet`,
and always with Ryu 4.34). `wait` and `patch` are what we need to be indifferent to that choice.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_Handler = TypeVar("_Handler", bound=Callable[..., None])


def _installed() -> str:
    """The framework's top-level package: `os_ken` before `ryu`."""
    if importlib.util.find_spec("os_ken"):
        return "os_ken"
    if importlib.util.find_spec("ryu") is None:
        raise ImportError("no Ryu framework is installed: `pip install 'os-ken>=4.2'`")
    import eventlet.wsgi

    # Ryu 4.34's ryu.app.wsgi imports this sentinel, which eventlet dropped in 0.30.3. Any object does:
    # Ryu only compares identity, and only for its own web sockets.
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
    return "ryu"


NAME = _installed()


def _module(path: str) -> Any:
    return importlib.import_module(f"{NAME}.{path}")


# app_manager and controller import each other: only when app_manager comes first does the circle close.
app_manager = _module("base.app_manager")
controller = _module("controller.controller")
ofp_handler = _module("controller.ofp_handler")
ofp_event = _module("controller.ofp_event")
hub = _module("lib.hub")
_handler = _module("controller.handler")
_log = _module("log")
ofproto_parser = _module("ofproto.ofproto_parser")
ofproto_v1_3 = _module("ofproto.ofproto_v1_3")
ofproto_v1_3_parser = _module("ofproto.ofproto_v1_3_parser")

CONF = _module("cfg").CONF
AppManager = app_manager.AppManager
OFPException = _module("exception").OSKenException if NAME == "os_ken" else _module("exception").RyuException
RyuApp = app_manager.OSKenApp if NAME == "os_ken" else app_manager.RyuApp
Datapath = controller.Datapath
OpenFlowController = controller.OpenFlowController

HANDSHAKE_DISPATCHER: str = _handler.HANDSHAKE_DISPATCHER
CONFIG_DISPATCHER: str = _handler.CONFIG_DISPATCHER
MAIN_DISPATCHER: str = _handler.MAIN_DISPATCHER
DEAD_DISPATCHER: str = _handler.DEAD_DISPATCHER

init_log: Callable[[], None] = _log.init_log
"""Hang the handlers that --log-file, --use-stderr, --use-syslog and --log-config-file ask for on the root logger."""


def version() -> str:
    """The framework and its version, as `--version` prints it."""
    distribution = {"os_ken": "os-ken", "ryu": "ryu"}[NAME]
    return f"{distribution} {importlib.metadata.version(distribution)}"


def set_ev_cls(event: Any, dispatchers: str | list[str] | None = None) -> Callable[[_Handler], _Handler]:
    """Ryu's decorator of a method that handles `event` in these dispatcher states; all states when None."""
    decorator: Callable[[_Handler], _Handler] = _handler.set_ev_cls(event, dispatchers)
    return decorator


def load_option_modules() -> None:
    """Import the framework's modules that define command line options for applications of its own.

    Options can be added only before the command line is read, and applications are loaded after it.
    Ryu's own command imports the same ones for this reason.
    """
    for path in ("flags", "topology.switches", *(["app.wsgi"] if NAME == "ryu" else [])):
        _module(path)


def use_connections(serve: Callable[[Any, Any], None]) -> None:
    """Let `serve(socket, address)` run each accepted connection from now on, instead of the framework's function.

    There is no setting for it; the framework looks `datapath_connection_factory` up in its module whenever it starts to
    listen or to connect. (Putting our class in the place of its neighbour `Datapath` would not do: that class calls
    `super(Datapath, self).__init__()` and would find ours.)
    """
    controller.datapath_connection_factory = serve


def use_server(server: Callable[[], Any]) -> None:
    """Let `server()` make the OpenFlow server: called once by the framework, its result is then run in the hub.

    `OFPHandler.start` looks `OpenFlowController` up in its module.
    """
    ofp_handler.OpenFlowController = server


def is_observed(brick: Any, event: Any) -> bool:
    """Whether an application wants to know of the brick's events of a class."""
    return brick is None or bool(brick.observers.get(event))


def is_eventlet() -> bool:
    return bool(hub.HUB_TYPE == "eventlet")


def patch() -> None:
    """Let eventlet, where it is the hub, replace the blocking calls of the standard library by its own."""
    hub.patch(thread=False)  # everything but threads
    hub.patch(thread=True)  # and threads: eventlet patches *only* what is named so


def run_beside(run: Callable[[], None]) -> None:
    """Run a function in the hub until the process ends, which does not wait for it as it does for the hub's threads."""
    if is_eventlet():
        hub.spawn(run)
    else:
        threading.Thread(target=run, daemon=True).start()


def wait(reads: Sequence[int], writes: Sequence[int], timeout: float | None) -> None:
    """Wait until one of the descriptors is ready or `timeout` seconds are over; other work of the hub goes on.

    It does not say which is ready: callers use non-blocking calls and simply try.
    """
    if is_eventlet():
        from eventlet.green.select import select as green_select

        green_select(reads, writes, [], timeout)
        return
    poll = select.poll()  # not select(): that one ends at 1,024 descriptors
    for descriptor in {*reads, *writes}:
        poll.register(
            descriptor,
            (select.POLLIN if descriptor in reads else 0) | (select.POLLOUT if descriptor in writes else 0),
        )
    poll.poll(None if timeout is None else max(0, int(timeout * 1000) + 1))
