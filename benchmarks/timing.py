"""CPU-seconds of several ways to do a thing, taken in turns (A B A B), and their ratios.

Only ratios within one run are worth telling: another process on the machine slows all ways alike.
"""

import argparse
import gc
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
import transformers

import orchestra

Way = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """CPU-seconds by way; the n-th of each were measured one after another."""

    seconds: Mapping[str, tuple[float, ...]]

    def of(self, way: str) -> float:
        """The median."""
        return median(self.seconds[way])

    def ratio(self, way: str, over: str) -> float:
        """The median of the ratios of the rounds."""
        return median(a / b for a, b in zip(self.seconds[way], self.seconds[over], strict=True))

    def spread(self, way: str, over: str) -> tuple[float, float]:
        """The least and the greatest of these ratios."""
        ratios = [a / b for a, b in zip(self.seconds[way], self.seconds[over], strict=True)]
        return min(ratios), max(ratios)


def alternate(ways: Mapping[str, Way], *, rounds: int = 7) -> Times:
    """Run every way once without looking, then all of them in turns, `rounds` times."""
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            started = time.process_time()
            way()
            taken[name].append(time.process_time() - started)
    return Times(seconds={name: tuple(each) for name, each in taken.items()})


def parser(about: str | None) -> argparse.ArgumentParser:
    """The arguments that all tables have."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--rounds", type=int, default=7, help="how often each way is timed")
    return made


def settle() -> None:
    """One thread, and one line that says what runs."""
    torch.set_num_threads(1)
    print(
        f"orchestra {orchestra.__version__}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs, one thread",
        flush=True,
    )


def row(what: str, times: Times, way: str, over: str, target: float | None = None) -> None:
    """Print one ratio: its median, least and greatest, and what it should be."""
    least, most = times.spread(way, over)
    wanted = "" if target is None else f"   target {target:.2f}"
    print(
        f"{what:44}{times.of(way):9.3f} s /{times.of(over):9.3f} s = {times.ratio(way, over):6.3f} "
        f"({least:.3f} to {most:.3f}){wanted}",
        flush=True,
    )
