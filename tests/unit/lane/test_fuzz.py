"""F54: a short run of what ``make fuzz`` does for longer, with the compiled form as it is installed."""

from __future__ import annotations

import os

from dove_ryu.southbound import lane_form
from tests.fuzz.lane_fuzz import fuzz

SECONDS = float(os.environ.get("DOVE_FUZZ_SECONDS", "3"))


def test_damaged_requests_do_no_harm() -> None:
    counted = fuzz(lane_form.load("compiled"), SECONDS, seed=54)
    assert counted["rounds"] > 0
    assert counted["answered"] > counted["rounds"] // 10
    assert counted["handed over"] > counted["rounds"] // 10
    assert counted["refused"] > 0
