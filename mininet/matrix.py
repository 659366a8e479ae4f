"""Who reaches whom in figure 4, measured with packets: every ordered pair of endpoints, over IPv4 and IPv6.

Two measurements, because each alone would leave a doubt. A *ping* is what a guest does: it asks for the other's MAC
address, and hears the reply; so it needs the policy in both directions, and where there is none the guest does not even
learn whom to send to. A *datagram* goes one way, and goes without asking: for the length of that measurement every
guest knows every MAC address beforehand, so that what keeps a packet from its destination is the dSwitch alone.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from emulated_node import ip
from figure4 import Figure4

VERSIONS = (4, 6)
#: The discard service's; any that no endpoint uses would do.
PORT = 9
#: Seconds of silence after which no more datagram is awaited, and seconds that a ping waits for its reply. Both are
#: hundreds of times what an answer takes, policy request included.
SILENCE, REPLY_WAIT = 1.0, 2.0
#: Pings that wait at the same time; those that nobody answers cost nothing but their wait.
AT_ONCE = 32
#: Echo requests in one measurement of round trips.
ROUND_TRIPS = 20


class Way(NamedTuple):
    """From one endpoint to another, over one version of IP."""

    source: str
    destination: str
    version: int

    def __str__(self) -> str:
        return f"{self.source} to {self.destination} over IPv{self.version}"


Ways = frozenset[Way]


@dataclass(frozen=True)
class RoundTrips:
    """Pings along one way, in milliseconds: the first, and the median of the later ones."""

    way: Way
    lost: int
    first: float | None
    cached: float | None


def ways(figure: Figure4) -> list[Way]:
    """All that there are."""
    names = list(figure.endpoints)
    return [
        Way(source, other, version) for source in names for other in names if other != source for version in VERSIONS
    ]


def those(figure: Figure4, may: Callable[[str, str], bool]) -> Ways:
    """The ways whose pair of endpoints the blueprint lets pass, by Figure4.may_reach or may_ping."""
    return frozenset(way for way in ways(figure) if may(way.source, way.destination))


# ---- pings ---------------------------------------------------------------------------------------


def round_trips(figure: Figure4, pairs: Sequence[tuple[str, str]]) -> list[RoundTrips]:
    """One way after the other, so that none waits for another."""
    return [_round_trips(figure, Way(*pair, version)) for pair in pairs for version in VERSIONS]


def _round_trips(figure: Figure4, way: Way) -> RoundTrips:
    result = figure.endpoints[way.source].ping(figure.ip(way.destination, way.version), ROUND_TRIPS)
    return RoundTrips(way, result.lost, result.first_rtt, result.cached_rtt)


def pinged(figure: Figure4) -> Ways:
    """The ways along which a single ping is answered."""
    asked = ways(figure)
    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    try:
        answers = list(pool.map(lambda way: _answered(figure, way), asked))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who interrupts us does not wait for the silent ones
    return frozenset(way for way, answer in zip(asked, answers, strict=True) if answer)


def _answered(figure: Figure4, way: Way) -> bool:
    address = figure.ip(way.destination, way.version)
    return figure.endpoints[way.source].ping(address, wait=REPLY_WAIT).received == 1


# ---- datagrams -----------------------------------------------------------------------------------


def delivered(figure: Figure4) -> Ways:
    """The ways along which a UDP datagram arrives that nobody answers."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_acquainted(figure))
        sockets = {
            (name, version): stack.enter_context(_socket(figure, name, version))
            for name in figure.endpoints
            for version in VERSIONS
        }
        for way in ways(figure):
            address = figure.ip(way.destination, way.version)
            sockets[way.source, way.version].sendto(way.source.encode(), (address, PORT))
        return frozenset(_arrivals(sockets))


def _socket(figure: Figure4, name: str, version: int) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with figure.endpoints[name].inside():
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((figure.ip(name, version), PORT))
    return made


def _arrivals(sockets: dict[tuple[str, int], socket.socket]) -> Iterator[Way]:
    """What comes in, until nothing more does. Where it arrived is what counts, not where it was sent."""
    place = {receiver: key for key, receiver in sockets.items()}
    while ready := select.select([*place], [], [], SILENCE)[0]:
        for receiver in ready:
            name, version = place[receiver]
            yield Way(receiver.recv(64).decode(), name, version)


@contextlib.contextmanager
def _acquainted(figure: Figure4) -> Iterator[None]:
    """For the length of the block, every endpoint knows the MAC address of every other and asks nobody for it."""
    _tell(figure, "replace", "nud permanent")
    try:
        yield
    finally:
        _tell(figure, "del", "")


def _tell(figure: Figure4, change: str, state: str) -> None:
    for name, endpoint in figure.endpoints.items():
        others = [(other, node.mac) for other, node in figure.endpoints.items() if other != name]
        with endpoint.inside():
            ip(
                *(
                    f"neigh {change} {figure.ip(other, version)} lladdr {mac} dev {endpoint.NIC} {state}"
                    for other, mac in others
                    for version in VERSIONS
                )
            )
