from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import ComposeError
from orchestra.loudness import loudness, loudness_of, mean_gates
from tests import folders, tiny
from tests.deep import deep

TEXTS = {"short": ["w3 w5"], "long": ["w7 w11 w13", "w2 w3 w5 w7"]}


def test_the_loudness_is_the_mean_share_of_a_stack_alone_over_bridges_and_tokens() -> None:
    composed = tiny.compose(
        tiny.model("llama"),
        tokenizers={name: tiny.words() for name in ("anchor", "kv", "far")},
        kv=tiny.model("gpt2", seed=1),
        far=tiny.model("qwen3", seed=2),
    )
    found = loudness(composed, TEXTS)
    assert {name: list(domains) for name, domains in found.items()} == {
        "far": ["short", "long"],
        "kv": ["short", "long"],
    }
    with composed.only("kv"):
        shares = [
            share for text in TEXTS["long"] for bridge in composed.contributions(text).bridges for share in bridge.share
        ]
    assert len(shares) == 3 * 7
    assert found["kv"]["long"] == pytest.approx(sum(shares) / len(shares))
    assert composed.active == ("far", "kv")


def test_an_augment_that_feeds_another_is_measured_with_that_one_on_and_by_its_own_bridges() -> None:
    composed = deep("chain", "ids")
    composed.tokenizer = tiny.words()
    found = loudness(composed, {"one": ["w3 w5"]})
    assert list(found) == ["first", "second"]
    for name in found:
        with composed.only("second", name):
            report = composed.contributions("w3 w5")
        shares = [share for bridge in report.bridges if bridge.augment == name for share in bridge.share]
        assert found[name]["one"] == pytest.approx(sum(shares) / len(shares))


def test_a_fresh_stack_is_silent_in_a_graph_that_is_still_to_be_loaded(tmp_path: Path) -> None:
    for name, architecture in (("anchor", "llama"), ("kv", "qwen3")):
        folders.checkpoint(tmp_path / name, architecture)
    graph = folders.graph(tmp_path / "graph.json", folders.document(kv={"bridges": {"pairs": tiny.PAIRS}}))
    assert loudness_of(graph, {"one": ["w3"]}) == {"kv": {"one": 0.0}}


def test_a_mean_gate_is_over_all_tokens_of_all_texts() -> None:
    gated: Any = {"bridges": {"pairs": tiny.PAIRS, "gate": "token"}}
    composed = tiny.compose(
        tiny.model("llama"), tokenizers=dict.fromkeys(("anchor", "kv"), tiny.words()), kv=(tiny.model("gpt2"), gated)
    )
    found = mean_gates(composed, TEXTS["long"])
    reports = [composed.contributions(text).bridges for text in TEXTS["long"]]
    for index, site in enumerate(composed.plan.graph.sites):
        gates = [gate for bridges in reports for gate in bridges[index].gate]
        assert len(gates) == 7
        assert found[site] == pytest.approx(sum(gates) / 7)
    assert mean_gates(composed, []) == {}


def test_a_domain_without_texts_is_refused() -> None:
    composed = tiny.compose(tiny.model("llama"), kv=tiny.model("gpt2"))
    with pytest.raises(ComposeError, match=r"^the domain 'two' has no texts\.$"):
        loudness(composed, {"one": ["w3"], "two": []})
