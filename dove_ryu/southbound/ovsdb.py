"""The connection to one host's ovsdb-server: the host is followed, and its bridge kept a dSwitch.

Each host has one `HostConnection` with one thread. The thread keeps a replica of the few columns that matter
(OVSDB's IDL, which also reconnects for ever, after 1 s at first and every 8 s at last). Whenever the replica
changes, it is read whole (`read_host`), what is missing on the bridge is committed (`wishes`), and the
`HostView` is posted if it differs from the last one. There is no incremental path: a host has hundreds of
rows, not millions, and what is computed from the whole cannot drift.

A lost connection takes nothing away. The last view stands, since endpoints stay where they are while their
database is out of reach; what changed meanwhile arrives with the next view. Only `on_state` tells.

ovsdbapp brings commands and transactions. Of its `Connection` only the shell is used: its own start blocks
until the server answers, and its thread has no place to react to a change. Here transactions run in the
thread that also reads, so that what was compared is what is committed on.
"""

import errno
import logging
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Any

import ovs.poller
from ovs.db.idl import SchemaHelper
from ovs.jsonrpc import EOF
from ovsdbapp.backend.ovs_idl import connection, transaction, vlog
from ovsdbapp.schema.open_vswitch import impl_idl

from dove_ryu.southbound.ovsdb_host import (
    BoundInterface,
    HostView,
    Limits,
    NoBridgeError,
    read_host,
    schema,
    wishes,
)

__all__ = ["BURST_LIMIT", "RATE_LIMIT", "BoundInterface", "HostConnection", "HostState", "HostView"]

LOG = logging.getLogger(__name__)

RATE_LIMIT = 20_000  # packets a second from one dSwitch
BURST_LIMIT = 5_000  # packets; Open vSwitch advises a quarter of the rate

TRANSACTION_TIMEOUT = 10  # seconds
RETRY_AFTER = 5.0  # seconds, when the server refused a transaction and nothing changes by itself
FAULT_PAUSE = 0.5  # seconds; a fault that comes back at once must not take the processor
CLOSE_WITHIN = 1.0  # seconds

# The IDL logs in its own way, and by default nowhere. Its errors belong with ours; its account of every
# attempt to connect does not, because on_state tells that once.
vlog.use_python_logger(max_level=vlog.ERROR)


def _poll() -> Any:
    # ovs.poller stands on select(), which fails on a descriptor of 1024 or more: with some 300 hosts. Where
    # eventlet has patched `select`, poll() is gone from it, and only the green select() yields.
    return select.poll() if hasattr(select, "poll") else ovs.poller._SelectSelect()


ovs.poller.SelectPoll = _poll


class HostState(StrEnum):
    """How it stands with one host's database; the text that on_state gives beside it says why."""

    CONNECTING = "connecting"
    LOST = "lost"  # no connection; another attempt follows
    WAITING = "waiting"  # connected, but there is no bridge with this datapath id
    INCOMPLETE = "incomplete"  # the dSwitch is followed, but some of its settings are missing or unusable
    CONNECTED = "connected"  # the dSwitch is followed and is as the DPS wants it


