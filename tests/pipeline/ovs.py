"""A private Open vSwitch: the real ovsdb-server and the real ovs-vswitchd, on the dummy datapath.

`--enable-dummy=override` gives every bridge a datapath that lives in the daemon and moves no packet of the
machine, so it needs no root, no kernel module and no network, and is up in 0.1 s. Everything above the
datapath is the product itself: the database, OpenFlow, the classifier, `ofproto/trace`. Run directory,
database, logs and sockets are in a temporary directory; the database's TCP port is the kernel's choice.

The daemons detach themselves: the command returns when the daemon is ready, so nothing here waits by guess.
They are ended by the process id they wrote, and the end is awaited on a pidfd.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
INSTALL = "apt-get install openvswitch-switch"
DEADLINE = 10.0  # seconds, for any one command and for a daemon's end

# Debian keeps the daemons where an ordinary user's PATH does not look.
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"))


def missing() -> str | None:
    """Why no PrivateOvs can run on this machine, with the command that helps; None when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if not absent and not SCHEMA.exists():
        absent = [str(SCHEMA)]
    return f"Open vSwitch is not installed: no {', '.join(absent)}. Install it: {INSTALL}" if absent else None


class CommandError(AssertionError):
    """An ovs-* command failed; the message holds the command line and what it said."""


class PrivateOvs:
    """One host's Open vSwitch; use it in a `with` statement.

    `unix` and `tcp` are the database's addresses as clients write them: `unix:PATH`, `tcp:127.0.0.1:PORT`.
    """

    def __init__(self) -> None:
        self.run_dir: Path
        self.tcp: str
        self._env: dict[str, str]

    def __enter__(self) -> Self:
        if reason := missing():
            raise CommandError(reason)
        self.run_dir = Path(tempfile.mkdtemp(prefix="dove-ovs-"))
        folders = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(self.run_dir))
        self._env = {**folders, "PATH": _PATH}
        self.tcp = "tcp:127.0.0.1:0"  # 0: the kernel picks one at the first start, and it stays
        try:
            self.run("ovsdb-tool", "create", str(self.run_dir / "conf.db"), str(SCHEMA))
            self.start_ovsdb()
            self.start_vswitchd()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends both daemons and removes the run directory."""
        try:
            self.stop_vswitchd()
        finally:
            self.stop_ovsdb()
            shutil.rmtree(self.run_dir, ignore_errors=True)

    # ---- the daemons ---------------------------------------------------------------------------

    @property
    def unix(self) -> str:
        return f"unix:{self.run_dir}/db.sock"

    def start_ovsdb(self) -> None:
        """Starts ovsdb-server; after a stop, on the same addresses and with the same content."""
        _, host, port = self.tcp.split(":")
        log = self.run_dir / "ovsdb-server.log"
        log.unlink(missing_ok=True)
        remotes = f"--remote=p{self.unix}", f"--remote=ptcp:{port}:{host}"
        self._start("ovsdb-server", str(self.run_dir / "conf.db"), *remotes)
        if port == "0":
            listening = re.search(r"listening on port (\d+)", log.read_text())
            assert listening, f"ovsdb-server names no TCP port in its log:\n{log.read_text()}"
            self.tcp = f"tcp:{host}:{listening[1]}"

    def stop_ovsdb(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._end("ovsdb-server", how)

    def start_vswitchd(self) -> None:
        self._start("ovs-vswitchd", self.unix, "--enable-dummy=override", "--disable-system")

    def stop_vswitchd(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._end("ovs-vswitchd", how)

    def pid(self, daemon: str) -> int | None:
        """The daemon's process id; None when it was not started or has been stopped."""
        try:
            return int((self.run_dir / f"{daemon}.pid").read_text())
        except FileNotFoundError:
            return None

    def _start(self, daemon: str, *arguments: str) -> None:
        self.run(daemon, *arguments, "--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off")

    def _end(self, daemon: str, how: signal.Signals) -> None:
        pid = self.pid(daemon)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            ended = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(ended, how)
                assert select.select([ended], [], [], DEADLINE)[0], f"{daemon} ({pid}) outlives {how.name}"
            finally:
                os.close(ended)
        (self.run_dir / f"{daemon}.pid").unlink(missing_ok=True)

    # ---- the commands --------------------------------------------------------------------------

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of the OVS programs against this instance and returns what it prints."""
        done = subprocess.run(
            [program, *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        if done.returncode:
            raise CommandError(f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}".strip())
        return done.stdout.strip()

    def vsctl(self, *arguments: str) -> str:
        return self.run("ovs-vsctl", f"--db={self.unix}", f"--timeout={DEADLINE:.0f}", *arguments)

    def ofctl(self, *arguments: str, version: str = "OpenFlow13") -> str:
        return self.run("ovs-ofctl", f"--protocols={version}", *arguments)

    def appctl(self, *arguments: str, target: str = "ovs-vswitchd") -> str:
        return self.run("ovs-appctl", f"--target={self.run_dir}/{target}.{self.pid(target)}.ctl", *arguments)

    # ---- what tests build ----------------------------------------------------------------------

    def add_bridge(self, name: str, dpid: int | None = None, **columns: str) -> str:
        """A bridge that speaks OpenFlow 1.0 to 1.5; `columns`: more Bridge columns. Returns the name."""
        identity = [] if dpid is None else [f"other_config:datapath-id={dpid:016x}"]
        self.vsctl(
            *("--may-exist", "add-br", name, "--", "set", "Bridge", name, "fail_mode=secure"),
            "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15",
            *identity,
            *(f"{column}={value}" for column, value in columns.items()),
        )
        return name

    def add_port(
        self,
        bridge: str,
        name: str,
        kind: str = "dummy",
        *,
        ofport: int | None = None,
        options: dict[str, str] | None = None,
        external_ids: dict[str, str] | None = None,
    ) -> int:
        """A port (`kind`: dummy, internal, geneve, patch, ...); returns the OpenFlow port number it got."""
        settings = [f"type={kind}", *([] if ofport is None else [f"ofport_request={ofport}"])]
        for column, values in (("options", options), ("external_ids", external_ids)):
            settings += [f'{column}:"{key}"="{value}"' for key, value in (values or {}).items()]
        self.vsctl("add-port", bridge, name, "--", "set", "Interface", name, *settings)
        return self.ofport(name)

    def ofport(self, name: str) -> int:
        """The OpenFlow port number of an interface; -1 when OVS could not open it."""
        return int(self.vsctl("get", "Interface", name, "ofport"))

    def add_flows(self, bridge: str, flows: str) -> None:
        """Installs flows (ovs-ofctl's syntax, one a line) in one bundle: all of them or none."""
        file = self.run_dir / f"{bridge}.flows"
        file.write_text(flows + "\n")
        self.ofctl("--bundle", "add-flows", bridge, str(file), version="OpenFlow14")

    def flows(self, bridge: str) -> list[str]:
        """The installed flows without counters, sorted: what a test compares."""
        dump = self.ofctl("--no-stats", "--sort", "dump-flows", bridge, version="OpenFlow15")
        return [line.strip() for line in dump.splitlines()]

    def trace(self, bridge: str, flow: str, *options: str) -> str:
        """`ofproto/trace`: the way of one packet through the tables; `flow` in ovs-ofctl's syntax."""
        return self.appctl("ofproto/trace", bridge, flow, *options)

    def receive(self, port: str, packet: str) -> None:
        """A packet (hex, or odp syntax such as `eth(...),eth_type(...)`) arrives on a dummy port."""
        self.appctl("netdev-dummy/receive", port, packet)
