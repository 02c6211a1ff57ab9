"""Tables on the terminal, with control characters made visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from echochamber.base import printable


def shown(value: Any) -> str:
    """A cell as text for people: thousands separated, small numbers short, None empty, controls visible."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return printable(str(value))


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Print mappings as one table with a column for every key that occurs in any of them."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=Text(printable(title)), box=SIMPLE, title_justify="left", title_style="bold")
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        cells = [row.get(name) for row in rows]
        numeric = all(isinstance(cell, int | float) or cell in (None, "") for cell in cells)
        table.add_column(Text(printable(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row.get(name))) for name in names))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
