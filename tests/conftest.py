"""What holds for every tier: when the tests are over, the process ends."""

import os
import sys
import threading

import pytest

PATIENCE = 5.0
"""Seconds that a thread which is about to end may take for it."""


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """An interpreter waits for its threads, for ever if need be; one that a test has forgotten is a failure instead."""
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    for thread in others:
        thread.join(PATIENCE)
    forgotten = [thread.name for thread in others if thread.is_alive()]
    if forgotten:
        print(f"ERROR: these threads outlive the tests that started them: {', '.join(forgotten)}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
