import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.graph import ModelFacts
from orchestra.io.merge import merge, model_folder
from orchestra.io.merge_facts import merge_facts
from orchestra.merging.methods import METHODS
from tests import mergers
from tests.mergers import mergekits, same


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models that nobody changes."""
    folder = tmp_path_factory.mktemp("models")
    mergers.models(folder)
    return folder


@pytest.fixture
def own(base: Path, tmp_path: Path) -> Path:
    """Three models of the test's own."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return tmp_path


def facts(recipe: dict[str, Any], **more: Any) -> ModelFacts:
    found = merge_facts(recipe, Path.cwd(), **more)
    assert found.facts is not None, found.problems
    return found.facts


# -- what comes of a merge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_what_mergekit_makes_to_the_bit(base: Path, tmp_path: Path, method: str) -> None:
    recipe = mergers.recipe(method, base)
    made = merge(recipe, tmp_path / "made", seed=5)
    theirs = mergekits(recipe, tmp_path / "theirs", seed=5)
    assert same(made, theirs)
    assert not same(made, base / "one")
    assert json.loads((made / "config.json").read_text()) == json.loads((theirs / "config.json").read_text())


def test_the_same_seed_makes_the_same_and_another_another(base: Path, tmp_path: Path) -> None:
    recipe = mergers.recipe("dare_ties", base)
    first, again, other = (merge(recipe, tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert same(first, again)
    assert not same(first, other)


def test_layers_are_stacked_and_the_facts_know_it(base: Path, tmp_path: Path) -> None:
    slices = [
        {"sources": [{"model": str(base / "one"), "layer_range": [0, 3]}]},
        {"sources": [{"model": str(base / "two"), "layer_range": [1, 3]}]},
    ]
    recipe = {"merge_method": "passthrough", "slices": slices, "dtype": "float32", "out_dtype": "bfloat16"}
    known, made = facts(recipe), merge(recipe, tmp_path / "made")
    assert same(made, mergekits(recipe, tmp_path / "theirs"))
    weights = mergers.weights(made)
    assert torch.equal(
        weights["model.layers.4.mlp.up_proj.weight"],
        mergers.weights(base / "two")["model.layers.2.mlp.up_proj.weight"].bfloat16(),
    )
    assert (known.num_layers, known.num_params) == (5, sum(weight.numel() for weight in weights.values()))
    assert known.weight_bytes == sum(weight.nbytes for weight in weights.values())


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3", "gpt2", "gpt_neox", "mixtral", "bloom", "falcon"])
def test_other_architectures_merge_too(tmp_path: Path, architecture: str) -> None:
    mergers.models(tmp_path, architecture=architecture)
    recipe = mergers.recipe("ties", tmp_path)
    assert same(model_folder(facts(recipe)), mergekits(recipe, tmp_path / "theirs"))
