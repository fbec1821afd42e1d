import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED
from orchestra.lab.fitting import Fit
from orchestra.lab.kv import anchor, augment
from orchestra.lab.kv.keys import UniqueTable, halves, written
from orchestra.lab.kv.words import groups

TINY = anchor.Size(width=32, layers=1, inner=1, d_head=16)


def test_a_value_is_said_after_the_slash_and_after_the_bracket(
    words: PreTrainedTokenizerFast, table: UniqueTable
) -> None:
    rng = random.Random(0)
    rows = [augment.recital(rng, table) for _ in range(20)]
    batch = augment.encode(words, table, rows)
    for row, ids, says in zip(rows, batch.ids.tolist(), batch.labels.tolist(), strict=True):
        read, said = words.convert_ids_to_tokens(ids), [token for token in says if token != IGNORED]
        keys = [text for text, is_key in row if is_key]
        assert words.convert_ids_to_tokens(said) == [half for key in keys for half in halves(table.values[key])]
        assert {read[at] for at, token in enumerate(says) if token != IGNORED} <= {"/", ">"}
        text = "".join(written(text) if is_key else text for text, is_key in row)
        assert words.decode(ids, skip_special_tokens=True) == text


def test_answers_are_sums_of_a_direction_per_digit_of_the_length_asked(words: PreTrainedTokenizerFast) -> None:
    model = anchor.fresh(words, TINY, seed=0)
    augment.freeze_answers(model, words, size=1.5)
    rows, at = model.lm_head.weight, words.get_vocab()
    torch.testing.assert_close(rows[at["345"]] - rows[at["045"]], rows[at["312"]] - rows[at["012"]])
    torch.testing.assert_close(rows[at["345"]].norm(), torch.tensor(1.5 * 3**0.5))
    assert rows[at["345"]] @ rows[at["012"]] < 1e-5
    said = {at[group] for group in groups()}
    others = [token for token in range(len(words)) if token not in said]
    assert not rows[others].any()


def test_an_augment_learns_its_table(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    table = UniqueTable(size=29)
    model = anchor.fresh(words, anchor.Size(width=64, layers=2, inner=2, d_head=16), seed=0)
    fit = Fit(steps=100, batch=16, rate=3e-3, warmup=10)
    assert augment.score(model, words, table, 29)["percent"] < 10
    stage = augment.Stage(name="learn", answers=1.5, fit=fit)
    augment.train(model, words, table, stage, checkpoint=tmp_path / "augment.pt")
    assert augment.score(model.eval(), words, table, 29)["percent"] > 90
