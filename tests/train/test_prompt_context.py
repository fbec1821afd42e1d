"""Training an augment that reads the prompt only, beside one that reads everything."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import orchestra
from orchestra.runtime.model import ComposedModel
from orchestra.train import TrainResult, TrainSpec, train


@pytest.fixture
def document(graph: Path) -> dict[str, Any]:
    """The graph, its augment kv reading the prompt only."""
    found: dict[str, Any] = json.loads(graph.read_text())
    for model in (found["anchor"], *found["augments"].values()):
        model["model"] = str(graph.parent / model["model"])
    found["augments"]["kv"]["context"] = "prompt"
    return found


def trained(source: Any, pairs: Path, output: Path, **changes: Any) -> TrainResult:
    """A short training: two epochs of five steps."""
    spec = {"data": pairs, "eval_data": pairs, "output": output, "steps": 10, "batch_size": 4, "learning_rate": 1e-2}
    return train(source, TrainSpec(**{**spec, "log_every": 1, **changes}))


def weights(result: TrainResult) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, folder in result.bundles.items()
        for key, tensor in load_file(folder / "bridge_model.safetensors").items()
    }


def test_it_learns_from_prompts_alone_however_a_step_is_laid_out(
    document: dict[str, Any], pairs: Path, tmp_path: Path
) -> None:
    whole = trained(document, pairs, tmp_path / "whole")
    assert whole.eval_loss is not None
    assert whole.eval_loss_without is not None
    assert whole.eval_loss < whole.eval_loss_without
    layouts: list[dict[str, Any]] = [
        {"batch_size": 1, "gradient_accumulation": 4},  # every row alone: no prompt is padded for another's sake
        {"gradient_checkpointing": True},
    ]
    for index, layout in enumerate(layouts):
        other = trained(document, pairs, tmp_path / str(index), **layout)
        for step, loss in whole.losses.items():
            assert other.losses[step] == pytest.approx(loss, abs=1e-4)
        assert other.eval_loss == pytest.approx(whole.eval_loss, abs=1e-4)
        for name, weight in weights(whole).items():
            torch.testing.assert_close(weights(other)[name], weight, rtol=0, atol=1e-3)


def test_its_bundle_says_so_and_the_other_s_does_not_when_trained_alone(
    document: dict[str, Any], pairs: Path, tmp_path: Path
) -> None:
    for name, found in (("kv", True), ("tetum", False)):
        result = trained(document, pairs, tmp_path / name, steps=1, augments=(name,))
        card = (result.bundles[name] / "README.md").read_text()
        assert ("prompt_only" in card) is found


def test_the_evaluation_loss_is_that_of_the_model_that_is_loaded_again(
    document: dict[str, Any], pairs: Path, tmp_path: Path
) -> None:
    result = trained(document, pairs, tmp_path / "out", augments=("kv",))
    document["augments"] = {"kv": {**document["augments"]["kv"], "bridges": str(result.bundles["kv"])}}
    model = orchestra.load(document)
    assert model.plan.graph.augments[0].context == "prompt"
    assert result.eval_loss == pytest.approx(by_hand(model, pairs), abs=1e-5)


@torch.no_grad()
def by_hand(model: ComposedModel, pairs: Path) -> float:
    """The mean loss of the completions' tokens, record by record, the prompt's length being said."""
    assert model.tokenizer is not None
    total, count = 0.0, 0
    for record in map(json.loads, pairs.read_text().splitlines()):
        prompt = model.tokenizer(record["prompt"])["input_ids"]
        rest = [*model.tokenizer(record["completion"], add_special_tokens=False)["input_ids"], 2]
        ids = torch.tensor([[*prompt, *rest]])
        logits = model(ids, prompt_length=torch.tensor([len(prompt)])).logits[0, len(prompt) - 1 : -1]
        total -= logits.log_softmax(-1).gather(1, torch.tensor(rest)[:, None]).sum().item()
        count += len(rest)
    return total / count
