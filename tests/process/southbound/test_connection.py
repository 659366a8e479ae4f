"""Connections of a real ryu-manager with two applications, on both hubs."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dove_ryu import config
from dove_ryu.southbound import framework
from dove_ryu.southbound.datapath import OUTPUT_LIMIT, Datapath
from dove_ryu.southbound.framing import is_ours

HELLO, ECHO_REQUEST, ECHO_REPLY, BARRIER_REQUEST = 0, 2, 3, 20
OURS = 0xD0 << 56

Start = Callable[..., Any]


def answers(switch: Any, number: int) -> list[int]:
    """The xids of the next barrier requests."""
    received = [switch.receive() for _ in range(number)]
    assert {kind for kind, _, _ in received} == {BARRIER_REQUEST}
    return [xid for _, xid, _ in received]


def test_other_applications_see_the_usual_events(manager: Start, switch: Start, hub: str) -> None:
    process = manager("fast_lane", "observer", hub=hub)
    one = switch(process)
    one.greet()
    process.says("features of 7")
    process.says("state main of 7")
    one.send(one.packet_in(0xAB << 56, b"first"), one.port_status(b"tap1"))
    process.says("packet-in with cookie 0xab00000000000000 and data b'first'")
    process.says("port status b'tap1'")
    one.send(one.message(ECHO_REQUEST, b"alive?", 99))
    assert one.receive() == (ECHO_REPLY, 99, b"alive?")
    one.socket.close()
    process.says("state dead of 7")
    assert process.stop()[0] == 0


def test_policy_requests_of_a_read_are_answered_together(manager: Start, switch: Start, hub: str) -> None:
    process = manager("fast_lane", "observer", hub=hub)
    one = switch(process)
    one.greet()
    process.says("state main of 7")
    one.send(*(one.packet_in(OURS | number, xid=number) for number in range(100)), one.packet_in(1, b"other"))
    assert answers(one, 100) == list(range(100))
    process.says("batch of 100")
    process.says("packet-in with cookie 0x1 and data b'other'")
    assert not [line for line in process.lines if "cookie 0xd0" in line], "no event is made of a policy request"
    one.send(one.packet_in(OURS, b"trouble"))
    process.says("1 messages are lost")
    one.send(one.packet_in(OURS, xid=5))
    assert answers(one, 1) == [5]


def test_policy_request_before_the_handshake_is_over_is_kept(manager: Start, switch: Start, hub: str) -> None:
    one = switch(manager("fast_lane", hub=hub))
    one.greet(before_the_end=one.packet_in(OURS, xid=41))
    assert answers(one, 1) == [41]


def test_handler_may_send_without_end(manager: Start, switch: Start, hub: str) -> None:
    one = switch(manager("fast_lane", hub=hub))
    one.greet()
    one.send(one.message(ECHO_REPLY))
    assert len(answers(one, 500)) == 500


def test_keepalive_cuts_off_a_silent_switch(manager: Start, switch: Start, hub: str) -> None:
    options = ["--maximum-unreplied-echo-requests", "2", "--echo-request-interval", "0.1"]
    process = manager("observer", *options, hub=hub)
    one = switch(process)
    one.greet()
    for _ in range(6):
        kind, xid, body = one.receive()
        assert kind == ECHO_REQUEST
        one.send(one.message(ECHO_REPLY, body, xid))
    assert one.is_closed()
    process.says("3 echo requests are without a reply")
    process.says("state dead of 7")


def test_nonsense_closes_the_connection_with_a_reason(manager: Start, switch: Start) -> None:
    process = manager("observer")
    one, two = switch(process), switch(process)
    one.send(struct.pack("!BBHI", 4, 0, 3, 1))
    assert one.is_closed()
    process.says("closed: malformed message: it says it is 3 bytes long")
    two.send(struct.pack("!BBHI", 77, 0, 8, 1))
    assert two.is_closed()
    process.says("it does not speak OpenFlow as we know it: unknown version 4d")
    assert not [line for line in process.lines if "Traceback" in line]


def test_switch_that_does_not_read_is_not_read_either(manager: Start, switch: Start, hub: str) -> None:
    """Each echo request of 60 KiB asks for as much output: the requests pile up at the switch, not in our memory."""
    process = manager("observer", "--socket-timeout", "1", hub=hub)
    one = switch(process)
    one.greet()
    process.says("state main of 7")
    request = one.message(ECHO_REQUEST, bytes(60000))
    with pytest.raises(OSError, match=r"timed out|reset|Broken pipe"):
        one.send(*[request] * 3000)
    limit = process.says(r"(\d+) bytes wait for a switch that has read none for 1 s")
    assert 1_000_000 < int(limit[1]) < 2_000_000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*request, "-subj", "/CN=localhost", "-days", "1", "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return key, cert


def test_tls_with_certificates_on_both_sides(
    manager: Start, switch: Start, hub: str, certificate: tuple[Path, Path]
) -> None:
    key, cert = map(str, certificate)
    options = ["--ctl-privkey", key, "--ctl-cert", cert, "--ca-certs", cert, "--ofp-ssl-listen-port", "0"]
    process = manager("fast_lane", "observer", *options, hub=hub)
    context = ssl.create_default_context(cafile=cert)
    context.load_cert_chain(cert, key)
    one = switch(process, lambda plain: context.wrap_socket(plain, server_hostname="localhost"))
    one.greet()
    process.says("state main of 7")
    for _ in range(10):  # more than a TLS record and than a read of the controller
        one.send(*(one.packet_in(OURS, bytes(1000), xid=number) for number in range(1000)))
        assert answers(one, 1000) == list(range(1000))
        one.send(*[one.message(ECHO_REQUEST, bytes(60_000))] * 5)
        assert [len(one.receive()[2]) for _ in range(5)] == [60_000] * 5
    plain = switch(process)
    plain.send(plain.message(HELLO))
    assert plain.is_closed()
    process.says("no TLS")
    assert process.stop()[0] == 0


# ---- one connection in this process, its peer being the test -------------------------------------


@pytest.fixture
def served() -> Any:
    """(Datapath that is being served, the switch's socket)."""
    config.register(framework.CONF)
    config.parse(framework.CONF, [], "test")
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname(), timeout=5)
    datapath = Datapath(*listener.accept())
    thread = threading.Thread(target=datapath.serve)
    thread.start()
    yield datapath, peer
    datapath.close()
    thread.join(5)
    assert not thread.is_alive()
    peer.close()
    listener.close()
    framework.CONF.reset()


