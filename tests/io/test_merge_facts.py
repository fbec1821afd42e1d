import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestra import paper
from orchestra.errors import GraphError
from orchestra.graph import ModelFacts
from orchestra.io.facts import tokenizer_fingerprint
from orchestra.io.merge_facts import config_folder, merge_facts, weights_fingerprint
from orchestra.io.places import Places
from tests import folders, tiny

LINEAR: dict[str, Any] = {
    "merge_method": "linear",
    "models": [{"model": "one"}, {"model": "two"}],
    "parameters": {"weight": 1},
}


def problems(base: Path, recipe: dict[str, Any], **more: Any) -> list[str]:
    return merge_facts(recipe, Places(folder=base), **more).problems


def facts(base: Path, recipe: dict[str, Any], **more: Any) -> ModelFacts:
    found = merge_facts(recipe, Places(folder=base), **more)
    assert found.facts is not None, found.problems
    return found.facts


def swap(second: str, **more: Any) -> dict[str, Any]:
    return {**LINEAR, "models": [{"model": "one"}, {"model": second}], **more}


def test_the_facts_of_a_merge_are_those_of_its_first_model(mine: Path) -> None:
    known = facts(mine, LINEAR)
    assert (known.model_type, known.num_layers, known.d_model, known.num_heads) == ("llama", 3, 28, 2)
    assert known.vocab_size == tiny.VOCAB
    assert known.tokenizer == tokenizer_fingerprint(mine / "one")
    assert known.conversion == "mergekit@0.1"
    assert known.source.startswith("<linear of one, two, ")
    assert config_folder(known) == mine / "one"


def test_different_tokenizers_are_refused_unless_it_is_said_which(mine: Path) -> None:
    folders.letters(mine / "two")
    told = (
        "tokenizer_source is missing: one and two have different tokenizers; "
        "set it to 'union', 'base' or a model, or say whose tokenizer is kept."
    )
    assert problems(mine, LINEAR) == [told]
    assert facts(mine, LINEAR, tokenizer="two").tokenizer == tokenizer_fingerprint(mine / "two")
    assert facts(mine, {**LINEAR, "tokenizer_source": "base"}).tokenizer == tokenizer_fingerprint(mine / "one")


def test_a_tokenizer_is_built_from_tokenizers_alone(mine: Path) -> None:
    (mine / "two" / "tokenizer.json").unlink()
    told = "models.1.model holds no tokenizer.json, from which the result's tokenizer is to be built."
    assert problems(mine, {**LINEAR, "tokenizer_source": "union"}) == [told]
    assert problems(mine, LINEAR) == []


def test_a_tokens_embedding_comes_from_a_model_that_is_merged(mine: Path) -> None:
    recipe = {**LINEAR, "tokenizer": {"source": "one", "tokens": {"w1": {"source": "three"}}}}
    told = "tokenizer.tokens.w1.source is 'three', which is not one of the models that are merged."
    assert problems(mine, recipe) == [told]


def test_a_chat_template_needs_a_tokenizer(mine: Path) -> None:
    for name in ("one", "two"):
        (mine / name / "tokenizer.json").unlink()
    told = "chat_template is for a tokenizer, but one holds no tokenizer.json."
    assert problems(mine, {**LINEAR, "chat_template": "chatml"}) == [told]
    assert merge_facts(LINEAR, Places(folder=mine)).tokenizer is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lost", "tokenizer is 'lost', but there is no folder {mine}/lost."),
        ("bare", "tokenizer is 'bare', which holds no tokenizer.json."),
    ],
)
def test_the_tokenizer_that_is_kept_must_be_there(mine: Path, name: str, told: str) -> None:
    (mine / "bare").mkdir()
    assert problems(mine, LINEAR, tokenizer=name) == [told.format(mine=mine)]


