"""Matches refuse what no packet can be; flows and deletions read as ovs-ofctl writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.openflow import oxm
from dove_ryu.openflow.action import (
    IN_PORT,
    Action,
    DecrementTtl,
    Goto,
    Meter,
    Metered,
    Move,
    Output,
    OutputTo,
    Resubmit,
    ToController,
    copy,
    put,
)
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN, VNI, Bits, Cookie, Kind
from dove_ryu.openflow.flow import Flow, FlowChange, FlowDelete, FlowKey, FlowStrictDelete, PacketIn, text
from dove_ryu.openflow.match import Match, Term, Terms, match

UPPER = Bits("upper half", oxm.REGISTERS[9], 16, 16)


@pytest.mark.parametrize(
    ("terms", "written"),
    [
        ({}, ""),
        ({oxm.IN_PORT: 3}, "in_port=3"),
        ({oxm.ETH_DST: "02:00:00:00:00:0a"}, "dl_dst=02:00:00:00:00:0a"),
        (
            {oxm.ETH_DST: ("01:00:00:00:00:00", "01:00:00:00:00:00")},
            "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
        ),
        ({oxm.VLAN_VID: 0}, "vlan_tci=0x0000/0x1fff"),
        ({oxm.TUN_ID: 5}, "tun_id=0x5"),
        ({VNI: 5}, "metadata=0x5"),
        ({VNI: 0}, "metadata=0"),
        ({SOURCE_DOMAIN: 7}, "reg1=0x7"),
        ({BY_ADDRESS: 0}, "reg0=0/0x1"),
        ({UPPER: 0xAB}, "reg9=0xab0000/0xffff0000"),
        ({oxm.ETH_TYPE: oxm.IPV4}, "ip"),
        ({oxm.ETH_TYPE: oxm.RARP}, "rarp"),
        ({oxm.ETH_TYPE: 0x88CC}, "dl_type=0x88cc"),
        ({oxm.ETH_TYPE: oxm.IPV4, oxm.IP_PROTO: 17}, "ip,nw_proto=17"),
        ({oxm.ETH_TYPE: oxm.IPV6, oxm.TCP_FLAGS: (oxm.SYN, oxm.SYN | oxm.ACK)}, "tcp6,tcp_flags=+syn-ack"),
        ({oxm.ETH_TYPE: oxm.ARP, oxm.IP_PROTO: 1}, "arp,nw_proto=1"),
        ({oxm.ICMP_TYPE: 8, oxm.IPV4_DST: "10.0.0.1"}, "icmp,nw_dst=10.0.0.1,icmp_type=8"),
        ({oxm.ICMPV6_TYPE: 128}, "icmp6,icmp_type=128"),
        ({oxm.ND_SLL: "02:00:00:00:00:0a"}, "icmp6,icmp_type=135,nd_sll=02:00:00:00:00:0a"),
        ({oxm.ARP_OP: 1, oxm.ARP_TPA: "10.0.0.1"}, "arp,arp_tpa=10.0.0.1,arp_op=1"),
        ({oxm.IPV4_DST: "10.0.0.0/8"}, "ip,nw_dst=10.0.0.0/8"),
        ({oxm.IPV4_DST: "10.1.2.3/8"}, "ip,nw_dst=10.0.0.0/8"),
        ({oxm.IPV4_DST: "10.0.0.1/32"}, "ip,nw_dst=10.0.0.1"),
        ({oxm.IPV4_DST: "0.0.0.0/0"}, "ip"),
        ({oxm.IPV6_DST: "::/0"}, "ipv6"),
        ({oxm.IPV4_DST: ("10.0.0.1", "255.0.0.255")}, "ip,nw_dst=10.0.0.1/255.0.0.255"),
        ({oxm.IPV6_DST: "fd00::/64", VNI: 5}, "ipv6,metadata=0x5,ipv6_dst=fd00::/64"),
    ],
)
def test_matches_read_as_ovs_ofctl_writes_them(terms: Terms, written: str) -> None:
    assert str(match(terms)) == written


def test_prerequisites_are_matched_along() -> None:
    assert match({oxm.ND_TARGET: "fd00::1"}).fields() == {oxm.ETH_TYPE, oxm.IP_PROTO, oxm.ND_TARGET}
    assert match() == Match()


@given(st.permutations([(VNI, 5), (oxm.ETH_TYPE, oxm.IPV6), (oxm.IPV6_DST, "fd00::1"), (BY_ADDRESS, 1)]))
def test_the_order_of_terms_does_not_matter(terms: list[tuple[oxm.Field | Bits, int | str]]) -> None:
    assert str(match(dict(terms))) == "ipv6,reg0=0x1/0x1,metadata=0x5,ipv6_dst=fd00::1"


single = st.sampled_from([BY_ADDRESS, SOURCE_DOMAIN, UPPER, VNI, *oxm.FIELDS])


@given(st.dictionaries(single, st.integers(0, 1), max_size=5))
def test_a_match_is_that_of_each_name_put_together(terms: dict[oxm.Field | Bits, int]) -> None:
    """However a selection of names is laid out, and also the second time."""
    together: dict[oxm.Field, Term] = {}
    for alone in (match({key: value}) for key, value in terms.items()):
        for term in alone:
            known = together.setdefault(term.field, term)
            if known != term and known.mask & term.mask:
                with pytest.raises(ValueError, match="contradicts"):
                    match(terms)
                return
            together[term.field] = Term(term.field, known.value | term.value, known.mask | term.mask)
    expected = sorted(together.values(), key=lambda term: term.field.rank)
    assert [match(terms), match(terms)] == [Match(expected)] * 2


def test_bits_of_one_register_are_matched_together() -> None:
    lower = Bits("lower half", oxm.REGISTERS[9], 0, 16)
    assert match({UPPER: 1, lower: 2}) == match({oxm.REGISTERS[9]: 0x10002})


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({oxm.IPV4_DST: "10.0.0.1", oxm.IPV6_DST: "fd00::1"}, "dl_type=0x86dd contradicts dl_type=0x800"),
        ({oxm.ARP_OP: 1, oxm.IPV4_DST: "10.0.0.1"}, "contradicts"),
        ({oxm.ICMP_TYPE: 8, oxm.IP_PROTO: 6}, "nw_proto=6 contradicts nw_proto=1"),
        ({oxm.ND_SLL: 1, oxm.ND_TLL: 1}, "icmp_type=136 contradicts icmp_type=135"),
        ({UPPER: 1, oxm.REGISTERS[9]: 0}, "reg9=0 contradicts reg9=0x10000"),
        ({UPPER: 1 << 16}, "upper half: 65536 does not fit 16 bits"),
        ({UPPER: -1}, "upper half: -1 does not fit"),
        ({UPPER: "1"}, "upper half: '1' does not fit"),
        ({oxm.IPV4_DST: "10.0.0.0/x"}, "nw_dst: '10.0.0.0/x' needs a length of 0 to 32 bits"),
        ({oxm.IPV4_DST: "10.0.0.0/33"}, "needs a length"),
        ({oxm.IPV4_DST: "10.0.0.0/-1"}, "needs a length"),
        ({oxm.IPV4_DST: ("10.0.0.0", "255.0.0")}, "nw_dst: '255.0.0' is no value"),
    ],
)
def test_what_no_packet_can_be_is_refused(terms: Terms, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        match(terms)


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (put(VNI, 5), "set_field:0x5->metadata"),
        (put(SOURCE_DOMAIN, 7), "set_field:0x7->reg1"),
        (put(BY_ADDRESS, 1), "load:0x1->NXM_NX_REG0[0]"),
        (put(UPPER, 0xAB), "load:0xab->NXM_NX_REG9[16..31]"),
        (put(oxm.ETH_DST, "02:00:00:00:00:0a"), "set_field:02:00:00:00:00:0a->eth_dst"),
        (put(oxm.IPV4_SRC, "10.0.0.1"), "set_field:10.0.0.1->ip_src"),
        (put(oxm.TUN_IPV6_DST, "fd00::1"), "set_field:fd00::1->tun_ipv6_dst"),
        (copy(oxm.ETH_SRC, oxm.ETH_DST), "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]"),
        (Move(oxm.METADATA, oxm.TUN_ID, 24), "move:OXM_OF_METADATA[0..23]->NXM_NX_TUN_ID[0..23]"),
        (copy(oxm.REGISTERS[1], oxm.METADATA), "move:NXM_NX_REG1[]->OXM_OF_METADATA[0..31]"),
        (Output(3), "output:3"),
        (Output(IN_PORT), "IN_PORT"),
        (OutputTo(oxm.REGISTERS[5]), "output:NXM_NX_REG5[]"),
        (ToController(), "CONTROLLER:65535"),
        (ToController(3), "controller(meter_id=3)"),
        (Metered(17), "meter:17"),
        (DecrementTtl(), "dec_ttl"),
        (Resubmit(8), "resubmit(,8)"),
        (Goto(9), "goto_table:9"),
    ],
)
def test_actions_read_as_ovs_ofctl_writes_them(action: Action, written: str) -> None:
    assert str(action) == written


def test_flows_and_deletions_read_as_ovs_ofctl_writes_them() -> None:
    where = match({VNI: 5, oxm.IPV4_DST: "10.0.0.1"})
    cookie = int(Cookie(Kind.POLICY, 3, 7))
    changes: list[FlowChange] = [
        Flow(0, 0, Match(), (), 0),
        Flow(8, 100, where, (put(VNI, 6), Goto(9)), cookie, 300),
        Flow(8, 100, Match(), (), cookie, 300, 60, notify=True),
        FlowStrictDelete(FlowKey(8, 100, where)),
        FlowStrictDelete(FlowKey(0, 0, Match())),
        FlowDelete(cookie, 0xFFFFFFFFFF000000),
        FlowDelete(cookie, 0xFFFFFFFFFF000000, 8, where),
        FlowDelete(0, 0, 0),
    ]
    assert text(changes).splitlines() == [
        "cookie=0x0, priority=0 actions=drop",
        (
            "cookie=0xd090000003000007, table=8, hard_timeout=300, priority=100,ip,metadata=0x5,nw_dst=10.0.0.1"
            " actions=set_field:0x6->metadata,goto_table:9"
        ),
        (
            "cookie=0xd090000003000007, table=8, idle_timeout=60, hard_timeout=300, send_flow_rem priority=100"
            " actions=drop"
        ),
        "delete --strict table=8,priority=100,ip,metadata=0x5,nw_dst=10.0.0.1",
        "delete --strict table=0,priority=0",
        "delete cookie=0xd090000003000007/0xffffffffff000000",
        "delete cookie=0xd090000003000007/0xffffffffff000000,table=8,ip,metadata=0x5,nw_dst=10.0.0.1",
        "delete cookie=0x0/0x0,table=0",
    ]


def test_a_held_packet_goes_on_with_everything_as_it_was() -> None:
    fields = {oxm.REGISTERS[1]: 7, oxm.METADATA: 5, oxm.IN_PORT: 3, oxm.TUN_SRC: 9}
    packet_in = PacketIn(0, 8, fields, b"frame")
    out = packet_in.resume(8)
    assert ",".join(map(str, out.actions)) == "set_field:0x5->metadata,set_field:0x7->reg1,resubmit(,8)"
    assert (out.in_port, out.data) == (3, b"frame")
    assert (packet_in.read(VNI), packet_in.read(SOURCE_DOMAIN), packet_in.read(UPPER)) == (5, 7, 0)


def test_a_packet_without_a_port_has_port_0() -> None:
    assert PacketIn(0, 8, {}, b"").in_port == 0


def test_a_meter_reads_as_ovs_ofctl_takes_it() -> None:
    assert str(Meter(1, 100, 50)) == "meter=1 pktps burst bands=type=drop rate=100 burst_size=50"