@pytest.fixture
def unlucky(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework numbers its questions from a random number: here, from one that begins with our byte."""
    monkeypatch.setattr("random.randint", lambda least, most: min(most, OURS >> 32))


def test_no_question_of_the_framework_is_taken_for_ours(unlucky: None, served: tuple[Datapath, socket.socket]) -> None:
    """F28: or its answer would never reach the handshake, which waits for it."""
    datapath, _ = served
    question = datapath.ofproto_parser.OFPPortDescStatsRequest(datapath, 0)
    answer = struct.pack("!BBHIHH4x", 4, 19, 16, datapath.set_xid(question), 13, 0)
    assert not is_ours(answer, OURS >> 56)


def test_many_threads_send_whole_messages(served: tuple[Datapath, socket.socket]) -> None:
    datapath, peer = served

    def send(who: int) -> None:
        for number in range(500):
            assert datapath.write(struct.pack("!BBHI", 4, 2, 2008, who << 16 | number) + bytes([who]) * 2000)

    threads = [threading.Thread(target=send, args=[who]) for who in range(4)]
    for thread in threads:
        thread.start()
    stream = peer.makefile("rb")
    seen: dict[int, list[int]] = {who: [] for who in range(4)}
    assert stream.read(8)[1] == HELLO
    for _ in range(2000):
        _, _, length, xid = struct.unpack("!BBHI", stream.read(8))
        assert stream.read(length - 8) == bytes([xid >> 16]) * 2000
        seen[xid >> 16].append(xid & 0xFFFF)
    assert all(numbers == list(range(500)) for numbers in seen.values())
    for thread in threads:
        thread.join()
    stream.close()


def test_output_is_bounded(served: tuple[Datapath, socket.socket], caplog: pytest.LogCaptureFixture) -> None:
    datapath, peer = served
    piece = bytes(1024 * 1024)
    accepted = 0
    while datapath.write(piece):
        accepted += 1
        assert accepted * len(piece) < 2 * OUTPUT_LIMIT, "the kernel's own buffers hold no such amount"
    while peer.recv(65536):
        pass
    assert not datapath.write(b"more")
    assert "bytes wait for a switch that does not read them" in caplog.text


def test_last_message_closes_the_writing_half(served: tuple[Datapath, socket.socket]) -> None:
    datapath, peer = served
    assert datapath.send(b"last", close_socket=True)
    assert not datapath.send(b"too late")
    received = b""
    while data := peer.recv(100):
        received += data
    assert received[1] == HELLO
    assert received.endswith(b"last")
    assert datapath.is_active, "it still reads what the switch has to say"
