"""How the command ends, whatever happens to it: exit codes, one line on standard error, pipes, terminals, Ctrl-C."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dove_ryu.cli.commands import run

from .conftest import Dove, Dps

DOVE = [sys.executable, "-c", "from dove_ryu.cli import main; main()"]


class Stranger(BaseHTTPRequestHandler):
    """A web server that is no DPS, and what stands in front of a DPS when it is not there."""

    def do_GET(self) -> None:
        status, kind, body = {
            "/html": (200, "text/html", b"<h1>It works!</h1>"),
            "/broken": (200, "application/json", b"{"),
            "/other": (200, "application/json", b'{"state": "fine"}'),
            "/list": (422, "application/problem+json", b"[]"),
            "/fault": (500, "application/problem+json", b'{"detail": "an error that is ours"}'),
            "/busy": (503, "application/problem+json", b'{"detail": "the DPS is not ready"}'),
            "/gone": (502, "text/html", b"Bad Gateway"),
            "/moved": (301, "text/html", b""),
        }["/" + self.path.split("/")[1]]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 301:
            self.send_header("Location", "https://elsewhere.example/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep standard error for the command."""


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def fails(capfd, *arguments: str) -> tuple[int, str]:
    """The exit code and the one line."""
    code = run(arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("dove: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("dove: ").rstrip("\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("aply", "no such command 'aply'"),
        ("get network --outptu json", "no such option"),
        ("get", "missing argument 'KIND'"),
        ("get netz", "no kind 'netz'; did you mean 'net'?"),
        ("get everything", "no kind 'everything'; there are networks, domains, "),
        ("get domains", "domains are within a network; say which one with -n NET"),
        ("get blueprint", "a blueprint is a network's; say which one: `dove get blueprint NET`"),
        ("delete blueprint shop", "a blueprint goes with its network: `dove delete network shop`"),
        ("delete network", "missing argument 'NAME'"),
        ("get network ../..", "'../..' is no name; "),
        ("get network -o xml", "invalid value for '-o' / '--output': 'xml'"),
        ("apply", "missing option '-f' / '--file'"),
        ("apply -f nowhere.yaml", "nowhere.yaml: No such file or directory"),
        ("trace app1 db1", "missing option '-n' / '--network'"),
        ("migrate -n shop app1", "say one of --to DSWITCH, --complete and --abort"),
        ("migrate -n shop app1 --abort --port tap0", "--port is the port at the target; with --abort there is none"),
        ("--timeout 0 status", "invalid value for '--timeout'"),
        ("--timeout soon status", "invalid value for '--timeout'"),
        ("--url 127.0.0.1:8080 status", "'127.0.0.1:8080' says no DPS; write --url or DOVE_URL as http://HOST:PORT"),
        ("--url http://[::1 status", "'http://[::1' says no DPS; "),
        ("--url http://127.0.0.1:99999 status", "'http://127.0.0.1:99999' says no DPS; "),
    ],
)
def test_wrong_usage_is_2(capfd, line: str, reason: str) -> None:
    code, said = fails(capfd, *line.split())
    assert code == 2
    assert said.startswith(reason)


