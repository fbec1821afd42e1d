from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from orchestra.merging.check import check
from orchestra.merging.document import structure
from orchestra.merging.groups import SourceFacts
from tests.merging.papers import SLERP, SOURCES, STACK, TIES, models, pieces, source


def problems(
    recipe: Mapping[str, Any], sources: Mapping[str, SourceFacts] = SOURCES, *, tokenizer: str | None = None
) -> list[str]:
    return [*structure(recipe), *check(recipe, sources, tokenizer=tokenizer)]


@pytest.mark.parametrize(
    "recipe",
    [
        TIES,
        SLERP,
        STACK,
        {**TIES, "models": models("two", weight=1)},
        {"merge_method": "linear", "models": models("one", "two"), "parameters": {"weight": 1}},
        {**TIES, "models": None, "modules": {"default": {"models": models("two", weight="1e-1")}}},
        {**TIES, "tokenizer": {"source": "union", "tokens": {"w1": {"source": {"kind": "zero"}}}}},
        {**TIES, "tokenizer_source": "base", "chat_template": "chatml"},
        {**TIES, "base_model": {"model": {"path": "one"}}, "dtype": "bfloat16"},
        {**SLERP, "models": None, "slices": [{**pieces(("one", 0, 2), ("two", 1, 3)), "parameters": {"t": [0, 1]}}]},
        {**SLERP, "parameters": {"t": [{"filter": "lm_head", "value": 0.1}, {"filter": "*", "value": [0, 1]}]}},
        {"merge_method": "karcher", "models": models("one", "two"), "parameters": {"max_iter": 3}},
        {"merge_method": "della", "base_model": "one", "models": models("two", weight=1, density=[0.3, 0.7])},
    ],
)
def test_a_recipe_that_mergekit_takes_has_no_problems(recipe: dict[str, Any]) -> None:
    assert problems(recipe) == []


def test_a_filter_is_not_judged_by_the_tensors_of_models_that_nobody_knows() -> None:
    recipe = {**SLERP, "parameters": {"t": [{"filter": "self_atn", "value": 0.1}, {"value": 1}]}}
    assert problems(recipe, {}) == []


