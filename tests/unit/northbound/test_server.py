"""The HTTP server: over a real socket."""

import errno
import socket
import time
from collections.abc import Iterator

import pytest
import requests

from dove_ryu.northbound.bodies import LARGEST_BODY
from dove_ryu.northbound.rest import application
from dove_ryu.northbound.server import RestServer

from .served import SHOP, Service


@pytest.fixture
def server(service: Service) -> Iterator[RestServer]:
    server = RestServer("127.0.0.1", 0, application(service))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(server: RestServer) -> str:
    return "http://{}:{}".format(*server.address)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_a_blueprint_over_the_wire(url: str, session: requests.Session) -> None:
    assert session.put(f"{url}/v1/networks/shop/blueprint", json=SHOP, timeout=9).status_code == 201
    policy = session.get(f"{url}/v1/networks/shop/policies/app%3Edb", timeout=9)
    assert policy.json()["name"] == "app>db"
    known = {"If-None-Match": policy.headers["ETag"]}
    assert session.get(policy.url, headers=known, timeout=9).status_code == 304
    assert session.delete(policy.url, timeout=9).status_code == 204
    assert session.get(policy.url, timeout=9).headers["Content-Type"] == "application/problem+json"
    assert session.head(url + "/v1/status", timeout=9).text == ""


def test_a_body_in_chunks(url: str, session: requests.Session) -> None:
    kind = {"Content-Type": "application/yaml"}
    chunks = iter([b"domains: [a,", b" b]\n"])
    response = session.put(f"{url}/v1/networks/n/blueprint", data=chunks, headers=kind, timeout=9)
    assert (response.status_code, response.json()["blueprint"]["domains"]) == (201, ["a", "b"])


def test_a_body_that_is_too_long_is_not_waited_for(url: str, server: RestServer) -> None:
    with socket.create_connection(server.address, timeout=9) as connection:
        head = (
            "PUT /v1/networks/n HTTP/1.1\r\nHost: dps\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        )
        connection.sendall(head.format(LARGEST_BODY + 1).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_an_occupied_port_is_an_error_at_once(server: RestServer, service: Service) -> None:
    second = RestServer(*server.address, application(service))
    with pytest.raises(OSError, match="Address already in use") as caught:
        second.start()
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == "Address already in use"
    second.stop()


def test_it_stops_within_a_second_whoever_is_connected(url: str, server: RestServer, session: requests.Session) -> None:
    session.get(f"{url}/healthz", timeout=9)
    with socket.create_connection(server.address) as half_a_request:
        half_a_request.sendall(
            b"PUT /v1/networks/n HTTP/1.1\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{"
        )
        session.get(f"{url}/healthz", timeout=9)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/healthz", timeout=9)


def test_it_stops_twice_and_without_having_started(service: Service) -> None:
    server = RestServer("127.0.0.1", 0, application(service))
    server.stop()
    server.stop()
