"""Runs one application on the framework that is installed, os-ken or the original Ryu, with the framework's own I/O.

    serve.py APPLICATION.py PORT

It is what `ryu-manager --ofp-tcp-listen-port PORT APPLICATION.py` did, which os-ken 4 no longer has; Ryu's own does not
start with today's eventlet, which lacks a name that Ryu imports.
"""

import importlib.util
import sys

try:
    from os_ken import cfg
    from os_ken.lib import hub
except ImportError:
    import eventlet.wsgi

    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
    from ryu import cfg
    from ryu.lib import hub

hub.patch()
NAME = "os_ken" if "os_ken" in sys.modules else "ryu"


def main(application: str, port: str) -> None:
    manager = importlib.import_module(f"{NAME}.base.app_manager").AppManager.get_instance()
    importlib.import_module(f"{NAME}.controller.ofp_handler")
    cfg.CONF([], project="ryu", version="serve")
    cfg.CONF.set_override("ofp_tcp_listen_port", int(port))
    cfg.CONF.set_override("ofp_listen_host", "127.0.0.1")
    manager.load_apps([application, f"{NAME}.controller.ofp_handler"])
    contexts = manager.create_contexts()
    services = [*manager.instantiate_apps(**contexts)]
    try:
        hub.joinall(services)
    finally:
        manager.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
