"""Every option of the program, once.

An option is given on the command line or in a config file (`--config-file`, by default /etc/dove/dove.conf); where it
is given twice, the last one holds. oslo.config, which Ryu uses, does the reading. The options that Ryu had keep their
names, so that a Ryu command line goes on working; ours are in the group `dove`: `--dove-store` on the command line,
`store` under `[dove]` in a file.

The rest of the program never sees oslo.config: it takes a `Settings`, a frozen value with a default for
everything, which a test or another program can also make by hand.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oslo_config import cfg

from dove_ryu.southbound import lane_form

PROGRAM = "ryu-manager"
DEFAULT_APPLICATION = "dove_ryu.app"
CONFIG_FILE = "/etc/dove/dove.conf"


DESCRIPTION = (
    "Run Ryu applications: await OpenFlow switches and give their events to the applications. Every option may also "
    f"stand in a config file, {CONFIG_FILE} unless --config-file names another: `ofp_tcp_listen_port = 6653` under "
    "[DEFAULT], those with a prefix in a section of that name: `store = ...` under [dove]."
)
EXIT_CODES = (
    "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 an application failed or did not stop in time; 2 a bad option or "
    "config file; 3 an address to listen on cannot be had; 4 an application cannot be loaded."
)


class StartupError(Exception):
    """The program cannot start. The text is one line for the operator: what, why, and what to do about it."""

    exit_code = 1


class OptionError(StartupError):
    """An option or a config file is not understood."""

    exit_code = 2


class ListenError(StartupError):
    """An address is taken, forbidden or not ours."""

    exit_code = 3

    def __init__(self, purpose: str, host: str, port: int, options: str, error: OSError) -> None:
        """`purpose` completes "cannot listen for ..."; `options` names those that choose another address."""
        # A host name that does not resolve has a negative number; strerror may hold Python's own additions.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        remedy = f"choose another with {options}"
        if error.errno == errno.EADDRINUSE:
            remedy += f", or stop the program that `ss -ltnp 'sport = :{port}'` shows"
        super().__init__(f"cannot listen for {purpose} on {host} port {port}: {reason}; {remedy}")


class ApplicationError(StartupError):
    """A named application module cannot be loaded."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """OpenFlow over TLS: PEM files. With `ca_certs`, switches must present a certificate signed by one of them."""

    private_key: str
    certificate: str
    ca_certs: str | None = None
    ciphers: str | None = None


def default_store() -> str:
    """The store's URL when none is given: under /var/lib for root, else in the user's state directory."""
    if os.geteuid() == 0:
        directory = Path("/var/lib/dove")
    else:
        directory = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "dove"
    return f"sqlite:///{directory / 'dps.sqlite'}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator has decided. Times in seconds."""

    applications: tuple[str, ...] = (DEFAULT_APPLICATION,)
    openflow_host: str = "0.0.0.0"
    openflow_port: int = 6653
    openflow_tls: TlsSettings | None = None
    rest_host: str = "127.0.0.1"
    rest_port: int = 8080
    pid_file: str | None = None
    store: str = field(default_factory=default_store)
    packet_in_rate: int = 20_000
    packet_in_burst: int = 5_000
    endpoint_rate: int = 200
    endpoint_burst: int = 200
    network_rate: int = 2000
    network_burst: int = 4000
    ovsdb: bool = True
    ovsdb_port: int = 6640
    lane: str = "auto"
    log_levels: tuple[tuple[str, str], ...] = ()
    stop_timeout: float = 1.5


