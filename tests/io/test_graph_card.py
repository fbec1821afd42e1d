from dataclasses import replace

import yaml

from orchestra.graph import Graph, Origin
from orchestra.io.graph_card import graph_card
from tests import papers
from tests.io.test_card import config

ANCHOR, KV = Origin(repo="acme/digits", commit="a" * 40), Origin(repo="acme/kv", commit="b" * 40)


def graph() -> Graph:
    """Two augments of one model on the Hub, one trained and one fresh."""
    content = papers.document(kv={}, more={"model": "kv"})
    found = papers.check({**content, "description": "Reads | keys."}, more=papers.KV)
    kv, more = (replace(node, facts=replace(node.facts, origin=KV)) for node in found.augments)
    anchor = replace(found.anchor, facts=replace(found.anchor.facts, origin=ANCHOR))
    (own, fresh) = found.stacks
    return replace(found, anchor=anchor, augments=(kv, more), stacks=(replace(own, bundle="/here/kv"), fresh))


def test_the_metadata_are_what_the_hub_reads() -> None:
    told = graph_card("acme/duo", graph(), {}, {})
    assert yaml.safe_load(told.split("---\n")[1]) == {
        "library_name": "orchestra",
        "pipeline_tag": "text-generation",
        "base_model": ["acme/digits", "acme/kv"],
        "tags": ["orchestra", "bridges", "model-composition"],
    }


def test_a_card_says_who_is_joined_and_on_which_terms() -> None:
    told = graph_card("acme/duo", graph(), {}, {"acme/digits": "mit", "acme/kv": None})
    assert "\n# duo\n\nReads \\| keys.\n\nThe frozen anchor **acme/digits** reads 2 frozen augments" in told
    assert "| anchor | acme/digits | `aaaaaaaaaaaa` | mit |  |" in told
    assert "| kv | acme/kv | `bbbbbbbbbbbb` | not stated | 1 |" in told
    assert "| more | acme/kv | `bbbbbbbbbbbb` | not stated | 1, untrained |" in told


def test_a_bundle_of_another_repository_is_named() -> None:
    found = graph()
    (own, fresh) = found.stacks
    own = replace(own, origin=Origin(repo="ann/digits-x-kv", commit="c" * 40))
    told = graph_card("acme/duo", replace(found, stacks=(own, fresh)), {}, {})
    assert "| 1 of ann/digits-x-kv |" in told


def test_recipes_and_scores_are_told_by_augment() -> None:
    found = graph()
    told = graph_card("acme/duo", found, {found.stacks[0]: config(recipe={"steps": 7}, scores={"accuracy": 0.5})}, {})
    assert "## kv: recipe\n\n| | |\n|---|---|\n| steps | 7 |\n" in told
    assert "## kv: scores\n\n| | |\n|---|---|\n| accuracy | 0.5 |\n" in told
