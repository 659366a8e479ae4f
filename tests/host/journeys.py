"""Where a packet has been, in order: captures at several places, read as one by the time of each frame.

All captures of one machine stamp their frames by one clock, so frames of the same packet, laid in order, are its way:
into an appliance and out of it, with the VLAN tag that it bore there, and in the end to its destination.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple

from emulation import Appliance, Capture, Endpoint

REQUEST, REPLY = (
    f"(icmp and icmp[0] = {of_icmp}) or (icmp6 and ip6[40] = {of_icmp6})" for of_icmp, of_icmp6 in ((8, 128), (0, 129))
)
"""Pings of either version of IP."""


class Sighting(NamedTuple):
    """A frame at a place. It is written ``fw-in 5``: the place and the VLAN, of which 0 is none."""

    time: float
    place: str
    vlan: int
    frame: str

    def __str__(self) -> str:
        return f"{self.place} {self.vlan}" if self.vlan else self.place


class Watch:
    """Captures on both sides of appliances, and at endpoints, for the length of a `with` block."""

    def __init__(self, appliances: Iterable[Appliance] = (), endpoints: Iterable[Endpoint] = ()) -> None:
        self._stack = ExitStack()
        self._captures: dict[str, Capture] = {}
        self._places = [(f"{each.name}-{device}", each, device) for each in appliances for device in each.devices]
        self._places += [(each.name, each, Endpoint.NIC) for each in endpoints]

    def __enter__(self) -> Watch:
        for place, node, device in self._places:
            self._captures[place] = self._stack.enter_context(node.capture(device, "ip or ip6 or vlan"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def sightings(self, only: str, *places: str) -> list[Sighting]:
        """What was seen of the packets that the pcap filter `only` lets pass, tagged or not; everywhere, or at some
        places."""
        captures: Mapping[str, Capture] = {place: self._captures[place] for place in places or self._captures}
        return sorted(
            seen
            for place, capture in captures.items()
            for seen in _read(place, capture.frames(f"({only}) or (vlan and ({only}))"))
        )

    def pings(self, only: str, place: str) -> set[tuple[int, int]]:
        """Identification and sequence number of the pings that were seen at a place."""
        found = (re.search(r" id (\d+), seq (\d+)", seen.frame) for seen in self.sightings(only, place))
        return {(int(each[1]), int(each[2])) for each in found if each}

    def journey(self, only: str) -> list[str]:
        """The way of one packet, as its sightings are written."""
        return [str(seen) for seen in self.sightings(only)]


def _read(place: str, lines: Iterable[str]) -> Iterator[Sighting]:
    for line in lines:
        hour, minute, second = line.split(" ", 1)[0].split(":")
        tag = re.search(r" vlan (\d+)", line)
        time = int(hour) * 3600 + int(minute) * 60 + float(second)
        yield Sighting(time, place, int(tag[1]) if tag else 0, line)
