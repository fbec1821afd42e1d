"""A console for tables that are wider than eighty columns, which is what a pipe counts as."""

import os
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLUMNS = 110


def show(parts: Iterable[Table | Text]) -> None:
    """Print tables and the lines between them; a table that is too wide goes without the room around its cells."""
    console = wide()
    unbounded = console.options.update(max_width=10**6)
    for part in parts:
        if isinstance(part, Table) and console.measure(part, options=unbounded).maximum > console.width:
            part.padding = (0, 0)
        console.print(part)


def wide() -> Console:
    """As wide as the terminal, or as COLUMNS says; else, into a pipe or a file, as wide as the tables are."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if told else _COLUMNS)
