"""The DPS as a machine on the underlay: `ryu-manager dove_ryu.app` in a namespace of its own.

Its store lies in the node's directory and survives `stop`, `kill` and the next `start`, as a disk would. REST
listens on the node's loopback; `request` speaks to it from inside the namespace.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import namespace
from emulated_node import CommandError, EmulatedNode, ip
from footprint import DeadlineError, Footprint, wait_until
from forward import forward

RYU_MANAGER = Path(sys.executable).with_name("ryu-manager")
REST_PORT = 8080


class DpsNode(EmulatedNode):
    """A DPS. `command` is its command line where that is not the default; `options` are added to either."""

    NIC = "underlay"

    def __init__(
        self,
        name: str,
        footprint: Footprint,
        command: Sequence[str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(name, footprint)
        store = f"sqlite:///{self.directory}/dps.sqlite"
        self.command = [*(command or (str(RYU_MANAGER), "dove_ryu.app", "--dove-store", store)), *options]
        self.log_file = self.directory / "dps.log"
        #: Seconds that the last `start` took until the DPS called itself ready.
        self.start_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """With the `dove` command that belongs to this DPS, and speaks to it whatever the caller's own speaks to."""
        own = {"PATH": f"{RYU_MANAGER.parent}:{os.environ['PATH']}", "DOVE_URL": f"http://127.0.0.1:{REST_PORT}"}
        return {**super().environment, **own}

    def prepare(self) -> None:
        super().prepare()
        namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)

    def configure(self, addresses: Sequence[str]) -> None:
        """Put these underlay addresses, with prefix length, on the NIC."""
        versions = {ipaddress.ip_interface(address).version for address in addresses}
        with self.inside():
            if 6 in versions:
                namespace.allow_ipv6(self.NIC)
            ip(*(f"addr add {address} dev {self.NIC}{' nodad' * (':' in address)}" for address in addresses))
        self.intf(self.NIC).ip = addresses[0].partition("/")[0]

    # ---- life ------------------------------------------------------------------------------------

    def start(self, deadline: float = 15.0) -> None:
        """Start the service and wait until it is ready. CommandError shows its log if it ends before
        that."""
        if self._process is not None:
            raise CommandError(f"{self.name} runs already, as process {self._process.pid}; stop it first")
        began = time.monotonic()
        with self.log_file.open("ab") as log:
            self._process = self.popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )
        try:
            wait_until(self._ready_or_ended, f"{self.name} ready", deadline)
        except DeadlineError as late:
            raise DeadlineError(f"{late}; its log ends: {self.log[-2000:]}") from None
        if self._process.poll() is not None:
            status, self._process = self._process.returncode, None
            raise CommandError(f"{self.name}: {self.command[0]} ended with status {status}: {self.log[-2000:]}")
        self.start_seconds = time.monotonic() - began

    def stop(self, deleteIntfs: bool = False, deadline: float = 5.0) -> float:
        """SIGTERM, and wait for the end; return the seconds it took. (`deleteIntfs` is Mininet's.)"""
        return self._end(signal.SIGTERM, deadline)

    def kill(self) -> None:
        """SIGKILL: no time to write anything down."""
        self._end(signal.SIGKILL, 5.0)

    def cleanup(self) -> None:
        """Mininet calls this when the node's shell has ended; the service has ended with it."""
        super().cleanup()
        if self._process is not None:
            self._process.wait()
            self._process = None

    @property
    def process_id(self) -> int:
        """Of the service. CommandError when it does not run."""
        if self._process is None or not self.running:
            raise CommandError(f"{self.name} does not run: start it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the service has printed, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _end(self, how: signal.Signals, deadline: float) -> float:
        if self._process is None:
            return 0.0
        self._process.send_signal(how)
        seconds = wait_until(lambda: not self.running, f"end of {self.name} after {how.name}", deadline)
        self._process = None
        return seconds

    def _ready_or_ended(self) -> bool:
        try:
            return not self.running or self.request("GET", "/readyz", timeout=1.0)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    @contextlib.contextmanager
    def published(self, port: int = 0) -> Iterator[str]:
        """For the length of the block, the URL at which REST is reached from the host."""
        with forward(self.pid, ("127.0.0.1", REST_PORT), port) as outer:
            yield f"http://127.0.0.1:{outer}"

    # ---- REST ------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> tuple[int, Any]:
        """One REST call: the status, and the decoded JSON (or the text, where it is none). A `body` that is
        text or bytes goes as it is; any other, as JSON."""
        as_json = body is not None and not isinstance(body, (str, bytes))
        kind = {"Content-Type": "application/json"} if as_json else {}
        with self.inside():
            connection = http.client.HTTPConnection("127.0.0.1", REST_PORT, timeout=timeout)
            connection.connect()
        try:
            connection.request(method, path, json.dumps(body) if as_json else body, {**kind, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        return answer.status, json.loads(text) if "json" in (answer.getheader("Content-Type") or "") else text
