"""CPU-seconds of several ways to do a thing, taken in turns (A B A B), and their ratios.

Only ratios within one run are worth telling: another process on the machine slows all ways alike.
"""

import argparse
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

Way = Callable[[], object]
RESULTS = Path(__file__).parent / "results" / "speed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """CPU-seconds by way; the n-th of each were measured one after another."""

    seconds: Mapping[str, tuple[float, ...]]

    @property
    def rounds(self) -> int:
        """How often each way was timed."""
        return min(map(len, self.seconds.values()))

    def of(self, way: str) -> float:
        """The median."""
        return median(self.seconds[way])

    def ratios(self, way: str, over: str) -> tuple[float, ...]:
        """One ratio per round."""
        return tuple(a / b for a, b in zip(self.seconds[way], self.seconds[over], strict=True))


def alternate(
    ways: Mapping[str, Way], *, rounds: int = 7, warm: bool = True, clock: Callable[[], float] = time.process_time
) -> Times:
    """Run all ways in turns, `rounds` times; before that every way once without looking, unless they are warm."""
    for way in ways.values() if warm else ():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            started = clock()
            way()
            taken[name].append(clock() - started)
    return Times(seconds={name: tuple(each) for name, each in taken.items()})


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
