"""A store in a real SQLite file for each test, and a program that uses one from another process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dove_ryu
from dove_ryu.store.sqlite import SqliteStore

PROGRAM = Path(__file__).with_name("other_process.py")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dps.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start `other_process.py` on the file with these arguments; it is ended with the test at the latest."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, PROGRAM, path, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(Path(dove_ryu.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
