"""Where everything stands."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from orchestra.draw.boxes import WIDTH, Model
from orchestra.draw.lanes import Path
from orchestra.draw.scene import Scene, scene
from tests.papers import KV, document, pair, plan

PAIRS = {"bridges": {"pairs": [pair(1, "embedding"), pair(1, 3), pair(0, 3)]}}
DEEP: dict[str, Any] = {
    "a": {"into": ["b", "c"]},
    "b": {},
    "c": {},
    "d": {"into": ["anchor", "e"]},
    "e": {},
    "f": {"into": ["a", "anchor"]},
    "g": {},
}
LONG = replace(KV, num_layers=29)
MANY: dict[str, Any] = {"pairs": [pair(layer, place) for place in range(5) for layer in range(3)]}
PASSING: dict[str, dict[str, Any]] = {
    "above": {
        "mid": {"bridges": {"pairs": [pair(layer, 0) for layer in range(29)]}},
        "far": {"into": {"mid": {"pairs": [pair(1, 1)]}, "anchor": {"pairs": [pair(layer, 4) for layer in range(9)]}}},
    },
    "between": {**{key: {} for key in "abc"}, "far": {"into": {**{key: {} for key in "abc"}, "anchor": MANY}}},
}
GRAPHS: dict[str, dict[str, Any]] = {
    "one": {"a": PAIRS},
    "three": dict.fromkeys("abc", PAIRS),
    "eight": dict.fromkeys("abcdefgh", PAIRS),
    "deep": DEEP,
    **PASSING,
}


def placed(augments: dict[str, Any]) -> Scene:
    models: dict[str, Any] = dict.fromkeys(augments, KV) | dict.fromkeys({"mid", "far"} & augments.keys(), LONG)
    return scene(plan(document(**augments), **models))


def columns(drawn: Scene) -> dict[str, int]:
    return {model.name: model.column for model in drawn.models}


def points(path: Path, steps: int = 23) -> list[tuple[float, float]]:
    """Points that a path runs through."""
    found, start = [], path.start
    for one, two, end in path.curves:
        for step in range(steps + 1):
            t = step / steps
            weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
            corners = (start, one, two, end)
            found.append(
                tuple(sum(w * corner[axis] for w, corner in zip(weights, corners, strict=True)) for axis in (0, 1))
            )
        start = end
    return [(x, y) for x, y in found]


def edges(model: Model) -> tuple[float, float, float, float]:
    return model.left, model.top, model.left + WIDTH, model.top + model.height


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_box_lies_on_another_and_all_lie_inside_the_picture(graph: str) -> None:
    drawn = placed(GRAPHS[graph])
    for model in drawn.models:
        left, top, right, bottom = edges(model)
        assert 0 < left < right < drawn.width
        assert 0 < top < bottom < drawn.height
    for one, two in combinations(map(edges, drawn.models), 2):
        assert one[2] < two[0] or two[2] < one[0] or one[3] < two[1] or two[3] < one[1]


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_arrow_runs_over_a_box_or_out_of_the_picture(graph: str) -> None:
    drawn = placed(GRAPHS[graph])
    for arrow in drawn.arrows:
        for x, y in points(arrow.path):
            assert 0 < x < drawn.width
            assert arrow.width / 2 < y < drawn.height - arrow.width / 2
            for left, top, right, bottom in map(edges, drawn.models):
                assert not (left < x < right and top < y < bottom), (graph, arrow.site)


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_arrow_leads_from_the_row_that_is_read_to_the_row_that_is_fed(graph: str) -> None:
    drawn = placed(GRAPHS[graph])
    models = {model.name: model for model in drawn.models}
    assert len(drawn.arrows) == len({arrow.site for arrow in drawn.arrows}) > 0
    for arrow in drawn.arrows:
        feeder, fed = models[arrow.site.augment], models[arrow.site.into]
        read, row = feeder.row(arrow.site.augment_layer), fed.row(arrow.site.anchor_layer)
        assert arrow.path.start[0] in (feeder.left, feeder.left + WIDTH)
        assert arrow.path.start[1] == read.middle
        (x, y), *_ = arrow.corners
        assert x == fed.left + (WIDTH if feeder.left > fed.left else 0)
        assert row.top <= y <= row.top + row.height


@pytest.mark.parametrize("graph", GRAPHS)
def test_tips_at_one_row_lie_apart(graph: str) -> None:
    ends = [arrow.corners[0] for arrow in placed(GRAPHS[graph]).arrows]
    for (x, y), (other, height) in combinations(ends, 2):
        assert x != other or abs(y - height) > 5


def test_augments_stand_on_both_sides_and_above_each_other() -> None:
    found = columns(placed(GRAPHS["eight"]))
    assert sorted(found.values()) == [-1] * 4 + [0] + [1] * 4


def test_what_feeds_stands_beyond_what_it_feeds_and_on_its_side() -> None:
    found = columns(placed(DEEP))
    assert found == {"anchor": 0, "a": 2, "b": 1, "c": 1, "f": 3, "d": -2, "e": -1, "g": -1}


def test_the_widest_open_bridge_is_the_thickest_and_one_of_which_nothing_is_known_is_thin() -> None:
    planned = plan(document(kv=PAIRS))
    first, second, third = planned.graph.sites
    widths = {arrow.site: arrow.width for arrow in scene(planned, {first: 0.1, second: -0.4}).arrows}
    assert widths == {first: 2.0, second: 5.0, third: 1.6}
    assert {arrow.width for arrow in scene(planned).arrows} == {1.6}
    assert {arrow.width for arrow in scene(planned, dict.fromkeys(planned.graph.sites, 0.0)).arrows} == {1.0}


def test_what_thickness_means_is_written_below() -> None:
    planned = plan(document(kv=PAIRS))
    first, second, third = planned.graph.sites
    drawn = scene(planned, {first: 0.1, second: -0.42})
    assert drawn.note == "Thickness: mean gate, from 0.1 to 0.42; where it is not known, thin"
    assert scene(planned, {first: 0.1, second: 0.2, third: 0.3}).note == "Thickness: mean gate, from 0.1 to 0.3"
    assert scene(planned).note == ""
    assert drawn.height > scene(planned).height


def test_a_bridge_is_told_in_words() -> None:
    planned = plan(document(kv=PAIRS))
    site = planned.graph.sites[0]
    known, unknown, _ = scene(planned, {site: 0.256}).arrows
    assert known.told == f"{site}   gate 0.26"
    assert unknown.told == str(planned.graph.sites[1])
