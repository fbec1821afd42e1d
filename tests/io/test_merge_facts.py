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
from tests import folders, mergers, tiny


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models that nobody changes."""
    folder = tmp_path_factory.mktemp("models")
    mergers.models(folder)
    return folder


@pytest.fixture
def base(models: Path, tmp_path: Path) -> Path:
    """Three models of the test's own: `one`, `two` and `three`."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    return tmp_path


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


def test_the_facts_of_a_merge_are_those_of_its_first_model(base: Path) -> None:
    known = facts(base, LINEAR)
    assert (known.model_type, known.num_layers, known.d_model, known.num_heads) == ("llama", 3, 28, 2)
    assert known.vocab_size == tiny.VOCAB
    assert known.tokenizer == tokenizer_fingerprint(base / "one")
    assert known.conversion == "mergekit@0.1"
    assert known.source.startswith("<linear of one, two, ")
    assert config_folder(known) == base / "one"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lost", "is 'lost', but there is no folder {base}/lost."),
        (
            "two+adapter",
            "is 'two+adapter', a model with an adapter; merge the adapter into its model, and name the folder.",
        ),
        ("two@main", "is 'two@main', which has a revision; this version merges local folders only, which have none."),
        ("m.gguf", ": {base}/m.gguf: is a GGUF file; mergekit merges folders of safetensors."),
        ("empty", ": {base}/empty: holds no config.json."),
        ("packed", ": {base}/packed: is quantized; mergekit merges plain weights."),
        ("nameless", ": {base}/nameless: its config has no 'architectures' of one name, by which mergekit merges."),
    ],
)
def test_a_model_that_cannot_be_merged_is_named_with_its_field(base: Path, name: str, told: str) -> None:
    (base / "m.gguf").touch()
    (base / "empty").mkdir()
    shutil.copytree(base / "two", base / "packed")
    folders.edit_json(base / "packed" / "config.json", quantization_config={"bits": 4})
    shutil.copytree(base / "two", base / "nameless")
    folders.edit_json(base / "nameless" / "config.json", architectures=None)
    line = told.format(base=base)
    assert problems(base, swap(name)) == [f"models.1.model{line}" if line[0] == ":" else f"models.1.model {line}"]


def test_a_revision_in_the_longer_form_is_refused_too(base: Path) -> None:
    long = {"model": {"path": "two", "revision": "main"}}
    told = (
        "models.1.model is 'two@main', which has a revision; this version merges local folders only, which have none."
    )
    assert problems(base, {**LINEAR, "models": [{"model": "one"}, {"model": long}]}) == [told]


def test_different_tokenizers_are_refused_unless_it_is_said_which(base: Path) -> None:
    folders.letters(base / "two")
    told = (
        "tokenizer_source is missing: one and two have different tokenizers; "
        "set it to 'union', 'base' or a model, or say whose tokenizer is kept."
    )
    assert problems(base, LINEAR) == [told]
    assert facts(base, LINEAR, tokenizer="two").tokenizer == tokenizer_fingerprint(base / "two")
    assert facts(base, {**LINEAR, "tokenizer_source": "base"}).tokenizer == tokenizer_fingerprint(base / "one")


def test_a_tokenizer_is_built_from_tokenizers_alone(base: Path) -> None:
    (base / "two" / "tokenizer.json").unlink()
    told = "models.1.model holds no tokenizer.json, from which the result's tokenizer is to be built."
    assert problems(base, {**LINEAR, "tokenizer_source": "union"}) == [told]
    assert problems(base, LINEAR) == []


def test_a_tokens_embedding_comes_from_a_model_that_is_merged(base: Path) -> None:
    recipe = {**LINEAR, "tokenizer": {"source": "one", "tokens": {"w1": {"source": "three"}}}}
    told = "tokenizer.tokens.w1.source is 'three', which is not one of the models that are merged."
    assert problems(base, recipe) == [told]


def test_a_chat_template_needs_a_tokenizer(base: Path) -> None:
    for name in ("one", "two"):
        (base / name / "tokenizer.json").unlink()
    told = "chat_template is for a tokenizer, but one holds no tokenizer.json."
    assert problems(base, {**LINEAR, "chat_template": "chatml"}) == [told]
    assert merge_facts(LINEAR, Places(folder=base)).tokenizer is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lost", "tokenizer is 'lost', but there is no folder {base}/lost."),
        ("bare", "tokenizer is 'bare', which holds no tokenizer.json."),
    ],
)
def test_the_tokenizer_that_is_kept_must_be_there(base: Path, name: str, told: str) -> None:
    (base / "bare").mkdir()
    assert problems(base, LINEAR, tokenizer=name) == [told.format(base=base)]


