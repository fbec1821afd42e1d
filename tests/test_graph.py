"""Which graphs can exist, and what is said of those that cannot."""

from dataclasses import replace
from typing import Any

import pytest

from orchestra import checking
from orchestra import spec as specs
from orchestra.errors import GraphError
from orchestra.graph import ALIGNMENT_VERSION, BundleFacts, Facts, Feed, Site
from tests.papers import DIGITS, KV, MODELS, check, document, pair


def told(content: dict[str, Any], **models: Any) -> list[str]:
    with pytest.raises(GraphError) as caught:
        check(content, **models)
    return str(caught.value).splitlines()


def places(content: dict[str, Any], **models: Any) -> list[tuple[Any, str, int]]:
    return [(site.anchor_layer, site.augment, site.augment_layer) for site in check(content, **models).sites]


# -- placing ---------------------------------------------------------------------------------------------------------


def test_without_a_word_every_fourth_augment_layer_is_tapped_evenly_over_the_anchor() -> None:
    deep = replace(KV, num_layers=12), replace(DIGITS, num_layers=6)
    assert places(document(), kv=deep[0], anchor=deep[1]) == [(1, "kv", 3), (3, "kv", 7), (5, "kv", 11)]


def test_every_says_how_many_layers_are_tapped() -> None:
    assert places(document(kv={"bridges": {"every": 1}})) == [(1, "kv", 0), (3, "kv", 1), (4, "kv", 2)]


def test_an_augment_shallower_than_every_is_tapped_once_at_its_top() -> None:
    assert places(document(kv={"bridges": {"every": 100}})) == [(4, "kv", 2)]


def test_more_taps_than_anchor_layers_share_layers() -> None:
    shallow = replace(DIGITS, num_layers=2)
    assert places(document(kv={"bridges": {"every": 1}}), anchor=shallow) == [(0, "kv", 0), (1, "kv", 1), (1, "kv", 2)]


def test_pairs_are_taken_as_they_are_named() -> None:
    content = document(kv={"bridges": {"pairs": [pair(2, 1), pair(0, "embedding")]}})
    assert places(content) == [("embedding", "kv", 0), (1, "kv", 2)]


def test_sites_are_sorted_along_the_anchor_then_by_augment_and_its_layer_whatever_the_document_says() -> None:
    fields = {"bridges": {"pairs": [pair(2, 3), pair(1, 3), pair(0, "embedding"), pair(1, 0)]}}
    expected = [
        ("embedding", "kv", 0),
        ("embedding", "tetum", 0),
        (0, "kv", 1),
        (0, "tetum", 1),
        (3, "kv", 1),
        (3, "kv", 2),
        (3, "tetum", 1),
        (3, "tetum", 2),
    ]
    assert places(document(kv=fields, tetum=fields)) == places(document(tetum=fields, kv=fields)) == expected
    assert check(document(kv=fields, tetum=fields)) == check(document(tetum=fields, kv=fields))


@pytest.mark.parametrize(
    ("recipe", "heads", "gate", "positions", "variant"),
    [
        ({}, 11, "scalar", "rotary", "orchestra"),
        ({"heads": 1, "gate": "token", "positions": "none"}, 1, "token", "none", "orchestra"),
        ({"variant": "calm"}, 11, "none", "none", "calm"),
    ],
)
def test_a_site_takes_its_form_from_the_recipe_and_its_widths_from_the_models(
    recipe: dict[str, Any], heads: int, gate: Any, positions: Any, variant: Any
) -> None:
    (site,) = check(document(kv={"bridges": {"pairs": [pair(1, 3)], **recipe}})).sites
    assert site == Site(
        augment="kv",
        augment_layer=1,
        anchor_layer=3,
        d_augment=14,
        d_anchor=22,
        num_heads=heads,
        gate=gate,
        positions=positions,
        variant=variant,
    )
    assert str(site) == f"anchor 3 <- kv 1   (14 -> 22, {heads} heads)"
    assert site.key == "anchor_3_from_1"


def test_a_node_holds_what_the_document_says_of_its_model() -> None:
    content = document(
        kv={"enabled": False, "dtype": "bfloat16", "device": "cuda:1", "bridges": {"seed": 7}}, tetum={"bridges": "b"}
    )
    content["anchor"]["dtype"] = "float16"
    bundle = BundleFacts(source="/b", sites=(tetum_site(),), alignment_version=ALIGNMENT_VERSION)
    graph = checking.check(specs.parse(content), Facts(models=MODELS, bundles={"tetum": bundle}))
    kv, tetum = graph.augments
    assert (kv.name, kv.enabled, kv.dtype, kv.device) == ("kv", False, "bfloat16", "cuda:1")
    assert (tetum.enabled, tetum.dtype, tetum.device) == (True, "auto", "auto")
    assert graph.stacks == (
        Feed(augment="kv", into="anchor", field="augments.kv.bridges", seed=7),
        Feed(augment="tetum", into="anchor", field="augments.tetum.bridges", bundle="/b"),
    )
    assert (graph.anchor.name, graph.anchor.dtype, graph.anchor.facts) == ("anchor", "float16", DIGITS)
    assert [site.augment for site in graph.sites] == ["tetum", "kv"]


