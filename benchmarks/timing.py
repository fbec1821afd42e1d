"""What all tables of times have in common: ways take turns, and one thread runs."""

import argparse
from pathlib import Path

import torch

from orchestra.stopwatch import Times as Times
from orchestra.stopwatch import Way as Way
from orchestra.stopwatch import alternate as alternate

RESULTS = Path(__file__).parent / "results" / "speed"


def parser(about: str | None, *, rounds: int = 7) -> argparse.ArgumentParser:
    """The arguments that all tables have; what is short takes more rounds."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="how often each way is timed")
    made.add_argument("--out", type=Path, default=RESULTS, help="the folder that the table goes to")
    return made


def with_real(about: str | None, *, rounds: int = 7) -> argparse.ArgumentParser:
    """Likewise, of a table that can be made of real models."""
    made = parser(about, rounds=rounds)
    made.add_argument("--real", action="store_true", help="SmolLM2 and real augments, as `make real` fetches them")
    return made


def settle() -> None:
    """One thread: threads that wait for each other cost more than they bring on a busy machine."""
    torch.set_num_threads(1)
