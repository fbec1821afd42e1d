"""Exact match on fresh questions, with 95% intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.intervals import share
from orchestra.lab.expressions import Example
from orchestra.lab.tokenizer import END_ID, PAD_ID

_ROWS = 250  # questions per generate call


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Right answers out of a number of questions.

    Attributes:
        guess: the share of the most frequent right answer, which always saying it would reach.
    """

    right: int
    asked: int
    guess: float

    @property
    def percent(self) -> float:
        """Share of right answers, in percent."""
        return 100 * self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval, in percent."""
        found = share(self.right, self.asked)
        return 100 * found.low, 100 * found.high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.percent:.1f} [{low:.1f}, {high:.1f}]"

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        low, high = self.interval
        return {**asdict(self), "percent": round(self.percent, 2), "interval": [round(low, 2), round(high, 2)]}


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    *,
    max_new_tokens: int | None = None,
) -> Score:
    """Ask every question, greedily, and count the final answers that are exactly right.

    Args:
        max_new_tokens: default: a little more than the longest right answer; what goes on from there is wrong.
    """
    hits = right(model, tokenizer, examples, max_new_tokens=max_new_tokens)
    wanted = Counter(final(question_and_answer(example)[1]) for example in examples)
    return Score(right=sum(hits), asked=len(hits), guess=100 * wanted.most_common(1)[0][1] / len(hits))


def right(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    *,
    max_new_tokens: int | None = None,
) -> list[bool]:
    """Whether the final answer to each question is exactly right; see `score`."""
    questions, whole = zip(*map(question_and_answer, examples), strict=True)
    longest = max(len(ids) for ids in tokenizer(list(whole), add_special_tokens=False)["input_ids"])
    given = answers(model, tokenizer, questions, max_new_tokens=max_new_tokens or longest + 2)
    return [final(found) == final(wanted) for found, wanted in zip(given, whole, strict=True)]


def question_and_answer(example: Example) -> tuple[str, str]:
    """What is read before the last learnt piece, and that piece."""
    *read, (answer, _) = example
    return "".join(text for text, _ in read), answer


def final(answer: str) -> str:
    """The value in an answer, with or without working before it."""
    return answer.strip().rsplit("=", 1)[-1]


@torch.no_grad()
def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, questions: Sequence[str], *, max_new_tokens: int = 24
) -> list[str]:
    """What a model says to each question, greedily; questions are asked in batches of like length."""
    asked: Any = model  # transformers types the self of generate as a protocol that none of its models meets
    device = getattr(model, "device", "cpu")  # an adapted model is none of transformers'; several at once have none
    order = sorted(range(len(questions)), key=lambda index: len(questions[index]))
    found: dict[int, str] = {}
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        inputs = tokenizer([questions[row] for row in rows], return_tensors="pt", padding=True, padding_side="left")
        output = asked.generate(
            **inputs.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=PAD_ID,
            eos_token_id=END_ID,
        )
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        found.update(zip(rows, texts, strict=True))
    return [found[index] for index in range(len(questions))]
