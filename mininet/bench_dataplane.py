"""What a dSwitch costs the traffic that passes it: beside the same path, wired by hand.

    make bench-dataplane

measures throughput, round trips and the rates of new connections and new destinations, through chains of no to four
appliances, over both kinds of tunnels (`bench_paths`). One of each pair of paths is a policy of the DPS's with its whole
pipeline, the other a few static flows that no controller knows of. Everything else is the same, and the paths are
measured in turns, so that what else the machine does in the meantime strikes both. The ratio is the median of the rounds'
own ratios.

Both are emulated on one machine, with Open vSwitch's userspace datapath on slow devices: the figures themselves say nothing
of real servers. The ratio says what the pipeline costs a datapath that caches what the pipeline decided. A new destination
is what the datapath has not cached: by hand it costs a look at the flows, with dSwitches a question to the DPS, and another
behind the last appliance. Many short turns bring it out better than few long ones, for a busy machine's speed changes
within seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import newflows
from bench_paths import ADDRESSES, DESTINATIONS, MOST_APPLIANCES, DoveRoute, HandMadeRoute, Route, build
from demo_page import Page
from emulation import Emulation, ended_by_signals, iperf3
from hypervisor import ENDPOINT_MTU

TUNNELS = ("geneve", "vxlan")
PINGS = 25


@dataclass(frozen=True)
class Sample:
    """One turn of one path."""

    tunnel: str
    appliances: int
    path: str
    round: int
    tcp_mbit_s: float
    connections_s: float
    destinations_s: float
    cached_ms: float
    first_ms: float
    pings_lost: int


@dataclass(frozen=True)
class Measure:
    """What is read off a sample, and how it is printed."""

    title: str
    read: Callable[[Sample], float]
    digits: int


MEASURES = (
    Measure("TCP, Mbit/s", lambda sample: sample.tcp_mbit_s, 0),
    Measure("new connections/s", lambda sample: sample.connections_s, 0),
    Measure("new destinations/s", lambda sample: sample.destinations_s, 0),
    Measure("cached round trip, ms", lambda sample: sample.cached_ms, 2),
    Measure("first round trip, ms", lambda sample: sample.first_ms, 2),
)
OURS, THEIRS = DoveRoute.name, HandMadeRoute.name


# ---- measuring -----------------------------------------------------------------------------------


def take_turns(page: Page, tunnel: str, lengths: Sequence[int], rounds: int, seconds: int) -> Iterator[Sample]:
    """Samples of both paths through each number of appliances, round by round; who begins changes with each round."""
    with Emulation() as net:
        with page.step(f"{tunnel}: starting a DPS, two dSwitches, and two servers that are wired by hand"):
            paths = build(net, tunnel)
        for number in range(1, rounds + 1):
            for appliances in lengths:
                with page.step(f"{tunnel}: round {number} of {rounds}, {appliances} appliances") as came_out:
                    for path in paths if number % 2 else paths[::-1]:
                        path.lead(appliances)
                        sample = _sample(path, tunnel, appliances, number, seconds)
                        came_out(f"{path.name} {sample.tcp_mbit_s:.0f} Mbit/s")
                        yield sample


def _sample(path: Route, tunnel: str, appliances: int, number: int, seconds: int) -> Sample:
    near, far = path.near, path.far
    path.forget()
    pings = near.ping(ADDRESSES[1], PINGS)
    if pings.first_rtt is None or pings.cached_rtt is None:
        raise RuntimeError(f"the first of {PINGS} pings got lost through the {path.name}:\n{pings.text}")
    destinations = newflows.destinations(near, far, DESTINATIONS)
    connections = newflows.connections(near, far, ADDRESSES[1], seconds)
    bits = iperf3(far, near, ADDRESSES[1], seconds)
    return Sample(
        *(tunnel, appliances, path.name, number),
        tcp_mbit_s=bits / 1e6,
        connections_s=connections,
        destinations_s=destinations,
        cached_ms=pings.cached_rtt,
        first_ms=pings.first_rtt,
        pings_lost=pings.lost,
    )


def ratios(samples: Sequence[Sample], read: Callable[[Sample], float]) -> list[float]:
    """dSwitches to the path wired by hand, round by round."""
    ours, theirs = (
        {sample.round: read(sample) for sample in samples if sample.path == path} for path in (OURS, THEIRS)
    )
    return [ours[number] / theirs[number] for number in sorted(ours)]


# ---- showing -------------------------------------------------------------------------------------


def show(page: Page, samples: Sequence[Sample], tunnels: Sequence[str], lengths: Sequence[int]) -> None:
    """A table for each kind of tunnel, and what to take from it."""
    for tunnel in tunnels:
        page.heading(f"{tunnel}: over the rounds, the median (and the least, the most)")
        rows = []
        for measure in MEASURES:
            for appliances in lengths:
                of_length = _of(samples, tunnel, appliances)
                cells = (
                    _spread([measure.read(sample) for sample in of_length if sample.path == path], measure.digits)
                    for path in (OURS, THEIRS)
                )
                ratio = _spread(ratios(of_length, measure.read), 2)
                rows.append((measure.title, str(appliances), *cells, ratio))
        page.table(("", "chain", OURS, THEIRS, "ratio"), rows)
    lost = {path: sum(sample.pings_lost for sample in samples if sample.path == path) for path in (OURS, THEIRS)}
    page.say(f"\npings lost: {', '.join(f'{count} through {path}' for path, count in lost.items())}")
    for tunnel in tunnels:
        tcp, new = (
            ", ".join(
                f"{statistics.median(ratios(_of(samples, tunnel, appliances), measure.read)):.2f}"
                for appliances in lengths
            )
            for measure in MEASURES[:2]
        )
        page.say(f"{tunnel}, beside the hand-made path: TCP at {tcp}, new connections at {new} of its rate", "bold")


def _of(samples: Sequence[Sample], tunnel: str, appliances: int) -> list[Sample]:
    return [sample for sample in samples if (sample.tunnel, sample.appliances) == (tunnel, appliances)]


def _spread(values: Sequence[float], digits: int) -> str:
    least, most = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f} ({least}, {most})"


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Traffic through dSwitches and chains of appliances, beside the same path wired by hand."
    )
    parser.add_argument("--rounds", type=_whole, default=5, help="turns of each path, for each tunnel and chain (5)")
    parser.add_argument("--seconds", type=_whole, default=1, help="length of each measurement of a rate (1)")
    parser.add_argument("--tunnel", choices=TUNNELS, help="this kind only (both)")
    lengths = range(MOST_APPLIANCES + 1)
    parser.add_argument(
        "--appliances",
        type=int,
        nargs="+",
        metavar="N",
        choices=lengths,
        default=lengths,
        help="through so many appliances, one after the other (0 1 2 3 4)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample into FILE as well")
    args = parser.parse_args()
    page, tunnels = Page(), (args.tunnel,) if args.tunnel else TUNNELS
    samples: list[Sample] = []
    with ended_by_signals():
        for tunnel in tunnels:
            samples += take_turns(page, tunnel, args.appliances, args.rounds, args.seconds)
    if args.json:
        raw = {"mtu": ENDPOINT_MTU, "seconds": args.seconds, "samples": [asdict(sample) for sample in samples]}
        args.json.write_text(json.dumps(raw, indent=2) + "\n")
    show(page, samples, tunnels, args.appliances)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, PermissionError) as error:  # the emulation's own say what, why and where the log is
        sys.exit(f"bench_dataplane: {error}")
