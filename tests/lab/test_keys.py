import random
import re

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab import keys
from orchestra.lab.batches import encode
from orchestra.lab.measure import final, question_and_answer
from orchestra.lab.table import Table

TABLE = Table(size=500)


def in_digits(text: str) -> str:
    return re.sub(r"<(\w+)>", lambda match: str(TABLE.values[match[1]]), text)


@pytest.mark.parametrize("kind", ["keys", "mixed", "digits"])
@pytest.mark.parametrize("working", [False, True])
def test_a_question_is_answered_by_the_numbers_behind_its_keys(kind: keys.Kind, working: bool) -> None:
    for seed in range(50):
        example = keys.question(random.Random(seed), TABLE, TABLE.unseen, kind=kind, working=working)
        asked, answer = question_and_answer(example)
        assert eval(in_digits(asked).rstrip("=:")) == int(final(answer))
        assert ("=" in answer) == working


def test_keys_come_from_those_that_are_given() -> None:
    for seed in range(50):
        asked, _ = question_and_answer(keys.exercise(random.Random(seed), TABLE, TABLE.seen))
        assert set(re.findall(r"<(\w+)>", asked)) <= set(TABLE.seen)


def test_a_mixed_question_has_both_keys_and_digits() -> None:
    for seed in range(50):
        asked, _ = question_and_answer(
            keys.question(random.Random(seed), TABLE, TABLE.unseen, kind="mixed", working=False)
        )
        assert "<" in asked
        assert re.search(r"\d", asked)


def test_a_substitution_asks_for_one_key() -> None:
    asked, answer = question_and_answer(keys.substitution(random.Random(0), TABLE, TABLE.seen))
    assert str(TABLE.values[asked.strip("<>")]) == answer


def test_in_digits_an_example_has_the_same_tokens_but_for_the_ends_of_keys(words: PreTrainedTokenizerFast) -> None:
    for seed in range(50):
        example = keys.exercise(random.Random(seed), TABLE, TABLE.seen)
        batch, twin = encode(words, [example]), encode(words, [keys.in_digits(example, TABLE)])
        assert torch.equal(batch.labels, twin.labels)
        changed = batch.ids != twin.ids
        ends = batch.ids.eq(words.get_vocab()[">"])
        assert torch.equal(changed, ends)
