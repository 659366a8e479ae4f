"""F54, F16: templates are few, however many policies there are and were, and what is cut from the plain way is its own."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from dove_ryu import lane_templates
from dove_ryu.lane_templates import Templates
from dove_ryu.model.entities import Policy, Segment
from dove_ryu.openflow.action import Action, put
from dove_ryu.openflow.fields import SEGMENT_LABEL
from dove_ryu.openflow.pipeline import CHAIN, LOCATION, OUTPUT, POLICY, goto
from tests.unit.dps.states import IPV4, MACS

from .office import Office
from .packets import frame, request
from .test_chains import GOVERNING, RED, SEGMENT, chained

ASKED = [request(5, RED, frame(MACS[3], IPV4[3]), table=table.number) for table in (LOCATION, POLICY)]


def test_chains_of_all_labels_have_one_template(form: ModuleType) -> None:
    archive = form.Archive()
    templates = Templates(archive, form.Template)
    found = [templates.policy((put(SEGMENT_LABEL, label), goto(CHAIN))) for label in (1, 0xFFFFFF, 0x800007)]
    assert found == [(0, 1), (0, 0xFFFFFF), (0, 0x800007)]
    twice = (put(SEGMENT_LABEL, 1), put(SEGMENT_LABEL, 2), goto(CHAIN))
    assert templates.policy(twice) == (1, 0), "what is not as usual is a template of its own"
    assert len(archive.templates) == 2


def test_another_label_is_in_the_next_answer(form: ModuleType) -> None:
    office = Office(chained(), form)
    for label in (0x800007, 1, 0xFFFFFF):
        office.put(SEGMENT, Segment("n1", "red>blue", 1, label, "fw", 7))
        office.teach_all(1, ASKED)
        assert office.ask(1, ASKED) == [True, True]


def test_numbers_of_what_is_forgotten_are_free_again(form: ModuleType) -> None:
    templates = Templates(form.Archive(), form.Template)

    def number(*actions: Action) -> int:
        return templates.policy(actions)[0]

    assert [number(), number(goto(OUTPUT)), number()] == [0, 1, 0]
    templates.forget_policies()
    assert sorted((number(goto(CHAIN)), number())) == [0, 1]
    assert number(goto(OUTPUT)) == 2


def test_policies_that_come_and_go_for_ever_take_no_room(form: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their actions are, and without a wrong answer when their templates go."""
    monkeypatch.setattr(lane_templates, "MOST_FOR_POLICIES", 2)
    office = Office(chained(), form)
    governing = office.state[GOVERNING]
    assert isinstance(governing, Policy)
    for turn in range(12):
        for actions in (("accept",), ("deny",), ("check",)):
            office.put(GOVERNING, replace(governing, actions=actions, tracking=turn))
            office.teach_all(1, ASKED)
            assert office.ask(1, ASKED) == [True, True]
            assert len(office.tables._templates._policies) <= 2
    assert len(office.desks[1].archive.templates) < 20