def test_the_wiring_has_an_edge_per_site_from_augment_to_anchor() -> None:
    wires = check(document(kv={"bridges": {"every": 1}}, tetum={})).wiring()
    assert sorted(wires.nodes) == ["anchor", "kv", "tetum"]
    assert sorted(wires.edges(keys=True)) == [
        ("kv", "anchor", "anchor_1_from_0"),
        ("kv", "anchor", "anchor_3_from_1"),
        ("kv", "anchor", "anchor_4_from_2"),
        ("tetum", "anchor", "anchor_4_from_6"),
    ]


# -- what cannot exist -----------------------------------------------------------------------------------------------


def test_a_layer_past_the_end_is_named_with_the_range() -> None:
    assert told(document(kv={"bridges": {"pairs": [pair(2, 4), pair(3, 5)]}})) == [
        "augments.kv.bridges.pairs.1.augment_layer is 3, but kv has 3 layers, numbered 0 to 2.",
        "augments.kv.bridges.pairs.1.anchor_layer is 5, but the anchor has 5 layers, numbered 0 to 4.",
    ]


def test_a_layer_past_the_end_of_a_single_layer_is_said_in_the_singular() -> None:
    single = replace(KV, num_layers=1)
    assert told(document(kv={"bridges": {"pairs": [pair(1, 0)]}}), kv=single) == [
        "augments.kv.bridges.pairs.0.augment_layer is 1, but kv has 1 layer, number 0."
    ]


def test_two_bridges_on_one_pair_are_refused_with_both_named() -> None:
    assert told(document(kv={"bridges": {"pairs": [pair(1, 0), pair(2, 0), pair(1, 0)]}})) == [
        "augments.kv.bridges.pairs.2 joins augment layer 1 to anchor layer 0 again; "
        "augments.kv.bridges.pairs.0 does so already."
    ]


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        ({"heads": 3}, "augments.kv.bridges.heads is 3, which does not divide the anchor's width 22."),
        (
            {"heads": 2},
            "augments.kv.bridges.heads is 2, which leaves each head the width 11; "
            "rotary positions need an even one: change 'heads', or set 'positions' to 'none'.",
        ),
    ],
)
def test_heads_that_do_not_fit_the_width_are_said_once_for_all_sites(recipe: dict[str, Any], line: str) -> None:
    assert told(document(kv={"bridges": {"every": 1, **recipe}})) == [line]


def test_heads_that_come_from_the_anchor_are_said_to_do_so() -> None:
    assert told(document(), anchor=replace(DIGITS, num_heads=3)) == [
        "augments.kv.bridges has no 'heads', and the anchor's number is 3, which does not divide the anchor's width 22."
    ]


def test_an_odd_width_per_head_is_fine_without_positions() -> None:
    (site,) = check(document(kv={"bridges": {"heads": 2, "positions": "none"}})).sites
    assert site.num_heads == 2


A: dict[str, Any] = {"tokenizer": "a" * 64}
B: dict[str, Any] = {"tokenizer": "b" * 64}


@pytest.mark.parametrize(
    ("ours", "theirs", "fields", "reads"),
    [
        (A, A, {}, "ids"),
        (A, B, {}, "stream"),
        (A, B | {"vocab_size": 89}, {}, "stream"),
        (A, {}, {}, "ids"),
        ({}, B, {}, "ids"),
        ({}, {}, {}, "ids"),
        (A, A, {"template": {}}, "stream"),
        (A, A, {"template": {"<s>": "\n"}}, "stream"),
    ],
)
def test_an_augment_with_another_tokenizer_or_a_template_reads_a_stream(
    ours: dict[str, Any], theirs: dict[str, Any], fields: dict[str, Any], reads: str
) -> None:
    (node,) = check(document(kv=fields), anchor=replace(DIGITS, **ours), kv=replace(KV, **theirs)).augments
    assert (node.reads, node.template) == (reads, fields.get("template"))


