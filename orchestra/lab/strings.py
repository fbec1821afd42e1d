"""Eight small tasks on letters and numbers: what a base learns a little of, and its specialists one each."""

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestra.lab.expressions import Example


@dataclass(frozen=True, slots=True)
class Task:
    """A task, asked as `name text=`.

    Attributes:
        draw: makes a text to ask about.
        solve: the answer.
    """

    name: str
    draw: Callable[[random.Random], str]
    solve: Callable[[str], str]

    def example(self, rng: random.Random) -> Example:
        """A question and its answer."""
        text = self.draw(rng)
        return ((f"{self.name} {text}=", False), (self.solve(text), True))


def _letters(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(5, 10)))


def _sum(rng: random.Random) -> str:
    return f"{rng.randint(10, 99)}+{rng.randint(10, 99)}"


def _digits(rng: random.Random) -> str:
    return "".join(rng.choices(string.digits, k=rng.randint(5, 10)))


def _added(text: str) -> str:
    first, second = text.split("+")
    return str(int(first) + int(second))


def _swapped(text: str) -> str:
    return "".join(text[start : start + 2][::-1] for start in range(0, len(text), 2))


def _stepped(text: str) -> str:
    return "".join(chr((ord(letter) - ord("a") + place) % 26 + ord("a")) for place, letter in enumerate(text))


TASKS = (
    Task("rev", _letters, lambda text: text[::-1]),
    Task("sort", _letters, lambda text: "".join(sorted(set(text), reverse=True))),
    Task("step", _letters, _stepped),
    Task("swap", _letters, _swapped),
    Task("add", _sum, _added),
    Task("odd", _letters, lambda text: text[1::2] + text[::2]),
    Task("neg", _digits, lambda text: "".join(str(9 - int(digit)) for digit in text)[::-1]),
    Task("roll", _letters, lambda text: (text[3:] + text[:3]).upper()),
)


def mixed(rng: random.Random, tasks: Sequence[Task] = TASKS) -> Example:
    """An example of any of several tasks."""
    return rng.choice(tasks).example(rng)
