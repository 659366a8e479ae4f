"""The generator's histogram beside sorted lists (F54)."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dove_ryu.bench.build import HERE

FRACTIONS = (0.5, 0.9, 0.99, 0.999)

DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include "histogram.h"

/* Numbers in, split over two histograms that are added; percentiles, count and most out. */
int main(int count, char **values)
{
    static struct histogram total, parts[2];
    histogram_reset(&total);
    histogram_reset(&parts[0]);
    histogram_reset(&parts[1]);
    for (int each = 1; each < count; each++)
        histogram_record(&parts[each % 2], strtoull(values[each], NULL, 10));
    histogram_add(&total, &parts[0]);
    histogram_add(&total, &parts[1]);
    const double fractions[] = {0.5, 0.9, 0.99, 0.999};
    for (int each = 0; each < 4; each++)
        printf("%llu ", (unsigned long long)histogram_percentile(&total, fractions[each]));
    printf("%llu %llu\\n", (unsigned long long)total.count, (unsigned long long)total.max);
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("histogram")
    (place / "driver.c").write_text(DRIVER)
    command = ["cc", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all", f"-I{HERE}"]
    subprocess.run([*command, "-o", place / "driver", place / "driver.c"], check=True)
    return place / "driver"


def percentile(values: list[int], fraction: float) -> int:
    """The least value that this share of all do not exceed."""
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1 << 38), min_size=1, max_size=80))
def test_percentiles_are_those_of_a_sorted_list_within_one_part_in_128(driver: Path, values: list[int]) -> None:
    done = subprocess.run([driver, *map(str, values)], capture_output=True, text=True, check=True)
    *found, count, most = map(int, done.stdout.split())
    assert (count, most) == (len(values), max(values))
    for fraction, said in zip(FRACTIONS, found, strict=True):
        right = percentile(values, fraction)
        assert right <= said <= right + right // 128


def test_a_value_beyond_all_buckets_counts_as_the_longest(driver: Path) -> None:
    done = subprocess.run([driver, str(1 << 60)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[4:] == ["1", str(1 << 60)]


def test_nothing_recorded_is_nothing(driver: Path) -> None:
    assert subprocess.run([driver], capture_output=True, text=True, check=True).stdout.split() == ["0"] * 6