def test_the_fingerprint_is_of_the_recipe_and_the_weights_and_of_nothing_else(mine: Path) -> None:
    first = weights_fingerprint(facts(mine, LINEAR))
    shutil.copytree(mine / "two", mine / "elsewhere")
    folders.edit_json(mine / "elsewhere" / "tokenizer_config.json", chat_template="{{ x }}")
    assert weights_fingerprint(facts(mine, swap("elsewhere"))) == first
    assert weights_fingerprint(facts(mine, {**LINEAR, "parameters": {"weight": 2}})) != first
    assert weights_fingerprint(facts(mine, LINEAR, seed=1)) != first
    assert weights_fingerprint(facts(mine, swap("three"))) != first
    assert weights_fingerprint(facts(mine, {**LINEAR, "tokenizer_source": "union"})) != first
    folders.edit_weights(mine / "two" / "model.safetensors", lambda tensors: tensors[folders.UP].mul_(2))
    assert weights_fingerprint(facts(mine, LINEAR)) != first


def test_an_adapter_is_part_of_what_is_made_and_what_it_is_called(mine: Path) -> None:
    for rank in (2, 3):
        folders.adapter(mine / f"lora-{rank}", mine / "two", rank=rank)
    plain, first, second = (facts(mine, swap(name)) for name in ("two", "two+lora-2", "two+lora-3"))
    assert len({weights_fingerprint(one) for one in (plain, first, second)}) == 3
    assert len({one.source for one in (plain, first, second)}) == 3
    assert first.source.startswith("<linear of one, two+lora-2, ")
    assert first.num_params == plain.num_params
    before = weights_fingerprint(second)
    folders.edit_json(mine / "lora-3" / "adapter_config.json", lora_alpha=7)
    assert weights_fingerprint(second) != before


def test_two_merges_of_a_graph_are_two_models_and_the_same_one_is_one(mine: Path) -> None:
    ways = {"a": LINEAR, "b": LINEAR, "c": {**LINEAR, "merge_method": "karcher", "parameters": {}}}
    found = {name: facts(mine, recipe).source for name, recipe in ways.items()}
    assert found["a"] == found["b"] != found["c"]


# -- in a graph -----------------------------------------------------------------------------------------------------


def test_every_problem_of_every_merge_comes_with_those_of_the_graph(mine: Path) -> None:
    content = folders.document(kv={"model": {"merge": swap("lost", dtype="int8"), "tokenizer": "lost"}})
    content["anchor"]["model"] = {"merge": {"merge_method": "ties", "models": [{"model": "one"}]}}
    content["augments"]["tetum"] = {"model": "one", "into": ["nobody"]}
    path = folders.graph(mine / "graph.json", content)
    with pytest.raises(GraphError) as refused:
        paper.plan(path)
    assert str(refused.value).splitlines() == [
        'augments.tetum.into names "nobody", which is no model of this graph; it has anchor, kv.',
        "anchor.model.merge.base_model is missing: ties needs one.",
        "anchor.model.merge.models.0.parameters has no 'weight', which ties needs for it, here or in 'parameters'.",
        'augments.kv.model.merge.dtype is "int8"; allowed: "float32", "bfloat16", "float16" or "float64".',
        f"augments.kv.model.merge.models.1.model is 'lost', but there is no folder {mine}/lost.",
        f"augments.kv.model.tokenizer is 'lost', but there is no folder {mine}/lost.",
    ]


def test_a_graph_knows_its_merges_on_paper(mine: Path, own_cache: Path) -> None:
    stack = [{"sources": [{"model": name, "layer_range": [0, 2]}]} for name in ("one", "two")]
    recipe = {"merge_method": "passthrough", "slices": stack, "out_dtype": "bfloat16"}
    content = folders.document(kv={"model": {"merge": recipe}})
    content["anchor"]["model"] = {"merge": LINEAR}
    plan = paper.plan(folders.graph(mine / "graph.json", content))
    node = plan.graph.augments[0]
    assert (node.facts.num_layers, node.reads, node.tokenizer) == (4, "ids", str(mine / "one"))
    assert node.facts.weight_bytes == 2 * (node.facts.num_params or 0)
    assert str(plan) == "anchor 2 <- kv 3   (28 -> 28, 2 heads)"
    assert not (own_cache / "merged").exists()
    assert json.loads(json.dumps(node.facts.source)) == node.facts.source


def test_a_merge_that_is_in_memory_already_is_not_looked_at(mine: Path) -> None:
    content = folders.document(kv={"model": {"merge": {"merge_method": "tees"}}})
    known = {"anchor": facts(mine, LINEAR), "kv": facts(mine, LINEAR)}
    assert paper.plan(content, known=known).graph.augments[0].facts == known["kv"]
