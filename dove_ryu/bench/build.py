"""The two C programs: compiled where they are used, kept in the cache directory until their source changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = {"loadgen": ("loadgen.c", "dswitch.c", "options.c"), "responder": ("responder.c",)}
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


class BuildError(RuntimeError):
    """The compiler is missing or refuses; the message says what to do about it."""


def cache_directory() -> Path:
    """Where what can be made again is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dove_ryu" / "bench"


def program(name: str) -> Path:
    """The program of that name, compiled from today's source.

    :raises BuildError: where there is no C compiler, or it refuses.
    """
    built = cache_directory() / f"{name}-{_digest()}"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        _compile([HERE / source for source in SOURCES[name]], built)
    return built


def _digest() -> str:
    """What tells one state of the source from another; headers are everyone's."""
    whole = hashlib.sha256(" ".join(_FLAGS).encode())
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _compile(sources: list[Path], target: Path) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BuildError("no C compiler is installed; apt-get install gcc libc6-dev, or name one in CC")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        command = [compiler, *_FLAGS, "-o", str(made), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{' '.join(command)} fails; apt-get install libc6-dev may help:\n{done.stderr}")
        made.rename(target)  # in one step: two who compile at once do not see each other's half


if __name__ == "__main__":
    try:
        for name in SOURCES:
            print(program(name))
    except BuildError as error:
        sys.exit(str(error))
