import itertools
import time

import pytest
import torch

from orchestra.stopwatch import Times, alternate, clock_of, peak


def test_ways_take_turns_after_each_ran_once() -> None:
    ran: list[str] = []
    alternate({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3)
    assert ran == ["a", "b"] * 4
    ran.clear()
    alternate({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3, warm=False)
    assert ran == ["a", "b"] * 3


def test_each_way_is_timed_by_itself() -> None:
    ticks = itertools.accumulate((0, 2, 100, 3, 100, 5, 100, 7))
    times = alternate({"a": lambda: None, "b": lambda: None}, rounds=2, clock=lambda: next(ticks))
    assert times.seconds == {"a": (2, 5), "b": (3, 7)}
    assert times.rounds == 2


def test_a_ratio_is_taken_in_each_round() -> None:
    times = Times(seconds={"a": (2.0, 4.0, 90.0), "b": (1.0, 4.0, 30.0)})
    assert times.ratios("a", "b") == (2.0, 1.0, 3.0)
    assert times.of("a") == pytest.approx(4.0)


class _Event:
    """An event of a GPU whose clock ticks once for each."""

    ticks = itertools.count()

    def __init__(self, enable_timing: bool) -> None:
        self.at = 0

    def record(self, stream: object) -> None:
        self.at = next(self.ticks)

    def elapsed_time(self, other: "_Event") -> float:
        return 500.0 * (other.at - self.at)


def test_a_gpu_is_timed_by_its_own_events(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "Event", _Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    device = torch.device("cuda")
    clock = clock_of(device)
    assert [clock(), clock()] == [0.5, 1.0]
    assert waited == [device, device]
    assert clock_of(torch.device("cpu")) is time.process_time


def test_the_memory_of_a_gpu_is_told_by_its_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"synchronize": None, "reset_peak_memory_stats": None, "memory_allocated": 11}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 18)
    with peak(torch.device("cuda")) as found:
        pass
    assert found.num_bytes == 7


def test_the_peak_of_memory_is_that_of_the_tensors_that_were_alive_at_a_time() -> None:
    held = torch.zeros(7)
    with peak(torch.device("cpu")) as found:
        first = torch.ones(5)
        del first
        both = torch.ones(11), torch.ones(13)
        held.add_(1)
        assert len(both) == 2
    assert found.num_bytes == 4 * 24
