"""What is asked is what Open vSwitch would ask, in a world whose networks share their addresses (F54)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from os_ken.ofproto import ofproto_parser, ofproto_v1_3, ofproto_v1_3_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from dove_ryu.bench.prepare import Workload, load_dps, prepare, store_url
from dove_ryu.bench.requests import (
    LEARNING_COOKIE,
    Request,
    UnansweredError,
    learning_requests,
    plain_answer,
    plain_requests,
    policy_requests,
    read_dswitch,
    write_dswitch,
)
from dove_ryu.bench.world import CHANGING, Plan
from dove_ryu.dps import Dps
from dove_ryu.model.blueprint import parse, render
from dove_ryu.model.entities import Encapsulation, Service
from dove_ryu.openflow.fields import Cookie, Kind
from dove_ryu.openflow.pipeline import LOCATION
from dove_ryu.southbound import codec
from dove_ryu.southbound.framing import split

from .conftest import SMALL

PLAN = SMALL.plan


@pytest.fixture(scope="module")
def dps(world: Path) -> Dps:
    loaded = load_dps(store_url(world), lambda what, share: None)
    for dpid in range(1, 5):
        loaded.world.ports[dpid] = PLAN.ports(dpid)
    return loaded


def parsed(message: bytes) -> Any:
    protocol = ProtocolDesc(ofproto_v1_3.OFP_VERSION)
    return ofproto_parser.msg(protocol, *ofproto_parser.header(message), message)


def test_a_request_is_a_packet_in_for_the_framework(dps: Dps) -> None:
    for request in policy_requests(PLAN, dps, 1, 50, Random(1)):
        message = parsed(request.packet_in)
        assert isinstance(message, ofproto_v1_3_parser.OFPPacketIn)
        assert message.buffer_id == ofproto_v1_3.OFP_NO_BUFFER
        assert (message.table_id, message.cookie) == (LOCATION.number, int(Cookie(Kind.MISS, LOCATION.number)))
        assert message.total_len == len(message.data) >= 64
        assert {"in_port", "metadata", "reg1", "reg3"} <= dict(message.match.items()).keys()


def test_an_answer_is_two_flows_and_the_packet(dps: Dps) -> None:
    for request in policy_requests(PLAN, dps, 2, 50, Random(2)):
        messages, used = split(memoryview(request.answer))
        assert used == len(request.answer)
        assert [codec.kind(each) for each in messages] == [codec.FLOW_MOD, codec.FLOW_MOD, codec.PACKET_OUT]
        assert messages[2].endswith(codec.read_packet_in(request.packet_in).data)
        assert plain_answer(dps, 2, request.packet_in) == request.answer


def test_requests_are_of_all_networks_and_both_families(dps: Dps) -> None:
    requests = [codec.read_packet_in(each.packet_in) for each in policy_requests(PLAN, dps, 1, 300, Random(3))]
    networks = {tuple(value for field, value in each.fields.items() if field.name == "metadata") for each in requests}
    assert len(networks) == PLAN.networks
    kinds = Counter(each.data[12:14].hex() for each in requests)
    assert kinds["0800"] > kinds["86dd"] > 0


def test_a_dps_that_knows_nothing_is_refused() -> None:
    empty = Dps()
    with pytest.raises((UnansweredError, KeyError)):
        next(policy_requests(PLAN, empty, 1, 1, Random(4)))


def test_a_request_without_an_answer_is_refused(dps: Dps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dove_ryu.bench.requests.plain_answer", lambda *_: b"")
    with pytest.raises(UnansweredError, match=r"dSwitch 1 gets no answer for net-\d+, e\d+ to e\d+"):
        next(policy_requests(PLAN, dps, 1, 1, Random(5)))


def test_other_controllers_get_packets_of_one_table() -> None:
    for request in plain_requests(PLAN, 1, 20, Random(6)):
        message = parsed(request.packet_in)
        assert isinstance(message, ofproto_v1_3_parser.OFPPacketIn)
        assert (message.cookie, message.table_id, request.answer) == (0, 0, b"")
        assert dict(message.match.items()).keys() == {"in_port"}


def test_every_sender_is_new_to_faucet() -> None:
    messages = [parsed(request.packet_in) for request in learning_requests(3, 50, Random(7))]
    assert len({message.data[6:12] for message in messages}) == 50
    assert {message.data[12:16] for message in messages} == {b"\x81\x00\x00\x64"}
    assert {message.cookie for message in messages} == {LEARNING_COOKIE}


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    requests = [Request(b"one", b"first answer"), Request(b"another", b""), Request(b"x", b"y")]
    write_dswitch(tmp_path / "1.dswitch", 1, {"p1": 1}, requests)
    assert read_dswitch(tmp_path / "1.dswitch") == requests


def test_networks_share_addresses_and_nothing_else() -> None:
    first, second = (parse(PLAN.blueprint(network)) for network in (0, 1))
    assert [each.ips for each in first.endpoints] == [each.ips for each in second.endpoints]
    assert [each.macs for each in first.endpoints] == [each.macs for each in second.endpoints]
    assert (first.service, second.service) == (Service.L2, Service.L3)
    assert first.network != second.network
    assert len(first.domains) == PLAN.domains
    assert len(first.policies) == PLAN.policies


def test_every_endpoint_is_at_one_port() -> None:
    places = [
        (host.dpid, host.port)
        for network in range(PLAN.networks)
        for host in (PLAN.host(network, member) for member in range(PLAN.members))
    ]
    assert len(set(places)) == PLAN.endpoints
    for dpid in range(1, PLAN.dswitches + 1):
        ports = PLAN.ports(dpid)
        assert {port for at, port in places if at == dpid} <= set(ports.values())
        assert len(set(ports.values())) == len(ports)


def test_both_tunnel_protocols_are_spoken() -> None:
    speaks = {each.dpid: each.encap_types for each in PLAN.infrastructure()}
    assert speaks[4] == (Encapsulation.VXLAN,)
    assert speaks[1] == tuple(Encapsulation)


def test_the_store_holds_the_world(dps: Dps) -> None:
    assert len(list(dps.world.networks())) == PLAN.networks + 1
    tables = dps.world.tables[PLAN.network(1)]
    assert parse(render(tables)) == parse(PLAN.blueprint(1))
    assert len(tables.locations) == PLAN.members
    assert dps.world.tables[CHANGING].hosts() == {1, 2, 3, 4}


def test_what_is_prepared_is_prepared_once(world: Path) -> None:
    told: list[str] = []
    before = (world / "store.sqlite").stat().st_mtime_ns
    prepare(SMALL, world, lambda what, share: told.append(what))
    assert told == ["prepared before"]
    assert (world / "store.sqlite").stat().st_mtime_ns == before
    assert json.loads((world / "workload.json").read_text())["plan"]["endpoints"] == PLAN.endpoints


def test_another_workload_is_prepared_anew(tmp_path: Path) -> None:
    plan = Plan(endpoints=8, networks=2, domains=2, policies=2, dswitches=2)
    prepare(Workload(plan, (3,)), tmp_path, lambda what, share: None)
    prepare(Workload(plan, (4, 2)), tmp_path, lambda what, share: None)
    assert [len(read_dswitch(tmp_path / "dove" / f"{dpid}.dswitch")) for dpid in (1, 2)] == [4, 2]
