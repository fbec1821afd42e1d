"""load(): from a document to a model that runs. The whole pipeline on one page."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orchestra.errors import BundleError, ModelError
from orchestra.graph import Feed, Graph, ModelFacts, Node
from orchestra.io.bundle import Identity, identify, read_config
from orchestra.io.document import Document, read
from orchestra.io.facts import config_facts, tokenizer_digest
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, verify
from orchestra.io.merge import model_folder
from orchestra.io.merge_facts import weights_fingerprint
from orchestra.io.models import load_model, memory_fingerprint, not_finite, resolve_device
from orchestra.io.room import check_memory
from orchestra.io.sides import Digests, digest, met, sides
from orchestra.io.stacks import read_stack
from orchestra.nn.stack import Stack
from orchestra.paper import fetched_plan
from orchestra.plan import Plan
from orchestra.runtime.attention import check_attention
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.streams import read_tokenizers, settle
from orchestra.runtime.traits import describe
from orchestra.wiring import ANCHOR, above


def load(
    source: str | Path | Mapping[str, Any],
    *,
    models: Mapping[str, PreTrainedModel] | None = None,
    tokenizers: Mapping[str, PreTrainedTokenizerBase] | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    local_files_only: bool = False,
) -> ComposedModel:
    """Compose the model that a graph declares.

    Tokenizers and bundles are read before models: what does not fit is refused before a large checkpoint is loaded.

    Args:
        source: a graph's path, its repository on the Hub (`owner/name`), or the document itself. Relative paths in it
            start at the folder of the file, or at the working directory.
        models: models that are in memory already, by name ('anchor' and augments). They are taken as they are: their
            `model`, `dtype` and `device` fields are not read. A bundle fits them if it was trained against the same
            weights from memory; one that was trained against a folder asks for the folder.
        tokenizers: tokenizers that are in memory already, likewise; their `tokenizer` fields are not read. Default:
            what the field names, else what is in the model's folder, none for a model from memory.
        revision: the commit, tag or branch of the graph's repository.
        token: for the Hub; None is the one of the login.
        local_files_only: take repositories from the Hub's cache, and ask nobody.

    Returns:
        The composed model, in eval mode, with every augment switched as the document says.

    Raises:
        SpecError: the document is not a graph.
        GraphError: the graph cannot exist; what is missing or damaged in the folders is listed with it.
        ModelError: a model or a tokenizer cannot be loaded, is none, or does not belong to the other; or a model
            holds NaN.
        ComposeError: a tokenizer cannot be read as a stream, or into one.
        MergeError: a model that is a merge cannot be made.
        BundleError: a bundle does not fit.
        HubError: a repository is not to be had.
        LockError: a file is not the one that the lock beside the graph names.
    """
    given, words = dict(models or {}), dict(tokenizers or {})
    hub = Online(token=token, local_files_only=local_files_only)
    document = read(source, revision=revision, hub=hub)
    planned = fetched_plan(document, hub, known=_known(given), tokenizers=_fingerprints(words))
    _verify(document, planned, besides={*(f"{name}.model" for name in given), *(f"{name}.tokenizer" for name in words)})
    check_memory(planned)
    known = read_tokenizers(planned.graph, words)
    graph, streams = settle(planned.graph, known)
    identity = _identities(graph, given)
    stacks = _stacks(graph, identity)
    loaded = _load_models(graph, given)
    return ComposedModel(
        replace(planned, graph=graph),
        anchor=loaded["anchor"],
        augments={name: model for name, model in loaded.items() if name != "anchor"},
        stacks={each.name: stacks[each.name].to(device=loaded[each.into].device) for each in graph.stacks},
        identify=identity,
        tokenizer=known["anchor"],
        streams=streams,
    )


def _verify(document: Document, planned: Plan, *, besides: set[str]) -> None:
    """Hold the files to the lock, where there is one."""
    if document.lock is not None and document.path is not None:
        fields = {field if field.startswith("anchor.") else f"augments.{field}" for field in besides}
        verify(document.lock, lock_path(document.path), document.spec, planned.graph, besides=fields)


def _known(given: Mapping[str, PreTrainedModel]) -> dict[str, ModelFacts]:
    """The facts of the models that come from memory."""
    problems = list(_unfit(given))
    if problems:
        raise ModelError.listing(problems)
    return {
        name: replace(
            config_facts(model.config.to_dict(), source=f"<{type(model).__name__} in memory at {id(model):#x}>"),
            num_params=model.num_parameters(),
            weight_bytes=sum(weight.nbytes for weight in model.parameters()),
        )
        for name, model in given.items()
    }


def _fingerprints(given: Mapping[str, PreTrainedTokenizerBase]) -> dict[str, str | None]:
    """Of the tokenizers that come from memory; None of one without a fast backend."""
    problems = [
        f"tokenizers[{name!r}] is a {type(tokenizer).__name__}; a PreTrainedTokenizerBase of transformers is needed."
        for name, tokenizer in given.items()
        if not isinstance(tokenizer, PreTrainedTokenizerBase)
    ]
    if problems:
        raise ModelError.listing(problems)
    return {name: tokenizer_digest(describe(own)) if own.is_fast else None for name, own in given.items()}


def _unfit(given: Mapping[str, object]) -> Iterator[str]:
    for name, model in given.items():
        if not isinstance(model, PreTrainedModel):
            yield f"models[{name!r}] is a {type(model).__name__}; a PreTrainedModel of transformers is needed."
        elif isinstance(model, ComposedModel):
            yield f"models[{name!r}] is a composed model; this version composes plain models only."
        elif any(weight.is_meta for weight in model.parameters()):
            yield f"models[{name!r}] has weights that are not in memory (they are on the device 'meta')."
        elif broken := not_finite(model):
            yield f"models[{name!r}] holds NaN or infinity in {broken}."


def _identities(graph: Graph, given: Mapping[str, PreTrainedModel]) -> Callable[[str], Identity]:
    """Who each model is, worked out when first asked: hashing a large checkpoint takes a while."""
    nodes = {node.name: node for node in (graph.anchor, *graph.augments)}

    @cache
    def identity(name: str) -> Identity:
        node = nodes[name]
        own = name if name in given else None
        weights = memory_fingerprint(given[name]) if own else weights_fingerprint(node.facts)
        ahead = node.reads == "stream" and node.tail == "provisional"
        return identify(node.facts, weights, name=own, template=node.template, provisional=ahead)

    return identity


def _stacks(graph: Graph, identity: Callable[[str], Identity]) -> dict[str, Stack]:
    """Every stack by name, fresh or from its bundle; the misfits of all bundles are listed at once."""
    stacks, problems, order = dict[str, Stack](), list[str](), graph.order
    digests = dict[str, str | None]()
    unknown = set[str]()  # what these make of a text is not known, as a bundle that feeds them does not fit
    for feed in sorted(graph.stacks, key=lambda feed: order.index(feed.augment)):
        stacks[feed.name] = Stack(graph.sites_of(feed), seed=feed.seed if feed.bundle is None else None)
        try:
            if feed.bundle is not None and not unknown & above(graph.feeds, [feed.augment]):
                digests[feed.name] = _fill(stacks[feed.name], graph, feed, identity, digests)
        except BundleError as error:
            problems += [f"{feed.field}: {line}" for line in str(error).splitlines()]
            unknown.add(feed.into)
    if problems:
        raise BundleError.listing(problems)
    return stacks


def _fill(stack: Stack, graph: Graph, feed: Feed, identity: Callable[[str], Identity], digests: Digests) -> str | None:
    """Give a stack the weights of its bundle; returns what that counts as.

    Args:
        digests: of the stacks that feed its augment.
    """
    folder = Path(feed.bundle or "")
    config = read_config(folder)
    on = [node.name for node in graph.augments if node.enabled]
    fed_by = met(config.augment.fed, graph.feeds, feed.augment, digests, on)
    anchor, augment = sides(graph, feed, identity, fed_by)
    expected = {name: tuple(weight.shape) for name, weight in stack.state_dict().items()}
    stack.load_state_dict(read_stack(folder, anchor=anchor, augment=augment, expected=expected))
    return digest(folder, config) if feed.into != ANCHOR else None


def _load_models(graph: Graph, given: Mapping[str, PreTrainedModel]) -> dict[str, PreTrainedModel]:
    """Every model of the graph by name; a checkpoint that is named twice and held alike is loaded once."""
    nodes = {node.name: node for node in (graph.anchor, *graph.augments) if node.name not in given}
    devices = _devices(nodes)
    loaded, held = dict(given), {}
    # 'auto' goes first: only then is it known which dtype it stands for.
    for name, node in sorted(nodes.items(), key=lambda item: item[1].dtype != "auto"):
        key = (node.facts.source, node.dtype, devices[name])
        if key not in held:
            held[key] = load_model(model_folder(node.facts), dtype=node.dtype, device=devices[name])
            held[node.facts.source, str(held[key].dtype).removeprefix("torch."), devices[name]] = held[key]
        loaded[name] = held[key]
    for node in (graph.anchor, *graph.augments):
        check_attention(node.name, loaded[node.name], node.facts.num_layers)
    return loaded


def _devices(nodes: Mapping[str, Node]) -> dict[str, str]:
    """Where each model goes; every device that is not there is named before the first model is loaded."""
    devices, problems = {}, []
    for name, node in nodes.items():
        try:
            devices[name] = str(resolve_device(node.device))
        except ModelError as error:
            problems.append(f"{name if name == 'anchor' else f'augments.{name}'}.{error}")
    if problems:
        raise ModelError.listing(problems)
    return devices
