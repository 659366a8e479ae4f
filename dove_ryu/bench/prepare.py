"""``python -m dove_ryu.bench.prepare``: the world in a store, and what each emulated dSwitch asks.

In the directory it leaves ``store.sqlite``, which a DPS starts on, and for each dSwitch ``dove/N.dswitch`` with policy
requests and their answers, and ``plain/N.dswitch`` and ``learning/N.dswitch`` with such packets for other controllers.
A directory that was prepared in the same way is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import dove_ryu
from dove_ryu.bench.requests import learning_requests, plain_requests, policy_requests, write_dswitch
from dove_ryu.bench.world import Plan, write_world
from dove_ryu.dps import Dps
from dove_ryu.model.documents import ROOT, change_of
from dove_ryu.store import open_store

FORM = 3
"""Raised when what is prepared changes its form."""

PLAIN = 5_000
"""Requests of one dSwitch that suffice for controllers a hundred times slower."""

_LAYERS = ("model", "openflow", "features", "southbound")

Report = Callable[[str, float], object]
"""Is told what is being done, and how much of it is done, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A world, and how many requests each of the first dSwitches has ready; later ones are idle.

    :ivar idle: how many dSwitches have files at all, with ports and perhaps without requests.
    """

    plan: Plan = field(default_factory=Plan)
    requests: tuple[int, ...] = (6_250,) * 8
    idle: int = 0
    seed: int = 5

    @property
    def emulated(self) -> int:
        """How many dSwitches have files."""
        return max(self.idle, len(self.requests))


def prepare(workload: Workload, directory: Path, report: Report) -> None:
    """Make all that *workload* needs in *directory*, or see that it is there."""
    manifest = directory / "workload.json"
    wanted = {"form": FORM, "answers": _answers_of(), **json.loads(json.dumps(asdict(workload)))}
    if manifest.exists() and json.loads(manifest.read_text()) == wanted:
        report("prepared before", 1)
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    make_store(workload.plan, store_url(directory), report)
    dps = load_dps(store_url(directory), report)
    _write_dswitches(workload, dps, directory, report)
    manifest.write_text(json.dumps(wanted, indent=2) + "\n")


def _answers_of() -> str:
    """What tells one state of the program from another, as far as it decides what is asked and answered."""
    package = Path(dove_ryu.__file__).parent
    sources = [package / "dps.py", *(path for layer in _LAYERS for path in sorted((package / layer).glob("*.py")))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def store_url(directory: Path) -> str:
    """The URL of the store in a prepared directory, as ``--dove-store`` takes it."""
    return f"sqlite:///{directory.absolute() / 'store.sqlite'}"


def make_store(plan: Plan, url: str, report: Report) -> None:
    """Write the world into a new store."""
    whole = 2 * plan.endpoints + plan.dswitches + plan.networks * (plan.domains + plan.policies + 3) + 1
    store = open_store(url)
    try:
        for written in write_world(plan, store):
            report("the world", written / whole)
    finally:
        store.close()


def load_dps(url: str, report: Report) -> Dps:
    """A DPS with the world that a store holds."""
    store, dps = open_store(url), Dps()
    try:
        report("an oracle", 0)
        changes = (change_of(item.key, item.document) for item in store.list(ROOT).items)
        dps.apply(change for change in changes if change is not None)
        report("an oracle", 1)
    finally:
        store.close()
    return dps


def _write_dswitches(workload: Workload, dps: Dps, directory: Path, report: Report) -> None:
    plan, whole, done = workload.plan, sum(workload.requests), 0
    for name in ("dove", "plain", "learning"):
        (directory / name).mkdir()
    for dpid in range(1, workload.emulated + 1):
        count = workload.requests[dpid - 1] if dpid <= len(workload.requests) else 0
        ports = dps.world.ports[dpid] = plan.ports(dpid)
        random = Random(workload.seed << 32 | dpid)
        for name, requests in (
            ("dove", policy_requests(plan, dps, dpid, count, random)),
            ("plain", plain_requests(plan, dpid, min(count, PLAIN), random)),
            ("learning", learning_requests(dpid, min(count, PLAIN), random)),
        ):
            write_dswitch(directory / name / f"{dpid}.dswitch", dpid, ports, list(requests))
        done += count
        report("requests and answers", done / whole if whole else 1)


def main() -> int:
    """The command."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m dove_ryu.bench.prepare", description=__doc__)
    for name, default, what in (
        ("endpoints", usual.endpoints, "in all networks together"),
        ("networks", usual.networks, "with the same addresses, a thousand endpoints each unless said otherwise"),
        ("domains", usual.domains, "of each network"),
        ("policies", usual.policies, "of each network"),
        ("servers", usual.dswitches, "dSwitches of the world, over which the endpoints are spread"),
        ("dswitches", 8, "of them that ask"),
        ("requests", 50_000, "that these have ready, together"),
        ("idle", 0, "of them that have files at all"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    said = parser.parse_args()
    plan = Plan(said.endpoints, said.networks, said.domains, said.policies, said.servers)
    each = said.requests // said.dswitches
    prepare(Workload(plan, (each,) * said.dswitches, said.idle), said.output, _show)
    sys.stderr.write("\n")
    print(f"ryu-manager --dove-store {store_url(said.output)}")
    print(f"loadgen --connect 127.0.0.1:6653 --requests {said.output / 'dove'} --dswitches {said.dswitches} --barrier")
    return 0


def _show(what: str, share: float) -> None:
    sys.stderr.write(f"\r{what:<24} {share:4.0%}  ")


if __name__ == "__main__":
    sys.exit(main())
