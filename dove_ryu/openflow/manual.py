"""``python -m dove_ryu.openflow.manual`` prints the manual's page of the tables."""

from __future__ import annotations

from dove_ryu.openflow.pipeline import TABLES


def manual_page() -> str:
    """The tables as reStructuredText, for the manual."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 5 15 40 25 15", ""]
    rows = [("#", "Table", "Job", "Matches", "On a miss")]
    for table in TABLES:
        names = ", ".join(name.name for name in table.matches) or "–"
        rows.append((str(table.number), table.name, table.purpose, names, table.miss.value))
    for row in rows:
        lines += [f"   {'*' if position == 0 else ' '} - {cell}" for position, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(manual_page(), end="")
