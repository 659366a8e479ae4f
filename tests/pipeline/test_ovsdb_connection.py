"""Connections to a host's database begin and end: with servers killed, silent, absent, and fifty at once."""

import os
import resource
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from dove_ryu.southbound.ovsdb import HostState, HostView

from .ovs import PrivateOvs
from .ovsdb_host import DEADLINE, Host, Relay, attach, init


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_killed_server_is_found_again(ovs: PrivateOvs, transport: str) -> None:
    init(ovs)
    attach(ovs, "tap1", "web/lb")
    with Host(getattr(ovs, transport)) as host:
        before = host.until_bound("web/lb")
        host.until_state(HostState.CONNECTED)
        ovs.stop_ovsdb(signal.SIGKILL)
        host.until_state(HostState.LOST)
        assert host.views[-1] is before, "endpoints stay where they are while the database is away"
        ovs.start_ovsdb()
        host.until_state(HostState.CONNECTED)
        assert host.views[-1] == before
        attach(ovs, "tap2", "web/db")
        host.until_bound("web/lb", "web/db")
        assert HostState.CONNECTING not in [state for state, _ in host.states[1:]], "attempts make no noise"


def test_a_host_that_comes_later(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.stop_ovsdb()
    with Host(ovs.tcp) as host:
        host.until_state(HostState.LOST, ovs.tcp, "Connection refused (ECONNREFUSED)")
        ovs.start_ovsdb()
        host.until_state(HostState.CONNECTED)


def test_a_server_without_the_database(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.appctl("ovsdb-server/remove-db", "Open_vSwitch", target="ovsdb-server")
    with Host(ovs.unix) as host:
        host.until_state(HostState.LOST, "the server does not offer the database Open_vSwitch")
        ovs.appctl("ovsdb-server/add-db", str(ovs.run_dir / "conf.db"), target="ovsdb-server")
        host.until_state(HostState.CONNECTED)


def test_a_target_that_is_none(ovs: PrivateOvs) -> None:
    with Host("carrier-pigeon:1") as host:
        host.until_state(HostState.LOST, "carrier-pigeon:1", "EAFNOSUPPORT")


def test_a_receiver_that_fails_once_is_told_again(ovs: PrivateOvs) -> None:
    class Stumbling(Host):
        stumbled = False

        def _on_view(self, view: HostView) -> None:
            if not self.stumbled:
                self.stumbled = True
                raise RuntimeError("stumbled")
            super()._on_view(view)

    init(ovs)
    with Stumbling(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        assert (HostState.LOST, f"{ovs.unix}: dropped after a fault: RuntimeError('stumbled')") in host.states
        assert len(host.views) == 1


@pytest.mark.parametrize("stop_at", [b'"get_schema"', b'"monitor_cond', b'"transact"'])
def test_close_ends_within_a_second_whatever_the_server_owes(ovs: PrivateOvs, stop_at: bytes) -> None:
    init(ovs)
    with Relay(ovs.tcp, stop_at) as relay, Host(relay.target) as host:
        assert relay.silent.wait(DEADLINE)
        begun = time.monotonic()
        host.connection.close()
        assert time.monotonic() - begun < 1.0
        assert not host.connection._thread.is_alive()
        assert HostState.CONNECTED not in [state for state, _ in host.states]


def test_close_before_start_and_close_twice(ovs: PrivateOvs) -> None:
    host = Host(ovs.unix)
    host.connection.close()
    host.connection.close()
    assert not host.states


def test_nothing_is_told_after_close(ovs: PrivateOvs) -> None:
    init(ovs)
    with Host(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        host.connection.close()
        told = len(host.states), len(host.views)
        attach(ovs, "tap1", "web/lb")
        assert (len(host.states), len(host.views)) == told


def test_many_hosts_in_one_dps(ovs: PrivateOvs) -> None:
    """Fifty connections on descriptors beyond the 1024 that select() can take; no thread is left over."""
    init(ovs)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = threading.active_count()
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        hosts = [stack.enter_context(Host(ovs.unix)) for _ in range(50)]
        for host in hosts:
            host.until_state(HostState.CONNECTED)
        assert threading.active_count() == threads + 50
        attach(ovs, "tap1", "web/lb")
        for host in hosts:
            host.until_bound("web/lb")
    assert threading.active_count() == threads
