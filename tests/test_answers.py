"""Prompts and answers, with and without augments."""

from typing import Any

import pytest
import torch

import orchestra
from orchestra import ComposedModel
from orchestra.answers import GREEDY, Answer, Sampling, ablations, answer
from orchestra.errors import ComposeError
from tests import folders, tiny

PROMPT = "w5 w7 w11"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ComposedModel:
    """A composition of an anchor and two augments, whose bridges are loud."""
    base = tmp_path_factory.mktemp("answers")
    for name, architecture, seed in (("anchor", "llama", 0), ("kv", "gpt2", 1), ("tetum", "bloom", 2)):
        folders.checkpoint(base / name, architecture, seed=seed)
    pairs = {"bridges": {"pairs": tiny.PAIRS}}
    return tiny.loud(orchestra.load(folders.graph(base / "graph.json", folders.document(kv=pairs, tetum=pairs))))


def test_an_answer_is_what_generate_writes_after_the_prompt(model: ComposedModel) -> None:
    ids = torch.tensor([[5, 7, 11]])
    written = model.generate(ids, max_new_tokens=5, do_sample=False)
    expected = " ".join(f"w{token}" for token in written[0, 3:].tolist())
    assert answer(model, PROMPT, Sampling(max_new_tokens=5)) == Answer(on=("kv", "tetum"), text=expected)


def test_an_answer_is_greedy_unless_sampling_is_asked_for(model: ComposedModel) -> None:
    first, other = (answer(model, PROMPT, Sampling(max_new_tokens=5, seed=seed, temperature=3.0)) for seed in (1, 2))
    assert first == other
    assert not GREEDY.sample


def test_a_seed_decides_a_sampled_answer_and_leaves_the_global_random_state_alone(model: ComposedModel) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        answer(model, PROMPT, Sampling(max_new_tokens=7, sample=True, temperature=2.0, seed=seed)) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_a_low_temperature_comes_close_to_greedy(model: ComposedModel) -> None:
    cold = Sampling(max_new_tokens=7, sample=True, temperature=1e-4)
    assert answer(model, PROMPT, cold) == answer(model, PROMPT, Sampling(max_new_tokens=7))


def test_ablations_are_all_then_each_one_off_then_none(model: ComposedModel) -> None:
    answers = ablations(model, PROMPT, Sampling(max_new_tokens=5))
    assert [found.on for found in answers] == [("kv", "tetum"), ("tetum",), ("kv",), ()]
    assert len({found.text for found in answers}) == 4
    assert answers[0] == answer(model, PROMPT, Sampling(max_new_tokens=5))
    with model.only("tetum"):
        assert answers[1] == answer(model, PROMPT, Sampling(max_new_tokens=5))


def test_ablations_start_from_what_is_on_and_leave_it_so(model: ComposedModel) -> None:
    with model.ablate("tetum"):
        assert [found.on for found in ablations(model, PROMPT, Sampling(max_new_tokens=1))] == [("kv",), ()]
        assert model.active == ("kv",)


def test_ablations_of_who_feeds_another_are_told_by_what_runs() -> None:
    fed = {"a": ["b"], "b": ["anchor"], "c": ["anchor"]}
    for names in (("a", "b"), ("a", "b", "c")):
        parts: Any = {name: (tiny.model("gpt2", seed=3), {"into": fed[name]}) for name in names}
        words = dict.fromkeys(("anchor", *names), tiny.words())
        composed = tiny.compose(tiny.model("llama"), tokenizers=words, **parts)
        found = [each.on for each in ablations(composed, PROMPT, Sampling(max_new_tokens=1))]
        assert found == [names, names[1:], *([("c",), ("a", "b")] if "c" in names else []), ()]


def test_with_every_augment_off_the_answer_is_the_anchors(model: ComposedModel) -> None:
    written = model.anchor.generate(torch.tensor([[5, 7, 11]]), max_new_tokens=5, do_sample=False)  # type: ignore[operator]
    none = ablations(model, PROMPT, Sampling(max_new_tokens=5))[-1]
    assert none.text == " ".join(f"w{token}" for token in written[0, 3:].tolist())


def test_a_prompt_without_tokens_is_refused(model: ComposedModel) -> None:
    with pytest.raises(ComposeError, match=r"^the prompt has no tokens\.$"):
        answer(model, "")


def test_an_anchor_without_tokenizer_is_refused() -> None:
    model = tiny.compose(tiny.model("llama"), kv=tiny.model("gpt2"))
    message = r"^a prompt needs a tokenizer, and this model's anchor has none: give it a tokenizer\.json\.$"
    with pytest.raises(ComposeError, match=message):
        answer(model, PROMPT)
