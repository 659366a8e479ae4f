"""The DPS and a host's database, with the real ovsdb-server and ovs-vswitchd at the other end.

What an operator, a hypervisor or a failing host does is done here with ovs-vsctl and signals; what the DPS learns
is what `on_view` and `on_state` were told, and what it did is read back with ovs-vsctl. (F10, F11, F24, X15.)
"""

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dove_ryu.southbound.ovsdb import BoundInterface, HostConnection, HostState, HostView

from .ovs import PrivateOvs

DPID = 0xD0E1
DEADLINE = 8.0


class Host:
    """A HostConnection and everything it told, in order; `until` waits for a condition on that."""

    def __init__(self, target: str, dpid: int = DPID, **options: float) -> None:
        self.views: list[HostView] = []
        self.states: list[tuple[HostState, str]] = []
        self._told = threading.Condition()
        self.connection = HostConnection(
            dpid,
            target,
            on_view=self._on_view,
            on_state=self._on_state,
            **{"min_backoff": 0.1, "max_backoff": 0.2, **options},  # type: ignore[arg-type]
        )

    def _on_view(self, view: HostView) -> None:
        with self._told:
            self.views.append(view)
            self._told.notify_all()

    def _on_state(self, dpid: int, state: str, reason: str) -> None:
        with self._told:
            self.states.append((HostState(state), reason))
            self._told.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._told:
            held = self._told.wait_for(condition, DEADLINE)
        assert held, f"not within {DEADLINE:.0f} s; told so far: {self.states}, {self.views[-1:]}"

    def until_state(self, state: HostState, *words: str) -> str:
        """Waits until the latest state is this one, with a reason that holds the words; returns the reason."""
        self.until(lambda: bool(self.states) and self._is(state, words))
        return self.states[-1][1]

    def _is(self, state: HostState, words: tuple[str, ...]) -> bool:
        now, reason = self.states[-1]
        return now == state and all(word in reason for word in words)

    def until_bound(self, *iface_ids: str) -> HostView:
        """Waits until these endpoints, and no other, are bound and their ports open."""
        self.until(lambda: bool(self.views) and self._bound() == sorted(iface_ids))
        return self.views[-1]

    def _bound(self) -> list[str]:
        return sorted(bound.iface_id for bound in self.views[-1].interfaces if bound.ofport)


@contextmanager
def following(target: str, dpid: int = DPID, **options: float) -> Iterator[Host]:
    host = Host(target, dpid, **options)
    host.connection.start()
    try:
        yield host
    finally:
        host.connection.close()


def init(
    ovs: PrivateOvs, ips: str = "192.0.2.1", types: str = "geneve,vxlan", bridge: str = "br-dove"
) -> None:
    """What `dove-dswitch init` leaves behind, as far as the DPS reads it."""
    encap = f'external_ids:dove-encap-ip="{ips}"', f'external_ids:dove-encap-type="{types}"'
    ovs.vsctl("set", "Open_vSwitch", ".", *encap)
    ovs.add_bridge(bridge, DPID, fail_mode="standalone")
    ovs.vsctl("set-controller", bridge, "tcp:127.0.0.1:1", "tcp:127.0.0.1:2")


def attach(ovs: PrivateOvs, name: str, iface_id: str, bridge: str = "br-dove", **more: str) -> int:
    ids = {"iface-id": iface_id, **{key.replace("_", "-"): value for key, value in more.items()}}
    return ovs.add_port(bridge, name, external_ids=ids)


