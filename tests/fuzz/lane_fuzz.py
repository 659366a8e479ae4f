"""Damage done to policy requests at random, for as long as one likes (F54).

Both forms of the fast lane get the same bytes and must do the same with them: answer as the plain way does, hand over
what they do not answer, or refuse a length that no message has.  Now and then the world changes, so that the tables are
written while they are read.  ``make fuzz`` runs this with a compiled form that the compiler's sanitizers watch; they see
what no comparison can, a read beyond the buffer above all.

    python -m tests.fuzz.lane_fuzz --seconds 600 --lane 'build/fuzz/dove_ryu/southbound/_lane.*.so'
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from dove_ryu.model.entities import Location
from dove_ryu.southbound import codec, lane_form
from tests.unit.dps.states import ENDPOINTS, NETWORKS, PORTS, usual
from tests.unit.lane.office import Office
from tests.unit.lane.packets import cut
from tests.unit.lane.test_answers import everybody

DPID = 1
ROUNDS_OF_A_WORLD = 2000
ODD_NUMBERS = (0, 1, 3, 4, 7, 8, 12, 0x7F, 0x80, 0xFF, 0x0100, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF, 0xFFFFFFFF)

Outcome = tuple[int | str, list[bytes], bytes]
"""How much was taken, or why nothing more was; what was handed over; the answers."""


class Differ(AssertionError):
    """Two ways to deal with a stream differ; the message has the stream."""


def fuzz(compiled: ModuleType, seconds: float, seed: int) -> Counter[str]:
    """Try streams against the plain way for some seconds: how often the lane did what.

    :raises Differ: where a form of the lane differs from the other, or from the plain way.
    """
    chance, counted = random.Random(seed), Counter[str]()
    offices = [Office(usual(), form) for form in (lane_form.load("python"), compiled)]
    corpus = [message for dpid, message in everybody() if dpid == DPID]
    corpus += [codec.message(2, b"echo"), codec.barrier(5), codec.message(codec.PACKET_IN, b"")]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if counted["rounds"] % ROUNDS_OF_A_WORLD == 0:
            _change_the_world(offices, corpus, chance)
        counted["rounds"] += 1
        stream = b"".join(_damaged(chance, corpus) for _ in range(chance.choice((1, 1, 1, 2, 5, 40))))
        stream = stream[: chance.choice((None, None, None, len(stream) - 1, chance.randrange(len(stream) + 1)))]
        counted += _judge(offices, stream)
    return counted


def _judge(offices: list[Office], stream: bytes) -> Counter[str]:
    """Deal with a stream in both forms and in the plain way: what became of it."""
    first, second = (_deal(office, stream) for office in offices)
    if first != second:
        raise Differ(f"Python: {first}\ncompiled: {second}\nof {stream.hex()}")
    consumed, handed_over, answers = first
    if isinstance(consumed, str):
        return Counter(refused=1)
    left, expected, counted = list(handed_over), b"", Counter[str]()
    for message in cut(stream[:consumed]):
        if left and left[0] == message:
            counted["handed over"] += 1
            left.pop(0)
        else:
            counted["answered"] += 1
            expected += offices[0].plain(DPID, message) or b"(no answer)"
    if left or answers != expected:
        raise Differ(f"the lane: {answers.hex()}\nplain: {expected.hex()}\nof {stream.hex()}")
    return counted


def _deal(office: Office, stream: bytes) -> Outcome:
    desk, handed_over = office.desks[DPID], list[bytes]()
    try:
        consumed = desk.take(bytearray(stream), len(stream), handed_over)
    except ValueError as error:  # the connection ends: what was done before is nobody's
        return str(error), [], b""
    return consumed, handed_over, bytes(desk.answers[: desk.used])


def _change_the_world(offices: list[Office], corpus: list[bytes], chance: random.Random) -> None:
    """An endpoint is elsewhere, and the lane learns of it; the connection is another, whose desk is fresh."""
    network, name = chance.choice(NETWORKS), chance.choice(ENDPOINTS)
    place = Location(network, name, chance.choice((1, 2, 3)), PORTS[network][ENDPOINTS.index(name)])
    for office in offices:
        office.put(("location", network, name), replace(place, tracking=2))
        office.lose(DPID)
        office.connect(DPID)
        office.teach_all(DPID, filter(_is_request, corpus))


def _is_request(message: bytes) -> bool:
    return message[1] == codec.PACKET_IN and len(message) > 24


# ---- damage --------------------------------------------------------------------------------------


def _damaged(chance: random.Random, corpus: list[bytes]) -> bytes:
    """A message, as it was or damaged in some places; most say rightly how long they are."""
    message = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        chance.choice(DAMAGE)(chance, message, corpus)
    if len(message) >= 4 and chance.random() < 0.95:
        message[2:4] = (len(message) & 0xFFFF).to_bytes(2, "big")
    return bytes(message)


def _flip(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    if message:
        message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    size, at = chance.choice((1, 2, 4)), chance.randrange(len(message) + 1)
    message[at : at + size] = (chance.choice(ODD_NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def _shorten(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    at = chance.randrange(len(message) + 1)
    del message[at : at + chance.choice((1, 2, 4, 8, 12, 1000))]


def _repeat(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    at = chance.randrange(len(message) + 1)
    message[at:at] = message[at : at + chance.choice((1, 4, 8, 12, 40))]


def _lengthen(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    at = chance.randrange(len(message) + 1)
    message[at:at] = bytes(min(chance.choice((1, 8, 1000, 65000)), max(0, 65535 - len(message))))


def _splice(chance: random.Random, message: bytearray, corpus: list[bytes]) -> None:
    at = chance.randrange(len(message) + 1)
    message[at:] = chance.choice(corpus)[at:]


def _rematch(chance: random.Random, message: bytearray, _: list[bytes]) -> None:
    """Another length of the match, whose end decides where the frame is looked for."""
    message[26:28] = chance.randrange(1 << chance.choice((6, 8, 16))).to_bytes(2, "big")


DAMAGE: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _overwrite,
    _shorten,
    _repeat,
    _lengthen,
    _splice,
    _rematch,
)


def _lane_at(path: str) -> ModuleType:
    """The compiled lane in a file; the newest that the pattern *path* names."""
    found = sorted(Path().glob(path), key=lambda each: each.stat().st_mtime)
    if not found:
        raise SystemExit(f"no compiled lane is at {path}; remedy: install gcc and python3-dev, then `make fuzz`")
    spec = importlib.util.spec_from_file_location("dove_ryu.southbound._lane", found[-1].absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Fuzz for the time given, and say what has been done."""
    parser = argparse.ArgumentParser(description="Damage policy requests at random and watch the fast lane.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="where chance begins (default: anywhere; it is told)")
    parser.add_argument("--lane", help="file of the compiled lane to try; the one that is installed otherwise")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    gc.set_threshold(50)  # collections in the middle of anything
    counted = fuzz(_lane_at(chosen.lane) if chosen.lane else lane_form.load("compiled"), chosen.seconds, seed)
    print(", ".join(f"{number:,} {what}" for what, number in sorted(counted.items())))


if __name__ == "__main__":
    main()
