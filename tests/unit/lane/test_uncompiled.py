"""F54: what the uncompiled lane remembers of its answers goes with what they were made of."""

from __future__ import annotations

import pytest

from dove_ryu.southbound import lane_form, lane_uncompiled
from dove_ryu.southbound.lane_memory import Table, find, put_record, remove_record
from tests.unit.dps.states import GATEWAY, IPV4, usual

from .office import Office
from .packets import frame, oxm_bytes, packet_in_of
from .test_answers import everybody
from .test_hostile import DPID, FIELDS, WHOLE

OLD, NEW = (1, 2, 3, 4, 5), (1, 2, 3, 4, 6)


@pytest.fixture
def office() -> Office:
    """One that answers everybody in the usual state."""
    made = Office(usual(), lane_form.load("python"))
    for dpid, message in everybody():
        made.teach_all(dpid, [message])
    return made


def test_a_known_request_is_not_looked_into(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(office.ask(DPID, [*WHOLE.values()]))
    monkeypatch.setattr(lane_uncompiled.Desk, "_learn", None)
    assert all(office.ask(DPID, [*WHOLE.values()]))


def test_what_was_made_of_a_record_goes_with_it() -> None:
    table = Table()
    put_record(table, 1, 2, OLD)
    spot = 1 << 64 | 2
    record = find(table, spot, 1, 2)
    assert record == OLD
    lane_uncompiled._put_by(table, spot, record, "made")
    assert table.made == {spot: "made"}
    put_record(table, 1, 2, NEW)
    assert table.made == {}
    lane_uncompiled._put_by(table, spot, NEW, "made")
    remove_record(table, 1, 2)
    assert table.made == {}


def test_what_was_made_of_a_record_that_another_thread_has_changed_is_not_kept() -> None:
    """Between the answer and its pieces the DPS's thread may have had its turn."""
    table = Table()
    put_record(table, 1, 2, NEW)
    lane_uncompiled._put_by(table, 1 << 64 | 2, OLD, "made")
    lane_uncompiled._put_by(table, 7, OLD, "made of what is gone")
    assert table.made == {}


def test_senders_that_come_and_go_for_ever_take_no_room(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_uncompiled, "_MOST_SENDERS", 3)
    for port in range(10):
        sender = packet_in_of(oxm_bytes([(FIELDS[0][0], port), *FIELDS[1:]]), frame(GATEWAY.mac, IPV4[3]))
        assert office.ask(DPID, [sender, *WHOLE.values()]) == [True] * 4
    desk = office.desks[DPID]
    assert isinstance(desk, lane_uncompiled.Desk)
    assert len(desk._senders) <= 3
