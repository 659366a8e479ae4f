"""F54: whatever comes over a connection, the lane answers as the plain way does or hands it over as it is.

Each kind of damage is done to a request that the lane does answer while it is whole.
"""

from __future__ import annotations

import struct
from itertools import permutations
from random import Random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dove_ryu.openflow import oxm
from dove_ryu.openflow.fields import BY_ADDRESS, SOURCE_DOMAIN
from dove_ryu.openflow.oxm import Field
from dove_ryu.southbound import codec
from tests.unit.dps.scenario import patient
from tests.unit.dps.states import GATEWAY, IPV4, IPV6, MACS, usual

from .office import Office
from .packets import MATCH, cut, frame, oxm_bytes, packet_in_of, request, with_length
from .test_answers import domain_number, everybody

DPID = 1
RED = domain_number("n1", "red")
WHOLE = {
    "mac": request(5, RED, frame(MACS[3])),
    "ipv4": request(5, RED, frame(GATEWAY.mac, IPV4[3]), by_address=True),
    "ipv6": request(5, RED, frame(GATEWAY.mac, IPV6[3]), by_address=True),
}
FIELDS: list[tuple[Field, int]] = [
    (oxm.IN_PORT, 1),
    (BY_ADDRESS.field, 1),
    (SOURCE_DOMAIN.field, RED),
    (oxm.METADATA, 5),
]
FRAME = frame(GATEWAY.mac, IPV4[3])

whole = pytest.mark.parametrize("message", WHOLE.values(), ids=WHOLE.keys())


@pytest.fixture(scope="module")
def office(form: ModuleType) -> Office:
    """One that answers everybody in the usual state."""
    made = Office(usual(), form)
    for dpid, message in everybody():
        made.teach_all(dpid, [message])
    assert all(made.ask(DPID, [message])[0] for message in WHOLE.values())
    return made


def answers(office: Office, message: bytes) -> bool:
    """Whether a message is answered; rightly, if it is."""
    return office.ask(DPID, [message])[0]


@whole
def test_cut_short_anywhere(office: Office, message: bytes) -> None:
    for length in range(8, len(message)):
        answers(office, with_length(message[:length]))
    assert not answers(office, with_length(message[: MATCH + 4]))


@whole
def test_still_on_its_way(office: Office, message: bytes) -> None:
    """Of several messages of one read the last may be there in part."""
    for length in range(len(message)):
        assert office.ask(DPID, [message, message], rest=message[:length]) == [True, True]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.randoms(use_true_random=False))
@patient
def test_the_same_however_the_stream_is_cut(office: Office, sizes: list[int], random: Random) -> None:
    """What is answered and what is handed over does not depend on the reads it came in."""
    desk = office.desks[DPID]
    messages = [*WHOLE.values(), codec.message(2, b"echo"), codec.barrier(5)] * 3
    random.shuffle(messages)
    stream, rest, turn = b"".join(messages), b"", 0
    answered, handed_over = b"", list[bytes]()
    while stream:
        size = sizes[turn % len(sizes)]
        rest, stream, turn = rest + stream[:size], stream[size:], turn + 1
        consumed = desk.take(bytearray(rest), len(rest), handed_over)
        answered, rest = answered + desk.answers[: desk.used], rest[consumed:]
    expected = [office.plain(DPID, message) for message in messages]
    assert not rest
    assert answered == b"".join(filter(None, expected))
    assert handed_over == [message for message, each in zip(messages, expected, strict=True) if each is None]


@pytest.mark.parametrize("length", range(8))
def test_shorter_than_its_header_ends_the_connection(office: Office, length: int) -> None:
    wrong = struct.pack("!BBHI", 4, 10, length, 1)
    with pytest.raises(ValueError, match=f"it says it is {length} bytes long, the header alone has 8"):
        office.desks[DPID].take(bytearray(WHOLE["mac"] + wrong), len(WHOLE["mac"]) + 8, [])
    assert answers(office, WHOLE["mac"]), "the desk is none the worse"


def test_more_than_the_buffer_has(office: Office) -> None:
    with pytest.raises(ValueError, match="9 bytes in a buffer of 8"):
        office.desks[DPID].take(bytearray(8), 9, [])
    assert office.desks[DPID].take(bytearray(8), -5, []) == 0


@whole
def test_any_match_length(office: Office, message: bytes) -> None:
    right = int.from_bytes(message[MATCH + 2 : MATCH + 4], "big")
    for length in (*range(right + 100), 0x7FF8, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF):
        told = message[: MATCH + 2] + length.to_bytes(2, "big") + message[MATCH + 4 :]
        assert answers(office, told) is (length == right)


@whole
@pytest.mark.parametrize("value", [0, 1, 0x7F, 0x80, 0xFE, 0xFF])
def test_any_byte_may_be_another(office: Office, message: bytes, value: int) -> None:
    for at in range(4, len(message)):
        answers(office, message[:at] + bytes([value]) + message[at + 1 :])


@whole
def test_other_versions_and_types(office: Office, message: bytes) -> None:
    for version in (*range(16), 0x7F, 0xFF):
        for kind in range(36):
            assert answers(office, bytes([version, kind]) + message[2:]) is ((version, kind) == (4, 10))


def test_fields_in_any_order(office: Office) -> None:
    """The registers come in theirs; the port and the metadata may stand anywhere between them."""
    answered = 0
    for fields in permutations(FIELDS):
        registers = [field.number for field, _ in fields if field in oxm.REGISTERS]
        known = answers(office, packet_in_of(oxm_bytes(fields), FRAME))
        assert known is (registers == sorted(registers))
        answered += known
    assert answered == 12


