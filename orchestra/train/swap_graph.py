"""The graph of a control: the anchor, and in the augment's place what it is swapped for, with a fresh stack."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import TrainError
from orchestra.graph import Node
from orchestra.io.bundle import read_config
from orchestra.io.document import read
from orchestra.io.fresh import write_fresh
from orchestra.io.hub import Online
from orchestra.io.merge import model_folder
from orchestra.io.merge_facts import weights_fingerprint
from orchestra.paper import plan
from orchestra.plan import Plan
from orchestra.spec import FORMAT, AugmentSpec, BridgeRecipe, GraphSpec, ModelSpec
from orchestra.train.swap_spec import Swap
from orchestra.wiring import ANCHOR

_HELD = ("dtype", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The user's graph, as it was read and planned; it is never written."""

    spec: GraphSpec
    plan: Plan

    @classmethod
    def of(cls, source: str | Path | Mapping[str, Any]) -> "Source":
        """Read and plan a graph."""
        hub = Online()
        return cls(spec=read(source, hub=hub).spec, plan=plan(source, hub=hub))

    def node(self, name: str) -> Node:
        """An augment.

        Raises:
            TrainError: there is none of that name, or it is no augment that reads by itself and feeds the anchor.
        """
        nodes = {node.name: node for node in self.plan.graph.augments}
        if name not in nodes:
            raise TrainError(f"no augment is called {name!r}; this graph has {', '.join(nodes)}.")
        feeds = self.plan.graph.feeds
        fed_by = [other for other, into in feeds.items() if name in into]
        others = [into for into in feeds[name] if into != ANCHOR]
        if fed_by or others:
            told = f"is fed by {', '.join(fed_by)}" if fed_by else f"feeds {', '.join(others)}"
            raise TrainError(f"augment {name!r} {told}; only an augment that feeds nothing but the anchor is swapped.")
        return nodes[name]

    def bundle(self, name: str) -> Path | None:
        """The folder of an augment's bundle; None where its bridges are fresh."""
        self.node(name)
        (bundle,) = (stack.bundle for stack in self.plan.graph.stacks if stack.augment == name)
        return None if bundle is None else Path(bundle)


def original(source: Source, name: str) -> dict[str, Any]:
    """The graph of one augment as it is, but for a fresh stack: what is trained again for a fair comparison."""
    node, spec = source.node(name), source.spec.augments[name]
    return _document(source, name, {**_model(node, spec), **_reads(spec), "bridges": _recipe(source, name)})


def swapped(source: Source, swap: Swap, folder: Path, *, seed: int) -> dict[str, Any]:
    """The graph of a control.

    Args:
        folder: where a model with fresh weights is written, drawn by the seed.
    """
    node, spec = source.node(swap.augment), source.spec.augments[swap.augment]
    kept = {**_model(node, spec), **_reads(spec), "bridges": _recipe(source, swap.augment)}
    if swap.kind == "prompt-only":
        if spec.context == "prompt":
            raise TrainError(f"augment {swap.augment!r} reads the prompt only as it is; there is nothing to swap.")
        return _document(source, swap.augment, {**kept, "context": "prompt"})
    if swap.kind == "random":
        own = kept.get("tokenizer")
        place = folder / f"model-{seed}-{weights_fingerprint(node.facts)[:12]}"
        fresh = write_fresh(model_folder(node.facts), place, seed=seed)
        found = {"model": str(fresh.resolve())} | ({} if own is None else {"tokenizer": own})
        return _document(source, swap.augment, {**_without_model(kept), **found})
    assert swap.model is not None
    local = Path(swap.model).expanduser()
    model = str(local.resolve()) if local.exists() else swap.model
    vanilla = _document(source, swap.augment, {**_without_model(kept), "model": model, "bridges": {}})
    return _at_depth(vanilla, swap.augment, kept["bridges"], before=node.facts.num_layers)


def below(document: Mapping[str, Any], folder: Path, bundle: Path) -> dict[str, Any]:
    """A control's graph as it is written: with its bundle, and with paths from the folder on."""
    (name,) = document["augments"]
    sides = [document["anchor"], {**document["augments"][name], "bridges": str(bundle.resolve())}]
    anchor, augment = ({key: _relative(key, value, folder) for key, value in side.items()} for side in sides)
    return {**document, "anchor": anchor, "augments": {name: augment}}


def _relative(field: str, value: Any, folder: Path) -> Any:
    if field in ("model", "tokenizer", "bridges") and isinstance(value, str) and Path(value).is_absolute():
        return os.path.relpath(value, folder.resolve())
    return value


def _document(source: Source, name: str, augment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "anchor": _model(source.plan.graph.anchor, source.spec.anchor),
        "augments": {name: dict(augment)},
    }


def _model(node: Node, spec: ModelSpec) -> dict[str, Any]:
    """Where a model is, wherever the document will stand, and how it is held."""
    facts = node.facts
    if facts.origin is not None:
        found: dict[str, Any] = {"model": facts.origin.repo, "revision": facts.origin.commit}
    else:
        found = {"model": str(model_folder(facts))}
    if spec.tokenizer is not None:
        found["tokenizer"] = node.tokenizer
    return found | {name: getattr(spec, name) for name in _HELD}


def _without_model(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("model", "revision", "tokenizer")}


def _reads(spec: AugmentSpec) -> dict[str, Any]:
    """How the augment reads; what is the default stays unsaid."""
    said = {name: getattr(spec, name) for name in ("template", "tail", "context")}
    return {name: value for name, value in said.items() if value != AugmentSpec.model_fields[name].default}


def _recipe(source: Source, name: str) -> dict[str, Any]:
    """The recipe of a fresh stack with the sites of the augment's own."""
    bridges = source.spec.augments[name].feeds()[ANCHOR]
    if isinstance(bridges, BridgeRecipe):
        return bridges.model_dump(mode="json", exclude_defaults=True)
    folder = source.bundle(name)
    assert folder is not None
    config = read_config(folder)
    sites, seed = config.sites, config.recipe.get("bridge_seed")
    first = sites[0]
    pairs = [{"augment_layer": site.augment_layer, "anchor_layer": site.anchor_layer} for site in sites]
    form = {"heads": first.num_heads, "gate": first.gate, "positions": first.positions, "variant": first.variant}
    return {"pairs": pairs, **form} | ({"seed": seed} if seed else {})


def _at_depth(document: dict[str, Any], name: str, recipe: Mapping[str, Any], *, before: int) -> dict[str, Any]:
    """The document with the stack's recipe; layers that are named are moved to the same share of another depth."""
    (node,) = plan(document, hub=Online()).graph.augments
    depth, moved = node.facts.num_layers, dict(recipe)
    if "pairs" in recipe and depth != before:
        pairs = [
            {**pair, "augment_layer": round((pair["augment_layer"] + 1) * depth / before + 1e-9) - 1}
            for pair in recipe["pairs"]
        ]
        named = {(max(0, pair["augment_layer"]), pair["anchor_layer"]) for pair in pairs}
        ordered = sorted(named, key=str)
        moved["pairs"] = [{"augment_layer": layer, "anchor_layer": into} for layer, into in ordered]
    document["augments"][name]["bridges"] = moved
    return document
