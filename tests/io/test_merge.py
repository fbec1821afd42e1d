import fcntl
import json
import logging
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import orchestra
from orchestra.errors import MergeError
from orchestra.graph import ModelFacts
from orchestra.io import merge as merging
from orchestra.io.facts import tokenizer_fingerprint
from orchestra.io.merge import merge, model_folder
from orchestra.io.merge_facts import merge_facts, weights_fingerprint
from orchestra.io.models import load_tokenizer
from orchestra.io.places import Places
from orchestra.merging.merge import Merge
from orchestra.merging.methods import METHODS
from tests import folders, mergers, tiny
from tests.mergers import LoaderCache, mergekits, same


def facts(recipe: dict[str, Any], **more: Any) -> ModelFacts:
    found = merge_facts(recipe, Places(folder=Path.cwd()), **more)
    assert found.facts is not None, found.problems
    return found.facts


# -- what comes of a merge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_what_mergekit_makes_to_the_bit(three: Path, tmp_path: Path, method: str) -> None:
    recipe = mergers.recipe(method, three)
    made = merge(recipe, tmp_path / "made", seed=5)
    theirs = mergekits(recipe, tmp_path / "theirs", seed=5)
    assert same(made, theirs)
    assert not same(made, three / "one")
    assert json.loads((made / "config.json").read_text()) == json.loads((theirs / "config.json").read_text())


def test_the_same_seed_makes_the_same_and_another_another(three: Path, tmp_path: Path) -> None:
    recipe = mergers.recipe("dare_ties", three)
    first, again, other = (merge(recipe, tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    assert same(first, again)
    assert not same(first, other)


def test_layers_are_stacked_and_the_facts_know_it(three: Path, tmp_path: Path) -> None:
    slices = [
        {"sources": [{"model": str(three / "one"), "layer_range": [0, 3]}]},
        {"sources": [{"model": str(three / "two"), "layer_range": [1, 3]}]},
    ]
    recipe = {"merge_method": "passthrough", "slices": slices, "dtype": "float32", "out_dtype": "bfloat16"}
    known, made = facts(recipe), merge(recipe, tmp_path / "made")
    assert same(made, mergekits(recipe, tmp_path / "theirs"))
    weights = mergers.weights(made)
    assert torch.equal(
        weights["model.layers.4.mlp.up_proj.weight"],
        mergers.weights(three / "two")["model.layers.2.mlp.up_proj.weight"].bfloat16(),
    )
    assert (known.num_layers, known.num_params) == (5, sum(weight.numel() for weight in weights.values()))
    assert known.weight_bytes == sum(weight.nbytes for weight in weights.values())


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3", "gpt2", "mixtral", "bloom"])
def test_other_architectures_merge_too(tmp_path: Path, architecture: str) -> None:
    folders.three(tmp_path, architecture)
    recipe = mergers.recipe("ties", tmp_path)
    assert same(model_folder(facts(recipe)), mergekits(recipe, tmp_path / "theirs"))


def test_what_mergekit_cannot_do_is_one_error_of_ours_and_leaves_nothing(tmp_path: Path, own_cache: Path) -> None:
    folders.three(tmp_path, "falcon")
    known = facts(mergers.recipe("ties", tmp_path))
    told = (
        f"{known.source}: mergekit cannot make it: RuntimeError: Tensor transformer.h.3.ln_attn.bias required but not "
        f"present in model {tmp_path}/one"
    )
    with pytest.raises(MergeError, match=f"^{re.escape(told)}$"):
        model_folder(known)
    assert left(own_cache / "merged") == []


def test_a_merge_that_holds_no_numbers_is_refused(three: Path, tmp_path: Path) -> None:
    recipe = {**mergers.recipe("linear", three), "parameters": {"weight": 0.0}}
    recipe["models"] = [{"model": one["model"]} for one in recipe["models"]]
    told = r"^<linear of one, two, three, \w{8}>: the merge holds NaN or infinity in [\w.]+; change its weights\.$"
    with pytest.raises(MergeError, match=told):
        merge(recipe, tmp_path / "made")
    assert left(tmp_path) == []


def test_the_tokenizer_is_the_base_models_or_the_one_that_is_named(three: Path, mine: Path) -> None:
    folders.letters(mine / "words")
    recipe = mergers.recipe("ties", three)
    made = merge(recipe, mine / "made")
    for name in ("tokenizer.json", "generation_config.json"):
        assert (made / name).read_bytes() == (three / "one" / name).read_bytes()
    named = merge(recipe, mine / "named", tokenizer=mine / "words")
    assert (named / "tokenizer.json").read_bytes() == (mine / "words" / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"tokenizer_source": "union"}, tiny.VOCAB + 4),
        ({"tokenizer_source": "base", "base_model": "three"}, tiny.VOCAB),
        ({"tokenizer_source": "two"}, tiny.VOCAB + 4),
        ({"tokenizer": {"source": "two", "tokens": {"new": {"source": {"kind": "zero"}}}}}, tiny.VOCAB + 5),
        ({"tokenizer": {"source": "union", "pad_to_multiple_of": 64}}, 128),
    ],
)
def test_a_tokenizer_that_is_built_is_known_on_paper(mine: Path, said: dict[str, Any], size: int) -> None:
    wider = tiny.model("llama", seed=1).float()
    wider.resize_token_embeddings(tiny.VOCAB + 4)
    wider.save_pretrained(mine / "two")
    folders.tokenizer(mine / "two", {**folders.WORDS, **{f"v{index}": tiny.VOCAB + index for index in range(4)}})
    recipe: dict[str, Any] = {
        "merge_method": "linear",
        "models": [{"model": "one"}, {"model": "two"}, {"model": "three"}],
    }
    recipe |= {"parameters": {"weight": 1.0}, **said}
    found = merge_facts(recipe, Places(folder=mine))
    assert found.facts is not None
    assert (found.facts.vocab_size, found.tokenizer) == (size, found.facts.source)
    folder = model_folder(found.facts)
    loaded = load_tokenizer(folder)
    assert loaded is not None
    assert len(loaded) == min(size, tiny.VOCAB + 5) - (size == 128)
    assert found.facts.num_params == sum(weight.numel() for weight in mergers.weights(folder).values())
    if "tokens" not in said.get("tokenizer", {}) and said.get("tokenizer_source") != "union" and size != 128:
        assert tokenizer_fingerprint(folder) == found.facts.tokenizer


