"""What the demo shows, and how: steps as they are taken, then tables, then the verdict.

On a terminal, rich colours it and turns a wheel while a step takes its time; in a pipe the same words come in plain
text, a hundred columns wide.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from matrix import VERSIONS, Passages, RoundTrips, Segment, Way, Ways
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
#: What stands in a matrix for a pair, and whether it is as it should be.
Cell = Callable[[str, str], tuple[str, bool]]


class Page:
    """The demo's standard output."""

    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows no dots gets '?'
        terminal = sys.stdout.isatty()
        self.console = Console(width=None if terminal else WIDTH, highlight=False, emoji=False, markup=False)

    def heading(self, text: str) -> None:
        self.console.print(f"\n{text}", style="bold")

    def say(self, text: str = "", style: str = "") -> None:
        """A line as it is, to be copied from: never broken, never cut."""
        self.console.print(text, style=style, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that `what` is being done, and afterwards how long it took. The block may call what it is given, to add
        what came out."""
        outcome: list[str] = []
        began = time.monotonic()
        with self.console.status(what):
            yield outcome.append
        self.say(f"{time.monotonic() - began:5.1f} s  {what}{': ' if outcome else ''}{', '.join(outcome)}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, words: int = 1) -> None:
        """Rows under their headings; all columns but the first `words` are figures, set to the right."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for number, heading in enumerate(columns):
            table.add_column(heading, justify="left" if number < words else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def verdict(self, differences: Sequence[str]) -> None:
        """The last word: that all is as it should be, or what is not."""
        if not differences:
            self.say("\nALL AS THE BLUEPRINT SAYS", style="bold green")
            return
        self.say(f"\nNOT AS THE BLUEPRINT SAYS, {len(differences)} times:", style="bold red")
        for difference in differences:
            self.say(f"  {difference}")


# ---- the tables ----------------------------------------------------------------------------------


def show_matrices(page: Page, names: Sequence[str], measured: Mapping[str, tuple[Ways, Ways]], planned: Ways) -> None:
    """Measured matrices, each (found, expected) under its title, and the blueprint's own to their right. Who differs
    is marked."""
    page.heading("Who reaches whom, from the row to the column: 46 is over IPv4 and IPv6, · not at all")
    parts = [*measured.items(), ("the blueprint says", (planned, planned))]
    _show_beside(page, names, {title: partial(_reached, found, expected) for title, (found, expected) in parts})


def show_passages(page: Page, names: Sequence[str], measured: Passages, planned: Passages) -> None:
    """Which appliances lie between two endpoints, by their initials."""
    initials = {stop[0]: stop for stops in planned.values() for stop in stops}
    legend = ", ".join(f"{initial} is {name}" for initial, name in sorted(initials.items()))
    page.heading(f"Through which appliances, in order: {legend}")
    parts = {"appliances passed": measured, "the blueprint says": planned}
    _show_beside(page, names, {title: partial(_passed, found, planned) for title, found in parts.items()})


def _show_beside(page: Page, names: Sequence[str], parts: Mapping[str, Cell]) -> None:
    """Matrices beside each other where the page is wide enough, else below each other."""
    if page.console.width < WIDTH and len(parts) > 1:
        for title, cell in parts.items():
            _show_beside(page, names, {title: cell})
        return
    page.say(" " * 6 + " │".join(title.center(4 * len(names)) for title in parts))
    page.say(" " * 6 + " │".join("".join(f"{name:>4}" for name in names) for _ in parts), "dim")
    for source in names:
        line = Text(f"{source:<6}")
        for number, cell in enumerate(parts.values()):
            line.append(" │" if number else "")
            for name in names:
                line.append_text(Text("    ") if name == source else _text(*cell(source, name)))
        page.console.print(line, soft_wrap=True)


def _text(text: str, right: bool) -> Text:
    style = ("green" if text else "dim") if right else "bold red"
    return Text(f"{(text or '·') + ('' if right else '!'):>4}", style=style)


def _reached(found: Ways, expected: Ways, source: str, destination: str) -> tuple[str, bool]:
    """The versions of IP over which a pair is there."""
    here, there = (
        "".join(str(way.version) for way in sorted(ways) if way[:2] == (source, destination))
        for ways in (found, expected)
    )
    return here, here == there


def _passed(found: Passages, expected: Passages, source: str, destination: str) -> tuple[str, bool]:
    """The initials of the appliances between a pair, over either version of IP."""
    here, there = (
        {"".join(stop[0] for stop in ways.get(Way(source, destination, version), ())) for version in VERSIONS}
        for ways in (found, expected)
    )
    return "/".join(sorted(here)), here == there


def show_segments(page: Page, segments: Iterable[Segment], place: Mapping[str, str]) -> None:
    """`place` says which server an appliance is on."""
    page.heading("What each appliance has let pass, and by which VLAN it knows whose packet it is")
    page.table(
        ("appliance", "on", "policy", "hop", "VLAN", "packets"),
        (
            (each.appliance, place[each.appliance], each.policy, str(each.hop), str(each.vlan), str(each.packets))
            for each in segments
        ),
        words=3,
    )


def show_round_trips(page: Page, trips: Sequence[RoundTrips], place: Mapping[str, str], passages: Passages) -> None:
    """`place` says which server hosts an endpoint, `passages` which appliances lie on the way."""
    page.heading("Round trips: the first packet brings policy requests with it, the others find the answers cached")
    page.table(
        ("from", "to", "", "by way of", "first packet", "cached (median)", "lost"),
        (
            (
                trip.way.source,
                trip.way.destination,
                f"IPv{trip.way.version}",
                _by_way_of(trip.way, place, passages.get(trip.way, ())),
                _milliseconds(trip.first),
                _milliseconds(trip.cached),
                str(trip.lost),
            )
            for trip in trips
        ),
        words=4,
    )


def _by_way_of(way: Way, place: Mapping[str, str], appliances: Sequence[str]) -> str:
    return " → ".join((place[way.source], *appliances, place[way.destination]))


def _milliseconds(time: float | None) -> str:
    return "lost" if time is None else f"{time:.2f} ms"


def show_flows(page: Page, counts: Mapping[str, Mapping[str, int]], cached: Mapping[str, int]) -> None:
    """Flows by dSwitch and table; tables in which every dSwitch has one flow, for what nothing else matches, share a
    line."""
    page.heading("Flows of each dSwitch, by table")
    servers = list(counts)
    tables = list(counts[servers[0]])
    busy = [table for table in tables if any(counts[server][table] > 1 for server in servers)]
    rows = [(table, *(str(counts[server][table]) for server in servers)) for table in busy]
    resting = [table for table in tables if table not in busy]
    rows.append((f"{len(resting)} others", *_sums(servers, counts, resting)))
    rows.append(("together", *_sums(servers, counts, tables)))
    rows.append(("of these, replies to policy requests", *(str(cached[server]) for server in servers)))
    page.table(("table", *servers), rows)


def _sums(servers: Iterable[str], counts: Mapping[str, Mapping[str, int]], tables: Collection[str]) -> Iterator[str]:
    return (str(sum(counts[server][table] for table in tables)) for server in servers)
