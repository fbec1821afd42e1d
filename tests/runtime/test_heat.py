"""The heat map of a text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from orchestra import ComposeError
from orchestra.runtime.contributions import Contribution, Contributions, Fed

KV = Contribution(augment="kv", augment_layer=2, anchor_layer="embedding", gate=(0.25, 0.5, 1.0), share=(0.0, 3.0, 1.0))
FAR = replace(KV, augment="far", augment_layer=0, anchor_layer=1, gate=(0.5, -0.75, 0.125), share=(2.0, 2.0, 2.0))
INTO = replace(KV, into="far", gate=(0.5, 0.25), share=(0.5, 0.125))
FOUND = Contributions(
    tokens=("$", " \n", "中x"),
    emitted=(" \n", "中x", "end"),
    log_probability=(-1.0, -2.0, -3.0),
    lost={"far": (0.5, -0.25, 0.0), "kv": (0.0, 1.5, -4.0)},
    prompt_length=2,
    bridges=(INTO, KV, FAR),
    fed={"far": Fed(tokens=("a", "b"), at=(0, 1), provisional=(False, True))},
)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What is drawn as colours, and how."""
    seen: list[tuple[Any, dict[str, Any]]] = []
    draw = Axes.imshow

    def note(axes: Axes, values: Any, **look: Any) -> Any:
        seen.append((values, look))
        return draw(axes, values, **look)

    monkeypatch.setattr(Axes, "imshow", note)
    return seen


def written(found: Contributions, folder: Path) -> str:
    """What is written in letters, which matplotlib keeps as remarks."""
    found.plot(folder / "heat.svg")
    return (folder / "heat.svg").read_text(encoding="utf-8")


def test_what_is_lost_gates_and_shares_are_colours(shown: list[tuple[Any, dict[str, Any]]], tmp_path: Path) -> None:
    FOUND.plot(tmp_path / "heat.png")
    assert [values for values, _ in shown] == [
        (FOUND.lost["far"], FOUND.lost["kv"]),
        (KV.gate, FAR.gate),
        (KV.share, FAR.share),
        (INTO.gate,),
        (INTO.share,),
    ]
    scales = [(look["vmin"], look["vmax"]) for _, look in shown]
    assert scales == [(-4, 4), (-1, 1), (0, 3), (0, 0.5), (0, 0.5)]
    assert [look["cmap"] for _, look in shown] == ["RdBu", "PuOr", "Oranges", "Greens", "Oranges"]


def test_tokens_rows_and_panels_are_named(tmp_path: Path) -> None:
    text = written(FOUND, tmp_path)
    for words in (
        *("$", "\N{OPEN BOX}\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\\u4e2dx", "end"),
        *("kv 2 \N{RIGHTWARDS ARROW} embedding", "far 0 \N{RIGHTWARDS ARROW} 1", "a", "b (ahead)"),
        "log-probability that the next token loses with the augment off; above: the next token",
        *("gate", "|residual| / |hidden|", "into far, over its tokens: gate"),
    ):
        assert f"<!-- {words} -->" in text


def test_a_line_parts_the_prompt_from_what_was_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines: list[float] = []
    monkeypatch.setattr(Axes, "axvline", lambda axes, x, **look: lines.append(x))
    FOUND.plot(tmp_path / "heat.png")
    assert lines == [1.5, 1.5, 1.5]
    replace(FOUND, prompt_length=3).plot(tmp_path / "heat.png")
    assert len(lines) == 3


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(FOUND, tmp_path) == written(FOUND, tmp_path)


def test_of_a_long_text_only_some_tokens_are_named_and_the_picture_has_an_end(tmp_path: Path) -> None:
    count = 600
    names = tuple(f"t{index}" for index in range(count))
    wide = replace(KV, gate=(0.5,) * count, share=(0.5,) * count)
    text = written(replace(FOUND, tokens=names, emitted=names, lost={}, bridges=(wide,), fed={}), tmp_path)
    width = float(text.split('width="')[1].split("pt")[0])
    assert width == 60 * 72
    assert "<!-- t0 -->" in text
    assert "<!-- t1 -->" not in text


def test_nothing_that_is_on_is_an_empty_picture(tmp_path: Path) -> None:
    nothing = replace(FOUND, lost={}, bridges=(), fed={})
    assert "gate" not in written(nothing, tmp_path)


def test_a_silent_bridge_has_a_scale_too(shown: list[tuple[Any, dict[str, Any]]], tmp_path: Path) -> None:
    silent = replace(KV, gate=(0.0,) * 3, share=(0.0,) * 3)
    replace(FOUND, lost={"kv": (0.0,) * 3}, bridges=(silent,), fed={}).plot(tmp_path / "heat.png")
    assert [(look["vmin"], look["vmax"]) for _, look in shown] == [(-1, 1), (0, 1), (0, 1)]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"heat\.bmp: a picture ends in \.png, \.svg, \.pdf\.$"):
        FOUND.plot(tmp_path / "heat.bmp")
