"""lm-eval's HFLM over a composed model: its numbers are those that the model's logits give."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

from orchestra import ComposedModel
from tests.tiny import compose, generate, model, tokens, words

PREFIX = 96


def composition() -> ComposedModel:
    return compose(model("llama"), near=model("gemma3", seed=1), far=model("gpt2", seed=2))


def tokenizer() -> PreTrainedTokenizerFast:
    made = words()
    made.eos_token = f"w{PREFIX}"
    return made


def harness(composed: ComposedModel) -> Any:
    return HFLM(pretrained=composed, tokenizer=tokenizer(), batch_size=2)


def text(ids: list[int]) -> str:
    return " ".join(f"w{token}" for token in ids)


def asked(kind: Any, *arguments: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def log_likelihood(composed: ComposedModel, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """From the logits of the one text, read at once; and whether greedy decoding would have written it."""
    with torch.no_grad():
        logits = composed(torch.tensor([context + continuation[:-1]])).logits[0, len(context) - 1 :]
    wanted = torch.tensor(continuation)
    likely = logits.log_softmax(-1).gather(1, wanted[:, None]).sum()
    return float(likely), bool((logits.argmax(-1) == wanted).all())


def test_likelihoods_are_those_of_each_text_alone() -> None:
    """Texts of several lengths, so that rows are padded; two that differ in their last token; one that is greedy."""
    composed = composition()
    greedy = generate(composed, torch.tensor([[3, 5]]), max_new_tokens=3)[0, 2:].tolist()
    pairs = [([2, 3, 5, 7, 11], [13, 17]), ([3, 5], greedy), ([19], [23]), ([19], [29]), ([31, 37, 41], [43, 47, 53])]
    found = harness(composed).loglikelihood([asked("loglikelihood", text(a), f" {text(b)}") for a, b in pairs])
    for (value, is_greedy), (context, continuation) in zip(found, pairs, strict=True):
        expected = log_likelihood(composed, context, continuation)
        assert value == pytest.approx(expected[0], abs=1e-9)
        assert is_greedy == expected[1]
    assert [is_greedy for _, is_greedy in found] == [False, True, False, False, False]


def test_the_harness_leaves_the_models_as_they_are() -> None:
    """It ties weights, and fixes what it misses in a tokenizer."""
    composed = composition()
    before = composed(tokens()).logits
    weights = {name: weight.data_ptr() for name, weight in composed.named_parameters()}
    harness(composed)
    assert torch.equal(composed(tokens()).logits, before)
    assert {name: weight.data_ptr() for name, weight in composed.named_parameters()} == weights


def test_a_long_text_is_read_in_windows_as_long_as_the_models_read() -> None:
    composed, ids = composition(), tokens(1, 71)[0].tolist()
    assert harness(composed).max_length == 64
    first = log_likelihood(composed, [PREFIX], ids[:64])[0]
    second = log_likelihood(composed, ids[6:64], ids[64:])[0]
    [found] = harness(composed).loglikelihood_rolling([asked("loglikelihood_rolling", text(ids))])
    assert found == pytest.approx(first + second, abs=1e-9)


def test_texts_are_written_as_each_alone_would_be_up_to_a_stop() -> None:
    composed, prompts = composition(), ([5, 7, 11], [3], [2, 13, 17, 19, 23])
    alone = [text(generate(composed, torch.tensor([ids]), max_new_tokens=6)[0, len(ids) :].tolist()) for ids in prompts]
    stop = alone[0].split()[3]
    wanted = {"until": [stop], "max_gen_toks": 6, "do_sample": False}
    found = harness(composed).generate_until([asked("generate_until", text(ids), wanted) for ids in prompts])
    assert [answer.split() for answer in found] == [answer.split(stop)[0].split() for answer in alone]


def test_a_task_from_a_local_file_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = composition()
    choices = [f"w{token}" for token in (29, 31, 37)]
    lines = [{"question": text(row), "answer": choices[row[0] % 3]} for row in tokens(7, 3).tolist()]
    file = tmp_path / "task.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    task = {
        "task": "local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": choices,
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}],
    }
    monkeypatch.setattr(evaluator, "add_env_info", lambda results: None)  # it asks every program for its version
    result: Any = evaluator.simple_evaluate(
        harness(composed), tasks=[task], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0
    )
    right = 0
    for line in lines:
        context = [int(word[1:]) for word in line["question"].split()]
        likely = {choice: log_likelihood(composed, context, [int(choice[1:])])[0] for choice in choices}
        right += max(likely, key=lambda choice: likely[choice]) == line["answer"]
    assert result["results"]["local"]["acc,none"] == pytest.approx(right / 7)
    assert 0 < right < 7
