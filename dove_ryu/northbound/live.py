"""``dove trace --live``: a marked packet is sent, and said where it was seen (X2).

A trace says what is to become of a packet; here one is sent, as from the source's own port, and every dSwitch on its way
counts it.  Where both differ, the switches or an appliance do another thing than the DPS believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from dove_ryu.dps import Dps
from dove_ryu.lookouts import Lookout, MarkedPacket, Point, marked_packet
from dove_ryu.model.entities import dpid_text
from dove_ryu.model.tables import NetworkTables
from dove_ryu.northbound.interface import Service
from dove_ryu.northbound.trace import trace

Seen = Sequence[tuple[Lookout, int | None]]
"""The lookouts, with how many packets each has counted; None where its dSwitch did not say."""


def trace_live(service: Service, network: str, source: str, destination: str) -> dict[str, Any] | None:
    """A trace with what was seen of a packet under ``live``; None where there is no such network.

    :raises TimeoutError: where the DPS's thread does not come to it.
    """
    number = service.expedition()

    def question(dps: Dps) -> tuple[dict[str, Any], MarkedPacket | str] | None:
        tables = dps.world.network(network)
        if tables is None:
            return None
        told = trace(dps, tables, source, destination)
        return told, _to_send(dps, tables, told, number)

    asked = service.ask(question)
    if asked is None:
        return None
    told, marked = asked
    if isinstance(marked, str):
        return {**told, "live": {"sent": False, "arrived": False, "answered": False, "reason": marked, "seen": []}}
    seen = list(zip(marked.lookouts, service.send_marked(number, marked), strict=True))
    live = _shown(told["path"], seen)
    if told["delivered"] and not live["arrived"]:
        live["reason"] += _drift(service, {marked.dpid, *(lookout.dpid for lookout in marked.lookouts)})
    return {**told, "live": live}


def _drift(service: Service, dpids: Iterable[int]) -> str:
    """Which dSwitches do not do what they should, because they do not hold it: lookouts see what comes, not what goes."""
    differing = []
    for dpid in sorted(dpids):
        with suppress(TimeoutError):
            if service.audit(dpid):
                differing.append(dpid_text(dpid))
    return f"; not as it should be: dSwitch {', '.join(differing)}, which `dove audit` tells about" if differing else ""


def _to_send(dps: Dps, tables: NetworkTables, told: dict[str, Any], number: int) -> MarkedPacket | str:
    """The packet that the trace is about, or why there is none."""
    ends = (told["source"], told["destination"])
    if None in ends:
        return "a packet is sent from an endpoint to an endpoint, and one of the two is none"
    sender, receiver = (tables.endpoints[each["endpoint"]] for each in ends)
    policy = None if told["policy"] is None else tables.policies.get(told["policy"]["name"])
    return marked_packet(dps, tables, sender, receiver, policy, number)


def _shown(path: Sequence[dict[str, Any]], seen: Seen) -> dict[str, Any]:
    arrived, answered = (_counted(seen, point, 0) for point in (Point.DELIVERED, Point.ANSWERED))
    return {
        "sent": True,
        "arrived": arrived,
        "answered": answered,
        "reason": _reason(path, seen, arrived, answered),
        "seen": [
            {
                "point": lookout.point.value,
                "hop": lookout.hop or None,
                "appliance": path[lookout.hop - 1]["appliance"] if 0 < lookout.hop <= len(path) else None,
                "dswitch": dpid_text(lookout.dpid),
                "packets": packets,
            }
            for lookout, packets in sorted(seen, key=_order)
        ],
    }


def _order(seen: tuple[Lookout, int | None]) -> tuple[bool, int, int, int]:
    """Appliance by appliance, and then the destination."""
    lookout, _ = seen
    return not lookout.hop, lookout.hop, list(Point).index(lookout.point), lookout.dpid


def _counted(seen: Seen, point: Point, hop: int) -> bool:
    return any(packets for lookout, packets in seen if (lookout.point, lookout.hop) == (point, hop))


def _reason(path: Sequence[dict[str, Any]], seen: Seen, arrived: bool, answered: bool) -> str:
    """In a sentence, how far the packet got."""
    if answered:
        return "it arrived, and was answered"
    if arrived:
        return "it arrived, and was not answered: the machine is not up, or answers no pings"
    stations = list(_stations(path))
    last = max((n for n, (point, hop, *_) in enumerate(stations) if _counted(seen, point, hop)), default=None)
    if last is not None:
        return f"it was {stations[last].said}, and never {stations[last].otherwise}"
    silent = sorted({dpid_text(lookout.dpid) for lookout, packets in seen if packets is None})
    unsaid = f"; dSwitch {', '.join(silent)} did not say what it has seen" if silent else ""
    return f"it was seen nowhere behind the source's own dSwitch{unsaid}"


class _Station(NamedTuple):
    """Where a packet is to be seen, how that is said, and what is said of one that gets no farther."""

    point: Point
    hop: int
    said: str
    otherwise: str


def _stations(path: Sequence[dict[str, Any]]) -> Iterator[_Station]:
    """All of them, in order, but for the destination."""
    names = [f"{at['appliance']} (hop {hop})" for hop, at in enumerate(path, 1)]
    for hop, name in enumerate(names, 1):
        further = f"{Point.SENT_ON.value} {names[hop]}" if hop < len(names) else "delivered"
        yield _Station(Point.SENT_ON, hop, f"{Point.SENT_ON.value} {name}", "came to where that is")
        yield _Station(Point.HANDED_OVER, hop, f"{Point.HANDED_OVER.value} {name}", "given back")
        yield _Station(Point.GIVEN_BACK, hop, f"{Point.GIVEN_BACK.value} {name}", further)