# ---- the bridge is made a dSwitch ------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_bridge_is_made_a_dswitch(ovs: PrivateOvs, transport: str) -> None:
    init(ovs)
    with following(getattr(ovs, transport), rate_limit=3000, burst_limit=700) as host:
        assert "br-dove" in host.until_state(HostState.CONNECTED)
        assert host.views == [HostView(DPID, "br-dove", ("192.0.2.1",), ("geneve", "vxlan"), ())]
        assert host.states[0] == (HostState.CONNECTING, f"to {getattr(ovs, transport)}")

    assert (
        ovs.vsctl("get", "Bridge", "br-dove", "fail_mode", "other_config:disable-in-band") == 'secure\n"true"'
    )
    limits = ovs.vsctl(
        "--format=csv",
        "--no-headings",
        "--columns=controller_rate_limit,controller_burst_limit",
        "list",
        "Controller",
    )
    assert limits.splitlines() == ["3000,700", "3000,700"]
    for encap_type in ("geneve", "vxlan"):
        port = f"dove-{encap_type}"
        assert ovs.vsctl("port-to-br", port) == "br-dove"
        assert (
            ovs.vsctl("get", "Interface", port, "type", "options")
            == f"{encap_type}\n{{key=flow, remote_ip=flow}}"
        )
        assert ovs.ofport(port) > 0


def test_what_is_right_is_left_alone(ovs: PrivateOvs) -> None:
    init(ovs)
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
    before = ovs.run("ovsdb-tool", "show-log", str(ovs.run_dir / "conf.db"))
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
    assert ovs.run("ovsdb-tool", "show-log", str(ovs.run_dir / "conf.db")) == before


def test_what_somebody_changes_is_put_right(ovs: PrivateOvs) -> None:
    init(ovs)
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        ovs.vsctl(
            *("set", "Bridge", "br-dove", "fail_mode=standalone", "other_config:disable-in-band=false"),
            *("--", "set", "Interface", "dove-geneve", "options:remote_ip=192.0.2.9", "options:tos=inherit"),
            *("--", "del-port", "dove-vxlan"),
        )
        ovs.vsctl("wait-until", "Bridge", "br-dove", "fail_mode=secure", "other_config:disable-in-band=true")
        ovs.vsctl("wait-until", "Interface", "dove-vxlan", "options:remote_ip=flow")
        options = ovs.vsctl("get", "Interface", "dove-geneve", "options")
        assert options == "{key=flow, remote_ip=flow, tos=inherit}", "an operator's own option stays"


def test_tunnels_follow_the_types_listed(ovs: PrivateOvs) -> None:
    init(ovs, types="vxlan")
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        assert "dove-geneve" not in ovs.vsctl("list-ports", "br-dove")
        init(ovs, types="geneve")
        host.until(lambda: host.views[-1].encap_types == ("geneve",))
        ovs.vsctl("wait-until", "Interface", "dove-geneve", "ofport>0")
        assert ovs.vsctl("list-ports", "br-dove") == "dove-geneve"
        init(ovs, types="genève,vxlan")
        assert "'genève' is none of geneve, vxlan" in host.until_state(
            HostState.INCOMPLETE, "dove-encap-type"
        )
        assert host.views[-1].encap_types == ("vxlan",)
        assert ovs.vsctl("list-ports", "br-dove").split() == ["dove-geneve", "dove-vxlan"], (
            "a slip cuts nothing off"
        )


def test_ipv6_tunnels_carry_checksums(ovs: PrivateOvs) -> None:
    init(ovs, ips="2001:DB8:0::1, 192.0.2.1")
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        assert host.views[-1].encap_ips == ("2001:db8::1", "192.0.2.1")
        assert ovs.vsctl("get", "Interface", "dove-vxlan", "options:csum") == '"true"'


# ---- interfaces are followed -----------------------------------------------------------------------


def test_interfaces_are_followed(ovs: PrivateOvs) -> None:
    init(ovs)
    with following(ovs.unix) as host:
        ovs.add_port("br-dove", "unbound")
        first = attach(ovs, "tap1", "web/lb", attached_mac="02:AB:00:00:00:01")
        second = attach(ovs, "tap2", "web/db")
        assert host.until_bound("web/lb", "web/db").interfaces == (
            BoundInterface("tap1", first, "web/lb", "02:ab:00:00:00:01"),
            BoundInterface("tap2", second, "web/db", None),
        )
        ovs.vsctl("set", "Interface", "tap2", "external_ids:iface-id=web/app")
        host.until_bound("web/lb", "web/app")
        ovs.vsctl("del-port", "tap1")
        host.until_bound("web/app")
        ovs.vsctl("remove", "Interface", "tap2", "external_ids", "iface-id")
        host.until_bound()
        host.until_state(HostState.CONNECTED)