@pytest.mark.parametrize(
    ("ours", "theirs", "fields", "why", "unknown"),
    [
        (A, {"vocab_size": 89}, {}, ": its vocabulary has 89 tokens and the anchor's 97", "augments.kv.tokenizer"),
        ({}, {"vocab_size": 89} | B, {}, ": its vocabulary has 89 tokens and the anchor's 97", "anchor.tokenizer"),
        ({}, {}, {"template": {}}, " has a template", "anchor.tokenizer and augments.kv.tokenizer"),
    ],
)
def test_a_stream_from_or_to_a_tokenizer_that_nobody_knows_is_refused(
    ours: dict[str, Any], theirs: dict[str, Any], fields: dict[str, Any], why: str, unknown: str
) -> None:
    assert told(document(kv=fields), anchor=replace(DIGITS, **ours), kv=replace(KV, **theirs)) == [
        f"augments.kv{why}, so that it reads a stream, and for that both tokenizers must be known: "
        f"name a folder that holds a tokenizer.json in {unknown}."
    ]


def test_equal_tokenizers_may_have_embeddings_padded_to_different_sizes() -> None:
    same: dict[str, Any] = {"tokenizer": "a" * 64}
    assert check(document(), anchor=replace(DIGITS, **same), kv=replace(KV, vocab_size=128, **same)).sites


LATER: list[tuple[dict[str, Any], str]] = [
    (
        {"model": {"merge": {}}, "revision": "main"},
        "augments.kv.revision is 'main', but its model is a merge, which has none; drop it.",
    ),
]


@pytest.mark.parametrize(("fields", "line"), LATER)
def test_a_field_that_this_version_cannot_serve_is_refused_by_name(fields: dict[str, Any], line: str) -> None:
    assert told(document(kv=fields)) == [line]


def test_whether_an_augment_reads_every_token_or_the_prompt_only_is_known_of_each() -> None:
    found = check(document(kv={"context": "prompt"}, tetum={}))
    assert [(node.name, node.context) for node in found.augments] == [("kv", "prompt"), ("tetum", "refresh")]
    assert check(document(kv={"context": "refresh"}, tetum={})) == check(document(kv={}, tetum={}))


def test_the_anchors_later_fields_are_refused_by_name() -> None:
    content = document()
    content["anchor"] = {"model": {"merge": {}}, "revision": "main"}
    assert told(content) == [
        "anchor.revision is 'main', but its model is a merge, which has none; drop it.",
    ]


def test_every_field_of_the_document_is_served_or_refused() -> None:
    served = {"model", "revision", "dtype", "device", "tokenizer", "bridges", "bridges_revision", "enabled"}
    served |= {"template", "tail", "context", "into"}
    refused = {name for fields, _ in LATER for name in fields}
    assert served | refused == set(specs.AugmentSpec.model_fields)


# -- augments that feed augments ------------------------------------------------------------------------------------


def test_who_is_fed_by_another_is_placed_first_and_bridges_spread_over_the_layers_that_run() -> None:
    content = document(
        kv={"into": ["tetum", "anchor"], "bridges": {"every": 1}}, tetum={"bridges": {"pairs": [pair(4, 0)]}}
    )
    graph = check(content)
    assert [str(site).split("   ")[0] for site in graph.sites] == [
        "tetum 1 <- kv 0",
        "tetum 3 <- kv 1",
        "tetum 4 <- kv 2",
        "anchor 0 <- tetum 4",
        "anchor 1 <- kv 0",
        "anchor 3 <- kv 1",
        "anchor 4 <- kv 2",
    ]
    assert graph.sites[0] == Site(
        augment="kv", augment_layer=0, anchor_layer=1, d_augment=14, d_anchor=26, num_heads=13, into="tetum"
    )
    assert graph.order == ("kv", "tetum")
    assert graph.feeds == {"kv": ("anchor", "tetum"), "tetum": ("anchor",)}
    assert [(stack.name, graph.place_of(stack)) for stack in graph.stacks] == [
        ("kv", "kv/anchor"),
        ("kv>tetum", "kv/tetum"),
        ("tetum", "tetum"),
    ]
    assert sorted(graph.wiring().edges(keys=True))[3:5] == [
        ("kv", "tetum", "anchor_1_from_0"),
        ("kv", "tetum", "anchor_3_from_1"),
    ]


def test_each_model_that_is_fed_may_have_bridges_of_its_own() -> None:
    into = {"tetum": {"pairs": [pair(0, "embedding")], "seed": 3}, "anchor": {"gate": "token"}}
    graph = check(document(kv={"into": into}, tetum={}))
    assert [(site.into, site.anchor_layer, site.gate) for site in graph.sites if site.augment == "kv"] == [
        ("tetum", "embedding", "scalar"),
        ("anchor", 4, "token"),
    ]
    assert [(stack.name, stack.field, stack.seed) for stack in graph.stacks] == [
        ("kv", "augments.kv.into.anchor", 0),
        ("kv>tetum", "augments.kv.into.tetum", 3),
        ("tetum", "augments.tetum.bridges", 0),
    ]


