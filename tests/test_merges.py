"""Models of a graph that are merges, from the document to generated tokens."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import paper
from orchestra import spec as specs
from orchestra.errors import BundleError, GraphError, LockError, MergeError
from orchestra.io import merge as merging
from orchestra.io.lock import lock_path, take, write_lock
from tests import folders, tiny


def ties(*, weight: float = 0.5, **more: Any) -> dict[str, Any]:
    listed = [{"model": "two", "parameters": {"weight": weight}}, {"model": "three", "parameters": {"weight": 1}}]
    return {"merge": {"merge_method": "ties", "base_model": "one", "models": listed, **more}}


STACK = [{"sources": [{"model": name, "layer_range": [0, 2]}]} for name in ("two", "three")]


def graph(base: Path, anchor: Any, **augments: Any) -> Path:
    content = folders.document(**augments)
    content["anchor"]["model"] = anchor
    return folders.graph(base / "graph.json", content)


def test_a_merged_anchor_and_a_merged_augment_load_and_generate(mine: Path) -> None:
    stacked = {"merge": {"merge_method": "passthrough", "slices": STACK}}
    model = orchestra.load(graph(mine, ties(), kv={"model": stacked}))
    assert model.anchor.config.num_hidden_layers == 3
    assert model.augment("kv").config.num_hidden_layers == 4
    assert model.tokenizer is not None
    fresh = tiny.generate(model, tiny.tokens())
    made = orchestra.merge(recipe_of(mine), mine / "made")
    plain = folders.document(kv={"model": "two"})
    plain["anchor"]["model"] = made.name
    assert torch.equal(tiny.generate(orchestra.load(folders.graph(mine / "plain.json", plain)), tiny.tokens()), fresh)
    assert not torch.equal(tiny.generate(tiny.loud(model), tiny.tokens()), fresh)


def recipe_of(base: Path) -> dict[str, Any]:
    """The recipe of `ties()` with whole paths."""
    recipe = ties()["merge"]
    listed = [{**one, "model": str(base / one["model"])} for one in recipe["models"]]
    return {**recipe, "base_model": str(base / "one"), "models": listed}


def test_the_same_merge_named_twice_is_in_memory_once(mine: Path) -> None:
    model = orchestra.load(graph(mine, ties(), kv={"model": ties()}, tetum={"model": ties(weight=0.25)}))
    assert model.augment("kv") is model.anchor
    assert model.augment("tetum") is not model.anchor


def test_a_bundle_fits_the_merge_that_it_was_trained_against_and_no_other(mine: Path) -> None:
    model = tiny.loud(orchestra.load(graph(mine, "one", kv={"model": ties()})))
    expected = tiny.generate(model, tiny.tokens())
    model.save_stack("kv", mine / "bundle")
    again = orchestra.load(graph(mine, "one", kv={"model": ties(), "bridges": "bundle"}))
    assert torch.equal(tiny.generate(again, tiny.tokens()), expected)
    name = r"<ties of one, two, three, \w{8}>"
    told = rf"does not fit: the augment's weights are \w+ \({name}\), and it was trained with \w+ \({name}\)\."
    with pytest.raises(BundleError, match=told):
        orchestra.load(graph(mine, "one", kv={"model": ties(weight=0.25), "bridges": "bundle"}))
    assert str(mine) not in (mine / "bundle" / "bridge_config.json").read_text()


def test_an_augment_may_have_the_tokenizer_that_its_merge_is_built_with(mine: Path) -> None:
    folders.letters(mine / "one")
    folders.letters(mine / "two")
    folders.letters(mine / "three", folders.LETTERS + "ABC")
    model = orchestra.load(graph(mine, "one", kv={"model": ties(tokenizer_source="three")}))
    assert [node.reads for node in model.plan.graph.augments] == ["stream"]
    assert model.tokenizer is not None
    ids = model.tokenizer("abc", return_tensors="pt")["input_ids"]
    assert tiny.generate(tiny.loud(model), ids).shape == (1, ids.shape[1] + 5)


def test_a_lock_pins_the_models_of_a_merge(mine: Path) -> None:
    path = graph(mine, "one", kv={"model": {**ties(), "tokenizer": "one"}})
    write_lock(lock_path(path), take(specs.read(path), paper.plan(path).graph))
    assert orchestra.load(path).augment("kv")
    folders.edit_weights(mine / "three" / "model.safetensors", lambda tensors: tensors[folders.UP].mul_(2))
    told = r"augments\.kv\.model\.merge\.models\.1\.model: model\.safetensors has SHA-256 \w+, and \w+ is locked\.$"
    with pytest.raises(LockError, match=told):
        orchestra.load(path)


def test_nothing_is_merged_for_a_graph_that_cannot_exist(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_run", None)
    told = "augments.kv.model.merge.parameters.densty is an unknown parameter; did you mean 'density'?"
    with pytest.raises(GraphError, match=f"^{re.escape(told)}$"):
        orchestra.load(graph(mine, "one", kv={"model": ties(parameters={"densty": 1})}))


def test_a_merge_that_fails_is_one_error(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "find_spec", lambda name: None)
    with pytest.raises(MergeError, match=r"^merging needs mergekit: pip install 'orchestra-lm\[merge\]'\.$"):
        orchestra.load(graph(mine, "one", kv={"model": ties()}))
