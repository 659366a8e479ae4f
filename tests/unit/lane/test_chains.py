"""F16, F54: the lane knows no chain, and answers for a chained policy as the plain way does, before it breaks and after."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from dove_ryu.model.appliances import Appliance, Instance
from dove_ryu.model.entities import Policy, PolicyAction, Segment
from dove_ryu.model.qos import Rate
from dove_ryu.openflow.pipeline import LOCATION, POLICY
from tests.unit.dps.states import IPV4, MACS, Content, Slot, State, number, usual

from .office import Office
from .packets import frame, request

RED = number(("domain", "n1", "red"), 0)
GOVERNING: Slot = ("policy", "n1", "red", "blue")
APPLIANCE: Slot = ("appliance", "fw")
SEGMENT: Slot = ("segment", "n1")
CHAIN: dict[Slot, Content] = {
    APPLIANCE: Appliance("fw", "firewall", (Instance("one", 3, "p5", "q5"),)),
    SEGMENT: Segment("n1", "red>blue", 1, 0x800007, "fw", 7),
    ("action", "n1"): PolicyAction("n1", "check", 999, "firewall", "fw"),
}


def chained() -> State:
    """The usual state, where red's packets to blue's pass a firewall."""
    state = usual() | CHAIN
    governing = state[GOVERNING]
    assert isinstance(governing, Policy)
    return state | {GOVERNING: replace(governing, actions=("check",))}


def test_what_breaks_a_chain_is_heard_by_the_lane(form: ModuleType) -> None:
    office = Office(chained(), form)
    asked = [request(5, RED, frame(MACS[3], IPV4[3]), table=table.number) for table in (LOCATION, POLICY)]
    for slot, held in ((SEGMENT, None), (SEGMENT, CHAIN[SEGMENT]), (APPLIANCE, None), (APPLIANCE, CHAIN[APPLIANCE])):
        office.teach_all(1, asked)
        assert office.ask(1, asked) == [True, True]
        known = office.plain(1, asked[0])
        office.put(slot, held)
        assert office.plain(1, asked[0]) != known, "the answer is another one"
        office.ask(1, asked)  # what the lane answers now, if it does, is the new one


def test_the_lane_answers_for_marks_and_rates_and_leaves_what_is_logged(form: ModuleType) -> None:
    """F31, X8: a logged pair is heard by the plain way each time that a dSwitch asks for it."""
    office = Office(usual(), form)
    governing = usual()[GOVERNING]
    assert isinstance(governing, Policy)
    treated = replace(governing, dscp=46, rate=Rate(1000, 200))
    asked = [request(5, RED, frame(MACS[3], IPV4[3]), table=table.number) for table in (LOCATION, POLICY)]
    for policy, known in ((treated, True), (replace(governing, actions=("log",)), False), (governing, True)):
        office.put(GOVERNING, policy)
        office.teach_all(1, asked)
        assert office.ask(1, asked) == [known, known]
