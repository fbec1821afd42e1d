import re
from typing import Any

import pytest

from orchestra import ComposedModel
from orchestra.errors import EvalError
from orchestra.eval.settings import Setting, settings
from tests.deep import deep
from tests.tiny import compose, model


def composition() -> ComposedModel:
    return compose(model("llama"), kv=model("gpt2", seed=1), far=model("gemma3", seed=2), near=model("qwen3", seed=3))


def rows(found: list[Setting]) -> dict[str, tuple[str, ...]]:
    return {one.name: one.on for one in found}


FULL = {"full composition": ("far", "kv", "near")}


def test_without_ablation_there_is_the_composition_alone() -> None:
    assert rows(settings(composition())) == FULL


def test_each_is_without_each_each_alone_and_the_anchor_alone() -> None:
    assert rows(settings(composition(), ["each"])) == FULL | {
        "without far": ("kv", "near"),
        "without kv": ("far", "near"),
        "without near": ("far", "kv"),
        "far alone": ("far",),
        "kv alone": ("kv",),
        "near alone": ("near",),
        "anchor alone": (),
    }


def test_subsets_are_all_there_are_large_ones_first() -> None:
    assert rows(settings(composition(), ["subsets"])) == FULL | {
        "far + kv": ("far", "kv"),
        "far + near": ("far", "near"),
        "kv + near": ("kv", "near"),
        "far alone": ("far",),
        "kv alone": ("kv",),
        "near alone": ("near",),
        "anchor alone": (),
    }


def test_names_go_off_together_and_a_set_that_comes_again_is_one_row() -> None:
    found = settings(composition(), ["kv", "near, far", "far,near", "each"])
    assert list(rows(found).items())[:3] == [
        ("full composition", ("far", "kv", "near")),
        ("without kv", ("far", "near")),
        ("without far, near", ("kv",)),
    ]
    assert len(found) == 8


def test_what_is_off_already_is_no_part_of_the_composition() -> None:
    composed = composition()
    composed.disable("kv")
    assert rows(settings(composed, ["each"])) == {
        "full composition": ("far", "near"),
        "without far": ("near",),
        "without near": ("far",),
        "anchor alone": (),
    }
    assert composed.active == ("far", "near")
    message = "--ablate: 'kv' is no augment that is on; on are far, near."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        settings(composed, ["kv"])
    with pytest.raises(EvalError, match=r"^--ablate: '' is no augment that is on; on are far, near\.$"):
        settings(composed, [""])


def test_an_augment_that_feeds_only_one_that_is_off_does_not_run_either() -> None:
    assert rows(settings(deep("chain"), ["each"])) == {
        "full composition": ("first", "second"),
        "without first": ("second",),
        "anchor alone": (),
    }
    assert rows(settings(deep("beside"), ["each"])) == {
        "full composition": ("first", "second"),
        "without first": ("second",),
        "without second": ("first",),
        "anchor alone": (),
    }


def test_more_subsets_than_anyone_waits_for_are_refused() -> None:
    parts: dict[str, Any] = {f"a{number}": model("gpt2", seed=1) for number in range(7)}
    composed = compose(model("llama"), **parts)
    message = "--ablate subsets: 7 augments have 128 subsets; at most 64 are run."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        settings(composed, ["subsets"])
