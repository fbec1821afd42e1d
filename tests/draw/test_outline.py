"""The drawing as text."""

from dataclasses import replace
from typing import Any

from orchestra.draw import tree
from tests.papers import DIGITS, KV, document, pair, plan

PAIRS = {"bridges": {"pairs": [pair(1, "embedding"), pair(1, 3), pair(0, 3)]}}
STREAMS: dict[str, Any] = {"anchor": replace(DIGITS, tokenizer="a" * 64), "kv": replace(KV, tokenizer="b" * 64)}


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


def test_the_tree_says_how_far_bridges_open_where_it_is_known() -> None:
    planned = plan(document(kv=PAIRS))
    first, second, _ = planned.graph.sites
    assert tree(planned, {first: 0.256, second: -0.5}).splitlines()[2:6] == [
        "│   └── kv, layer 1, gate 0.26",
        "└── layer 3",
        "    ├── kv, layer 0, gate -0.5",
        "    └── kv, layer 1",
    ]
