import json
import re

import pytest
import yaml
from huggingface_hub import ModelCard

from orchestra import spec
from orchestra.graph import Site
from orchestra.io.bundle import BundleConfig, Identity, bundle_sites
from orchestra.io.card import card, text


def config(*, augment: str = "kv", **more: object) -> BundleConfig:
    anchor = Identity(
        name="digits", fingerprint="a" * 64, model_type="llama", num_layers=3, d_model=14, num_heads=7, vocab_size=97
    )
    site = Site(augment="kv", augment_layer=4, anchor_layer=1, d_augment=14, d_anchor=14, num_heads=7)
    return BundleConfig.model_validate(
        {
            "anchor": anchor,
            "augment": anchor.model_copy(update={"name": augment, "fingerprint": "b" * 64}),
            "sites": bundle_sites([site]),
            "weights_sha256": "c" * 64,
            **more,
        }
    )


def test_the_metadata_are_what_the_hub_reads() -> None:
    metadata = yaml.safe_load(card(config(), 5).split("---\n")[1])
    assert metadata == {"library_name": "orchestra", "tags": ["orchestra", "bridges", "model-composition"]}
    assert ModelCard(card(config(), 5)).data.get("library_name") == "orchestra"


def test_a_card_says_what_it_joins() -> None:
    told = card(config(), 12345)
    assert "# digits x kv\n" in told
    assert "A stack of 1 bridge (12,345 parameters) that lets the anchor **digits** read the augment **kv**." in told
    assert "| 4 | 1 | 7 | scalar | rotary | orchestra |" in told
    assert "| num_layers | 3 | 3 |" in told
    assert "| weights (SHA-256) | `aaaaaaaaaaaaaaaa` | `bbbbbbbbbbbbbbbb` |" in told
    assert "Recipe" not in told
    assert "Scores" not in told


def test_a_card_says_which_bundles_fed_the_augment() -> None:
    assert "fed by" not in card(config(), 5)
    own = config().augment.model_copy(update={"fed": ("d" * 64, "e" * 64)})
    assert "| fed by bundles (SHA-256) | | `dddddddddddddddd`, `eeeeeeeeeeeeeeee` |" in card(
        config().model_copy(update={"augment": own}), 5
    )


def snippet(told: str) -> object:
    found = re.search("```json\n(.*?)\n```", told, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_card_says_which_tokenizers_a_stream_leads_between_and_by_which_template() -> None:
    plain = config().model_copy(update={"anchor": config().anchor.model_copy(update={"tokenizer": "a" * 64})})
    assert "okenizer" not in card(plain, 5)
    fields = {"tokenizer": "b" * 64, "template": {"<s>": "\n"}, "tail": "provisional"}
    own = plain.augment.model_copy(update=fields)
    told = card(plain.model_copy(update={"augment": own}), 5)
    assert "| tokenizer (SHA-256) | `aaaaaaaaaaaaaaaa` | `bbbbbbbbbbbbbbbb` |" in told
    assert "| template | none | {" in told
    assert spec.parse(snippet(told)).augments["kv"].template == {"<s>": "\n"}
    assert spec.parse(snippet(told)).augments["kv"].tail == "provisional"


@pytest.mark.parametrize(
    ("name", "augment"),
    [("kv", "kv"), ("Kv Table/2", "kv-table-2"), ("7b", "augment"), ("名", "augment"), ("anchor", "augment")],
)
def test_the_graph_in_a_card_is_one(name: str, augment: str) -> None:
    graph = spec.parse(snippet(card(config(augment=name), 5)))
    assert list(graph.augments) == [augment]
    assert graph.augments[augment].model == f"path/to/{name}"
    assert graph.augments[augment].bridges == "path/to/this/folder"


def test_nested_values_become_rows_with_dotted_names() -> None:
    recipe = {"optimizer": {"name": "adamw", "betas": [0.9, 0.999], "at": {"step": 3}}, "bf16": True, "none": {}}
    told = card(config(recipe=recipe, scores={"kv|on": 0.912}), 5)
    rows = told.split("## Recipe")[1].splitlines()
    assert rows[4:9] == [
        "| optimizer.name | adamw |",
        "| optimizer.betas | \\[0.9, 0.999\\] |",
        "| optimizer.at.step | 3 |",
        "| bf16 | true |",
        "| none | {} |",
    ]
    assert "## Scores\n\n| | |\n|---|---|\n| kv\\|on | 0.912 |\n" in told


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("plain-name_with 3.5", "plain-name_with 3.5"),
        ("a|b", r"a\|b"),
        ("_a_ *b* `c`", r"\_a\_ \*b\* \`c\`"),
        ("[link](http)", r"\[link\](http)"),
        ("<script>&amp;", r"\<script\>\&amp;"),
        ("back\\slash", r"back\\slash"),
        ("two\n---\nlines\t", "two --- lines"),
    ],
)
def test_nothing_in_a_name_is_taken_for_markup(words: str, shown: str) -> None:
    assert text(words) == shown


def test_a_name_cannot_break_out_of_its_place() -> None:
    told = card(config(augment="x\n---\n# Owned | `y` ```"), 5)
    assert yaml.safe_load(told.split("---\n")[1])["library_name"] == "orchestra"
    assert [line for line in told.splitlines() if line.startswith("# ")] == [
        r"# digits x x --- \# Owned \| \`y\` \`\`\`"
    ]
