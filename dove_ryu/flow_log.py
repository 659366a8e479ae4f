"""The flow log: who sent to whom under policies that say so, from when to when, and how much (F31).

It costs no packet anything.  A dSwitch that needs a policy asks, and that is the beginning; it tells when the policy's
entry ends, with what it counted, and that is the end.  So a record is about a pair of domains at one dSwitch.  What a
dSwitch counts while nobody is connected to hear of the end is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from dove_ryu.model.entities import dpid_text
from dove_ryu.model.tables import NetworkTables
from dove_ryu.model.treatment import treatment
from dove_ryu.openflow.fields import DESTINATION_DOMAIN, SOURCE_DOMAIN, Cookie, Kind
from dove_ryu.openflow.flow import End, Flow, FlowEnd, FlowKey


@dataclass(frozen=True, slots=True)
class Record:
    """That a policy came into use at a dSwitch or, with the reason, that its entry ended.

    :ivar policy: its name.
    :ivar tracking: which form of the policy it was.
    """

    dpid: int
    network: str
    policy: str
    tracking: int
    why: End | None = None
    packets: int = 0
    octets: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        """As ``key=value`` words, for people and programs alike."""
        event = "acquired" if self.why is None else "ended"
        said = f"event={event} dswitch={dpid_text(self.dpid)} network={self.network} policy={self.policy}"
        said += f" tracking={self.tracking}"
        if self.why is not None:
            said += (
                f" why={self.why.name.lower()} packets={self.packets} bytes={self.octets} seconds={self.seconds:.1f}"
            )
        return said


@dataclass(frozen=True, slots=True)
class Total:
    """What has been recorded of a policy.

    :ivar entries: how often it came into use at a dSwitch.
    """

    entries: int = 0
    packets: int = 0
    octets: int = 0


class FlowLog:
    """The entries that are being recorded, and the sums of those that were.

    :ivar totals: by the names of network and policy.
    :ivar sink: is told each record.
    """

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], Total] = {}
        self.sink: Callable[[Record], object] = lambda record: None
        self._open: dict[tuple[int, FlowKey], Record] = {}

    def connect(self, dpid: int, tables_of: Callable[[Flow], NetworkTables | None], installed: Iterable[Flow]) -> None:
        """A dSwitch is there and holds some flows: whose end is to be recorded still."""
        self._open = {key: record for key, record in self._open.items() if key[0] != dpid}
        for flow in installed:
            record = _beginning(dpid, tables_of(flow), flow)
            if record is not None:
                self._open[dpid, flow.key] = record

    def begin(self, dpid: int, tables: NetworkTables, flows: Iterable[Flow]) -> None:
        """A dSwitch is about to cache some flows."""
        for flow in flows:
            record = _beginning(dpid, tables, flow)
            if record is not None and self._open.get((dpid, flow.key)) != record:
                self._open[dpid, flow.key] = record
                self._count(record, entries=1)
                self.sink(record)

    def end(self, dpid: int, end: FlowEnd) -> None:
        """A flow of a dSwitch has ended."""
        begun = self._open.pop((dpid, end.flow.key), None)
        if begun is not None:
            record = replace(begun, why=end.why, packets=end.packets, octets=end.octets, seconds=end.seconds)
            self._count(record)
            self.sink(record)

    def _count(self, record: Record, entries: int = 0) -> None:
        name = record.network, record.policy
        known = self.totals.get(name, Total())
        self.totals[name] = Total(known.entries + entries, known.packets + record.packets, known.octets + record.octets)


def _beginning(dpid: int, tables: NetworkTables | None, flow: Flow) -> Record | None:
    """The record of a flow's beginning, where the policy that it caches wants one."""
    cookie = Cookie.parse(flow.cookie)
    if tables is None or cookie is None or cookie.kind is not Kind.POLICY:
        return None
    source = tables.domain_of_number(flow.match.value(SOURCE_DOMAIN) or 0)
    destination = tables.domain_of_number(flow.match.value(DESTINATION_DOMAIN) or 0)
    policy = None if source is None or destination is None else tables.policy(source.name, destination.name)
    if policy is None or not treatment(tables, policy).log:
        return None
    return Record(dpid, tables.name, policy.name, policy.tracking)
