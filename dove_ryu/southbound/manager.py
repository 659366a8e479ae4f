"""`ryu-manager`: run Ryu applications until SIGTERM or SIGINT.

os-ken 4 ended Ryu's own command, and an operator expects more of one than that did. The order here is the order in
which things go wrong: options are understood, then the address for the switches is taken, and only then is an
application loaded. What fails gives one line and an exit code of its own (`dove_ryu.config`), never a traceback. The
listening socket is ours because os-ken binds in a thread whose failure nobody sees.

At the end the order is turned round: no more switches, applications stopped, connections closed. Whatever hangs on the
way is cut off after `--dove-stop-timeout`, with the stacks of all threads on stderr to show where. Threads that
applications have left running do not keep the process alive.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import dove_ryu
from dove_ryu import config
from dove_ryu.config import ApplicationError, ListenError, OptionError, Settings, StartupError, TlsSettings
from dove_ryu.southbound import framework
from dove_ryu.southbound.datapath import Datapath, serve_connection

LOG = logging.getLogger(config.PROGRAM)

HANDSHAKE_SECONDS = 10.0  # for TLS; a peer that is slower is a port scanner
STARTING_PAUSE = 0.01
FULL_PAUSE = 0.5  # when the process has no more descriptors


class Server(framework.OpenFlowController):
    """Awaits switches on a socket that is bound already. It takes the place of the framework's server, of which it
    keeps the way to call switches by itself (--ofp-switch-address-list)."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._listener = listener
        self._tls = tls
        self._stopped = False
        self.open = False  # set once every application has started: who connects before that is greeted by nobody

    def server_loop(self, *_ports: int) -> None:
        """Called by the framework's entry point, on a thread of the hub."""
        while not (self.open or self._stopped):
            framework.hub.sleep(STARTING_PAUSE)
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError as error:
                if self._stopped:
                    return
                LOG.warning("cannot accept a switch: %s", error.strerror)
                framework.hub.sleep(FULL_PAUSE if error.errno in (errno.EMFILE, errno.ENFILE) else 0)
            else:
                framework.hub.spawn(self._serve, connection, address)

    def _serve(self, connection: socket.socket, address: Any) -> None:
        if self._tls is not None:
            try:
                connection.settimeout(HANDSHAKE_SECONDS)
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError as error:
                LOG.warning("%s: no TLS: %s", address[0], error)
                connection.close()
                return
        serve_connection(connection, address)

    def stop(self) -> None:
        """Refuse new switches and let go of the accepting thread."""
        self._stopped = True
        for address in list(self._clients):
            self.stop_client_loop(address)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def listen(settings: Settings) -> socket.socket:
    """The socket that switches connect to. Raises ListenError."""
    host, port = settings.openflow_host, settings.openflow_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")
    except OSError as error:
        option = "--ofp-ssl-listen-port" if settings.openflow_tls else "--ofp-tcp-listen-port"
        raise ListenError("switches", host, port, f"--ofp-listen-host or {option}", error) from None


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Raises OptionError where the key, the certificates or the ciphers are unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION  # else a read may need to write, and the other way round
    option = f"--ctl-privkey {tls.private_key}, --ctl-cert {tls.certificate}"
    try:
        context.load_cert_chain(tls.certificate, tls.private_key)
        if tls.ca_certs:
            option = f"--ca-certs {tls.ca_certs}"
            context.load_verify_locations(tls.ca_certs)
            context.verify_mode = ssl.CERT_REQUIRED
        if tls.ciphers:
            option = f"--ciphers {tls.ciphers}"
            context.set_ciphers(tls.ciphers)
    except OSError as error:  # ssl.SSLError is one
        raise OptionError(f"{option}: cannot be used for TLS: {error.strerror or error}") from None
    return context


def start_log(settings: Settings) -> None:
    """Log where and what the options say, in a format that can be read. Raises OptionError."""
    try:
        framework.init_log()
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(f"cannot log as the options say: {error}") from None
    if not framework.CONF.log_config_file:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    if not framework.CONF.verbose:  # what is loaded we say ourselves, in one line
        logging.getLogger(framework.app_manager.__name__).setLevel(logging.WARNING)
    for name, level in settings.log_levels:
        logging.getLogger(name).setLevel(level)


def load(names: Sequence[str]) -> Any:
    """The framework's AppManager with the named applications and those that they require. Raises ApplicationError."""
    manager = framework.AppManager.get_instance()
    for name in names:
        try:
            manager.load_apps([name])
        except Exception as error:
            LOG.debug("loading %s", name, exc_info=True)
            raise ApplicationError(_why_not_loaded(name, error)) from None
        if name not in manager.applications_cls and name not in _modules_of_contexts(manager):
            raise ApplicationError(
                f"cannot load application {name}: the module defines none; name one with a subclass of "
                f"{framework.RyuApp.__module__}.{framework.RyuApp.__name__}"
            )
    return manager