def test_fields_that_are_there_twice(office: Office) -> None:
    for twice in FIELDS:
        for at in range(len(FIELDS) + 1):
            fields = [*FIELDS[:at], (twice[0], 9), *FIELDS[at:]]
            assert not answers(office, packet_in_of(oxm_bytes(fields), FRAME))


def test_fields_that_are_missing(office: Office) -> None:
    known = [answers(office, packet_in_of(oxm_bytes(FIELDS[:at] + FIELDS[at + 1 :]), FRAME)) for at in range(4)]
    assert known == [True, False, False, False], "a packet without a port counts as having come from none"


def test_masked_fields(office: Office) -> None:
    for at, (field, value) in enumerate(FIELDS):
        octets = field.octets
        masked = struct.pack("!HBB", field.oxm_class, field.number << 1 | 1, octets * 2)
        masked += value.to_bytes(octets, "big") + b"\xff" * octets
        oxms = oxm_bytes(FIELDS[:at]) + masked + oxm_bytes(FIELDS[at + 1 :])
        assert not answers(office, packet_in_of(oxms, FRAME))


@pytest.mark.parametrize("octets", [0, 1, 3, 5, 8, 12, 255])
def test_fields_of_another_length(office: Office, octets: int) -> None:
    for at, (field, _) in enumerate(FIELDS):
        if octets != field.octets:
            odd = struct.pack("!HBB", field.oxm_class, field.number << 1, octets) + bytes(octets)
            assert not answers(office, packet_in_of(oxm_bytes(FIELDS[:at]) + odd + oxm_bytes(FIELDS[at + 1 :]), FRAME))


@pytest.mark.parametrize("header", [(0x8000, 38), (0x8000, 5), (0x0001, 16), (0x0001, 111), (0xFFFF, 127), (0, 0)])
def test_fields_of_others(office: Office, header: tuple[int, int]) -> None:
    for octets in (0, 1, 4, 8, 16):
        odd = struct.pack("!HBB", header[0], header[1] << 1, octets) + bytes(octets)
        for at in range(len(FIELDS) + 1):
            oxms = oxm_bytes(FIELDS[:at]) + odd + oxm_bytes(FIELDS[at:])
            assert not answers(office, packet_in_of(oxms, FRAME))


def test_all_registers_and_no_more(office: Office) -> None:
    fields = [(oxm.IN_PORT, 0xFFFFFFFF), (oxm.METADATA, 0xFFFF_FFFF_FF00_0005)]
    registers = dict.fromkeys(oxm.REGISTERS, 0xFFFFFFFF) | {SOURCE_DOMAIN.field: RED}
    fields += registers.items()
    assert answers(office, packet_in_of(oxm_bytes(fields), FRAME))
    assert not answers(office, packet_in_of(oxm_bytes([*fields, (oxm.REGISTERS[15], 1)]), FRAME))


def test_frames_of_any_size(office: Office) -> None:
    oxms = oxm_bytes(FIELDS)
    longest = 0xFFFF - len(packet_in_of(oxms, b""))
    for size in (*range(120), 1500, 9000, 65000, *range(longest - 60, longest + 1)):
        padded = (FRAME + bytes(size))[:size]
        known = answers(office, packet_in_of(oxms, padded))
        # The answer takes a header of 24 bytes and 16 for each field and the resubmission.
        assert known is (34 <= size <= 0xFFFF - 24 - 16 * 4), size


@pytest.mark.parametrize("ip", [IPV4[3], IPV6[3]])
def test_an_address_that_the_next_message_would_complete(office: Office, ip: str) -> None:
    """It ends with a 4, and so begins an OpenFlow 1.3 message; but what a frame lacks is not in the next one."""
    short = frame(GATEWAY.mac, ip, b"")[:-1]
    assert frame(GATEWAY.mac, ip, b"")[-1] == WHOLE["mac"][0]
    assert office.ask(DPID, [request(5, RED, short, by_address=True), WHOLE["mac"]]) == [False, True]


def test_a_vlan_tag(office: Office) -> None:
    """By its MAC address a packet is known whatever follows; by its IP address it is not, for the plain way either."""
    for by_address, packet in ((False, frame(MACS[3])), (True, FRAME), (True, frame(GATEWAY.mac, IPV6[3]))):
        tagged = packet[:12] + b"\x81\x00\x00\x05" + packet[12:]
        assert answers(office, request(5, RED, tagged, by_address)) is not by_address


@pytest.mark.parametrize("follows", [0, 43, 44, 51, 60, 135, 59, 255])
def test_ipv6_extension_headers(office: Office, follows: int) -> None:
    """The address stands before them."""
    packet = frame(GATEWAY.mac, IPV6[3], bytes([6, 0, *bytes(6)]) + bytes(40))
    extended = packet[:20] + bytes([follows]) + packet[21:]
    assert answers(office, request(5, RED, extended, by_address=True))


def test_echoes_are_answered_only_where_nobody_else_wants_them(office: Office) -> None:
    desk, handed_over = office.desks[DPID], list[bytes]()
    echoes = [codec.message(2, b"?" * size, size) for size in (0, 8, 65527)]
    stream = bytearray(b"".join(echoes))
    desk.echoes = True
    assert desk.take(stream, len(stream), handed_over) == len(stream)
    desk.echoes = False
    assert not handed_over
    assert cut(bytes(desk.answers[: desk.used])) == [b"\x04\x03" + echo[2:] for echo in echoes]
    assert not any(office.ask(DPID, echoes))


def test_answers_take_the_room_that_they_need(office: Office) -> None:
    """A read of 256 KiB may bring four thousand requests, and its answers are several times as long."""
    assert all(office.ask(DPID, [*WHOLE.values()] * 700))
    long = packet_in_of(oxm_bytes(FIELDS), FRAME + bytes(65000))
    assert all(office.ask(DPID, [long] * 4))
