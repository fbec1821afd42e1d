import re

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from orchestra.lab.measure import Score, answers, final, question_and_answer, score
from orchestra.lab.tokenizer import END_ID


class Echo:
    """Says the last number of the question, and ends."""

    allowed: object = None

    def generate(self, input_ids: Tensor, max_new_tokens: int, **_: object) -> Tensor:
        self.allowed = max_new_tokens
        end = torch.full((len(input_ids), 1), END_ID)
        return torch.cat([input_ids, input_ids[:, -2:-1], end], dim=1)


def test_answers_come_back_in_the_order_of_the_questions(words: PreTrainedTokenizerFast) -> None:
    questions = ["111+5=", "2=", "7+33+9="]
    assert answers(Echo(), words, questions) == ["5", "2", "9"]  # type: ignore[arg-type]


def test_only_exactly_right_answers_count(words: PreTrainedTokenizerFast) -> None:
    examples = [((f"{n}=", False), (str(right), True)) for n, right in ((5, 5), (6, 6), (7, 5), (8, 9))]
    found = score(Echo(), words, examples)  # type: ignore[arg-type]
    assert (found.right, found.asked, found.guess) == (2, 4, 50.0)


def test_a_model_may_say_little_more_than_the_longest_right_answer(words: PreTrainedTokenizerFast) -> None:
    echo = Echo()
    score(echo, words, [(("1=", False), ("1", True)), (("1:", False), ("1+2=3", True))])  # type: ignore[arg-type]
    assert echo.allowed == 5 + 2
    score(echo, words, [(("1=", False), ("1", True))], max_new_tokens=1)  # type: ignore[arg-type]
    assert echo.allowed == 1


def test_with_working_only_the_value_at_the_end_counts() -> None:
    assert final("12+45=57") == final(" 57") == "57"


def test_a_question_is_everything_before_the_last_piece() -> None:
    assert question_and_answer((("<a>", False), ("1", True), ("+<b>", False), ("2", True))) == ("<a>1+<b>", "2")


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"), [(50, 100, 40.38, 59.62), (0, 10, 0.0, 27.75), (1000, 1000, 99.62, 100.0)]
)
def test_intervals_are_wilsons(right: int, asked: int, low: float, high: float) -> None:
    assert Score(right=right, asked=asked, guess=0).interval == pytest.approx((low, high), abs=0.01)


def test_a_score_reads_as_percent_and_interval() -> None:
    assert re.fullmatch(r"50\.0 \[40\.4, 59\.6\]", str(Score(right=50, asked=100, guess=1.0)))
