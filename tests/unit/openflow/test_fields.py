"""Register bits do not overlap, cookies come apart as they were made, values are read as ovs-ofctl writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import (
    APPLICATION,
    APPLICATION_MASK,
    CACHED_COOKIE,
    CACHED_MASK,
    NUMBER_BITS,
    OBJECT_MASK,
    PIPELINE_BITS,
    TRACKING_BITS,
    VNI,
    Bits,
    Cookie,
    Kind,
    refuse_overlap,
)

numbers = st.integers(0, (1 << NUMBER_BITS) - 1)
trackings = st.integers(0, (1 << TRACKING_BITS) - 1)
kinds = st.sampled_from(Kind)


def test_two_names_for_one_bit_are_refused() -> None:
    taken = Bits("taken", oxm.REGISTERS[7], 0, 8)
    refuse_overlap([taken, Bits("beside it", oxm.REGISTERS[7], 8, 24), Bits("elsewhere", oxm.REGISTERS[8], 0, 8)])
    with pytest.raises(ValueError, match="across overlaps another name in reg7"):
        refuse_overlap([taken, Bits("across", oxm.REGISTERS[7], 7, 2)])


def test_bits_that_do_not_fit_their_field_are_refused() -> None:
    with pytest.raises(ValueError, match="wide does not fit reg7"):
        refuse_overlap([Bits("wide", oxm.REGISTERS[7], 31, 2)])


def test_bits_are_read_out_of_their_field() -> None:
    assert Bits("middle", oxm.REGISTERS[7], 4, 8).read(0xABCDE) == 0xCD
    assert all(bits.read(bits.field.full_mask) == (1 << bits.width) - 1 for bits in PIPELINE_BITS)
    assert VNI.mask == 0xFFFFFF


@given(kinds, numbers, trackings)
def test_a_cookie_comes_apart_as_it_was_put_together(kind: Kind, number: int, tracking: int) -> None:
    cookie = Cookie.parse(int(Cookie(kind, number, tracking)))
    assert cookie is not None
    assert (cookie.kind, cookie.number, cookie.tracking) == (kind, number, tracking)
    assert int(cookie) & APPLICATION_MASK == APPLICATION << 56


@given(kinds, numbers, trackings)
def test_cookie_masks_select_what_they_say(kind: Kind, number: int, tracking: int) -> None:
    cookie = int(Cookie(kind, number, tracking))
    assert (cookie & CACHED_MASK == CACHED_COOKIE) == kind.cached
    assert cookie & OBJECT_MASK == int(Cookie(kind, number))
    assert (cookie ^ int(Cookie(kind, number ^ 1))) & OBJECT_MASK


def test_tracking_numbers_wrap_within_their_bits() -> None:
    assert int(Cookie(Kind.POLICY, 5, (1 << TRACKING_BITS) + 3)) == int(Cookie(Kind.POLICY, 5, 3))


@pytest.mark.parametrize("cookie", [0, 1, 0xD1 << 56, int(Cookie(Kind.POLICY, 1)) | 0xF << 52, (1 << 64) - 1])
def test_a_cookie_that_is_not_ours_has_no_parts(cookie: int) -> None:
    assert Cookie.parse(cookie) is None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (oxm.ETH_SRC, "02:00:00:00:00:0a", 0x02000000000A),
        (oxm.IPV4_DST, "10.0.0.1", 0x0A000001),
        (oxm.IPV6_DST, "fd00::1", 0xFD << 120 | 1),
        (oxm.IN_PORT, "17", 17),
        (oxm.METADATA, "0x5", 5),
        (oxm.METADATA, "0", 0),
        (oxm.VLAN_VID, "0x0000/0x1fff", 0),
        (oxm.VLAN_VID, "0x1005/0x1fff", 0x1005),
    ],
)
def test_a_value_is_read_as_it_is_written(field: oxm.Field, text: str, value: int) -> None:
    assert field.parse(text) == field.parse(value) == value
    assert field.notation.text(value) == text


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (oxm.ETH_SRC, "02:00:00:00:00", "dl_src: .* six octets"),
        (oxm.ETH_SRC, "02000000000a", "dl_src: .* six octets"),
        (oxm.ETH_SRC, "02:00:00:00:00:100", "dl_src"),
        (oxm.ETH_SRC, "02:00:00:00:00:zz", "dl_src"),
        (oxm.IPV4_DST, "10.0.0", "nw_dst: '10.0.0' is no value"),
        (oxm.IPV6_DST, "10.0.0.1", "ipv6_dst"),
        (oxm.IN_PORT, "eth0", "in_port"),
        (oxm.ARP_OP, 1 << 16, "arp_op: 65536 does not fit 16 bits"),
        (oxm.ARP_OP, -1, "arp_op: -1 does not fit"),
    ],
)
def test_what_is_no_value_is_refused_with_the_field_named(field: oxm.Field, value: int | str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        field.parse(value)


def test_fields_stand_in_order_and_prerequisites_first() -> None:
    assert [field.rank for field in oxm.FIELDS] == list(range(len(oxm.FIELDS)))
    for field in oxm.FIELDS:
        for needed, _ in field.requires:
            assert needed.rank < field.rank or needed is oxm.IP_PROTO, field
        assert repr(field) == f"<{field.name}>"
        assert field.octets * 8 - 8 < field.width <= field.octets * 8


def test_every_field_has_a_header_of_its_own() -> None:
    fields = [*oxm.FIELDS, oxm.IN_PORT_NXM]
    assert set(oxm.BY_HEADER.values()) == set(fields)
    assert all(oxm.BY_HEADER[field.oxm_class, field.number] is field for field in fields)