LINEAR = {"merge_method": "linear"}
NAMES = (
    '"linear", "slerp", "nuslerp", "multislerp", "karcher", "nearswap", "passthrough", "task_arithmetic", "ties", '
    '"dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "model_stock", "sce", '
    '"arcee_fusion", "ram" or "ramplus_tl"'
)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "a method that is none": ({**TIES, "merge_method": "tees"}, {}, [f'merge_method is "tees"; allowed: {NAMES}.']),
    "no method": ({"models": models("one")}, {}, ["merge_method is missing: one of mergekit's methods."]),
    "a field that is none": (
        {**TIES, "paramters": {}},
        {},
        ["paramters is an unknown field; did you mean 'parameters'?"],
    ),
    "a dtype that is none": (
        {**TIES, "dtype": "int8"},
        {},
        ['dtype is "int8"; allowed: "float32", "bfloat16", "float16" or "float64".'],
    ),
    "a field that mergekit reads and never uses": (
        {**STACK, "slices": [{**pieces(("one", 0, 3)), "residual_weight": 0.5}]},
        {},
        ["slices.0.residual_weight is an unknown field; allowed here: sources, base_model, parameters."],
    ),
    "a model that is no name": (
        {**TIES, "models": [{"model": 3}, "two"]},
        {},
        ["models.0.model is 3; allowed: a text, or an object.", 'models.1 is "two"; allowed: an object.'],
    ),
    "layers that are no stretch": (
        {
            **STACK,
            "slices": [
                pieces(("one", 0, 3)),
                pieces(("two", 3, 1)),
                {"sources": [{"model": "two", "layer_range": [1]}]},
                {"sources": [{"model": "two", "layer_range": [-1, 2]}]},
                {"sources": [{"model": "two"}]},
            ],
        },
        {},
        [
            "slices.1.sources.0.layer_range: takes two layers, the first and the one after the last.",
            "slices.2.sources.0.layer_range: takes two layers, the first and the one after the last.",
            "slices.3.sources.0.layer_range.0 is -1; allowed: a whole number from 0.",
            "slices.4.sources.0.layer_range is missing: the first layer, and the one after the last.",
        ],
    ),
    "nothing to merge": (
        {"merge_method": "linear", "parameters": {"weight": 1}},
        {},
        ["models is missing: a recipe names what it merges in 'models', 'slices' or 'modules'."],
    ),
    "models and slices": (
        {**STACK, **LINEAR, "models": models("one"), "parameters": {"weight": 1}},
        {},
        ["models excludes slices: give one of them."],
    ),
    "an empty list": ({**TIES, "models": []}, {}, ["models is []; allowed: at least one entry."]),
    "a module of another kind of model": (
        {**LINEAR, "modules": {"text": {"models": models("one")}}, "parameters": {"weight": 1}},
        {},
        ['modules has the name "text"; allowed: "default".'],
    ),
    "a module of nothing": (
        {**LINEAR, "modules": {"default": {}}, "parameters": {"weight": 1}},
        {},
        ["modules.default needs 'models' or 'slices', one of them."],
    ),
    "two ways to say the tokenizer": (
        {**TIES, "tokenizer_source": "base", "tokenizer": {"source": "union"}},
        {},
        ["tokenizer excludes tokenizer_source: give one of them."],
    ),
    "a chat template that is none": (
        {**TIES, "chat_template": "chatlm"},
        {},
        [
            (
                "chat_template is 'chatlm'; allowed: 'auto', 'alpaca', 'chatml', 'exaone', 'llama3', 'mistral', or a "
                "template."
            )
        ],
    ),
    "a tokenizer's fields": (
        {**TIES, "tokenizer": {"sorce": "base", "pad_to_multiple_of": 0, "tokens": {"w": {"source": {"kind": "one"}}}}},
        {},
        [
            'tokenizer.tokens.w.source.kind is "one"; allowed: "zero" or "model_token".',
            "tokenizer.pad_to_multiple_of is 0; allowed: a whole number above 0.",
            "tokenizer.sorce is an unknown field; did you mean 'source'?",
        ],
    ),
    "no base model": (
        {"merge_method": "ties", "models": models("two", "three", weight=1)},
        {},
        ["base_model is missing: ties needs one."],
    ),
    "a slice without the base model": (
        {**SLERP, "models": None, "slices": [pieces(("two", 0, 2), ("three", 0, 2))]},
        {},
        ["slices.0.sources has no base model among it; slerp needs 'one' there."],
    ),
    "too many models": (
        {**SLERP, "models": models("one", "two", "three")},
        {},
        ["models has 3; slerp merges 2, the base model among them."],
    ),
    "too few models": (
        {**SLERP, "models": models("one")},
        {},
        ["models has 1; slerp merges 2, the base model among them."],
    ),
    "too few models with the base": (
        {"merge_method": "model_stock", "base_model": "one", "models": models("two")},
        {},
        ["models with base_model has 2; model_stock merges at least 3, the base model among them."],
    ),
    "too few models beside the base": (
        {"merge_method": "nuslerp", "base_model": "one", "models": models("two", weight=1)},
        {},
        ["models with base_model has 1; nuslerp merges 2 beside the base model."],
    ),
    "too many models beside the base": (
        {"merge_method": "nuslerp", "models": models("one", "two", "three"), "parameters": {"weight": 1}},
        {},
        ["models has 3; nuslerp merges 2 beside the base model."],
    ),
    "two models to pass through": (
        {"merge_method": "passthrough", "models": models("one", "two")},
        {},
        ["models has 2; passthrough merges 1."],
    ),
    "a model twice": (
        {**TIES, "models": models("two", "two", weight=1)},
        {},
        ["models.1.model is 'two' again; models.0.model is it already."],
    ),
    "a base model that is merged as any other": (
        {**LINEAR, "base_model": "one", "models": models("two", weight=1)},
        {},
        ["base_model has no 'weight': linear merges it as any other model; list it among them with one."],
    ),
    "parameters of other methods": (
        {**TIES, "parameters": {"densty": 0.5, "epsilon": 0.1, "whatever": 1}},
        {},
        [
            "parameters.densty is an unknown parameter; did you mean 'density'?",
            (
                "parameters.epsilon is an unknown parameter; ties has int8_mask, normalize, rescale, lambda, weight, "
                "density."
            ),
            (
                "parameters.whatever is an unknown parameter; ties has int8_mask, normalize, rescale, lambda, "
                "weight, density."
            ),
        ],
    ),
    "a parameter where there is none": (
        {"merge_method": "arcee_fusion", "base_model": "one", "models": models("two"), "parameters": {"t": 1}},
        {},
        ["parameters.t is an unknown parameter; arcee_fusion has none."],
    ),
    "a parameter in the wrong place": (
        {**TIES, "models": [{"model": "two", "parameters": {"weight": 1, "normalize": True}}]},
        {},
        ["models.0.parameters.normalize is said of one model, but ties has one for all: say it in 'parameters'."],
    ),
    "a parameter of the base model": (
        {**TIES, "models": [{"model": "one", "parameters": {"weight": 1}}, *models("two", weight=1)]},
        {},
        ["models.0.parameters.weight is said of the base model, of which ties reads none: drop it."],
    ),
    "values of the wrong type": (
        {**TIES, "parameters": {"normalize": "yes", "density": [0.1, "x"], "lambda": True, "int8_mask": 1}},
        {},
        [
            'parameters.normalize is "yes"; allowed: true or false, a list of these, or a list of {filter, value}.',
            'parameters.density is [0.1, "x"]; allowed: a number, a list of numbers, or a list of {filter, value}.',
            "parameters.lambda is true; allowed: a number, a list of numbers, or a list of {filter, value}.",
            "parameters.int8_mask is 1; allowed: true or false, a list of these, or a list of {filter, value}.",
        ],
    ),
    "a gradient of whole numbers": (
        {"merge_method": "karcher", "models": models("one", "two"), "parameters": {"max_iter": [1, 2], "tol": None}},
        {},
        [
            "parameters.max_iter is [1, 2]; allowed: a whole number.",
            "parameters.tol is null; allowed: a number, a list of numbers, or a list of {filter, value}.",
        ],
    ),
    "a condition that is none": (
        {**SLERP, "parameters": {"t": [{"filter": "self_atn", "value": 0.1}, {"valu": 1}]}},
        {},
        [
            (
                'parameters.t is [{"filter": "self_atn", "value": 0.1}, {"valu": 1}]; allowed: a number, a list of '
                "numbers, or a list of {filter, value}."
            )
        ],
    ),
    "a filter that passes nothing": (
        {**SLERP, "parameters": {"t": [{"filter": "self_atn", "value": [0, 1]}, {"value": 1}]}},
        {},
        ['parameters.t.0.filter is "self_atn", but no tensor has that in its name.'],
    ),
    "a tensor without a value": (
        {**SLERP, "parameters": {"t": [{"filter": "self_attn", "value": 0.1}, {"filter": "mlp", "value": 1}]}},
        {},
        ["parameters.t says nothing of model.embed_tokens.weight; end it with a value without a filter."],
    ),
    "a model without its parameter": (
        {**TIES, "models": models("one", "two")},
        {},
        ["models.1.parameters has no 'weight', which ties needs for it, here or in 'parameters'."],
    ),
    "no value at all": ({**SLERP, "parameters": {}}, {}, ["parameters has no 't', which slerp needs."]),
    "chances below nothing": (
        {**TIES, "merge_method": "della", "parameters": {"density": 0.1}},
        {},
        [
            (
                "models.1: density is 0.1 and epsilon 0.15; della needs density - epsilon above 0 and density + "
                "epsilon below 1."
            )
        ],
    ),
    "chances above one": (
        {**TIES, "merge_method": "della_linear", "parameters": {"density": [0.5, 0.8], "epsilon": 0.3}},
        {},
        [
            (
                "models.1: density is 0.8 and epsilon 0.3; della_linear needs density - epsilon above 0 and density "
                "+ epsilon below 1."
            )
        ],
    ),
    "layers past the end": (
        {**STACK, "slices": [pieces(("one", 0, 4)), pieces(("two", 2, 9))]},
        {},
        [
            "slices.0.sources.0.layer_range is [0, 4], but one has 3 layers: it ends at 3 at the latest.",
            "slices.1.sources.0.layer_range is [2, 9], but two has 3 layers: it ends at 3 at the latest.",
        ],
    ),
    "stretches that differ": (
        {**SLERP, "models": None, "slices": [pieces(("one", 0, 2), ("two", 0, 3))]},
        {},
        ["slices.0.sources.1 has 3 layers, but slices.0.sources.0 has 2 layers."],
    ),
    "models that differ in depth": (
        TIES,
        {"sources": {**SOURCES, "two": source("two", layers=5)}},
        ["models.1 has 5 layers, but models.0 has 3 layers; 'slices' may take a part of each."],
    ),
    "another architecture": (
        TIES,
        {"sources": {**SOURCES, "two": source("two", architecture="Qwen3ForCausalLM")}},
        [
            (
                "models.1.model is a Qwen3ForCausalLM, but base_model is a LlamaForCausalLM: models of one "
                "architecture are merged."
            )
        ],
    ),
    "another width": (
        TIES,
        {"sources": {**SOURCES, "two": source("two", width=26)}},
        [
            "models.1.model has model.norm.weight of shape [26], but base_model of [22].",
            "models.1.model has model.layers.#.self_attn.q_proj.weight of shape [26, 13], but base_model of [22, 13].",
            "models.1.model has model.layers.#.mlp.up_proj.weight of shape [26, 13], but base_model of [22, 13].",
        ],
    ),
    "many other tensors": (
        TIES,
        {"sources": {**SOURCES, "two": source("two", shapes={"a": (3,), "b": (5,)})}},
        [
            "models.1.model has no model.norm.weight, which base_model has.",
            "models.1.model has no model.layers.#.self_attn.q_proj.weight, which base_model has.",
            "models.1.model has no model.layers.#.mlp.up_proj.weight, which base_model has.",
            "models.1.model differs from base_model in 2 more.",
        ],
    ),
    "kinds of layers that change places": (
        {**STACK, "slices": [pieces(("one", 0, 1)), pieces(("two", 0, 2))]},
        {
            "sources": {
                name: source(name, config={"text_config": {"layer_types": ["full", "sliding", "full"]}})
                for name in SOURCES
            }
        },
        [
            "slices.1.sources puts layer 0 of two, full, where the config of one has sliding: mergekit keeps the "
            "config's list of kinds (layer_types).",
            "slices.1.sources puts layer 1 of two, sliding, where the config of one has full: mergekit keeps the "
            "config's list of kinds (layer_types).",
        ],
    ),
    "one condition": (
        {**SLERP, "parameters": {"t": {"filter": "self_atn", "value": 0.1}}},
        {},
        [
            'parameters.t.filter is "self_atn", but no tensor has that in its name.',
            "parameters.t says nothing of model.embed_tokens.weight; end it with a value without a filter.",
        ],
    ),
    "conditions in a condition": (
        {**SLERP, "parameters": {"t": [{"value": [{"value": 1}]}]}},
        {},
        [
            'parameters.t is [{"value": [{"value": 1}]}]; allowed: a number, a list of numbers, '
            "or a list of {filter, value}."
        ],
    ),
    "chances that are no numbers": (
        {**TIES, "merge_method": "della", "parameters": {"density": ["x", 0.5], "epsilon": 0.6}},
        {},
        [
            'parameters.density is ["x", 0.5]; allowed: a number, a list of numbers, or a list of {filter, value}.',
            "models.1: density is 0.5 and epsilon 0.6; della needs density - epsilon above 0 and density + epsilon "
            "below 1.",
        ],
    ),
    "another vocabulary": (
        TIES,
        {"sources": {**SOURCES, "two": source("two", vocab=101)}},
        [
            (
                "models.1.model has 101 tokens, but base_model has 97: set 'tokenizer_source' to 'union', 'base' or "
                "a model."
            )
        ],
    ),
    "another vocabulary, aligned": (
        {**TIES, "tokenizer_source": "union"},
        {"sources": {**SOURCES, "two": source("two", vocab=101)}},
        [],
    ),
    "other tensors": (
        TIES,
        {
            "sources": {
                **SOURCES,
                "two": source(
                    "two",
                    shapes={k: v for k, v in source("two").shapes.items() if "norm" not in k}
                    | {"lm_head.weight": (97, 22), "extra": (3,)},
                ),
            }
        },
        [
            "models.1.model has no model.norm.weight, which base_model has.",
            "models.1.model has extra, which base_model has not.",
        ],
    ),
    "kinds of layers": (
        STACK,
        {"sources": {n: source(n, config={"layer_types": ["full", "sliding", "full"]}) for n in SOURCES}},
        [
            (
                "slices give 5 layers, but the config of one lists the kinds of 3 (layer_types), and mergekit keeps "
                "that list: give as many."
            )
        ],
    ),
    "a tokenizer that is both kept and changed": (
        {**TIES, "tokenizer_source": "base", "chat_template": "auto"},
        {"tokenizer": "words"},
        [
            "tokenizer_source changes the tokenizer, but the one in 'words' is to be kept: drop one of them.",
            "chat_template changes the tokenizer, but the one in 'words' is to be kept: drop one of them.",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_misuse_is_told_where_and_what_is_allowed(case: str) -> None:
    recipe, more, told = CASES[case]
    assert problems(recipe, **more) == told


def test_all_problems_of_a_recipe_come_at_once() -> None:
    recipe = {
        "merge_method": "ties",
        "models": [
            {"model": "two", "parameters": {"weight": "heavy", "densty": 1}},
            {"model": "three", "parameters": {"weight": 1}, "layer_range": [0, 3]},
        ],
        "parameters": {"normalize": 1},
        "dtype": "int8",
        "chat_template": "chatlm",
    }
    sources = {**SOURCES, "three": source("three", architecture="Qwen3ForCausalLM", layers=5)}
    assert problems(recipe, sources) == [
        "models.1.layer_range is an unknown field; allowed here: model, parameters.",
        'dtype is "int8"; allowed: "float32", "bfloat16", "float16" or "float64".',
        "chat_template is 'chatlm'; allowed: 'auto', 'alpaca', 'chatml', 'exaone', 'llama3', 'mistral', or a template.",
        "base_model is missing: ties needs one.",
        "parameters.normalize is 1; allowed: true or false, a list of these, or a list of {filter, value}.",
        'models.0.parameters.weight is "heavy"; allowed: a number, a list of numbers, or a list of {filter, value}.',
        "models.0.parameters.densty is an unknown parameter; did you mean 'density'?",
        "models.1 has 5 layers, but models.0 has 3 layers; 'slices' may take a part of each.",
        "models.1.model is a Qwen3ForCausalLM, but models.0.model is a LlamaForCausalLM: models of one architecture "
        "are merged.",
    ]


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"models": 3, "slices": "x", "parameters": [], "modules": []},
        {"merge_method": [], "models": [None, 3, {"model": {"model": 3}}], "tokenizer": 3, "base_model": {}},
        {"merge_method": "ties", "slices": [3, {"sources": 3}, {"sources": [3, {"model": "one", "layer_range": "x"}]}]},
        {"merge_method": "slerp", "models": models("one", "nowhere"), "parameters": {"t": [[1]]}},
        {"merge_method": "ties", "modules": {"default": 3}, "tokenizer": {"tokens": 3}},
    ],
)
def test_nonsense_is_told_and_never_a_crash(recipe: dict[str, Any]) -> None:
    assert problems(recipe)


@pytest.mark.parametrize("depth", [300, 3000])
def test_a_recipe_that_is_nested_deeply_is_told_and_never_a_crash(depth: int) -> None:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    assert problems({**TIES, "models": nested})
    assert ("the recipe is nested too deeply." in structure({"models": nested})) is (depth == 3000)


def test_a_recipe_that_is_no_json_is_told() -> None:
    told = "the recipe is not JSON: Object of type date is not JSON serializable."
    assert structure({"merge_method": date(2024, 1, 4)}) == [told]