def test_the_fingerprint_is_of_the_recipe_and_the_weights_and_of_nothing_else(base: Path) -> None:
    first = weights_fingerprint(facts(base, LINEAR))
    shutil.copytree(base / "two", base / "elsewhere")
    folders.edit_json(base / "elsewhere" / "tokenizer_config.json", chat_template="{{ x }}")
    assert weights_fingerprint(facts(base, swap("elsewhere"))) == first
    assert weights_fingerprint(facts(base, {**LINEAR, "parameters": {"weight": 2}})) != first
    assert weights_fingerprint(facts(base, LINEAR, seed=1)) != first
    assert weights_fingerprint(facts(base, swap("three"))) != first
    assert weights_fingerprint(facts(base, {**LINEAR, "tokenizer_source": "union"})) != first
    folders.edit_weights(base / "two" / "model.safetensors", lambda tensors: tensors[folders.UP].mul_(2))
    assert weights_fingerprint(facts(base, LINEAR)) != first


def test_two_merges_of_a_graph_are_two_models_and_the_same_one_is_one(base: Path) -> None:
    ways = {"a": LINEAR, "b": LINEAR, "c": {**LINEAR, "merge_method": "karcher", "parameters": {}}}
    found = {name: facts(base, recipe).source for name, recipe in ways.items()}
    assert found["a"] == found["b"] != found["c"]


# -- in a graph -----------------------------------------------------------------------------------------------------


def test_every_problem_of_every_merge_comes_with_those_of_the_graph(base: Path) -> None:
    content = folders.document(kv={"model": {"merge": swap("lost", dtype="int8"), "tokenizer": "lost"}})
    content["anchor"]["model"] = {"merge": {"merge_method": "ties", "models": [{"model": "one"}]}}
    content["augments"]["tetum"] = {"model": "one", "into": ["nobody"]}
    path = folders.graph(base / "graph.json", content)
    with pytest.raises(GraphError) as refused:
        paper.plan(path)
    assert str(refused.value).splitlines() == [
        'augments.tetum.into names "nobody", which is no model of this graph; it has anchor, kv.',
        "anchor.model.merge.base_model is missing: ties needs one.",
        "anchor.model.merge.models.0.parameters has no 'weight', which ties needs for it, here or in 'parameters'.",
        'augments.kv.model.merge.dtype is "int8"; allowed: "float32", "bfloat16", "float16" or "float64".',
        f"augments.kv.model.merge.models.1.model is 'lost', but there is no folder {base}/lost.",
        f"augments.kv.model.tokenizer is 'lost', but there is no folder {base}/lost.",
    ]


def test_a_graph_knows_its_merges_on_paper(base: Path, own_cache: Path) -> None:
    stack = [{"sources": [{"model": name, "layer_range": [0, 2]}]} for name in ("one", "two")]
    recipe = {"merge_method": "passthrough", "slices": stack, "out_dtype": "bfloat16"}
    content = folders.document(kv={"model": {"merge": recipe}})
    content["anchor"]["model"] = {"merge": LINEAR}
    plan = paper.plan(folders.graph(base / "graph.json", content))
    node = plan.graph.augments[0]
    assert (node.facts.num_layers, node.reads, node.tokenizer) == (4, "ids", str(base / "one"))
    assert node.facts.weight_bytes == 2 * (node.facts.num_params or 0)
    assert str(plan) == "anchor 2 <- kv 3   (28 -> 28, 2 heads)"
    assert not (own_cache / "merged").exists()
    assert json.loads(json.dumps(node.facts.source)) == node.facts.source


def test_a_merge_that_is_in_memory_already_is_not_looked_at(base: Path) -> None:
    content = folders.document(kv={"model": {"merge": {"merge_method": "tees"}}})
    known = {"anchor": facts(base, LINEAR), "kv": facts(base, LINEAR)}
    assert paper.plan(content, known=known).graph.augments[0].facts == known["kv"]
