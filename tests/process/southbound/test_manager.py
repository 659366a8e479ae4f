"""The command as an operator meets it: what it says, its exit codes, and that it stops."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]


def only_line(process: Any) -> str:
    """What a process that does not start says: one line."""
    assert len(process.lines) == 1, process.lines
    return str(process.lines[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(manager: Start, switch: Start, hub: str, number: int) -> None:
    process = manager("fast_lane", "observer", hub=hub)
    one, two = switch(process), switch(process)
    one.greet()
    process.says("state main of 7")
    code, seconds = process.stop(number)
    assert code == 0, "\n".join(process.lines)
    assert seconds < 2
    assert one.is_closed()
    assert two.is_closed(), "in the middle of its handshake"
    assert not [line for line in process.lines if "Traceback" in line]


def test_thread_left_by_an_application_does_not_delay_the_end(manager: Start, hub: str) -> None:
    process = manager("stubborn", hub=hub)
    process.port()
    code, seconds = process.stop()
    process.says("asked to stop")
    assert code == 0
    assert seconds < 2


def test_application_that_does_not_stop_is_shown_and_left(manager: Start, hub: str) -> None:
    process = manager("stubborn", "--verbose", "--dove-stop-timeout", "0.5", hub=hub)
    process.port()
    code, seconds = process.stop()
    assert code == 1
    assert seconds < 2
    # faulthandler sees threads, not greenlets
    process.says(r"stubborn.py., line \d+ in stop" if hub == "native" else r"^Timeout")


def test_application_that_fails_to_stop_does_not_keep_the_others(manager: Start) -> None:
    process = manager("taken_port", "stubborn", "--wsapi-port", "0")
    process.port()
    assert process.stop()[0] == 1
    process.says("an application failed to stop")
    process.says("RuntimeError: nothing to stop")
    process.says("asked to stop")


def test_occupied_port(manager: Start, hub: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = manager("observer", port=port, hub=hub)
        assert process.wait() == 3
    assert only_line(process) == (
        f"ryu-manager: cannot listen for switches on 127.0.0.1 port {port}: Address already in use; choose another "
        f"with --ofp-listen-host or --ofp-tcp-listen-port, or stop the program that `ss -ltnp 'sport = :{port}'` shows"
    )


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "Cannot assign requested address"), ("no.such.host.invalid", r"[Nn]ame|resolution")],
)
def test_address_that_is_not_ours(manager: Start, host: str, reason: str) -> None:
    process = manager("observer", host=host)
    assert process.wait() == 3
    assert re.match(f"ryu-manager: cannot listen for switches on {host} port 0: .*({reason})", only_line(process))


def test_ipv6(manager: Start) -> None:
    """`::` takes switches of both kinds."""
    port = manager("observer", host="::").port()
    for host in ["::1", "127.0.0.1"]:
        socket.create_connection((host, port), timeout=5).close()


def test_occupied_port_of_an_application(manager: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = manager("observer", "taken_port", "--wsapi-port", port)
        assert process.wait() == 3
    assert f"cannot listen for REST on 127.0.0.1 port {port}: Address already in use" in only_line(process)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--ofp-tcp-port", "1"], 2, "unknown option --ofp-tcp-port; did you mean --ofp-tcp-listen-port?"),
        (["--ctl-cert", "/x", "--ctl-privkey", "/y"], 2, "--ctl-privkey /y, --ctl-cert /x: cannot be used for TLS"),
        (["--log-file", "/none/log"], 2, "cannot log as the options say: [Errno 2] No such file or directory"),
        (["--pid-file", "/none/pid"], 2, "--pid-file /none/pid: No such file or directory"),
        (["no.such.application"], 4, "cannot load application no.such.application: no module no; name a module"),
        (["json"], 4, "cannot load application json: the module defines none; name one with a subclass of"),
    ],
)
def test_does_not_start(manager: Start, arguments: list[str], code: int, line: str) -> None:
    process = manager("observer", *arguments)
    assert process.wait() == code
    assert only_line(process).startswith(f"ryu-manager: {line}")


def test_application_that_cannot_be_imported(manager: Start, tmp_path: Path) -> None:
    application = tmp_path / "broken.py"
    application.write_text("1 / 0\n")
    process = manager(str(application))
    assert process.wait() == 4
    assert only_line(process) == (
        f"ryu-manager: cannot load application {application}: ZeroDivisionError: division by zero; "
        "--verbose shows where"
    )


def test_config_file(manager: Start, tmp_path: Path) -> None:
    log, pid, config = tmp_path / "log", tmp_path / "pid", tmp_path / "dove.conf"
    config.write_text(
        f"[DEFAULT]\nlog_file = {log}\nuse_stderr = false\nofp_listen_host = 127.0.0.1\nofp_tcp_listen_port = 0\n"
        f"pid_file = {pid}\napp_lists = {Path(__file__).parent / 'apps' / 'observer.py'}\n"
        "[dove]\nlog_levels = ryu-manager=DEBUG\n"
    )
    process = manager("--config-file", str(config))
    deadline = time.monotonic() + 5
    while not (log.exists() and "awaiting" in log.read_text()):
        assert time.monotonic() < deadline, process.lines
        time.sleep(0.02)
    assert pid.read_text() == f"{process.process.pid}\n"
    assert process.stop()[0] == 0
    assert process.lines == []
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    ryu-manager: running .*observer.py", log.read_text())
    assert not pid.exists()


def test_help_and_version(manager: Start) -> None:
    about, version = manager("--help"), manager("--version")
    assert about.wait() == version.wait() == 0
    assert re.fullmatch(r"ryu-manager \S+ \(os-ken \S+\)\n", version.process.stdout.read())
    text = " ".join(about.process.stdout.read().split())
    assert "6653, and not also Ryu's historical 6633" in text
    assert "Exit codes: 0 stopped by SIGTERM or SIGINT;" in text
    for option in ["--ofp-listen-host", "--ca-certs", "--wsapi-host", "--verbose", "--log-file", "--use-stderr"]:
        assert option in text
