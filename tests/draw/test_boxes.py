"""Models as boxes."""

from dataclasses import replace
from typing import Any

import pytest

from orchestra.draw.boxes import Model, boxes
from orchestra.plan import Plan
from tests.papers import DIGITS, KV, TETUM, document, pair, plan

TALL = replace(DIGITS, num_layers=30, num_params=134_515_008)


def box(planned: Plan, name: str) -> Model:
    columns = {node.name: 1 for node in planned.graph.augments} | {"anchor": 0}
    return next(made for made in boxes(planned, columns) if made.name == name)


def texts(made: Model) -> list[tuple[str, str]]:
    return [(row.text, row.look) for row in made.rows]


def test_a_box_says_what_a_model_is_and_how_large() -> None:
    planned = plan(document(kv={"enabled": False}, tetum={"context": "prompt"}))
    assert box(planned, "anchor").lines == ("anchor", "llama, width 22", "5 layers, 1k parameters")
    assert box(planned, "kv").lines == ("kv (off)", "gpt2, width 14", "3 layers", "2,325 trained")
    assert box(planned, "tetum").lines[-2:] == ("2,601 trained", "reads the prompt's ids")
    assert [box(planned, name).faded for name in ("anchor", "kv", "tetum")] == [False, True, False]


@pytest.mark.parametrize(
    ("number", "told"),
    [(None, ""), (999, ", 999"), (1_500, ", 1.5k"), (134_515_008, ", 135M"), (7_241_000_000, ", 7.24B")],
)
def test_a_size_is_told_in_three_digits(number: int | None, told: str) -> None:
    made = box(plan(document(), anchor=replace(DIGITS, num_params=number)), "anchor")
    assert made.lines[2] == "5 layers" + told + " parameters" * (number is not None)


def test_one_layer_is_one_layer() -> None:
    single = replace(KV, num_layers=1)
    assert box(plan(document(), kv=single), "kv").lines[2] == "1 layer"


def test_layers_with_a_bridge_stand_alone_and_three_others_or_more_share_a_row() -> None:
    planned = plan(document(kv={"bridges": {"pairs": [pair(0, 2), pair(2, 9), pair(1, 12)]}}), anchor=TALL)
    assert texts(box(planned, "anchor")) == [
        ("embedding", "plain"),
        ("layer 0", "plain"),
        ("layer 1", "plain"),
        ("layer 2", "joined"),
        ("layers 3\N{EN DASH}8", "plain"),
        ("layer 9", "joined"),
        ("layer 10", "plain"),
        ("layer 11", "plain"),
        ("layer 12", "joined"),
        ("layers 13\N{EN DASH}29", "plain"),
    ]


def test_layers_above_the_highest_that_is_read_are_never_run() -> None:
    planned = plan(document(kv={"bridges": {"pairs": [pair(1, 0)]}}, tetum={"bridges": {"pairs": [pair(2, 0)]}}))
    assert texts(box(planned, "kv"))[-2:] == [("layer 1", "joined"), ("layer 2 never run", "never")]
    assert texts(box(planned, "tetum"))[-2:] == [("layer 2", "joined"), ("layers 3\N{EN DASH}6 never run", "never")]


def test_what_is_fed_is_joined_too() -> None:
    into = {"tetum": {"pairs": [pair(0, "embedding"), pair(1, 2)]}}
    planned = plan(document(kv={"into": into}, tetum={"bridges": {"pairs": [pair(4, 3)]}}))
    joined = [text for text, look in texts(box(planned, "tetum")) if look == "joined"]
    assert joined == ["embedding", "layer 2", "layer 4"]


@pytest.mark.parametrize("count", [1, 7])
def test_rows_lie_upon_each_other_inside_the_box_and_have_room_for_every_tip(count: int) -> None:
    many = {name: {"bridges": {"pairs": [pair(0, 1), pair(1, 1)]}} for name in "abcdefg"[:count]}
    models: dict[str, Any] = dict.fromkeys(many, KV)
    made = box(plan(document(**many), **models), "anchor")
    for lower, upper in zip(made.rows, made.rows[1:], strict=False):
        assert upper.top + upper.height <= lower.top - 4
    assert made.rows[-1].top > 8 + 16 * len(made.lines)
    assert made.rows[0].top + made.rows[0].height < made.height
    assert made.row(1).height >= 2 * count * 10


def test_every_layer_has_one_row() -> None:
    names: dict[str, Any] = {"kv": {}, "tetum": {"bridges": {"every": 3}}}
    planned = plan(document(**names), anchor=TALL)
    for name, facts in (("anchor", TALL), ("kv", KV), ("tetum", TETUM)):
        places = [place for row in box(planned, name).rows for place in row.places]
        assert places == ["embedding", *range(facts.num_layers)]
