"""Who reaches whom in figure 4, and through what, measured with packets: every ordered pair of endpoints, over IPv4 and
IPv6.

Two measurements, because each alone would leave a doubt. A *ping* is what a guest does: it asks for the other's MAC
address, and hears the reply; so it needs the policy in both directions, and where there is none the guest does not even
learn whom to send to. A *datagram* goes one way, and goes without asking: for the length of that measurement every
guest knows every MAC address beforehand, so that what keeps a packet from its destination is the dSwitch alone.

Through which appliances packets went is what these have counted themselves, by VLAN and pair of addresses. At which hop
of which policy an appliance was for them is what the DPS says of the VLAN. And the SSL accelerator's stand-in leaves a
mark, which is looked for where datagrams arrive.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from appliance import Passage
from emulated_node import ip
from figure4 import Figure4

VERSIONS = (4, 6)
_IP_RECVTOS = 13  # linux/in.h; Python's module has no name for it
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
#: The appliances along each way on which one has seen a packet, in order.
Passages = Mapping[Way, tuple[str, ...]]


class Segment(NamedTuple):
    """An appliance's VLAN, whose packets it is for, and how many of them have passed."""

    appliance: str
    vlan: int
    policy: str
    hop: int
    packets: int


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


# ---- appliances ----------------------------------------------------------------------------------

Counted = Mapping[str, Counter[Passage]]
"""By appliance, what has passed it."""


def segments(figure: Figure4, counted: Counted) -> list[Segment]:
    """What has passed each appliance, by its VLANs, with whose these are."""
    return [
        Segment(
            name,
            shown["vlan"],
            shown["policy"],
            shown["hop"],
            sum(packets for passage, packets in passages.items() if passage.vlan == shown["vlan"]),
        )
        for name, passages in counted.items()
        for shown in sorted(figure.segments(name), key=lambda shown: int(shown["vlan"]))
    ]


def passages(figure: Figure4, counted: Counted) -> Passages:
    """Which appliances have seen packets of each way, in the order of the hops that their VLANs are for."""
    hop = {(each.appliance, each.vlan): each.hop for each in segments(figure, counted)}
    endpoint = {figure.ip(name, version): (name, version) for name in figure.endpoints for version in VERSIONS}
    stops: dict[Way, list[tuple[int, str]]] = {}
    for appliance, passed in counted.items():
        for vlan, source, destination in passed:
            sender, version = endpoint[source]
            way = Way(sender, endpoint[destination][0], version)
            stops.setdefault(way, []).append((hop[appliance, vlan], appliance))
    return {way: tuple(appliance for _, appliance in sorted(found)) for way, found in stops.items()}


def planned_passages(figure: Figure4) -> Passages:
    """The same, as the blueprint says it."""
    planned = {way: tuple(figure.way(way.source, way.destination)) for way in ways(figure)}
    return {way: stops for way, stops in planned.items() if stops}


# ---- datagrams -----------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """A datagram that has arrived.

    :ivar dscp: its differentiated services code point, with which none is sent.
    """

    way: Way
    dscp: int


def delivered(figure: Figure4) -> frozenset[Arrival]:
    """What arrives of a UDP datagram along each way, which nobody answers."""
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
    if version == 4:
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    return made


def _arrivals(sockets: dict[tuple[str, int], socket.socket]) -> Iterator[Arrival]:
    """What comes in, until nothing more does. Where it arrived is what counts, not where it was sent."""
    place = {receiver: key for key, receiver in sockets.items()}
    while ready := select.select([*place], [], [], SILENCE)[0]:
        for receiver in ready:
            name, version = place[receiver]
            sender, [(_, _, traffic_class)], _, _ = receiver.recvmsg(64, socket.CMSG_SPACE(4))
            yield Arrival(Way(sender.decode(), name, version), traffic_class[0] >> 2)


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