_OURS = [
    cfg.StrOpt("store", metavar="URL", help=f"where the DPS keeps its tables (default: {default_store()})"),
    cfg.IntOpt(
        "packet-in-rate",
        default=20_000,
        min=0,
        help="packet-ins a second that a dSwitch may send; 0: no limit (default: 20000; OVS: at least 100)",
    ),
    cfg.IntOpt(
        "packet-in-burst",
        default=5_000,
        min=25,
        help="packet-ins that a dSwitch may save up while it sends none (default: 5000; OVS: at least 25)",
    ),
    cfg.IntOpt(
        "endpoint-rate", default=200, min=1, help="what one endpoint may ask the DPS, packets a second (default: 200)"
    ),
    cfg.IntOpt("endpoint-burst", default=200, min=1, help="what one endpoint may ask the DPS at once (default: 200)"),
    cfg.IntOpt(
        "network-rate",
        default=2000,
        min=0,
        help="what the endpoints of one network may together ask of the DPS's thread, packets a second; 0: no limit "
        "(default: 2000)",
    ),
    cfg.IntOpt("network-burst", default=4000, min=1, help="what they may ask of it at once (default: 4000)"),
    cfg.BoolOpt(
        "ovsdb",
        default=True,
        help="connect to the OVSDB server of each dSwitch (default: yes; else use the REST call that binds a port)",
    ),
    cfg.PortOpt(
        "ovsdb-port", default=6640, help="OVSDB port of a dSwitch that is registered without one (default: 6640)"
    ),
    cfg.StrOpt(
        "lane",
        default="auto",
        choices=lane_form.FORMS,
        help="form of the fast lane: compiled, python, or auto: the compiled one where it was built (default: auto)",
    ),
    cfg.ListOpt(
        "log-levels",
        default=[],
        metavar="LOGGER=LEVEL,...",
        help="level of single loggers, e.g. dove_ryu.store=DEBUG,os_ken=WARNING",
    ),
    cfg.FloatOpt(
        "stop-timeout",
        default=1.5,
        min=0.1,
        help="seconds that applications have to stop; then the program ends without them (default: 1.5)",
    ),
]