def test_a_chat_template_is_written_into_the_tokenizer(three: Path, tmp_path: Path) -> None:
    made = merge({**mergers.recipe("ties", three), "chat_template": "chatml"}, tmp_path / "made")
    tokenizer = load_tokenizer(made)
    assert tokenizer is not None
    assert "<|im_start|>" in str(tokenizer.chat_template)


def test_no_path_of_the_machine_is_in_what_comes_out(three: Path, tmp_path: Path) -> None:
    for index, more in enumerate(({}, {"tokenizer_source": "union"}, {"chat_template": "chatml"})):
        made = merge({**mergers.recipe("dare_ties", three), **more}, tmp_path / str(index))
        assert [file.name for file in made.iterdir() if str(three.parent).encode() in file.read_bytes()] == []
        assert "sources" not in {file.name for file in made.iterdir()}


def test_a_model_in_shards_is_merged_as_one_in_a_single_file(mine: Path, tmp_path: Path) -> None:
    plain = merge(mergers.recipe("ties", mine), tmp_path / "plain")
    (mine / "two" / "model.safetensors").unlink()
    tiny.model("llama", seed=1, dtype=torch.float32).save_pretrained(mine / "two", max_shard_size="20KB")
    assert not (mine / "two" / "model.safetensors").exists()
    assert same(merge(mergers.recipe("ties", mine), tmp_path / "made"), plain)


def test_a_result_that_is_not_what_was_announced_is_refused(three: Path) -> None:
    known = replace(facts(mergers.recipe("ties", three)), num_layers=7)
    told = rf"^{re.escape(known.source)}: mergekit made a model whose num_layers is 3, not 7\.$"
    with pytest.raises(MergeError, match=told):
        model_folder(known)


