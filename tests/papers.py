"""Documents, facts and model folders for the paper half, without torch. Sizes are distinct primes or twice one."""

import json
from pathlib import Path
from typing import Any

from orchestra import checking
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
    num_params=1000,
    weight_bytes=4000,
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
    return checking.check(specs.parse(content), Facts(models={**MODELS, **models}))


def plan(content: dict[str, Any], **models: ModelFacts) -> Plan:
    """The plan of a document."""
    return plans.plan(check(content, **models))


def folder(path: Path, facts: ModelFacts) -> Path:
    """A model folder with these sizes and a few bytes of weights, which no model could be loaded from."""
    path.mkdir(parents=True)
    sizes = {
        "num_hidden_layers": facts.num_layers,
        "hidden_size": facts.d_model,
        "num_attention_heads": facts.num_heads,
    }
    config = {"model_type": facts.model_type, "vocab_size": facts.vocab_size, **sizes}
    (path / "config.json").write_text(json.dumps(config))
    header = json.dumps({"weight": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    return path


def graph_file(base: Path, **augments: dict[str, Any]) -> Path:
    """A graph file beside the folders `digits`, `kv` and `tetum`; what `document` says."""
    for facts in (DIGITS, KV, TETUM):
        folder(base / Path(facts.source).name, facts)
    path = base / "graph.json"
    path.write_text(json.dumps(document(**augments)))
    return path
