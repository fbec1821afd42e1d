import random

import pytest

from orchestra.lab.strings import TASKS, Task, mixed

SOLVED = {
    "rev": ("abcde", "edcba"),
    "shift": ("axyz", "dabc"),
    "neg": ("1230", "9678"),
    "drop": ("stein", "st"),
    "step": ("aayz", "abac"),
    "up": ("ab", "aAbB"),
    "turn": ("abcd", "bcda"),
    "sort": ("badcab", "dcba"),
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_is_solved_as_it_is_told(task: Task) -> None:
    text, answer = SOLVED[task.name]
    assert task.solve(text) == answer


def test_a_question_names_its_task_and_the_answer_alone_is_learnt() -> None:
    (question, asked), (answer, learnt) = TASKS[0].example(random.Random(0))
    text = question.removeprefix("rev ").removesuffix("=")
    assert (asked, learnt, answer) == (False, True, text[::-1])
    assert 5 <= len(text) <= 10


def test_a_mixture_has_every_task() -> None:
    rng = random.Random(0)
    assert {mixed(rng)[0][0].split()[0] for _ in range(200)} == {task.name for task in TASKS}
