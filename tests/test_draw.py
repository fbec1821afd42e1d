"""The drawing: well-formed, complete, and safe with any text."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.draw import svg, tree
from tests.papers import DIGITS, KV, document, pair, plan

NAMESPACE = "{http://www.w3.org/2000/svg}"
PAIRS = {"bridges": {"pairs": [pair(1, "embedding"), pair(1, 3), pair(0, 3)]}}


def drawn(content: dict[str, Any], **models: Any) -> ElementTree.Element:
    return ElementTree.fromstring(svg(plan(content, **models)))


def arrows(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [path for path in picture.iter(f"{NAMESPACE}path") if path.get("class") == "bridge"]


def titles(arrow: ElementTree.Element) -> list[str | None]:
    return [title.text for title in arrow.iter(f"{NAMESPACE}title")]


def texts(picture: ElementTree.Element) -> list[str | None]:
    return [text.text for text in picture.iter(f"{NAMESPACE}text")]


def test_there_is_an_arrow_per_site_that_names_it() -> None:
    content = document(kv=PAIRS, tetum=PAIRS)
    assert [titles(arrow)[0] for arrow in arrows(drawn(content))] == [str(site) for site in plan(content).graph.sites]


def test_an_arrow_leads_from_the_augments_layer_to_the_anchors() -> None:
    picture = drawn(document(kv={"bridges": {"pairs": [pair(1, 3)]}}))
    (arrow,) = arrows(picture)
    path = [float(number) for number in re.findall(r"-?[\d.]+", arrow.get("d") or "")]
    start, end = path[:2], path[-2:]
    boxes = {
        (column, text): (float(box.get("x", 0)), float(box.get("y", 0)))
        for group in picture.iter(f"{NAMESPACE}g")
        for column in titles(group)
        for box, text in zip(group.iter(f"{NAMESPACE}rect"), texts(group)[3:], strict=True)
    }
    x, y = boxes["kv", "layer 1"]
    assert start == [x, y + 12]
    x, y = boxes["anchor", "layer 3"]
    assert end == [x + 104 + 2, y + 12]


def test_an_augment_that_feeds_another_stands_beyond_it_and_its_arrow_ends_there() -> None:
    content = document(kv={"into": ["tetum"], "bridges": PAIRS["bridges"]}, self={}, tetum={"enabled": False})
    picture = drawn(content, self=DIGITS)
    columns = {
        titles(group)[0]: float(next(group.iter(f"{NAMESPACE}rect")).get("x", 0))
        for group in picture.iter(f"{NAMESPACE}g")
    }
    assert columns == {"anchor": 508.0, "self": 732.0, "tetum": 284.0, "kv": 60.0}
    ends = [float(re.findall(r"-?[\d.]+", arrow.get("d") or "")[-2]) for arrow in arrows(picture)]
    assert ends == [282.0, 282.0, 282.0, 614.0, 506.0]
    assert {"kv (stopped)", "tetum (off)", "self"} <= set(texts(picture))
    assert [arrow.get("stroke-dasharray") for arrow in arrows(picture)] == ["4 4"] * 3 + ["none", "4 4"]


def test_layers_stand_upon_each_other_from_the_embedding_upwards() -> None:
    for group in drawn(document(kv={}, tetum={})).iter(f"{NAMESPACE}g"):
        heights = [float(box.get("y", 0)) for box in group.iter(f"{NAMESPACE}rect")]
        assert all(lower - upper > 24 for lower, upper in pairwise(heights))


def test_an_arrow_past_another_column_runs_between_its_layers() -> None:
    picture = drawn(document(a={}, b={}, tetum={"bridges": {"pairs": [pair(6, 0), pair(0, 4)]}}), a=KV, b=KV)
    boxes = [float(box.get("y", 0)) for box in picture.iter(f"{NAMESPACE}rect")]
    far = [arrow.get("d") or "" for arrow in arrows(picture) if "tetum" in str(titles(arrow)[0])]
    lanes = [float(height) for path in far for height in re.findall(r"([\d.]+)H", path)]
    assert len(lanes) == 2
    assert not any(top <= lane <= top + 24 for lane in lanes for top in boxes)


def test_tips_at_one_layer_lie_apart() -> None:
    many = {name: {"bridges": {"pairs": [pair(0, 1), pair(1, 1)]}} for name in "abcdef"}
    models = dict.fromkeys(many, KV)
    ends = [" ".join((arrow.get("d") or "").split()[-2:]) for arrow in arrows(drawn(document(**many), **models))]
    assert len(set(ends)) == len(ends) == 12


def test_every_layer_is_numbered_and_those_above_the_highest_tap_are_never_run() -> None:
    assert texts(drawn(document(kv=PAIRS)))[3:9] == ["embedding", *(f"layer {layer}" for layer in range(5))]
    assert texts(drawn(document(kv=PAIRS)))[-4:] == ["embedding", "layer 0", "layer 1", "2 never run"]


def test_an_augment_that_is_off_is_drawn_so() -> None:
    picture = drawn(document(kv={"enabled": False}, tetum={}))
    assert {"kv (off)", "tetum"} <= set(texts(picture))
    assert [arrow.get("stroke-dasharray") for arrow in arrows(picture)] == ["4 4", "none"]
    assert [group.get("opacity") for group in picture.iter(f"{NAMESPACE}g")] == ["1", "0.75", "1"]


def test_everything_lies_inside_the_picture_however_many_augments_there_are() -> None:
    many = {name * 40: PAIRS for name in "abcdefgh"}
    picture = drawn(document(**many), **dict.fromkeys(many, KV))
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    for box in picture.iter(f"{NAMESPACE}rect"):
        x, y = float(box.get("x", 0)), float(box.get("y", 0))
        assert 0 <= x <= width - 104
        assert 0 <= y <= height - 24
    assert all(len(text or "") <= 30 for text in texts(picture))


def test_a_graph_without_a_description_still_has_a_title() -> None:
    assert titles(drawn(document()))[0] == "An Orchestra graph"


@given(st.text(), st.text())
def test_any_text_is_escaped(description: str, model_type: str) -> None:
    content = {**document(), "description": "".join(c for c in description if not "\ud800" <= c <= "\udfff")}
    anchor = replace(DIGITS, model_type=model_type)
    drawn(content, anchor=anchor)
    assert len(tree(plan(content, anchor=anchor)).splitlines()) == 4


def test_markup_in_a_description_is_text() -> None:
    picture = drawn({**document(), "description": "<b>bold</b> & 'quoted' \x00"})
    assert titles(picture)[0] == "<b>bold</b> & 'quoted'  "


@pytest.mark.parametrize("augments", [{"kv": {}}, {"kv": PAIRS, "tetum": {"enabled": False}}])
def test_the_same_plan_gives_the_same_drawing(augments: dict[str, Any]) -> None:
    assert svg(plan(document(**augments))) == svg(plan(document(**augments)))


STREAMS: dict[str, Any] = {"anchor": replace(DIGITS, tokenizer="a" * 64), "kv": replace(KV, tokenizer="b" * 64)}


@pytest.mark.parametrize(
    ("fields", "models", "told"),
    [
        ({"context": "prompt"}, {}, "reads the prompt's ids"),
        ({}, STREAMS, "reads a stream"),
        ({"context": "prompt"}, STREAMS, "reads a stream of the prompt"),
    ],
)
def test_an_augment_that_reads_something_else_than_every_id_is_drawn_so_below_its_embedding(
    fields: dict[str, Any], models: dict[str, Any], told: str
) -> None:
    picture = drawn(document(kv=fields, tetum={}), **models)
    words = [text for text in picture.iter(f"{NAMESPACE}text") if str(text.text).startswith("reads")]
    assert [text.text for text in words] == [told]
    lowest = max(float(box.get("y", 0)) for box in picture.iter(f"{NAMESPACE}rect")) + 24
    assert [lowest < float(text.get("y", 0)) < float(picture.get("height", 0)) for text in words] == [True]


def test_the_tree_says_what_each_augment_reads() -> None:
    content = document(kv={"context": "prompt"}, tetum={"context": "prompt", "enabled": False})
    assert tree(plan(content, **STREAMS)).splitlines()[-2:] == [
        "kv  gpt2, width 14, 3 layers, 3 run, reads a stream of the prompt",
        "tetum  bloom, width 26, 7 layers, 7 run, reads the prompt's ids, off",
    ]


def test_the_tree_shows_what_feeds_each_augment_and_what_is_stopped() -> None:
    low = {"bridges": {"pairs": [pair(2, 3)]}, "enabled": False}
    into = {"tetum": {"pairs": [pair(0, "embedding"), pair(1, 2)]}}
    assert tree(plan(document(kv={"into": into}, tetum=low))) == (
        "anchor  llama, width 22, 5 layers\n"
        "└── layer 3\n"
        "    └── tetum, layer 2\n"
        "kv  gpt2, width 14, 3 layers, 2 run, reads the anchor's ids, stopped\n"
        "tetum  bloom, width 26, 7 layers, 3 run, reads the anchor's ids, off\n"
        "├── embedding\n"
        "│   └── kv, layer 0\n"
        "└── layer 2\n"
        "    └── kv, layer 1"
    )


def test_the_tree_shows_sites_from_the_bottom_and_every_model() -> None:
    assert tree(plan(document(kv=PAIRS, tetum={"bridges": {"pairs": [pair(2, 3)]}, "enabled": False}))) == (
        "anchor  llama, width 22, 5 layers\n"
        "├── embedding\n"
        "│   └── kv, layer 1\n"
        "└── layer 3\n"
        "    ├── kv, layer 0\n"
        "    ├── kv, layer 1\n"
        "    └── tetum, layer 2\n"
        "kv  gpt2, width 14, 3 layers, 2 run, reads the anchor's ids\n"
        "tetum  bloom, width 26, 7 layers, 3 run, reads the anchor's ids, off"
    )
