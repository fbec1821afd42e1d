"""load(): from a document to a model that runs. The whole pipeline on one page."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orchestra.graph import Graph, ModelFacts, Node
from orchestra.io.bundle import Identity, identify
from orchestra.io.checkpoint import fingerprint
from orchestra.io.facts import config_facts
from orchestra.io.models import load_model, load_tokenizer
from orchestra.io.stacks import read_stack
from orchestra.nn.stack import Stack
from orchestra.paper import plan
from orchestra.runtime.model import ComposedModel


def load(
    source: str | Path | Mapping[str, Any],
    *,
    models: Mapping[str, PreTrainedModel] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> ComposedModel:
    """Compose the model that a graph declares.

    Args:
        source: a graph's path, or the document itself; relative paths in a document start at the working directory.
        models: models that are in memory already, by name ('anchor' and augments); their `model` field is not read.
        tokenizer: the anchor's tokenizer, when the anchor comes from memory.

    Returns:
        The composed model, in eval mode, with every augment switched as the document says.

    Raises:
        SpecError: the document is not a graph.
        GraphError: the graph cannot exist.
        ModelError: a model's files are missing or damaged.
        BundleError: a bundle does not fit.
    """
    given = dict(models or {})
    planned = plan(source, known={name: _facts_in_memory(name, model) for name, model in given.items()})
    loaded = _load_models(planned.graph, given)
    identify_ = _identities(planned.graph, given)
    stacks = {node.name: _stack(planned.graph, node, loaded, identify_) for node in planned.graph.augments}
    if tokenizer is None and "anchor" not in given:
        tokenizer = load_tokenizer(Path(planned.graph.anchor.facts.source))
    return ComposedModel(
        planned,
        anchor=loaded["anchor"],
        augments={node.name: loaded[node.name] for node in planned.graph.augments},
        stacks=stacks,
        tokenizer=tokenizer,
        identify=identify_,
    )


def _facts_in_memory(name: str, model: PreTrainedModel) -> ModelFacts:
    return config_facts(model.config.to_dict(), source=f"<{name}: {type(model).__name__} {id(model):#x}>")


def _load_models(graph: Graph, given: Mapping[str, PreTrainedModel]) -> dict[str, PreTrainedModel]:
    """Every model of the graph by name; a checkpoint named twice, held alike, is loaded once."""

    @cache
    def load_once(source: str, dtype: str, device: str) -> PreTrainedModel:
        return load_model(Path(source), dtype=dtype, device=device)

    nodes = (graph.anchor, *graph.augments)
    return {
        node.name: given[node.name] if node.name in given else load_once(node.facts.source, node.dtype, node.device)
        for node in nodes
    }


def _identities(graph: Graph, given: Mapping[str, PreTrainedModel]) -> Callable[[str], Identity]:
    """Who each model is, worked out when first asked: hashing a large checkpoint takes a while."""
    facts = {node.name: node.facts for node in (graph.anchor, *graph.augments)}

    @cache
    def identity(name: str) -> Identity:
        in_memory = name in given
        digest = _memory_fingerprint(given[name]) if in_memory else fingerprint(Path(facts[name].source))
        return identify(facts[name], digest, name=name if in_memory else None)

    return identity


def _memory_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 of a model that comes from memory: of its weights by name."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _stack(
    graph: Graph, node: Node, loaded: Mapping[str, PreTrainedModel], identity: Callable[[str], Identity]
) -> Stack:
    """The stack of one augment, fresh or from its bundle, on the anchor's device."""
    stack = Stack((site for site in graph.sites if site.augment == node.name), seed=node.seed)
    if node.bundle is not None:
        expected = {name: tuple(weight.shape) for name, weight in stack.state_dict().items()}
        tensors = read_stack(
            Path(node.bundle), anchor=identity("anchor"), augment=identity(node.name), expected=expected
        )
        stack.load_state_dict(tensors)
    return stack.to(device=loaded["anchor"].device)
