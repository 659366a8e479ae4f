"""F54: the lane's index is a dict of records by pairs of numbers, whatever is put into it and taken out again."""

from __future__ import annotations

import random
from types import ModuleType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from dove_ryu.southbound import lane_form
from tests.unit.dps.scenario import EXAMPLES

Key = tuple[int, int]
Record = tuple[int, int, int, int, int]

MOST = (1 << 64) - 1

numbers = st.sampled_from((0, 1, 2, 3, 1 << 32, MOST)) | st.integers(0, MOST)
keys = st.tuples(st.sampled_from((0, 1)), st.integers(0, 5)) | st.tuples(numbers, numbers)
records = st.tuples(*[numbers] * 5)


class IndexBesideADict(RuleBasedStateMachine):
    """An index and the dict that it should be."""

    form: ModuleType

    def __init__(self) -> None:
        super().__init__()
        self.index = self.form.Index()
        self.held: dict[Key, Record] = {}

    @rule(key=keys, record=records)
    def put(self, key: Key, record: Record) -> None:
        """A record comes, or takes the place of another."""
        self.index.put(*key, record)
        self.held[key] = record

    @rule(key=keys)
    def remove(self, key: Key) -> None:
        """A record goes, if there is one."""
        self.index.remove(*key)
        self.held.pop(key, None)

    @rule(key=keys)
    def get(self, key: Key) -> None:
        """What is not there is None."""
        assert self.index.get(*key) == self.held.get(key)

    @rule(count=st.sampled_from((3, 40, 3000)), at=numbers)
    def put_many(self, count: int, at: int) -> None:
        """It grows, by keys that lie side by side as a network's addresses do."""
        for number in range(at, min(at + count, MOST)):
            self.put((0, number), (number, 1, 2, 3, 4))

    @rule(part=st.integers(1, 5))
    def remove_many(self, part: int) -> None:
        """Many go, and leave their slots behind."""
        for key in list(self.held)[::part]:
            self.remove(key)

    @rule()
    def clear(self) -> None:
        """All go."""
        self.index.clear()
        self.held.clear()

    @invariant()
    def holds_the_same(self) -> None:
        """Every tenth of what should be there is, and the first and last of it."""
        for key in {*list(self.held)[:1], *list(self.held)[::10], *list(self.held)[-1:]}:
            assert self.index.get(*key) == self.held[key]


def test_an_index_is_a_dict(form: ModuleType) -> None:
    machine = type("OfThisForm", (IndexBesideADict,), {"form": form})
    run_state_machine_as_test(machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None))


def test_keys_that_come_and_go_for_ever_take_no_room(form: ModuleType) -> None:
    """As do the addresses of endpoints that live for an hour; and nobody's look-up goes astray meanwhile."""
    index, chance, held = form.Index(), random.Random(54), list[int]()
    for number in range(50_000):
        index.put(0, number, (number, 0, 0, 0, 0))
        held.append(number)
        if len(held) > 100:
            index.remove(0, held.pop(chance.randrange(len(held))))
    assert [index.get(0, number) for number in held] == [(number, 0, 0, 0, 0) for number in held]
    assert sum(index.get(0, number) is not None for number in range(50_000)) == len(held)


def test_a_hundred_thousand_records(form: ModuleType) -> None:
    index = form.Index()
    for number in range(100_000):
        index.put(number % 7, number << 20, (number, MOST, 0, number, 1))
    for number in range(100_000):
        assert index.get(number % 7, number << 20) == (number, MOST, 0, number, 1)
        assert index.get(number % 7, (number << 20) + 1) is None


@pytest.mark.parametrize("wrong", [-1, 1 << 64])
def test_a_number_of_more_than_64_bits_does_no_harm(wrong: int) -> None:
    """Only the compiled form has such a limit; the tables never come near it."""
    index = lane_form.load("compiled").Index()
    index.put(0, 1, (1, 2, 3, 4, 5))
    for key, record in (((0, wrong), (0,) * 5), ((0, 2), (0, 0, wrong, 0, 0))):
        with pytest.raises(OverflowError):
            index.put(*key, record)
    assert (index.get(0, 1), index.get(0, 2)) == ((1, 2, 3, 4, 5), None)