def test_no_command_at_all_shows_the_commands(capfd) -> None:
    assert run([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "trace" in err


def test_help_and_version_are_0(capfd) -> None:
    assert run(["--help"]) == run(["trace", "-h"]) == 0
    assert "SRC DST" in capfd.readouterr().out
    assert run(["--version"]) == 0
    assert capfd.readouterr().out.startswith("dove ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("get networks ship", "no network 'ship'; did you mean 'shop'?"),
        ("get endpoint app -n shop", "no endpoint 'app' in network 'shop'; did you mean 'app1'?"),
        ("delete endpoint app9 -n shop", "no endpoint 'app9' in network 'shop'; did you mean 'app1'?"),
        ("get dswitch 7", "no dSwitch 0000000000000007 is registered, connected or host to an endpoint"),
        ("trace -n ship a b", "no network 'ship'; did you mean 'shop'?"),
        ("audit 7", "no dSwitch 0000000000000007 is registered, connected or host to an endpoint"),
        ("migrate -n ship app1 --abort", "no network 'ship'; did you mean 'shop'?"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_refusal_is_3(dove: Dove, line: str, reason: str) -> None:
    seen = dove(*line.split())
    assert (seen.code, seen.out, seen.err) == (3, "", f"dove: {reason}\n")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("html", "does not answer as a DPS does (200 OK); is --url or DOVE_URL right?"),
        ("broken", "does not answer as a DPS does (200 OK); is --url or DOVE_URL right?"),
        ("other", "does not answer as this command expects: its answer lacks 'ready'; "),
        ("list", "does not answer as a DPS does (422 Unprocessable Entity); "),
        ("gone", "does not answer as a DPS does (502 Bad Gateway); "),
        ("moved", "does not answer as a DPS does (301 Moved Permanently to https://elsewhere.example/); "),
        ("busy", "the DPS is not ready"),
        ("fault", "an error that is ours"),
    ],
)
def test_what_is_no_dps_or_cannot_serve_is_4(capfd, stranger: str, path: str, reason: str) -> None:
    code, said = fails(capfd, "--url", f"{stranger}/{path}/", "status")
    assert code == 4
    assert said.removeprefix(f"{stranger}/{path} ").startswith(reason)


def test_nobody_there_is_4(capfd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    code, said = fails(capfd, "--url", url, "get", "networks")
    assert code == 4
    assert said == f"{url} cannot be reached: connection refused; is the DPS running? --url or DOVE_URL says where"


def test_no_answer_in_time_is_4(capfd, silent: str) -> None:
    code, said = fails(capfd, "--url", silent, "--timeout", "0.1", "status")
    assert code == 4
    assert said == f"{silent} did not answer within 0.1 s; is it well? --timeout gives it longer"


def test_loopback_is_not_looked_for_behind_a_proxy(dove: Dove, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert dove("status").code == 0


# The command as a process of its own.


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return kept | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | more


@pytest.mark.usefixtures("shop")
def test_a_closed_pipe_is_silent(dps: Dps) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [*DOVE, "get", "endpoints", "-n", "shop"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment(DOVE_URL=dps.url),
        check=False,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell lets its background jobs ignore SIGINT, and so would the command."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [*DOVE, "--url", url, "status"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
            server.settimeout(10)
            connection, _ = server.accept()  # it waits for an answer now
            with connection:
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"")


def on_a_terminal(*arguments: str, **more: str) -> str:
    """What the command shows on a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([*DOVE, *arguments], stdout=follower, env=environment(**more))
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 4096):
            shown += chunk
    except OSError:  # Linux's way of saying that nobody holds the other end any more
        pass
    os.close(leader)
    process.wait(10)
    return shown.decode()


@pytest.mark.usefixtures("shop")
def test_colours_are_for_terminals_that_want_them(dps: Dps, dove: Dove, tmp_path) -> None:
    (tmp_path / "more.yaml").write_text("network: more\n")
    coloured = on_a_terminal("diff", "-f", "more.yaml", DOVE_URL=dps.url)
    assert "\x1b[32m+ network more" in coloured
    plain = on_a_terminal("diff", "-f", "more.yaml", DOVE_URL=dps.url, NO_COLOR="1")
    assert "\x1b[3" not in plain
    assert "+ network more" in plain
    assert "\x1b" not in dove("diff", "-f", "more.yaml").out


@pytest.mark.usefixtures("shop")
def test_tables_are_ruled_on_a_terminal(dps: Dps) -> None:
    shown = on_a_terminal("get", "policies", "-n", "shop", DOVE_URL=dps.url)
    assert "─" in shown
    assert "app>db" in shown
    assert "\x1b[31mdeny" in shown


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("width", [10, 60, 200])
def test_no_address_is_cut_however_narrow_the_terminal(dps: Dps, width: int) -> None:
    shown = on_a_terminal("get", "endpoints", "-n", "shop", DOVE_URL=dps.url, COLUMNS=str(width))
    assert "02:00:00:00:00:02" in shown
    assert "2001:db8::21" in shown
    assert ("10.0.0.21,2001" in shown) == (width == 200)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("dove get ne", {"networks"}),
        ("dove get networks ", {"shop"}),
        ("dove get blueprint ", {"shop"}),
        ("dove get domains -n ", {"shop"}),
        ("dove delete endpoint -n shop w", {"web1"}),
        ("dove get policies -n shop ", set()),
        ("dove trace -n shop ", {"app1", "db1", "web1"}),
        ("dove trace -n shop app1 d", {"db1"}),
        ("dove trace -n nowhere ", set()),
        ("dove --url http://127.0.0.1:9 get networks ", set()),
    ],
)
def test_names_are_completed(dps: Dps, capfd, monkeypatch, line: str, completed: set[str]) -> None:
    words = line.split(" ")
    monkeypatch.setenv("DOVE_URL", dps.url)
    monkeypatch.setenv("_DOVE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit):
        run([])
    out, err = capfd.readouterr()
    assert err == ""
    assert {entry.removeprefix("plain,") for entry in out.split()} == completed
