import random
from functools import partial

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, batches, encode
from orchestra.lab.expressions import Example
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID


def copying(rng: random.Random, _: int) -> Example:
    number = str(rng.randint(0, 99))
    return ((f"{number}=", False), (number, True))


def test_only_learnt_pieces_and_the_end_have_labels(words: PreTrainedTokenizerFast) -> None:
    ids, labels, _ = encode(words, [(("a+b=", False), ("12", True)), (("a", False), ("b", True))])
    twelve, b = (words.convert_tokens_to_ids(token) for token in ("12", "b"))
    assert labels.tolist() == [
        [IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, twelve, END_ID],
        [IGNORED, IGNORED, b, END_ID, IGNORED, IGNORED, IGNORED],
    ]
    assert ids[:, 0].tolist() == [BEGIN_ID, BEGIN_ID]
    assert ids[1, 4:].tolist() == [PAD_ID] * 3


def test_a_stream_that_starts_later_goes_on_as_the_whole_one_does(words: PreTrainedTokenizerFast) -> None:
    made = partial(encode, words)
    whole = batches(copying, made, size=2, seed=1, start=0)
    later = batches(copying, made, size=2, seed=1, start=11)
    for _ in range(11):
        next(whole)
    for _ in range(10):
        assert torch.equal(next(whole)[0], next(later)[0])
