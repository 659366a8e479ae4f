"""A host as the DPS meets it: what was done on it, and what a HostConnection told of it.

`init` and `attach` leave in a private Open vSwitch what the commands of ovs-scripts/dove-dswitch leave there.
`Host` is a HostConnection with a memory. `Relay` stands between the two and can fall silent.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from dove_ryu.southbound.ovsdb import HostConnection, HostState, HostView

from .ovs import PrivateOvs

DPID = 0xD0E1
DEADLINE = 20.0  # seconds; what is waited for takes milliseconds, or the second before a reconnect


def init(ovs: PrivateOvs, ips: str = "192.0.2.1", types: str = "geneve,vxlan") -> None:
    """What `dove-dswitch init` leaves behind, as far as the DPS reads it."""
    encap = f'external_ids:dove-encap-ip="{ips}"', f'external_ids:dove-encap-type="{types}"'
    ovs.vsctl("set", "Open_vSwitch", ".", *encap)
    ovs.add_bridge("br-dove", DPID, fail_mode="standalone")
    ovs.vsctl("set-controller", "br-dove", "tcp:127.0.0.1:1", "tcp:127.0.0.1:2")


def attach(ovs: PrivateOvs, name: str, iface_id: str, bridge: str = "br-dove", **more: str) -> int:
    """An endpoint's interface (`more`: attached_mac="..."); returns its OpenFlow port number."""
    ids = {"iface-id": iface_id, **{key.replace("_", "-"): value for key, value in more.items()}}
    return ovs.add_port(bridge, name, external_ids=ids)


class Host:
    """A HostConnection, open within `with`, and all that it told, in order; `until...` waits."""

    def __init__(self, target: str, dpid: int = DPID, **limits: int) -> None:
        self.views: list[HostView] = []
        self.states: list[tuple[HostState, str]] = []
        self._told = threading.Condition()
        self.connection = HostConnection(
            dpid,
            target,
            on_view=self._on_view,
            on_state=self._on_state,
            **limits,
        )

    def __enter__(self) -> Self:
        self.connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

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
        """Waits until the state is this one, for a reason that holds the words; returns the reason."""
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


class Relay:
    """A TCP relay that swallows all that the client says once it says `stop_at`: a server gone silent."""

    def __init__(self, target: str, stop_at: bytes) -> None:
        self.silent = threading.Event()
        self._server = target.split(":")[1:]
        self._stop_at = stop_at
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._run)]

    def __enter__(self) -> Self:
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
            with contextlib.suppress(OSError):  # the client may go without a word, as it does when it is closed
                while heard := client.recv(65536):
                    if self._stop_at in heard:
                        self.silent.set()
                    if not self.silent.is_set():
                        server.sendall(heard)
            server.shutdown(socket.SHUT_RDWR)
            back.join(DEADLINE)

    @staticmethod
    def _back(server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while heard := server.recv(65536):
                client.sendall(heard)
