"""The chains of the DOVE report's figure 1, deployed as in its figure 4, with the appliances of its table 4 (F16).

Each pair of tiers speaks over IPv4 and IPv6, and captures at all appliances and endpoints say which way each packet took.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import figure4
import pytest
from appliance import SSL
from emulation import Emulation
from figure4 import Figure4

from dove_ryu.openflow.pipeline import CHAIN_HOP

from .journeys import REPLY, REQUEST, Watch

PAIRS = (("ext", "lb"), ("lb", "ws1"), ("lb", "ws2"), ("lb", "ws3"), ("ws1", "db1"), ("ws2", "db1"), ("ws3", "db2"))
EXPEDITED = "(ip and ip[1] = 0xb8) or (ip6 and ip6[0:2] & 0x0ff0 = 0x0b80)"
"""As a pcap filter: what bears the mark of the SSL accelerator's stand-in (RFC 3246)."""


@pytest.fixture(scope="module", params=["l2", "l3"])
def figure(request: pytest.FixtureRequest) -> Iterator[Figure4]:
    with Emulation() as net:
        built = figure4.build(net)
        figure = replace(built, blueprint={**built.blueprint, "service": request.param})
        figure.register()
        figure.apply()
        figure.wait_until_bound()
        yield figure


def test_every_conversation_passes_its_appliances_in_order(figure: Figure4) -> None:
    with Watch(figure.appliances.values(), figure.endpoints.values()) as watch:
        for near, far in PAIRS:
            for version in (4, 6):
                assert figure.endpoints[near].ping(figure.ip(far, version)).received == 1, f"{near} to {far}"
    for near, far in PAIRS:
        for version in (4, 6):
            for source, destination, kind in ((near, far, REQUEST), (far, near, REPLY)):
                between = f"src host {figure.ip(source, version)} and dst host {figure.ip(destination, version)}"
                assert watch.journey(f"{between} and ({kind})") == expected(figure, source, destination)


def expected(figure: Figure4, source: str, destination: str) -> list[str]:
    """The way that the blueprint says, with the VLANs that REST says."""
    domain = {each["name"]: each["domain"] for each in figure.blueprint["endpoints"]}
    policy = f"{domain[source]}>{domain[destination]}"
    stops = [source]
    for name in figure.way(source, destination):
        segments = figure.dps.request("GET", f"/v1/appliances/{name}")[1]["segments"]
        (vlan,) = (each["vlan"] for each in segments if each["policy"] == policy)
        stops += [f"{figure.appliances[name].name}-{side} {vlan}" for side in ("in", "out")]
    return [*stops, destination]


def test_who_may_not_talk_reaches_no_appliance(figure: Figure4) -> None:
    """F5: what the default policy denies ends at its source."""
    with Watch(figure.appliances.values()) as watch:
        for source, destination in (("ext", "ws1"), ("lb", "db1"), ("ws1", "ws2"), ("db1", "db2")):
            assert figure.endpoints[source].ping(figure.ip(destination), wait=0.2).received == 0
    assert watch.sightings(REQUEST) == []


def test_what_the_appliances_do_shows(figure: Figure4) -> None:
    """The firewall drops a telnet and lets SSH pass; the accelerator's mark is on what arrives, and on nothing before."""
    lb, ws1 = figure.endpoints["lb"], figure.endpoints["ws1"]
    with Watch([figure.appliances["FW-1"]], [lb, ws1]) as watch:
        for port in (22, 23):
            lb.run("timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{figure.ip('ws1')}/{port}", check=False)
        assert lb.ping(figure.ip("ws1", 6)).received == 1
    to = "src host {} and tcp[tcpflags] = tcp-syn and tcp dst port {}".format
    assert [len(watch.sightings(to(figure.ip("lb"), 22), place)) for place in ("fw-in", "fw-out", "ws1")] == [
        1,
        1,
        1,
    ]
    assert watch.sightings(to(figure.ip("lb"), 23), "fw-in")
    assert watch.sightings(to(figure.ip("lb"), 23), "fw-out", "ws1") == []
    marked = {seen.place for seen in watch.sightings(f"({EXPEDITED}) and ({REQUEST} or tcp[tcpflags] = tcp-syn)")}
    assert marked == {"ws1"}


# ---- a trace that sends --------------------------------------------------------------------------


def trace_live(figure: Figure4) -> dict[str, Any]:
    """From the load balancer to a web server: by FW-1 at the edge, SSL at the load balancer's own server."""
    status, told = figure.dps.request("POST", "/v1/trace?network=shop&source=lb&destination=ws1")
    assert status == 200, told
    live: dict[str, Any] = told["live"]
    assert not any("icmp_code" in server.ofctl("dump-flows") for server in figure.servers.values()), "lookouts are left"
    return live


def test_a_live_trace_sees_the_packet_at_every_hop(figure: Figure4) -> None:
    """X2: once at each, in order, and what the machine answers."""
    live = trace_live(figure)
    assert (live["arrived"], live["answered"]) == (True, True), live["reason"]
    seen = [(each["point"], each["appliance"], each["dswitch"][-1]) for each in live["seen"] if each["packets"]]
    assert seen == [
        *(("sent on to", "FW-1", "2"), ("handed over to", "FW-1", "1"), ("given back by", "FW-1", "1")),
        *(("sent on to", "SSL", "1"), ("handed over to", "SSL", "2"), ("given back by", "SSL", "2")),
        *(("delivered", None, "3"), ("answered", None, "3")),
    ]
    assert {each["packets"] for each in live["seen"]} <= {0, 1}


def test_a_live_trace_finds_what_the_dps_cannot_know(figure: Figure4) -> None:
    """X2: an appliance that drops, and a dSwitch that somebody else has changed."""
    ssl, dpid = figure.appliances["SSL"], "0000000000000001"
    ssl.load("icmp type echo-request drop")
    try:
        assert trace_live(figure)["reason"] == "it was handed over to SSL (hop 2), and never given back"
    finally:
        ssl.load(SSL)
    figure.servers["edge"].ofctl("del-flows", f"table={CHAIN_HOP.number}")
    try:
        told = trace_live(figure)["reason"]
        assert told == (
            "it was handed over to FW-1 (hop 1), and never given back; "
            f"not as it should be: dSwitch {dpid}, which `dove audit` tells about"
        )
    finally:
        figure.dps.request("POST", f"/v1/dswitches/{dpid}/audit?repair")
    assert trace_live(figure)["arrived"]
