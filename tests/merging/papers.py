"""Facts of models to merge, and recipes for them, without a file."""

from dataclasses import replace
from typing import Any

from orchestra.merging.groups import SourceFacts

TENSORS = ("self_attn.q_proj.weight", "mlp.up_proj.weight")


def source(name: str, *, layers: int = 3, width: int = 22, vocab: int = 97, **more: Any) -> SourceFacts:
    """A model of a few tensors."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, width), "model.norm.weight": (width,)}
    shapes |= {f"model.layers.{layer}.{tensor}": (width, 13) for layer in range(layers) for tensor in TENSORS}
    facts = SourceFacts(
        path=f"/models/{name}",
        config={},
        architecture="LlamaForCausalLM",
        num_layers=layers,
        vocab_size=vocab,
        shapes=shapes,
        weight_bytes=4,
    )
    return replace(facts, **more)


SOURCES = {name: source(name) for name in ("one", "two", "three")}


def models(*names: str, **parameters: Any) -> list[dict[str, Any]]:
    """Models that are merged whole; what is given is said of each but `one`."""
    return [{"model": name, **({"parameters": parameters} if parameters and name != "one" else {})} for name in names]


def pieces(*parts: tuple[str, int, int]) -> dict[str, Any]:
    """One slice of these layers."""
    return {"sources": [{"model": name, "layer_range": [start, end]} for name, start, end in parts]}


TIES: dict[str, Any] = {"merge_method": "ties", "base_model": "one", "models": models("one", "two", weight=1)}
SLERP: dict[str, Any] = {**TIES, "merge_method": "slerp", "models": models("one", "two"), "parameters": {"t": 0.5}}
STACK: dict[str, Any] = {"merge_method": "passthrough", "slices": [pieces(("one", 0, 3)), pieces(("two", 1, 3))]}