def test_what_is_wrong_with_bridges_into_an_augment_is_told_of_that_augment() -> None:
    low: dict[str, Any] = {"bridges": {"pairs": [pair(2, 0)]}}
    wrong = {"pairs": [pair(0, 3), pair(0, 7), pair(1, 0), pair(1, 0)], "heads": 4}
    assert told(document(kv={"into": {"tetum": wrong}}, tetum=low)) == [
        "augments.kv.into.tetum.pairs.1.anchor_layer is 7, but tetum has 7 layers, numbered 0 to 6.",
        "augments.kv.into.tetum.pairs.3 joins augment layer 1 to tetum layer 0 again; "
        "augments.kv.into.tetum.pairs.2 does so already.",
        "augments.kv.into.tetum.heads is 4, which does not divide tetum's width 26.",
        "augments.kv.into.tetum.pairs.0.anchor_layer is 3, but tetum is read at its layer 2 at most, and what lies "
        "above is never run.",
    ]


def test_one_bundle_cannot_lead_into_two_models() -> None:
    assert told(document(kv={"into": ["anchor", "tetum"], "bridges": "b"}, tetum={})) == [
        "augments.kv.bridges is 'b', and a bundle leads into one model, but 'into' names 2; give each its own in "
        '\'into\': {"anchor": "...", "tetum": "..."}.'
    ]


def test_a_wiring_that_does_not_end_in_the_anchor_is_refused_with_all_else() -> None:
    assert told(document(kv={"into": ["tetum"]}, tetum={"into": ["kv", "python"]})) == [
        'augments.tetum.into names "python", which is no model of this graph; it has anchor, kv.',
        "augments.kv.into closes a cycle: kv -> tetum -> kv; drop one of its steps.",
    ]


# -- bundles ---------------------------------------------------------------------------------------------------------


def tetum_site(**changes: Any) -> Site:
    site = Site(augment="tetum", augment_layer=2, anchor_layer=1, d_augment=26, d_anchor=22, num_heads=11)
    return replace(site, **changes)


def bundled(*sites: Site, alignment_version: int = ALIGNMENT_VERSION) -> list[str]:
    bundle = BundleFacts(source="/b", sites=sites, alignment_version=alignment_version)
    with pytest.raises(GraphError) as caught:
        checking.check(specs.parse(document(tetum={"bridges": "b"})), Facts(models=MODELS, bundles={"tetum": bundle}))
    return str(caught.value).splitlines()


def test_a_bundle_for_other_models_is_refused_with_every_misfit() -> None:
    sites = [tetum_site(d_augment=28, d_anchor=44, augment_layer=layer) for layer in (6, 7)]
    assert bundled(*sites, alignment_version=99) == [
        "augments.tetum.bridges (/b) site.1.augment_layer is 7, but tetum has 7 layers, numbered 0 to 6.",
        "augments.tetum.bridges (/b) has alignment version 99; this version of Orchestra aligns by version 1. "
        "Train the bundle again.",
        "augments.tetum.bridges (/b) joins width 44, but the anchor has width 22.",
        "augments.tetum.bridges (/b) joins width 28, but tetum has width 26.",
    ]


def test_a_bundle_with_heads_that_do_not_divide_is_refused() -> None:
    assert bundled(tetum_site(num_heads=4)) == [
        "augments.tetum.bridges (/b) has the number of heads 4, which does not divide the anchor's width 22."
    ]


# -- listing ---------------------------------------------------------------------------------------------------------


def test_what_could_not_be_read_is_listed_with_all_else_and_asked_nothing() -> None:
    content = document(kv={"into": ["tetum"]}, tetum={"bridges": "lost"})
    known = Facts(models={"anchor": DIGITS, "tetum": MODELS["tetum"]})
    with pytest.raises(GraphError) as caught:
        checking.check(specs.parse(content), known, ["augments.kv.model is lost.", "augments.tetum.bridges is lost."])
    assert str(caught.value).splitlines() == [
        "augments.kv.model is lost.",
        "augments.tetum.bridges is lost.",
    ]


def test_without_facts_of_the_anchor_nothing_is_placed() -> None:
    with pytest.raises(GraphError, match=r"^anchor.model is lost\.$"):
        checking.check(specs.parse(document()), Facts(models={"kv": KV}), ["anchor.model is lost."])
