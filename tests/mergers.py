"""Tiny models to merge, and a recipe for every method."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import orchestra
from orchestra.merging.methods import METHODS
from tests import tiny

with warnings.catch_warnings():  # mergekit 0.1.5 reaches for numpy.core
    warnings.simplefilter("ignore", DeprecationWarning)
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache as LoaderCache
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "slerp": {"t": [{"filter": "self_attn", "value": [0, 0.5, 1]}, {"value": "5e-1"}]},
    "nearswap": {"t": 0.1},
    "nuslerp": {"nuslerp_flatten": False},
    "multislerp": {"eps": 1e-9},
    "karcher": {"max_iter": 7},
    "passthrough": {"scale": [{"filter": "down_proj", "value": 0.5}, {"value": 1.0}]},
    "ties": {"density": 0.4, "normalize": False, "int8_mask": True},
    "dare_linear": {"density": 0.6, "rescale": False},
    "dare_ties": {"density": 0.6},
    "breadcrumbs": {"density": 0.7, "gamma": 0.05, "lambda": 1.5},
    "breadcrumbs_ties": {"density": 0.7},
    "della": {"density": 0.5, "epsilon": 0.1},
    "della_linear": {"density": 0.5},
    "model_stock": {"filter_wise": True},
    "sce": {"select_topk": 0.3},
    "ram": {"epsilon": 0.01},
    "ramplus_tl": {"r": 0.2},
}


def recipe(method: str, base: Path, **more: Any) -> dict[str, Any]:
    """A recipe of a method for the models in a folder, `one` the base model where the method has one."""
    takes = METHODS[method]
    names = ["one", "two", "three"][: takes.models[1] or 3]
    weighted = "weight" in takes.parameters
    skipped = "one" if takes.base != "ignored" else ""
    listed: list[dict[str, Any]] = [{"model": str(base / name)} for name in names]
    for index, entry in enumerate(listed):
        if weighted and names[index] != skipped:
            entry["parameters"] = {"weight": 0.3 + 0.4 * index}
    found = {"merge_method": method, "models": listed, "parameters": dict(SETTINGS.get(method, {})), **more}
    return {**found, "base_model": str(base / "one")} if skipped else found


def weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder."""
    return load_file(folder / "model.safetensors")


def mergekits(recipe: Mapping[str, Any], out: Path, *, seed: int = 0) -> Path:
    """What mergekit itself makes of a recipe."""
    adapted = str(out.with_name(f"{out.name}-adapted"))
    options = MergeOptions(
        random_seed=seed, copy_tokenizer=False, write_model_card=False, quiet=True, lora_merge_cache=adapted
    )
    run_merge(MergeConfiguration.model_validate(recipe), str(out), options)
    return out


def same(one: Path, two: Path) -> bool:
    """Whether two folders hold the same weights, to the bit."""
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def ties(at: str = "acme/{}", **more: Any) -> dict[str, Any]:
    """A model that is a merge of the three, each named so; further fields stand beside the recipe."""
    listed = [
        {"model": at.format("two"), "parameters": {"weight": 0.5}},
        {"model": at.format("three"), "parameters": {"weight": 1}},
    ]
    return {"merge": {"merge_method": "ties", "base_model": at.format("one"), "models": listed}, **more}


def graph(anchor: Any, **kv: Any) -> dict[str, Any]:
    """A graph whose augment is that merge of repositories, unless it says otherwise."""
    kv = {"model": ties(), "bridges": {"pairs": tiny.PAIRS}, **kv}
    return {"format": "orchestra/graph@1", "anchor": {"model": anchor}, "augments": {"kv": kv}}


def said(composed: orchestra.ComposedModel) -> Tensor:
    """What a composition says of `tiny.tokens()`, its bridges made loud."""
    logits: Tensor = tiny.loud(composed)(tiny.tokens()).logits
    return logits
