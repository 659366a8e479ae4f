"""What is printed, and how: lines, tables, JSON and YAML on standard output, complaints on standard error.

A terminal gets colours and ruled tables from rich, which knows its width and honours NO_COLOR. A pipe gets the same
words in plain aligned columns, nothing cut and nothing marked up, for ``grep`` and ``awk``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click
import yaml

GOOD = "green"
BAD = "red"
WAITING = "yellow"
FAINT = "dim"

Row = Sequence[str]


def say(line: str = "", style: str = "") -> None:
    """Print a line, in a rich style where there are colours."""
    if sys.stdout.isatty():
        # Here and below, so that a script's hundredth call of `dove` does not load what it never shows.
        from rich.console import Console
        from rich.text import Text

        Console().print(Text(line, style), soft_wrap=True)
    else:
        click.echo(line)


def complain(*reasons: str) -> None:
    """Print one line of each on standard error."""
    for reason in reasons:
        click.echo(f"dove: {reason}", err=True)


def forget() -> None:
    """Nobody reads standard output any more: let what is still in its buffer go nowhere, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(headings: Sequence[str], rows: Sequence[Row], styles: dict[str, str] | None = None) -> None:
    """Print rows under their headings.

    :param styles: the style of every cell that reads so.
    """
    if sys.stdout.isatty():
        _ruled(headings, rows, styles or {})
    else:
        for line in columns([tuple(heading.upper() for heading in headings), *rows]):
            click.echo(line)


def columns(rows: Sequence[Row]) -> list[str]:
    """The rows as lines with their cells in line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _ruled(headings: Sequence[str], rows: Sequence[Row], styles: dict[str, str]) -> None:
    """Print a table for a terminal: what is too wide for it is broken between words and list members, never in one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if any(len(line) >= console.width for line in columns([headings, *rows])):
        rows = [[cell if " " in cell else cell.replace(",", ",\n") for cell in row] for row in rows]
    ruled = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    least = 0
    for heading, cells in zip(headings, zip(*rows, strict=True) if rows else [()] * len(headings), strict=True):
        longest = max(len(part) for cell in (heading, *cells) for part in cell.split())
        ruled.add_column(heading, min_width=longest)
        least += longest + 2
    for row in rows:
        ruled.add_row(*(Text(cell, styles.get(cell, "")) for cell in row))
    Console(width=max(console.width, least)).print(ruled, crop=False)


def as_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> None:
    """Print *value* as YAML, the innermost lists on one line, as people write blueprints."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's, where it is there
    text = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    click.echo(text, nl=False)
