"""The drawing as SVG: well-formed, complete, and safe with any text."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra import paper
from orchestra.draw import svg, tree
from tests.papers import DIGITS, KV, document, pair, plan

NAMESPACE = "{http://www.w3.org/2000/svg}"
PAIRS = {"bridges": {"pairs": [pair(1, "embedding"), pair(1, 3), pair(0, 3)]}}
SHIPPED = sorted((Path(__file__).parents[2] / "graphs").glob("*.svg"))


def drawn(content: dict[str, Any], **models: Any) -> ElementTree.Element:
    return ElementTree.fromstring(svg(plan(content, **models)))


def groups(picture: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [group for group in picture.iter(f"{NAMESPACE}g") if str(group.get("class")).split()[0] == kind]


def titles(element: ElementTree.Element) -> list[str | None]:
    return [title.text for title in element.iter(f"{NAMESPACE}title")]


def texts(picture: ElementTree.Element) -> list[str | None]:
    return [text.text for text in picture.iter(f"{NAMESPACE}text")]


def test_there_is_an_arrow_per_site_that_names_it() -> None:
    content = document(kv=PAIRS, tetum=PAIRS)
    bridges = groups(drawn(content), "bridge")
    assert [titles(bridge)[0] for bridge in bridges] == [str(site) for site in plan(content).graph.sites]
    assert [bridge.get("class") for bridge in bridges].count("bridge from-kv") == 3


def test_there_is_a_box_per_model_with_its_layers() -> None:
    picture = drawn(document(kv=PAIRS))
    anchor, kv = groups(picture, "model")
    assert (titles(anchor), titles(kv)) == (["anchor"], ["kv"])
    assert texts(kv) == [
        "kv",
        "gpt2, width 14",
        "3 layers",
        "6,975 trained",
        "embedding",
        "layer 0",
        "layer 1",
        "layer 2 never run",
    ]
    dashed = [box.get("stroke-dasharray") for box in kv.iter(f"{NAMESPACE}rect")]
    assert dashed == [None] * 4 + ["3 3"]
    filled = [box.get("fill-opacity") for box in kv.iter(f"{NAMESPACE}rect")]
    assert filled == ["0.07", "0.15", None, None, None]


def test_an_augment_that_is_off_is_drawn_so() -> None:
    picture = drawn(document(kv={"enabled": False}, tetum={}))
    assert {"kv (off)", "tetum"} <= set(texts(picture))
    lines = [path.get("stroke-dasharray") for path in picture.iter(f"{NAMESPACE}path")]
    assert lines == ["4 4", None]
    assert [group.get("opacity") for group in groups(picture, "model")] == ["1", "0.7", "1"]


def test_a_bridge_is_as_thick_as_it_opens_and_says_how_far() -> None:
    planned = plan(document(kv=PAIRS))
    picture = ElementTree.fromstring(svg(planned, dict(zip(planned.graph.sites, (0.1, 0.2, 0.4), strict=True))))
    assert [path.get("stroke-width") for path in picture.iter(f"{NAMESPACE}path")] == ["2", "3", "5"]
    assert str(titles(groups(picture, "bridge")[2])[0]).endswith("   gate 0.4")
    assert texts(picture)[-1] == "Thickness: mean gate, from 0.1 to 0.4"


def test_long_names_are_cut() -> None:
    name = "a" * 40
    assert texts(drawn(document(**{name: {}}), **{name: KV}))[6] == "a" * 19 + "…"


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


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_drawings_are_those_of_the_shipped_graphs(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == svg(paper.plan(path.with_suffix(".json")))