def test_a_cache_that_cannot_be_written_is_told(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORCHESTRA_CACHE", str(tmp_path / "file"))
    known = facts(mergers.recipe("ties", three))
    told = rf"^{re.escape(known.source)}: cannot be merged in {tmp_path}/file/merged: Not a directory\.$"
    with pytest.raises(MergeError, match=told):
        model_folder(known)


# -- the cache ------------------------------------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    """What is in a folder beside locks."""
    return [entry.name for entry in folder.iterdir() if entry.suffix != ".lock"]


def test_a_merge_is_made_once_and_it_is_told(
    three: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_cache: Path
) -> None:
    known = facts(mergers.recipe("ties", three))
    folder = model_folder(known)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"Merging {known.source} once, into {folder} ...\n")
    assert "Executing graph: 100%" in told.err
    assert left(own_cache / "merged") == [folder.name]
    monkeypatch.setattr(merging, "_run", None)
    assert model_folder(known) == folder
    assert capsys.readouterr() == ("", "")


def test_the_same_models_elsewhere_are_the_same_merge(three: Path, mine: Path) -> None:
    assert model_folder(facts(mergers.recipe("ties", three))) == model_folder(facts(mergers.recipe("ties", mine)))


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe, mine: recipe["models"][1]["parameters"].update(weight=0.25),
        lambda recipe, mine: recipe.update(models=recipe["models"][:2]),
        lambda recipe, mine: recipe["parameters"].update(density=0.3),
        lambda recipe, mine: folders.edit_weights(
            mine / "two" / "model.safetensors", lambda tensors: tensors[folders.UP].mul_(2)
        ),
        lambda recipe, mine: folders.edit_json(mine / "one" / "config.json", rope_theta=5.0),
    ],
)
def test_a_change_of_the_recipe_or_of_a_model_makes_another(mine: Path, change: Any) -> None:
    recipe = mergers.recipe("ties", mine)
    first = model_folder(facts(recipe))
    before = folders.snapshot(first)
    change(recipe, mine)
    second = model_folder(facts(recipe))
    assert second != first
    assert same(second, mergekits(recipe, mine / "theirs"))
    assert folders.snapshot(first) == before


def test_another_seed_and_another_tokenizer_make_others_too(three: Path, mine: Path) -> None:
    folders.letters(mine / "words")
    recipe = mergers.recipe("dare_ties", three)
    variants = [facts(recipe), facts(recipe, seed=1), facts(recipe, tokenizer=str(mine / "words"))]
    assert len({model_folder(one) for one in variants}) == 3
    prints = [weights_fingerprint(one) for one in variants]
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_merge_leaves_nothing_and_can_be_repeated(
    three: Path, tmp_path: Path, own_cache: Path, error: type[BaseException]
) -> None:
    recipe = mergers.recipe("ties", three)
    whole = merging._run

    def interrupt(made: Merge, places: list[Path], out: Path) -> None:
        whole(made, places, out)
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "_run", interrupt)
        with pytest.raises(error):
            model_folder(facts(recipe))
        with pytest.raises(error):
            merge(recipe, tmp_path / "made")
    assert left(own_cache / "merged") == []
    assert left(tmp_path) == []
    assert same(model_folder(facts(recipe)), merge(recipe, tmp_path / "made"))