def test_a_view_is_told_only_when_it_changed(ovs: PrivateOvs) -> None:
    init(ovs)
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        ovs.add_port("br-dove", "unbound")
        ovs.vsctl("set", "Interface", "unbound", "external_ids:owner=someone")
        ovs.vsctl("set", "Bridge", "br-dove", "other_config:mac-table-size=4096")
        ovs.vsctl("set", "Interface", "unbound", "external_ids:iface-id=web/lb")
        host.until_bound("web/lb")
        assert [len(view.interfaces) for view in host.views] == [0, 1]


def test_two_dswitches_in_one_database_and_an_interface_that_moves(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-two", DPID + 1)
    with following(ovs.unix) as one:
        one.until_state(HostState.CONNECTED)
        with following(ovs.tcp, DPID + 1) as two:
            reason = two.until_state(HostState.INCOMPLETE)
            assert "Port dove-geneve: it belongs to bridge br-dove, so br-two has no geneve tunnels" in reason
            assert two.views[-1].encap_types == ()
            attach(ovs, "tap1", "web/lb")
            attach(ovs, "tap2", "web/db", "br-two")
            one.until_bound("web/lb")
            two.until_bound("web/db")
            ovs.vsctl("del-port", "tap1")
            attach(ovs, "tap1", "web/lb", "br-two")
            one.until_bound()
            two.until_bound("web/lb", "web/db")
            ovs.vsctl("del-br", "br-dove")
            two.until_state(HostState.CONNECTED)
            assert two.views[-1].encap_types == ("geneve", "vxlan"), "freed by the bridge that is gone"


def test_two_dswitches_that_start_at_once_do_not_fight(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-two", DPID + 1)
    with following(ovs.unix) as one, following(ovs.unix, DPID + 1) as two:
        settled = {HostState.CONNECTED, HostState.INCOMPLETE}
        one.until(
            lambda: bool(one.states) and one.states[-1][0] in settled and "refused" not in one.states[-1][1]
        )
        two.until(
            lambda: bool(two.states) and two.states[-1][0] in settled and "refused" not in two.states[-1][1]
        )
        holders = {ovs.vsctl("port-to-br", port) for port in ("dove-geneve", "dove-vxlan")}
        assert len(holders) == 1, "each bridge commits both ports or none"


# ---- what is missing or wrong is said, and the rest works -------------------------------------------


def test_a_bridge_that_is_not_there_yet_and_one_that_goes(ovs: PrivateOvs) -> None:
    ovs.add_bridge("br-other", 0x77)
    with following(ovs.unix) as host:
        reason = host.until_state(HostState.WAITING, "br-other (0000000000000077)")
        assert "no bridge has the datapath id 000000000000d0e1" in reason
        assert "dove-dswitch init" in reason
        assert not host.views
        init(ovs)
        attach(ovs, "tap1", "web/lb")
        host.until_bound("web/lb")
        assert ovs.vsctl("get", "Bridge", "br-other", "other_config") == '{datapath-id="0000000000000077"}'
        ovs.vsctl("del-br", "br-dove")
        host.until_state(HostState.WAITING)
        assert host.views[-1].interfaces == ()


def test_two_bridges_with_one_datapath_id(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_bridge("br-twin", DPID)
    with following(ovs.unix) as host:
        reason = host.until_state(HostState.WAITING)
        assert "bridges br-dove and br-twin share the datapath id 000000000000d0e1" in reason
        ovs.vsctl("set", "Bridge", "br-twin", "other_config:datapath-id=0000000000000078")
        host.until_state(HostState.CONNECTED)


def test_a_host_that_was_not_initialised_is_told_how(ovs: PrivateOvs) -> None:
    ovs.add_bridge("br-dove", DPID)
    attach(ovs, "tap1", "web/lb")
    with following(ovs.unix) as host:
        reason = host.until_state(HostState.INCOMPLETE)
        for key in ("dove-encap-ip", "dove-encap-type"):
            assert f"Open_vSwitch: external_ids:{key} is missing; set it: dove-dswitch init --dps" in reason
        assert "--bridge br-dove" in reason
        assert host.until_bound("web/lb").encap_ips == ()
        init(ovs)
        host.until_state(HostState.CONNECTED)


def test_bad_values_are_named_and_the_rest_works(ovs: PrivateOvs) -> None:
    init(ovs, ips="192.0.2.300,192.0.2.1,224.0.0.1", types="stt,geneve")
    attach(ovs, "tap1", "web-lb")
    attach(ovs, "tap2", "web/db", attached_mac="02:00:00:00:00")
    attach(ovs, "tap3", "web/app")
    attach(ovs, "tap4", "web/app")
    ovs.add_port("br-dove", "nothere", kind="system", external_ids={"iface-id": "web/none"})
    with following(ovs.unix) as host:
        host.until_bound("web/db", "web/app", "web/app", "web/none")
        reason = host.until_state(HostState.INCOMPLETE)
        for sentence in (
            "Open_vSwitch: external_ids:dove-encap-ip: '192.0.2.300' does not appear to be an IPv4 or IPv6 address",
            "external_ids:dove-encap-ip: '224.0.0.1' cannot be the end of a tunnel",
            "external_ids:dove-encap-type: 'stt' is none of geneve, vxlan",
            "Interface tap1: external_ids:iface-id 'web-lb' is not NETWORK/NAME; correct it: dove-dswitch attach tap1",
            "Interface tap2: external_ids:attached-mac '02:00:00:00:00' is not aa:bb:cc:dd:ee:ff",
            "Interface tap4: external_ids:iface-id 'web/app' is on interface tap3 too",
        ):
            assert sentence in reason
        view = host.views[-1]
        assert (view.encap_ips, view.encap_types) == (("192.0.2.1",), ("geneve",))
        assert view.interfaces[0].attached_mac is None


def test_a_port_that_cannot_be_opened_has_no_number(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.add_port("br-dove", "lame", kind="nosuchtype", external_ids={"iface-id": "web/lb"})
    with following(ovs.unix) as host:
        host.until_state(HostState.INCOMPLETE, "Interface lame: Open vSwitch cannot open it: could not open")
        assert host.views[-1].interfaces == (BoundInterface("lame", None, "web/lb", None),)


def test_a_refused_change_is_said_and_tried_again(ovs: PrivateOvs) -> None:
    init(ovs)
    # Interface names are unique in a database, and this one hides in a port of another name.
    ovs.vsctl("add-bond", "br-dove", "bond0", "dove-geneve", "other")
    with following(ovs.unix) as host:
        host.until_state(
            HostState.INCOMPLETE, "the change was refused", "constraint violation", "dove-geneve"
        )
        ovs.vsctl("del-port", "bond0")
        host.until_state(HostState.CONNECTED)


def test_limits_that_open_vswitch_does_not_take() -> None:
    with pytest.raises(ValueError, match="no rate below 100"):
        Host("unix:/nonexistent", rate_limit=99)


# ---- connections end and begin ----------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_killed_server_is_found_again(ovs: PrivateOvs, transport: str) -> None:
    init(ovs)
    attach(ovs, "tap1", "web/lb")
    with following(getattr(ovs, transport)) as host:
        before = host.until_bound("web/lb")
        host.until_state(HostState.CONNECTED)
        ovs.stop_ovsdb(signal.SIGKILL)
        host.until_state(HostState.LOST, "closed the connection" if False else "(E")
        assert host.views[-1] == before, "endpoints stay where they are while the database is away"
        ovs.start_ovsdb()
        host.until_state(HostState.CONNECTED)
        assert host.views[-1] == before
        attach(ovs, "tap2", "web/db")
        host.until_bound("web/lb", "web/db")
        assert HostState.CONNECTING not in [state for state, _ in host.states[1:]], "attempts make no noise"


def test_a_host_that_comes_later(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.stop_ovsdb()
    with following(ovs.tcp) as host:
        host.until_state(HostState.LOST, ovs.tcp, "Connection refused (ECONNREFUSED)")
        ovs.start_ovsdb()
        host.until_state(HostState.CONNECTED)


def test_a_server_without_the_database(ovs: PrivateOvs) -> None:
    init(ovs)
    ovs.appctl("ovsdb-server/remove-db", "Open_vSwitch", target="ovsdb-server")
    with following(ovs.unix) as host:
        host.until_state(HostState.LOST, "the server does not offer the database Open_vSwitch")
        ovs.appctl("ovsdb-server/add-db", str(ovs.run_dir / "conf.db"), target="ovsdb-server")
        host.until_state(HostState.CONNECTED)


def test_a_target_that_is_none(ovs: PrivateOvs) -> None:
    with following("carrier-pigeon:1") as host:
        host.until_state(HostState.LOST, "carrier-pigeon:1", "EAFNOSUPPORT")


def test_a_receiver_that_fails_once_is_told_again(ovs: PrivateOvs) -> None:
    init(ovs)
    host = Host(ovs.unix)
    remember, failures = host._on_view, [RuntimeError("the receiver stumbles")]

    def stumble(view: HostView) -> None:
        if failures:
            raise failures.pop()
        remember(view)

    host.connection._on_view = stumble
    host.connection.start()
    try:
        host.until_state(HostState.CONNECTED)
        assert (
            HostState.LOST,
            f"{ovs.unix}: dropped after a fault: RuntimeError('the receiver stumbles')",
        ) in host.states
        assert len(host.views) == 1
    finally:
        host.connection.close()


class Relay:
    """A TCP relay that swallows what the client says from the first `stop_at` on: a server that went silent."""

    def __init__(self, target: str, stop_at: bytes) -> None:
        self.silent = threading.Event()
        self._server = target.split(":")[1:]
        self._stop_at = stop_at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._run)]

    def __enter__(self) -> "Relay":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _run(self) -> None:
        host, port = self._server
        client, _ = self._listener.accept()
        with client, socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=self._back, args=(server, client))
            back.start()
            self._threads.append(back)
            while heard := client.recv(65536):
                if self._stop_at in heard:
                    self.silent.set()
                if not self.silent.is_set():
                    server.sendall(heard)
            server.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        while heard := server.recv(65536):
            client.sendall(heard)


@pytest.mark.parametrize("stop_at", [b'"get_schema"', b'"monitor_cond', b'"transact"'])
def test_close_ends_within_a_second_whatever_the_server_owes(ovs: PrivateOvs, stop_at: bytes) -> None:
    init(ovs)
    with Relay(ovs.tcp, stop_at) as relay, following(relay.target) as host:
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
    with following(ovs.unix) as host:
        host.until_state(HostState.CONNECTED)
        host.connection.close()
        told = len(host.states), len(host.views)
        attach(ovs, "tap1", "web/lb")
        assert (len(host.states), len(host.views)) == told


def test_many_hosts_in_one_dps(ovs: PrivateOvs) -> None:
    """Fifty connections, their descriptors beyond the 1024 that select() can take, and no thread left over."""
    init(ovs)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    threads = threading.active_count()
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        hosts = [stack.enter_context(following(ovs.unix)) for _ in range(50)]
        for host in hosts:
            host.until_state(HostState.CONNECTED)
        assert threading.active_count() == threads + 50
        attach(ovs, "tap1", "web/lb")
        for host in hosts:
            host.until_bound("web/lb")
    assert threading.active_count() == threads
