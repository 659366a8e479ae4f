"""What ``ryu-manager dove_ryu.app`` loads: the Ryu application.  Wiring only.

Events of the framework become calls of the service, which has a thread of its own; the options become the service, its
store, the hosts and the REST server.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, ClassVar

from dove_ryu import config
from dove_ryu.binding import Binder
from dove_ryu.fairness import Share
from dove_ryu.health_record import HealthRecord
from dove_ryu.northbound.rest import application
from dove_ryu.northbound.server import RestServer
from dove_ryu.openflow.fields import APPLICATION
from dove_ryu.service import Service
from dove_ryu.southbound import framework, lane_form
from dove_ryu.southbound.datapath import Datapath, serve_connection
from dove_ryu.southbound.link import Link
from dove_ryu.southbound.meters import Allowance
from dove_ryu.store import StoreError, open_store

LOG = logging.getLogger(__name__)

LANE_PATIENCE = 0.00005
"""Seconds for which a busy thread may keep Python's global lock from the fast lane, whose packets wait; Python's 0.005
would be what a first packet takes whenever the world changes."""


class DoveApp(framework.RyuApp):
    """The DOVE Policy Service as a Ryu application."""

    OFP_VERSIONS: ClassVar = [framework.ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        framework.use_connections(serve_connection)  # where another command than ours has started us
        config.register(framework.CONF)
        self._settings = settings = config.settings(framework.CONF)
        try:
            self._store = open_store(settings.store)
            self._form = lane_form.load(settings.lane)
            self._service = Service(self._store, self._form)
            self._service.start()
        except (StoreError, lane_form.NotCompiled) as error:
            raise config.StartupError(str(error)) from None
        self._switches = self._service.switches
        self._switches.admission.share = Share(settings.network_rate, settings.network_burst)
        self._binder = Binder(self._service, settings)
        self._health = HealthRecord(self._service)
        self._rest = RestServer(settings.rest_host, settings.rest_port, application(self._service))

    def start(self) -> Any:
        """Begin to serve; called by the framework."""
        try:
            self._rest.start()
        except OSError as error:
            options = "--wsapi-host or --wsapi-port"
            raise config.ListenError(
                "REST", self._settings.rest_host, self._settings.rest_port, options, error
            ) from None
        Link.allowance = Allowance(self._settings.endpoint_rate, self._settings.endpoint_burst)
        Datapath.application = APPLICATION
        Datapath.ours = self._hear
        Datapath.form = self._form
        sys.setswitchinterval(LANE_PATIENCE)
        self._binder.start()
        self._health.start()
        return super().start()

    def stop(self) -> None:
        """End everything that :meth:`start` began; called by the framework."""
        Datapath.ours = None
        self._rest.stop()
        self._binder.stop()
        self._health.stop()
        self._service.stop()
        self._store.close()
        super().stop()

    def _hear(self, datapath: Any, messages: list[bytes]) -> None:
        link = _link(datapath)
        let_in = link.let_in(messages)
        if let_in:
            self._service.post(self._switches.hear, link, let_in)

    @framework.set_ev_cls(
        framework.ofp_event.EventOFPStateChange, [framework.MAIN_DISPATCHER, framework.DEAD_DISPATCHER]
    )
    def _state_changed(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == framework.MAIN_DISPATCHER:
            self._service.post(self._switches.greet, _link(datapath), _ports(datapath), _dark(datapath))
        elif "dove_link" in vars(datapath):
            self._service.post(self._switches.lose, _link(datapath))

    @framework.set_ev_cls(framework.ofp_event.EventOFPPortStateChange, framework.MAIN_DISPATCHER)
    def _ports_changed(self, event: Any) -> None:
        datapath = event.datapath
        self._service.post(self._switches.hear_ports, _link(datapath), _ports(datapath), _dark(datapath))

    @framework.set_ev_cls(framework.ofp_event.EventOFPErrorMsg, framework.MAIN_DISPATCHER)
    def _refused(self, event: Any) -> None:
        message = event.msg
        LOG.error(
            "dSwitch %016x refuses a message: type %s, code %s, %s",
            message.datapath.id,
            message.type,
            message.code,
            bytes(message.data).hex(),
        )


def _link(datapath: Any) -> Link:
    """The link of a connection whose handshake is over; whichever of its threads is first makes it."""
    link: Link = vars(datapath).setdefault("dove_link", Link(datapath))
    return link


def _ports(datapath: Any) -> dict[str, int]:
    """Port numbers by name."""
    return {port.name.decode(): number for number, port in list(datapath.ports.items())}


def _dark(datapath: Any) -> frozenset[str]:
    """The names of the ports that have no link, or are switched off."""
    down, off = framework.ofproto_v1_3.OFPPS_LINK_DOWN, framework.ofproto_v1_3.OFPPC_PORT_DOWN
    return frozenset(
        port.name.decode() for port in list(datapath.ports.values()) if port.state & down or port.config & off
    )
