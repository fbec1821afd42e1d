"""Time and memory of several ways to do a thing, taken in turns (A B A B).

Only ratios within one run are worth telling: another process on the machine slows all ways alike.
"""

import gc
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Way = Callable[[], object]
Clock = Callable[[], float]


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
    ways: Mapping[str, Way], *, rounds: int = 7, warm: bool = True, clock: Clock = time.process_time
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


def clock_of(device: torch.device) -> Clock:
    """What tells how long a device was busy: CPU-seconds of all threads, or the time until a GPU has come so far."""
    if device.type != "cuda":
        return time.process_time
    start = torch.cuda.Event(enable_timing=True)
    start.record(torch.cuda.current_stream(device))

    def seconds() -> float:
        now = torch.cuda.Event(enable_timing=True)
        now.record(torch.cuda.current_stream(device))
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(now)) / 1000

    return seconds


@dataclass(slots=True)
class Peak:
    """The most bytes that were held at a time, beyond what was held before; known behind the block."""

    num_bytes: int = 0


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Watch what is held inside a block: on a GPU by its allocator, else by the tensors that are made."""
    found = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield found
        torch.cuda.synchronize(device)
        found.num_bytes = torch.cuda.max_memory_allocated(device) - before
    else:
        with Alive() as alive:
            yield found
        found.num_bytes = alive.most


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside and still alive.

    Attributes:
        most: the most there ever were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self._storages: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if not isinstance(each, Tensor):
                continue
            storage = each.untyped_storage()
            if storage._cdata not in before and storage._cdata not in self._storages:
                self._storages[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self._storages.pop(key)