def test_who_merges_holds_a_lock_for_which_others_wait(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, seen = merging._run, []

    def look(made: Merge, places: list[Path], out: Path) -> None:
        with (out.parent / f"{out.name.removeprefix('.')}.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                seen.append("held")
        whole(made, places, out)

    monkeypatch.setattr(merging, "_run", look)
    model_folder(facts(mergers.recipe("ties", three)))
    assert seen == ["held"]


def test_a_model_that_changes_meanwhile_is_noticed(
    mine: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, whole = mergers.recipe("ties", mine), merging._run

    def meddle(made: Merge, places: list[Path], out: Path) -> None:
        whole(made, places, out)
        folders.edit_weights(mine / "two" / "model.safetensors", lambda tensors: tensors[folders.UP].mul_(2))

    monkeypatch.setattr(merging, "_run", meddle)
    known = facts(recipe)
    with pytest.raises(
        MergeError, match=rf"^{re.escape(known.source)}: a model changed while it was merged; try again.$"
    ):
        model_folder(known)
    assert left(own_cache / "merged") == []


def test_what_a_killed_merge_left_is_not_taken_and_goes(three: Path, own_cache: Path) -> None:
    known = facts(mergers.recipe("ties", three))
    folder = model_folder(known)
    partial = folder.rename(folder.with_name(f".{folder.name}"))
    (partial / "sources").mkdir()
    assert model_folder(known) == folder
    assert left(own_cache / "merged") == [folder.name]


# -- what a merge leaves alone --------------------------------------------------------------------------------------


def test_no_random_state_is_touched(three: Path, tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    def seed() -> None:
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)

    seed()
    expected = draw()
    seed()
    merge(mergers.recipe("dare_ties", three), tmp_path / "made", seed=11)
    assert draw() == expected


def test_mergekit_forgets_the_models_and_sets_up_no_logging(three: Path, tmp_path: Path) -> None:
    known, handlers = dict(LoaderCache.loaders), list(logging.getLogger().handlers)
    merge(mergers.recipe("ties", three), tmp_path / "made")
    assert dict(LoaderCache.loaders) == known
    assert logging.getLogger().handlers == handlers


def test_what_mergekit_warns_of_is_passed_on(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(*_: Any) -> None:
        logging.warning("careful")  # as mergekit does
        raise ValueError("no more")

    monkeypatch.setattr(merging, "_run", warn)
    with pytest.raises(MergeError):
        merge(mergers.recipe("ties", mine), tmp_path / "made")
    assert capsys.readouterr().err == "mergekit: careful\n"


def test_pickled_weights_beside_safetensors_are_never_seen(mine: Path, tmp_path: Path) -> None:
    (mine / "two" / "pytorch_model.bin").write_bytes(b"no pickle at all")
    (mine / "two" / "pytorch_model.bin.index.json").write_text("{}")
    (mine / "two" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}')
    recipe = mergers.recipe("ties", mine)
    made = merge(recipe, tmp_path / "made")
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.safetensors.index.json"):
        (mine / "two" / name).unlink()
    assert same(made, mergekits(recipe, tmp_path / "theirs"))


def test_folders_may_be_called_as_mergekit_calls_adapters_and_revisions(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRA_CACHE", str(tmp_path / "a+b@c"))
    shutil.copytree(three / "two", tmp_path / "two+three@main")
    recipe = mergers.recipe("ties", three)
    plain = merge(recipe, tmp_path / "plain")
    recipe["models"][1]["model"] = str(tmp_path / "two+three@main")
    assert same(model_folder(facts(recipe)), plain)


def test_one_folder_by_two_names_is_one_model(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three)
    recipe = {**mergers.recipe("ties", three), "base_model": "one"}
    assert model_folder(facts(recipe)) == model_folder(facts(mergers.recipe("ties", three)))


# -- merge(): a folder of the user's --------------------------------------------------------------------------------


def test_a_file_is_taken_as_it_is(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three)
    text = (
        "base_model: one\nmerge_method: nearswap\nmodels:\n  - model: two\nparameters:\n  t: 1e-1  # a text to YAML\n"
    )
    (tmp_path / "recipe.yml").write_text(text)
    made = orchestra.merge(tmp_path / "recipe.yml", tmp_path / "deep" / "made")
    assert same(made, merge(mergers.recipe("nearswap", three), tmp_path / "plain"))


def test_a_folder_that_is_there_is_refused_with_every_other_problem(three: Path, tmp_path: Path) -> None:
    recipe = {**mergers.recipe("ties", three), "dtype": "int8"}
    (tmp_path / "r.yml").write_text(json.dumps(recipe))
    told = [
        f'{tmp_path}/r.yml: dtype is "int8"; allowed: "float32", "bfloat16", "float16" or "float64".',
        f"{tmp_path}: is there already; name a folder that is not.",
    ]
    with pytest.raises(MergeError) as refused:
        merge(tmp_path / "r.yml", tmp_path)
    assert str(refused.value).splitlines() == told


def test_a_disk_that_refuses_is_told(three: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MergeError, match=rf"^{tmp_path}/file/made: cannot be written: Not a directory\.$"):
        merge(mergers.recipe("ties", three), tmp_path / "file" / "made")


def test_without_mergekit_the_extra_is_named(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "find_spec", lambda name: None)
    told = r"^merging needs mergekit: pip install 'orchestra-lm\[merge\]'\.$"
    with pytest.raises(MergeError, match=told):
        merge(mergers.recipe("ties", three), tmp_path / "made")
    with pytest.raises(MergeError, match=told):
        model_folder(facts(mergers.recipe("ties", three)))
