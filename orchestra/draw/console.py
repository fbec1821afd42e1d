"""A console for tables that are wider than eighty columns, which is what a pipe counts as."""

import os
import sys

from rich.console import Console

_COLUMNS = 110


def wide() -> Console:
    """As wide as the terminal, or as COLUMNS says; else, into a pipe or a file, as wide as the tables are."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if told else _COLUMNS)