# Options that Ryu or its command has or had. Where the framework defines one as well, ours takes its place: it has the
# default that holds here, and is on the command line (Ryu knew some in the config file only).
_RYUS = [
    cfg.MultiStrOpt(
        "app",
        positional=True,
        default=[],
        help=f"application to run: a module's dotted name or the path of a .py file (default: {DEFAULT_APPLICATION})",
    ),
    cfg.ListOpt("app-lists", default=[], help="more applications to run, separated by commas"),
    cfg.StrOpt("pid-file", help="file to write the process id to"),
    cfg.StrOpt(
        "ofp-listen-host", default="0.0.0.0", help="address to await switches on; :: for IPv6 too (default: 0.0.0.0)"
    ),
    cfg.PortOpt(
        "ofp-tcp-listen-port",
        default=6653,
        help="TCP port to await switches on (default: 6653, and not also Ryu's historical 6633)",
    ),
    cfg.PortOpt(
        "ofp-ssl-listen-port",
        default=6653,
        help="TLS port to await switches on, instead of the TCP port, when --ctl-privkey and --ctl-cert are given "
        "(default: 6653)",
    ),
    cfg.StrOpt("ctl-privkey", metavar="PEM", help="private key for switches that connect with TLS"),
    cfg.StrOpt("ctl-cert", metavar="PEM", help="certificate for switches that connect with TLS"),
    cfg.StrOpt("ca-certs", metavar="PEM", help="accept only switches with a certificate signed by one of these"),
    cfg.StrOpt("ciphers", help="TLS ciphers to allow, in OpenSSL's notation (default: those of Python)"),
    cfg.StrOpt("wsapi-host", default="127.0.0.1", help="address that the REST API listens on (default: 127.0.0.1)"),
    cfg.PortOpt("wsapi-port", default=8080, help="port that the REST API listens on (default: 8080)"),
    cfg.FloatOpt(
        "socket-timeout",
        default=5.0,
        min=0.1,
        help="seconds after which a switch that reads nothing of what is sent to it is disconnected (default: 5)",
    ),
    cfg.FloatOpt(
        "echo-request-interval",
        default=5.0,
        min=0.1,
        help="seconds between echo requests to a switch; one that is dead is noticed, at the latest, after "
        "(--maximum-unreplied-echo-requests + 2) times as many (default: 5)",
    ),
    cfg.IntOpt(
        "maximum-unreplied-echo-requests",
        default=2,
        min=0,
        help="echo requests that a switch may leave without a reply before it is disconnected; 0: none is sent "
        "(default: 2)",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Add the options to `conf`, the framework's own ConfigOpts.

    When its command line has been read already, by a command that is not ours, only a config file can still give
    values to ours; Ryu's are left as that command has them.
    """
    try:
        for option in _RYUS:
            conf.unregister_opt(option)
            conf.register_cli_opt(option)
        conf.register_cli_opts(_OURS, group="dove")
    except cfg.ArgsAlreadyParsedError:
        conf.register_opts(_OURS, group="dove")


def parse(conf: cfg.ConfigOpts, arguments: Sequence[str], version: str) -> Settings:
    """Read the command line and the config files. `--help` and `--version` print and raise SystemExit(0).

    Raises OptionError, with the one line to print.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            conf(
                args=list(arguments),
                prog=PROGRAM,
                version=f"{PROGRAM} {version}",
                default_config_files=[CONFIG_FILE] if os.path.exists(CONFIG_FILE) else [],
                default_config_dirs=[],
                description=DESCRIPTION,
                epilog=EXIT_CODES,
                use_env=False,  # it would override the command line
            )
        for path in conf.config_file or []:
            _refuse_unknown_keys(path)
        return settings(conf)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise OptionError(_explain(complaint.getvalue())) from None
    except (cfg.Error, cfg.ParseError, ValueError) as error:
        raise OptionError(" ".join(str(error).split())) from None


def _explain(complaint: str) -> str:
    """The last line of argparse, with options as the operator writes them, and the one that was probably meant."""
    reason = complaint.strip().rpartition("error: ")[2]
    if unknown := re.match(r"unrecognized arguments: (--[\w-]+)", reason):
        near = difflib.get_close_matches(unknown[1], [_flag(option.dest) for option in [*_OURS, *_RYUS]], n=1)
        remedy = f"did you mean {near[0]}?" if near else f"`{PROGRAM} --help` lists those there are"
        return f"unknown option {unknown[1]}; {remedy}"
    return re.sub(r"^argument --(\w+): Invalid", lambda found: f"{_flag(found[1])}: invalid", reason)


def _flag(dest: str) -> str:
    """The command line's form of an option that oslo.config calls `dest` (and `--dest` in its messages)."""
    prefix = "dove_" if any(option.dest == dest for option in _OURS) else ""
    return "--" + f"{prefix}{dest}".replace("_", "-")


def _refuse_unknown_keys(path: str) -> None:
    """oslo.config passes over what it does not know; in our own section that can only be a slip of the pen."""
    sections: dict[str, dict[str, Any]] = {}
    cfg.ConfigParser(path, sections).parse()
    known = [option.dest for option in _OURS]
    for key in sections.get("dove", {}):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}"
            raise OptionError(f"{path}: section [dove] has no option {key}; {remedy}")


def settings(conf: cfg.ConfigOpts) -> Settings:
    """What is in force, after `register(conf)`, whichever command has read the command line.

    Raises OptionError where options contradict each other.
    """
    dove = conf.dove
    return Settings(
        applications=tuple(name for names in [*conf.app_lists, *conf.app] for name in names.split(","))
        or (DEFAULT_APPLICATION,),
        openflow_host=conf.ofp_listen_host,
        openflow_port=_openflow_port(conf),
        openflow_tls=_tls(conf),
        rest_host=conf.wsapi_host,
        rest_port=conf.wsapi_port,
        pid_file=conf.pid_file,
        store=dove.store or default_store(),
        packet_in_rate=dove.packet_in_rate,
        packet_in_burst=dove.packet_in_burst,
        endpoint_rate=dove.endpoint_rate,
        endpoint_burst=dove.endpoint_burst,
        network_rate=dove.network_rate,
        network_burst=dove.network_burst,
        ovsdb=dove.ovsdb,
        ovsdb_port=dove.ovsdb_port,
        lane=dove.lane,
        log_levels=tuple(_log_level(item) for item in dove.log_levels),
        stop_timeout=dove.stop_timeout,
    )


def _openflow_port(conf: cfg.ConfigOpts) -> int:
    """A command that is not ours leaves the ports None where none is given. 0 is one that the kernel chooses."""
    port = conf.ofp_ssl_listen_port if conf.ctl_privkey else conf.ofp_tcp_listen_port
    return 6653 if port is None else int(port)


def _tls(conf: cfg.ConfigOpts) -> TlsSettings | None:
    """Key and certificate make a pair. Ryu fell back to plain TCP when one was missing, which nobody notices."""
    if bool(conf.ctl_privkey) != bool(conf.ctl_cert):
        missing = "--ctl-cert" if conf.ctl_privkey else "--ctl-privkey"
        raise OptionError(f"{missing} is missing; OpenFlow over TLS needs both --ctl-privkey and --ctl-cert")
    if not conf.ctl_privkey:
        if conf.ca_certs:
            raise OptionError("--ctl-privkey and --ctl-cert are missing; --ca-certs is for OpenFlow over TLS")
        return None
    return TlsSettings(conf.ctl_privkey, conf.ctl_cert, conf.ca_certs, conf.get("ciphers"))  # no ciphers in Ryu 4.34


def _log_level(item: str) -> tuple[str, str]:
    name, _, level = item.partition("=")
    if level not in logging.getLevelNamesMapping():
        known = ", ".join(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
        raise OptionError(f"log_levels: {item!r} is not LOGGER=LEVEL with one of {known}")
    return name, level