class HostConnection:
    """Follows the dSwitch `dpid` in the ovsdb-server at `target` (`tcp:10.0.0.2:6640`, `unix:/run/...`).

    `on_view(view)` is called when the host's view changed, `on_state(dpid, state, reason)` when the state or
    its reason changed (state: a HostState); both from the connection's own thread, and not after close() has
    returned. They must not block. Raises ValueError for limits that Open vSwitch does not take.
    """

    def __init__(
        self,
        dpid: int,
        target: str,
        *,
        on_view: Callable[[HostView], None],
        on_state: Callable[[int, str, str], None],
        rate_limit: int = RATE_LIMIT,
        burst_limit: int = BURST_LIMIT,
    ) -> None:
        self.dpid = dpid
        self.target = target
        self._on_view = on_view
        self._on_state = on_state
        self._limits = Limits(rate_limit, burst_limit)
        self._view: HostView | None = None
        self._state: tuple[HostState, str] | None = None
        self._retry_at: float | None = None
        self._idl = _Replica(target, self._lost)
        self._shell = _SameThread(self._idl, TRANSACTION_TIMEOUT)
        self._idl.wake_fd = self._shell.txns.alert_fileno
        self._api = _Api(self._shell, start=False)
        self._thread = threading.Thread(target=self._follow, name=f"ovsdb-{dpid:016x}", daemon=True)

    def start(self) -> None:
        """Begins to connect and returns at once. A connection starts once; make another after close()."""
        self._thread.start()

    def close(self) -> None:
        """Ends the connection; nothing is called afterwards. The host's bridge stays as it is."""
        if self._idl.closing:
            return
        # First wake, then tell: once told, the thread may be through with the pipe before we write into it.
        self._shell.txns.alert_notify()
        self._idl.closing = True
        if self._thread.ident is None:
            self._release()
        elif self._thread is not threading.current_thread():
            self._thread.join(CLOSE_WITHIN)

    # ---- the thread ----------------------------------------------------------------------------

    def _follow(self) -> None:
        self._report(HostState.CONNECTING, f"to {self.target}")
        try:
            with suppress(_ClosedError):
                while True:
                    self._until_fault()
        finally:
            self._release()

    def _until_fault(self) -> None:
        """Runs until something raises; then the replica is not to be trusted, and is fetched anew."""
        try:
            self._run()
        except _ClosedError:
            raise
        except Exception as fault:
            LOG.exception("dSwitch %016x: OVSDB at %s: starting again", self.dpid, self.target)
            self._idl.drop(f"dropped after a fault: {fault!r}")
            poller = ovs.poller.Poller()
            poller.fd_wait(self._idl.wake_fd, ovs.poller.POLLIN)
            poller.timer_wait(int(FAULT_PAUSE * 1000))
            poller.block()

    def _run(self) -> None:
        poller = ovs.poller.Poller()
        settled_at = None
        while True:
            self._idl.run()
            if self._idl.complete and (self._idl.change_seqno != settled_at or self._retry_due()):
                # A commit moves the replica on by its own changes: look again before sleeping.
                settled_at = self._idl.change_seqno
                self._settle()
                continue
            self._idl.wait(poller)
            if self._retry_at is not None:
                poller.timer_wait(int(RETRY_AFTER * 1000))
            poller.block()

    def _settle(self) -> None:
        """One look at the whole replica: write what is missing, tell what is there."""
        self._retry_at = None
        try:
            reading = read_host(self._idl.tables, self.dpid)
        except NoBridgeError as absence:
            # What was bound on a bridge that is gone is bound no longer.
            if self._view is not None:
                self._publish(replace(self._view, interfaces=()))
            self._report(HostState.WAITING, f"{self.target}: {absence}")
            return
        problems = [*reading.problems, *self._write(wishes(self._api, reading, self._limits))]
        self._publish(reading.view)
        if not self._idl.complete:
            return  # lost while writing, and reported so
        if problems:
            self._report(HostState.INCOMPLETE, f"bridge {reading.view.bridge}: {'; '.join(problems)}")
        else:
            self._report(HostState.CONNECTED, f"bridge {reading.view.bridge} at {self.target}")

    def _write(self, commands: list[Any]) -> list[str]:
        """Commits the commands together; the problem, if the server refuses them."""
        if not commands:
            return []
        told = _summary(commands)
        try:
            with self._api.transaction(check_error=True, log_errors=False) as txn:
                txn.extend(commands)
        except _ClosedError:
            raise
        except Exception as refusal:
            # Another DPS, or another connection of ours to a host with two dSwitches, may have been faster.
            # Its change then arrives here and is settled; the timer is for what does not heal by itself.
            LOG.warning("dSwitch %016x: OVSDB at %s refuses %s: %s", self.dpid, self.target, told, refusal)
            self._retry_at = time.monotonic() + RETRY_AFTER
            return [f"the change was refused, next attempt within {RETRY_AFTER:.0f} s: {refusal}"]
        LOG.info("dSwitch %016x: set at %s: %s", self.dpid, self.target, told)
        return []

    def _retry_due(self) -> bool:
        return self._retry_at is not None and time.monotonic() >= self._retry_at

    # ---- what is told --------------------------------------------------------------------------

    def _lost(self, reason: str) -> None:
        self._report(HostState.LOST, f"{self.target}: {reason}")

    def _publish(self, view: HostView) -> None:
        if view != self._view and not self._idl.closing:
            self._on_view(view)
            self._view = view

    def _report(self, state: HostState, reason: str) -> None:
        if (state, reason) != self._state and not self._idl.closing:
            self._state = state, reason
            LOG.log(
                logging.WARNING if state in (HostState.LOST, HostState.INCOMPLETE) else logging.INFO,
                *("dSwitch %016x: OVSDB %s: %s", self.dpid, state, reason),
            )
            try:
                self._on_state(self.dpid, state, reason)
            except Exception:  # this also tells of faults: it must not become one
                LOG.exception("dSwitch %016x: the receiver of OVSDB states failed", self.dpid)

    def _release(self) -> None:
        self._idl.close()
        self._shell.txns.close()


