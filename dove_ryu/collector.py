"""The garbage collector, kept from looking again and again through what has no cycles.

It counts what has come to be, and at each threshold looks through all of it: what is read from a store, or computed for a
dSwitch that connects, is tens of thousands of values at once, all of which are still needed.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_resting() -> Iterator[None]:
    """Let it rest meanwhile; afterwards it is as it was."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
