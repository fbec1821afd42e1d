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


def _digits(rng: random.Random) -> str:
    return "".join(rng.choices(string.digits, k=rng.randint(5, 10)))


def _shifted(text: str) -> str:
    return "".join(chr((ord(letter) - ord("a") + 3) % 26 + ord("a")) for letter in text)


def _stepped(text: str) -> str:
    return "".join(chr((ord(letter) - ord("a") + place) % 26 + ord("a")) for place, letter in enumerate(text))


TASKS = (
    Task("rev", _letters, lambda text: text[::-1]),
    Task("shift", _letters, _shifted),
    Task("neg", _digits, lambda text: "".join(str(9 - int(digit)) for digit in text)[::-1]),
    Task("drop", _letters, lambda text: "".join(letter for letter in text if letter not in "aeioulnr")),
    Task("step", _letters, _stepped),
    Task("up", _letters, lambda text: "".join(two for letter in text for two in (letter, letter.upper()))),
    Task("turn", _letters, lambda text: text[1:] + text[0]),
    Task("sort", _letters, lambda text: "".join(sorted(set(text), reverse=True))),
)


def mixed(rng: random.Random, tasks: Sequence[Task] = TASKS) -> Example:
    """An example of any of several tasks."""
    return rng.choice(tasks).example(rng)
