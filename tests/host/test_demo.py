"""What `make demo` and `make bench-dataplane` run: it ends as it says, and leaves nothing on the machine.

The programs are started as make starts them, in a process of their own, and are watched from outside: by their output,
their exit status, and what is there after them.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import demo
import pytest
from demo_page import Page
from emulation import Emulation, wait_until
from figure4 import Figure4
from footprint import MARK, RUNS

ROOT = Path(__file__).resolve().parents[2]
DEMO = (sys.executable, "mininet/demo.py")
BENCH = (sys.executable, "mininet/bench_dataplane.py")
#: Colours and the turning wheel's movements, on a terminal.
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program in the repository's root. Afterwards nothing that it made may be there."""
    interfaces = {name for _, name in socket.if_nameindex()}
    programs: list[subprocess.Popen[str]] = []

    def start(*command: str, **options: object) -> subprocess.Popen[str]:
        piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        programs.append(subprocess.Popen(command, cwd=ROOT, text=True, **{**piped, **options}))  # type: ignore[call-overload]
        return programs[-1]

    yield start
    for program in programs:
        program.terminate()  # where a test has failed halfway
        program.communicate(timeout=20)
        assert not left_by(program.pid)
    assert {name for _, name in socket.if_nameindex()} <= interfaces


def left_by(owner: int) -> list[str]:
    """Directories and processes of the emulations that process `owner` has run."""
    mark = f"{MARK}={RUNS}/{owner}-".encode()
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes():
                processes.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # gone meanwhile
    return [*map(str, RUNS.glob(f"{owner}-*")), *processes]


def read_until(program: subprocess.Popen[str], words: str) -> None:
    assert program.stdout is not None
    seen = []
    for line in program.stdout:
        seen.append(line)
        if words in line:
            return
    pytest.fail(f"{words!r} never came; this did:\n{''.join(seen)}")


# ---- the demo ------------------------------------------------------------------------------------


def test_the_demo_finds_all_as_the_blueprint_says(start: Start) -> None:
    program = start(*DEMO)
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0, output
    assert output.splitlines()[-1] == "ALL AS THE BLUEPRINT SAYS"
    assert "network shop: 22 changes" in output
    assert re.search(r"\nlb +46 +46 +46 +46 +· +· │ ", output)
    assert re.search(r"\nlb +F +FS +FS +FS +· +· │ +F +FS +FS +FS +· +·\n", output)
    assert re.search(r"\nws1 +· +SF +· +· +C +C │ ", output)
    assert "DSCP 46, was on 12 of 40 datagrams that arrived" in output
    assert re.search(r"\nSSL +server1 +lb>app +2 +\d+ +[1-9]\d+\n", output)
    assert re.search(r"\nws3 +db1 +IPv6 +server3 → Compression → server2 +[\d.]+ ms +[\d.]+ ms +0\n", output)
    assert re.search(r"\nPOLICY +\d+ +\d+ +\d+ +\d+\n", output)
    assert re.search(r"ARP and ND frames inside the tunnels: 0, of [1-9]\d+ frames on the underlay", output)
    assert max(map(len, output.splitlines())) <= 100


