import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra.errors import DataError
from orchestra.runtime.model import ComposedModel
from orchestra.train import held_out
from orchestra.train.encode import Example, read_examples
from orchestra.train.held_out import distinct, repeated, score, split
from tests import tiny
from tests.train.conftest import MAX_LENGTH, Write, tiny_tokenizer

SHARE = 0.4


@pytest.fixture(scope="module")
def model(graph: Path) -> ComposedModel:
    return tiny.loud(orchestra.load(graph))


@pytest.fixture
def examples(pairs: Path) -> tuple[Example, ...]:
    return read_examples(pairs, tiny_tokenizer(), max_length=None, vocab_size=23)


def test_a_loss_is_the_sum_over_a_records_completion(model: ComposedModel, examples: tuple[Example, ...]) -> None:
    found = score(model, examples, batch_size=5, asked=1, pad_id=0, bf16=False)
    assert len(found.losses) == len(found.tokens) == len(examples)
    for example, loss, tokens in zip(examples, found.losses, found.tokens, strict=True):
        ids = torch.tensor([example.ids])
        labels = ids.masked_fill(torch.arange(len(example.ids)) < example.num_prompt, -100)
        assert tokens == len(example.ids) - example.num_prompt
        assert model(ids, labels=labels).loss.item() == pytest.approx(loss / tokens, abs=1e-5)


def test_exact_is_what_the_model_writes_itself_and_its_end(model: ComposedModel, examples: tuple[Example, ...]) -> None:
    running: Any = model
    said = []
    for example in examples:
        prompt = torch.tensor([example.ids[: example.num_prompt]])
        written = running.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=3)
        said.append(tuple(written[0].tolist()))
    own = [Example(ids=ids, num_prompt=example.num_prompt) for ids, example in zip(said, examples, strict=True)]
    assert all(score(model, own, batch_size=5, asked=99, pad_id=0, bf16=False).exact)
    longer = [Example(ids=(*one.ids, 7, 7, 7), num_prompt=one.num_prompt) for one in own if one.ids[-1] != 2]
    assert longer
    assert not any(score(model, longer, batch_size=5, asked=99, pad_id=0, bf16=False).exact)


def test_exact_is_not_a_matter_of_who_else_is_in_the_batch(model: ComposedModel) -> None:
    running: Any = model
    prompt = torch.tensor([[3, 4]])
    written = running.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=6)
    ids = tuple(written[0].tolist())
    assert 2 not in ids
    short, long = Example(ids=ids[:4], num_prompt=2), Example(ids=(5, *ids[:7]), num_prompt=1)
    alone, together = (
        score(model, [short, long], batch_size=size, asked=9, pad_id=0, bf16=False).exact for size in (1, 2)
    )
    assert alone == together == (True, False)


def test_only_so_many_are_asked_and_a_text_without_a_prompt_never(model: ComposedModel, write: Write) -> None:
    path = write({"text": "a b c"}, {"prompt": "a", "completion": "b"}, {"prompt": "b", "completion": "c"})
    found = score(
        model,
        read_examples(path, tiny_tokenizer(), max_length=None, vocab_size=23),
        batch_size=2,
        asked=1,
        pad_id=0,
        bf16=False,
    )
    assert (len(found.losses), len(found.exact)) == (3, 1)


def test_those_that_are_asked_come_from_all_over_the_records(
    model: ComposedModel, examples: tuple[Example, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Example] = []

    def noted(_model: Any, _tokenizer: Any, some: list[Example], _pad_id: int) -> list[bool]:
        asked.extend(some)
        return [True] * len(some)

    monkeypatch.setattr(held_out, "_exact", noted)
    score(model, examples, batch_size=2, asked=5, pad_id=0, bf16=False)
    assert asked == [examples[at] for at in (0, 3, 6, 10, 13)]


def test_no_prompt_is_completed_past_what_the_models_read(
    model: ComposedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = list[int]()
    generate = type(model).generate

    def noted(self: Any, ids: Any, **given: Any) -> Any:
        lengths.append(ids.shape[1] + given["max_new_tokens"])
        return generate(self, ids, **given)

    monkeypatch.setattr(type(model), "generate", noted)
    short, long = Example(ids=(3,) * MAX_LENGTH, num_prompt=2), Example(ids=(4,) * MAX_LENGTH, num_prompt=27)
    found = score(model, [short, long, long, short], batch_size=4, asked=9, pad_id=0, bf16=False)
    assert lengths == [MAX_LENGTH] * 3
    assert len(found.exact) == 4


def test_records_that_are_alike_fall_on_the_same_side(write: Write, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"p{index % 11}", "completion": "c"}) for index in range(44)]
    parts = split(write(*lines), tmp_path / "parts", share=SHARE, seed=0)
    trained, apart = (path.read_text().splitlines() for path in parts)
    assert len(trained) + len(apart) == len(lines)
    assert not {*trained} & {*apart}
    again = split(tmp_path / "pairs.jsonl", tmp_path / "again", share=SHARE, seed=0)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in parts]
    other = split(tmp_path / "pairs.jsonl", tmp_path / "other", share=SHARE, seed=1)
    assert other[0].read_bytes() != parts[0].read_bytes()


def test_a_share_is_a_share(write: Write, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"p{index}", "completion": "c"}) for index in range(1000)]
    _, apart = split(write(*lines), tmp_path / "parts", share=0.1, seed=0)
    assert 70 < len(apart.read_text().splitlines()) < 130


def test_too_few_records_to_hold_some_out_are_refused(write: Write, tmp_path: Path) -> None:
    path = write({"prompt": "a", "completion": "b"})
    message = (
        f"{path}: of 1 records 0 would be held out (a share of 0.1; those of one prompt stay together): give more "
        "records, another share, or eval_data."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        split(path, tmp_path / "parts", share=0.1, seed=1)


def test_a_malformed_record_is_named_before_the_data_is_parted(write: Write, tmp_path: Path) -> None:
    path = write('{"prompt": "a"}')
    with pytest.raises(DataError, match=r"pairs\.jsonl: line 1: 'completion' is missing"):
        split(path, tmp_path / "parts", share=0.5, seed=0)
    assert not (tmp_path / "parts").exists()


def test_a_prompt_that_is_trained_on_is_told_of_whatever_completes_it() -> None:
    one, other = (Example(ids=(3, 4, 5), num_prompt=count) for count in (1, 2))
    assert repeated([one], [one, other, one, Example(ids=(3, 7), num_prompt=1)]) == 3
    text = Example(ids=(3, 4, 5), num_prompt=0)
    assert repeated([text], [text, one, Example(ids=(3, 4), num_prompt=0)]) == 1
    assert distinct([one, other, one]) == [one, other]


def test_a_prompt_falls_on_one_side_with_all_its_completions(write: Write, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"p{index % 50}", "completion": f"c{index}"}) for index in range(100)]
    trained, apart = (path.read_text().splitlines() for path in split(write(*lines), tmp_path, share=0.3, seed=0))
    sides = [{json.loads(line)["prompt"] for line in side} for side in (trained, apart)]
    assert len(sides[0]) + len(sides[1]) == 50
    assert len(trained) + len(apart) == 100
