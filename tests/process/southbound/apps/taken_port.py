"""An application whose own server finds its port taken, and which cannot stop what it has not started."""

import socket

from dove_ryu import config
from dove_ryu.southbound import framework


class TakenPort(framework.RyuApp):
    def start(self):
        settings = config.settings(framework.CONF)
        try:
            socket.create_server((settings.rest_host, settings.rest_port))
        except OSError as error:
            options = "--wsapi-host or --wsapi-port"
            raise config.ListenError("REST", settings.rest_host, settings.rest_port, options, error) from None

    def stop(self):
        raise RuntimeError("nothing to stop")
