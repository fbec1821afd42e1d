from typing import Any

from benchmarks import kept
from tests.tiny import compose, model, pair, tokens


def test_no_activation_is_kept_in_an_augment_or_under_the_lowest_bridge() -> None:
    """On taps as without: what is kept for the backward pass is above the first site, or the bridges' own."""
    joined = {"bridges": {"pairs": [pair(0, 1), pair(1, 3)]}}
    composed: Any = compose(model("qwen3"), kv=(model("llama", seed=1), joined), far=(model("gpt2", seed=2), joined))
    ids = tokens()
    for taps in (None, composed.taps(ids)):
        with kept.watching(composed.train()) as amounts:
            composed(input_ids=ids, labels=ids, taps=taps)
        inside = {place for place, amount in amounts.items() if amount > 0 and place not in ("top", "outside")}
        assert inside - {"anchor, rest"} == {f"anchor, layer {layer}" for layer in (2, 3, 4)} | {
            "bridges far",
            "bridges kv",
        }