def test_the_demo_notices_what_is_not_as_the_blueprint_says(
    net: Emulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody forbids what the blueprint allows, turns a chain around and leaves an appliance out, behind the demo's
    back."""
    changes = {("external", "lb"): ["deny"], ("lb", "app"): ["ssl", "fw"], ("app", "db"): ["accept"]}
    bind = Figure4.wait_until_bound

    def meddle(figure: Figure4) -> None:
        bind(figure)
        for (source, destination), actions in changes.items():
            policy = {"from": source, "to": destination, "actions": actions}
            answer = figure.dps.request("PUT", f"/v1/networks/shop/policies/{source}%3E{destination}", policy)
            assert answer[0] == 200, answer

    monkeypatch.setattr(Figure4, "wait_until_bound", meddle)
    _, differences = demo.demonstrate(net, Page())
    for version in (4, 6):
        assert f"a datagram from ext to lb over IPv{version} gets lost" in differences
        assert f"a ping from lb to ext over IPv{version} gets lost" in differences
        assert f"20 of 20 pings lost from ext to lb over IPv{version}" in differences
        assert f"packets from lb to ws1 over IPv{version} pass SSL and FW-1 instead of FW-1 and SSL" in differences
        assert f"packets from ws1 to db2 over IPv{version} pass no appliance instead of Compression" in differences
    assert len(differences) == (2 + 4 + 2) + 2 * (3 + 6)
    printed = capsys.readouterr().out
    assert "ALL AS" not in printed
    assert "NOT AS THE BLUEPRINT SAYS, 26 times:" in printed
    assert re.search(r"\next +·! ", printed)
    assert re.search(r"\nlb +F +SF! +SF! +SF! +· +· │ ", printed)


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ("Figure 4", signal.SIGINT),
        ("dove apply", signal.SIGTERM),
        ("datagrams", signal.SIGINT),
        ("ALL AS", signal.SIGINT),
    ],
    ids=["while it starts", "by SIGTERM", "during the pings", "while it ends"],
)
def test_a_demo_that_is_interrupted_leaves_nothing_behind(start: Start, words: str, how: signal.Signals) -> None:
    program = start(*DEMO)
    read_until(program, words)
    assert left_by(program.pid)
    program.send_signal(how)
    output, _ = program.communicate(timeout=30)
    assert program.returncode in ((0, 130) if words == "ALL AS" else (128 + how,)), output
    assert "Traceback" not in output


@pytest.fixture
def terminal(start: Start) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The demo on a terminal of its own: the program, the terminal's other end, and what was shown until it waits."""
    screen, its_end = pty.openpty()
    program = start(*DEMO, stdin=None, stdout=None, stderr=None, preexec_fn=lambda: os.login_tty(its_end))
    os.close(its_end)
    shown = ""
    while not re.search(r"Ctrl-C.*\n +db2 .* COMMAND", shown, re.DOTALL):
        shown += CONTROL_SEQUENCE.sub("", os.read(screen, 65536).decode(errors="replace"))
    yield program, screen, shown
    with contextlib.suppress(OSError):  # a test has closed it
        os.close(screen)


def test_on_a_terminal_it_stays_up_until_ctrl_c(terminal: tuple[subprocess.Popen[str], int, str]) -> None:
    program, screen, shown = terminal
    assert "ALL AS THE BLUEPRINT SAYS" in shown
    try_what_it_proposes(shown)
    assert program.poll() is None
    os.write(screen, b"\x03")
    assert program.wait(timeout=20) == 0


def test_a_terminal_that_closes_takes_it_down(terminal: tuple[subprocess.Popen[str], int, str]) -> None:
    program, screen, _ = terminal
    os.close(screen)
    assert program.wait(timeout=20) == 128 + signal.SIGHUP


def try_what_it_proposes(shown: str) -> None:
    """The lines to be copied into another shell, as far as they change nothing."""
    lines = [line.strip() for line in shown.splitlines()]
    exports = [line for line in lines if line.startswith("export ")]
    asked = next(line for line in lines if line.startswith("dove trace"))
    pinged = next(line.partition("#")[0] for line in lines if re.match(r"nsenter .* ping ", line))
    dumped = next(line[line.index("OVS_RUNDIR") :] for line in lines if line.startswith("server1 "))
    script = "\n".join(["set -e", *exports, asked, f"{pinged} -c 1 -W 5", dumped])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "denied: lb -> db1" in done.stdout
    assert "1 received" in done.stdout
    assert "table CLASSIFY" in done.stdout


def test_the_demo_says_what_it_is(start: Start) -> None:
    output, _ = start(*DEMO, "--help").communicate(timeout=20)
    assert "--no-wait" in output


# ---- the bench -----------------------------------------------------------------------------------


def test_the_bench_compares_both_kinds_of_tunnels(start: Start, tmp_path: Path) -> None:
    raw = tmp_path / "samples.json"
    program = start(*BENCH, "--rounds", "1", "--seconds", "1", "--appliances", "2", "--json", str(raw))
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0, output
    assert re.search(r"\nTCP, Mbit/s +2 +\d+ \(\d+, \d+\) +\d+ \(\d+, \d+\) +[\d.]+ \(", output)
    assert re.search(
        r"\ngeneve, beside the hand-made path: TCP at [\d.]+, new connections at [\d.]+ of its rate", output
    )
    samples = json.loads(raw.read_text())["samples"]
    assert {(sample["tunnel"], sample["appliances"], sample["path"]) for sample in samples} == {
        (tunnel, 2, path) for tunnel in ("geneve", "vxlan") for path in ("dSwitches", "hand-made path")
    }
    assert all(sample[rate] > 1 for sample in samples for rate in ("tcp_mbit_s", "connections_s", "destinations_s"))
    assert all(0 < sample["cached_ms"] < 1000 for sample in samples)


def test_a_bench_that_is_interrupted_leaves_nothing_behind(start: Start) -> None:
    program = start(*BENCH)
    read_until(program, "starting")
    wait_until(lambda: bool(left_by(program.pid)), "the emulation of the bench")
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=30)
    assert program.returncode == 130, output
