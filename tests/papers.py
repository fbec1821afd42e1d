"""Documents and facts for the paper half: no weights, no files, no torch. Sizes are distinct primes or twice one."""

from typing import Any

from orchestra import graph as graphs
from orchestra import plan as plans
from orchestra import spec as specs
from orchestra.graph import Facts, Graph, ModelFacts
from orchestra.plan import Plan

DIGITS = ModelFacts(
    source="/models/digits",
    model_type="llama",
    num_layers=5,
    d_model=22,
    num_heads=11,
    vocab_size=97,
    weight_bytes=1009,
)
KV = ModelFacts(
    source="/models/kv", model_type="gpt2", num_layers=3, d_model=14, num_heads=7, vocab_size=97, weight_bytes=503
)
TETUM = ModelFacts(source="/models/tetum", model_type="bloom", num_layers=7, d_model=26, num_heads=13, vocab_size=97)
MODELS = {"anchor": DIGITS, "kv": KV, "tetum": TETUM}


def pair(augment_layer: Any, anchor_layer: Any) -> dict[str, Any]:
    """One entry of `pairs`."""
    return {"augment_layer": augment_layer, "anchor_layer": anchor_layer}


def document(**augments: dict[str, Any]) -> dict[str, Any]:
    """A graph of `digits` and these augments; without any, one of `kv` alone. Each has a model unless it says so."""
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": "digits"},
        "augments": {name: {"model": name, **fields} for name, fields in (augments or {"kv": {}}).items()},
    }


def check(content: dict[str, Any], **models: ModelFacts) -> Graph:
    """The graph of a document whose models are those above, or these."""
    return graphs.check(specs.parse(content), Facts(models={**MODELS, **models}))


def plan(content: dict[str, Any], **models: ModelFacts) -> Plan:
    """The plan of a document."""
    return plans.plan(check(content, **models))