class _ClosedError(Exception):
    """close() was called; unwinds the thread from wherever it waits, a commit included."""


class _Replica(connection.OvsdbIdl):
    """The IDL, made to wake and stop on demand and to say why a connection ended."""

    def __init__(self, target: str, on_lost: Callable[[str], None]) -> None:
        helper = SchemaHelper(schema_json=schema())
        helper.register_all()
        super().__init__(target, helper, leader_only=False)
        self.closing = False
        self.wake_fd: int | None = None
        self._on_lost = on_lost
        self._drop_reason = ""
        retry = self._session.reconnect
        # The session tells the cause to its backoff clock, which only logs it: the one place to hear it.
        self._disconnected = retry.disconnected
        retry.disconnected = self._hear_disconnected

    @property
    def complete(self) -> bool:
        """Connected, and the first dump of the monitored columns has arrived."""
        return bool(self._session.is_connected() and self.state == self.IDL_S_MONITORING)

    def run(self) -> bool:
        if self.closing:
            raise _ClosedError
        return bool(super().run())

    def wait(self, poller: Any) -> None:
        super().wait(poller)
        poller.fd_wait(self.wake_fd, ovs.poller.POLLIN)

    def drop(self, reason: str) -> None:
        """Gives the connection up for this reason; the next one follows after the backoff."""
        self.txn = None  # a fault in the midst of a transaction leaves it open, and run() then refuses to run
        self._drop_reason = reason
        self._on_lost(reason)
        self.force_reconnect()

    def _hear_disconnected(self, now: int, error: int) -> None:
        state = self._session.reconnect.state.name  # before the clock moves on
        self._disconnected(now, error)
        reason, self._drop_reason = self._drop_reason, ""
        self._on_lost(reason or _cause(error, state))


def _summary(commands: list[Any]) -> str:
    """What commands do, a word for each kind: "2 of AddPort, 1 of DbSet"."""
    kinds = Counter(type(command).__name__.removesuffix("Command") for command in commands)
    return ", ".join(f"{count} of {kind}" for kind, count in kinds.items())


def _cause(error: int, state: str) -> str:
    """In words: an errno, the end of the stream, or 0 where the IDL itself gave up in this state."""
    if error > 0:
        return f"{os.strerror(error)} ({errno.errorcode.get(error, error)})"
    if error == EOF:
        return "the server closed the connection"
    return {
        "CONNECTING": "no answer to the attempt to connect",
        "IDLE": "no answer to the inactivity probe",
        "RECONNECT": "the server does not offer the database Open_vSwitch",
    }.get(state, "connection given up")


class _SameThread(connection.Connection):
    """ovsdbapp's connection without its thread: who commits runs the transaction, in the replica's thread."""

    def queue_txn(self, txn: transaction.Transaction) -> None:
        txn.results.put(txn.do_commit())


class _Transaction(transaction.Transaction):
    """A transaction that does not wait for ovs-vswitchd, as ovs-vsctl would: the Interface rows will tell."""

    def pre_commit(self, txn: Any) -> None:
        txn.expected_ifaces = set()  # add_port notes here what ovs-vsctl would wait for


class _Api(impl_idl.OvsdbIdl):
    ovsdb_connection = None  # in ovsdbapp one for the whole class; here each api has its own

    def create_transaction(self, check_error: bool = False, log_errors: bool = True, **_: Any) -> _Transaction:
        return _Transaction(self, self.ovsdb_connection, check_error=check_error, log_errors=log_errors)