def _modules_of_contexts(manager: Any) -> list[str]:
    return [context.__module__ for context in manager.contexts_cls.values()]


def _why_not_loaded(name: str, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{name}.".startswith(f"{missing}."):
        return (
            f"cannot load application {name}: no module {missing}; name a module that Python finds (PYTHONPATH "
            "adds directories), or the path of a .py file"
        )
    return f"cannot load application {name}: {type(error).__name__}: {error}; --verbose shows where"


def start(manager: Any) -> None:
    """Make the applications and start them. Raises StartupError."""
    try:
        contexts = manager.create_contexts()
        manager.instantiate_apps(**contexts)
    except StartupError:
        raise
    except Exception as error:
        LOG.debug("starting", exc_info=True)
        raise StartupError(
            f"an application cannot start: {type(error).__name__}: {error}; --verbose shows where"
        ) from None


class StopSignal:
    """SIGTERM and SIGINT become something that the hub can wait for, and limit what is left of the process's life."""

    def __init__(self, stop_timeout: float) -> None:
        self._stop_timeout = stop_timeout
        self._name = ""
        self._limited = False
        # Python runs its handlers between two instructions of the main thread. Were that thread about to poll, it
        # would sleep on the signal; hence the interpreter's own handler writes to a descriptor that is polled.
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, self._received)
        signal.signal(signal.SIGINT, self._received)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        if not self._name:  # a second one cannot make it faster
            self._name = signal.Signals(number).name
            self.set_limit()

    def set_limit(self) -> None:
        """From now on the process has `stop_timeout` seconds left; then it ends with exit code 1."""
        if not self._limited:
            self._limited = True
            # A thread of the interpreter's core: it works whatever the threads of Python are waiting for.
            faulthandler.dump_traceback_later(self._stop_timeout, exit=True)

    def wait(self) -> str:
        """Until the first signal, for ever; its name."""
        while not self._name:
            framework.wait([self._wake], [], None)
            os.read(self._wake, 1)
        return self._name


@contextlib.contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Raises OptionError where it cannot be written."""
    if path is None:
        yield
        return
    try:
        Path(path).write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise OptionError(f"--pid-file {path}: {error.strerror}") from None
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)


def run(settings: Settings) -> int:
    """From the listening socket to the last closed connection: the exit code. Raises StartupError."""
    tls = tls_context(settings.openflow_tls) if settings.openflow_tls else None
    listener = listen(settings)
    stop_signal = StopSignal(settings.stop_timeout)
    server = Server(listener, tls)
    framework.use_connections(serve_connection)
    framework.use_server(lambda: server)
    with pid_file(settings.pid_file):
        manager = load(settings.applications)
        try:
            start(manager)
            server.open = True
            where = f"{settings.openflow_host} port {listener.getsockname()[1]} ({'TLS' if tls else 'TCP'})"
            LOG.info("running %s; awaiting switches on %s", ", ".join(settings.applications), where)
            LOG.info("stopping on %s", stop_signal.wait())
        except StartupError:
            # Half started, an application may be unable to stop; what matters is why it did not start.
            stop(server, manager, stop_signal, logging.DEBUG)
            raise
        return 0 if stop(server, manager, stop_signal, logging.ERROR) else 1


def stop(server: Server, manager: Any, stop_signal: StopSignal, complaint: int) -> bool:
    """No more switches, no more applications, no more connections; whether all applications agreed.

    What one says against it is logged at the level `complaint`, and the others are stopped all the same.
    """
    agreed = True
    stop_signal.set_limit()
    server.stop()
    for _ in [*manager.applications, "contexts"]:  # each turn stops all up to the first that fails
        try:
            manager.close()
        except Exception:
            agreed = False
            LOG.log(complaint, "an application failed to stop", exc_info=True)
    close_connections()
    return agreed


def close_connections() -> None:
    """End them all and wait until they have; the caller limits the time."""
    while Datapath.live:
        for datapath in list(Datapath.live):  # again each time: one that was just accepted may join them
            datapath.close()
        framework.hub.sleep(0.01)


def leave(exit_code: int) -> NoReturn:
    """End the process here and now.

    An orderly return would first join threads that applications have left running, for ever, and then take every
    module apart, which on a busy host was seen to outlast the time there is to stop.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The command. It ends the process, with one of the exit codes of `dove_ryu.config.EXIT_CODES`."""
    framework.patch()
    try:
        framework.load_option_modules()
        config.register(framework.CONF)
        version = f"{dove_ryu.__version__} ({framework.version()})"
        settings = config.parse(framework.CONF, sys.argv[1:] if arguments is None else arguments, version)
        start_log(settings)
        leave(run(settings))
    except StartupError as error:
        print(f"{config.PROGRAM}: {error}", file=sys.stderr)
        leave(error.exit_code)


if __name__ == "__main__":
    main()
