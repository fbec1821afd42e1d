import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, encode
from orchestra.lab.fitting import Fit
from orchestra.lab.kv import anchor
from orchestra.lab.kv.words import groups
from orchestra.lab.kv.working import answer

TINY = anchor.Size(width=32, layers=1, inner=1, d_head=16)
FIT = Fit(steps=2, batch=2, rate=1e-3, warmup=1)


def test_tokens_that_share_what_they_are_made_of_begin_alike(words: PreTrainedTokenizerFast) -> None:
    rows = torch.nn.functional.normalize(anchor.embeddings(words, 128), dim=-1)
    at = words.get_vocab()
    assert torch.equal(rows[at["5"]], rows[at["005"]])
    assert rows[at["7⁴a"]] @ rows[at["7⁴b"]] > 0.5 > abs(rows[at["7⁴a"]] @ rows[at["{+B0}"]])


@pytest.mark.parametrize(("step", "longest"), [(0, 3), (300, 4), (9000, 6)])
def test_lessons_grow_and_their_answers_are_right(step: int, longest: int) -> None:
    rng, most = random.Random(0), 0
    for _ in range(100):
        (question, _), (made, learnt) = anchor.lesson(rng, step)
        digits = "".join(sign if sign in "+-*=<" else "" if sign.isalpha() else sign for sign in question)
        numbers = digits.replace("<", "")[:-1]
        expression = numbers.replace("+", " + ").replace("-", " - ").replace("*", " * ").split()
        value = eval("".join(part.lstrip("0") or "0" for part in expression))
        assert learnt
        assert answer(made) == value
        most = max(most, len(expression[::2]))
    assert most == longest


def test_in_the_end_many_lessons_are_sums_alone() -> None:
    def sums(step: int) -> int:
        rng = random.Random(0)
        return sum("*" not in anchor.lesson(rng, step)[0][0] for _ in range(300))

    assert sums(4499) < 150 < 180 < sums(4500)


def test_groups_of_digits_keep_their_embeddings_in_training(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = anchor.fresh(words, TINY, seed=0)
    before = model.model.embed_tokens.weight.detach().clone()
    anchor.train(model, words, FIT, checkpoint=tmp_path / "anchor.pt")
    after, kept = model.model.embed_tokens.weight, words.convert_tokens_to_ids(groups())
    assert torch.equal(after[kept], before[kept])
    assert not torch.equal(after, before)


def test_noise_stays_out_of_workings(words: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    model = anchor.fresh(words, TINY, seed=0)
    read: list[Tensor] = []
    batch = encode(words, [anchor.lesson(random.Random(seed), 0) for seed in range(8)])
    forward = model.model.forward

    def spied(*args: Any, **kwargs: Any) -> Any:
        read.append(kwargs["inputs_embeds"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", spied)
    for noise in (0.0, 0.5):
        anchor.loss(model, batch, Fit(steps=1, batch=8, rate=1e-3, noise=noise), 3)
    changed = read[0].ne(read[1]).any(-1)
    assert changed.any()
    assert not changed[batch.labels != IGNORED].any()


def test_heads_of_a_model_that_looks_back_begin_at_a_place_each(words: PreTrainedTokenizerFast) -> None:
    size = anchor.Size(width=64, layers=1, inner=1, d_head=16, back=True)
    model = anchor.fresh(words, size, seed=0)
    model.set_attn_implementation("eager")
    ids = words("<kqzabc/>+<hqe/>*<pqowie/>-<ab/>", return_tensors="pt")["input_ids"]
    looked = model(ids, output_attentions=True).attentions[0][0]
    for head, weights in enumerate(looked):
        back = torch.stack([weights[at, at - head] for at in range(head, len(weights))])
        assert back.min() > 0.8


def test_what_says_a_number_begins_on_circles_whatever_else_it_says(words: PreTrainedTokenizerFast) -> None:
    rows, at = anchor.embeddings(words, 64), words.get_vocab()
    circles = 14
    assert torch.equal(rows[at["·28c"], :circles], rows[at["8²e"], :circles])
    assert torch.equal(rows[at["7⁺a"], :circles][4:6], rows[at["7b"], :circles][4:6])  # a period of ten
    assert not torch.equal(rows[at["7⁺a"], :circles], rows[at["7⁼a"], :circles])
