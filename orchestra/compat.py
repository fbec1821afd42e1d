"""compat(): whether bundles that were trained apart join in one graph, before a weight is loaded. No torch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra import checking, wiring
from orchestra.errors import GraphError
from orchestra.graph import BundleFacts, Facts, ModelFacts, Node, stack_name
from orchestra.io.bundle import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    BundleConfig,
    Identity,
    identify,
    misfits_by_aspect,
    read_config,
    read_weights_header,
)
from orchestra.io.checkpoint import file_sha256
from orchestra.io.document import Document, read
from orchestra.io.hosted import Hub, cached
from orchestra.io.merge_facts import weights_fingerprint
from orchestra.io.safetensors_header import FLOATS, Tensors
from orchestra.io.sides import anchor_side, digest, met
from orchestra.paper import gathered
from orchestra.plan import num_params
from orchestra.problems import printable
from orchestra.spec import GraphSpec
from orchestra.wiring import ANCHOR

ASPECTS = {
    "anchor": "anchor",
    "augment": "augment",
    "sites": "sites",
    "dtype": "stored as",
    "tokenizer": "tokenizers",
    "template": "template and tail",
    "alignment": "alignment version",
    "file": "weights, SHA-256",
}
"""What a bundle must agree in, and what people call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A bundle, held against the graph that names it.

    Attributes:
        stack: what its stack is called: by the augment, and the model that it feeds where that is not the anchor.
        where: the field of the document that names it.
        bundle: where it lies.
        trained: by aspect, what the bundle says of itself.
        misfits: by aspect, every reason why it does not fit; empty where it does.
        unknown: aspects that cannot be told here, as the weights of a model are not here.
    """

    stack: str
    where: str
    bundle: str
    trained: Mapping[str, str]
    misfits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """All bundles of a graph.

    Attributes:
        fresh: stacks that are fresh, and fit anything.
        problems: what keeps the graph from being read, or from being one.
    """

    bundles: tuple[Fit, ...]
    fresh: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def reasons(self) -> list[str]:
        """Why it does not fit, a line each; none where it does."""
        found = ((fit.where, line) for fit in self.bundles for lines in fit.misfits.values() for line in lines)
        return [*self.problems, *(f"{where}: {line}." for where, line in found)]


def compat(
    source: str | Path | Mapping[str, Any] | Document, *, revision: str | None = None, hub: Hub = cached
) -> Compatibility:
    """Hold every bundle of a graph against its models, and against each other.

    What files say of themselves is enough; weights are hashed, and none is loaded.

    Args:
        source: a graph's path, its repository on the Hub, or the document itself.
        revision: the commit, tag or branch of the repository.
        hub: where repositories come from; by default the Hub's cache alone.

    Raises:
        SpecError: the document is not a graph; every problem is listed.
        HubError: the repository is not to be had.
        LockError: the lock beside the graph is none, or belongs to another document.
    """
    document = source if isinstance(source, Document) else read(source, revision=revision, hub=hub)
    spec = document.spec
    facts, unread = gathered(document, hub)
    weights = {name: _weights(model) for name, model in facts.models.items()}
    held = _Held(spec=spec, facts=facts, weights=weights)
    return Compatibility(
        bundles=tuple(_fit(held, stack) for stack in sorted(held.configs)),
        fresh=tuple(sorted(name for name, (*_, recipe) in held.stacks.items() if not isinstance(recipe, str))),
        problems=tuple(_problems(held, unread)),
    )


class _Held:
    """A document, and what is known of what it names.

    Attributes:
        weights: the fingerprint of each model; None where its weights are not here.
        stacks: by name, the augment, the model that it feeds, and its bundle or recipe.
        configs: of the bundles, by stack.
        digests: what they count as where they feed an augment.
        sites: of all stacks that can be placed.
    """

    def __init__(self, *, spec: GraphSpec, facts: Facts, weights: Mapping[str, str | None]) -> None:
        self.spec, self.facts, self.weights = spec, facts, weights
        self.stacks = {
            stack_name(name, into): (name, into, bridges)
            for name, augment in spec.augments.items()
            for into, bridges in augment.feeds().items()
        }
        self.feeds = {name: tuple(augment.feeds()) for name, augment in spec.augments.items()}
        folders = {stack: Path(bundle.source) for stack, bundle in facts.bundles.items()}
        self.configs = {stack: read_config(folder) for stack, folder in folders.items()}
        self.digests = {stack: digest(folder, self.configs[stack]) for stack, folder in folders.items()}
        self.sites = [] if any(wiring.misfits(self.feeds)) else checking.place_all(spec, facts)[0]

    def node(self, name: str) -> Node | None:
        """An augment, as far as the models that decide what it reads are known."""
        known = name in self.spec.augments and {name, ANCHOR} <= self.facts.models.keys()
        return checking.node(name, self.spec.augments[name], self.facts) if known else None


def _weights(model: ModelFacts) -> str | None:
    """The fingerprint of a model; None where its weights have not been fetched."""
    return None if model.weight_bytes is None else weights_fingerprint(model)


def _problems(held: _Held, unread: list[str]) -> Iterator[str]:
    """What is wrong with the graph besides its bundles."""
    try:
        checking.check(held.spec, held.facts, unread)
    except GraphError as error:
        told = tuple(f"{_field(held, stack)} (" for stack in held.configs)  # by aspect
        yield from (line for line in str(error).splitlines() if not line.startswith(told))


def _field(held: _Held, stack: str) -> str:
    """Where the document names a bundle."""
    augment, into, _ = held.stacks[stack]
    return held.spec.augments[augment].field(augment, into)


def _fit(held: _Held, stack: str) -> Fit:
    config, bundle, (name, into, _) = held.configs[stack], held.facts.bundles[stack], held.stacks[stack]
    header = read_weights_header(Path(bundle.source))
    anchor, reader = _anchor(held, name, into, config.anchor), _reader(held, name, config.augment)
    found = [
        *misfits_by_aspect(config, anchor=anchor, augment=reader),
        *(("anchor", line) for line in _other_anchor(held, stack, into) if held.weights.get(into) is None),
        *(("sites", line) for line in _misplaced(held, name, into, bundle)),
        *(("dtype", f"the tensor {printable(key)} holds {kind}") for key, kind in _no_floats(header)),
        *(("file", line) for line in _changed(bundle, config, header)),
    ]
    return Fit(
        stack=stack,
        where=_field(held, stack),
        bundle=str(bundle.origin or bundle.source),
        trained=_trained(config, header),
        misfits={aspect: lines for aspect in ASPECTS if (lines := tuple(line for of, line in found if of == aspect))},
        unknown=tuple(aspect for aspect, model in (("anchor", into), ("augment", name)) if not held.weights.get(model)),
    )


def _anchor(held: _Held, name: str, into: str, trained: Identity) -> Identity:
    """Who the model is that a stack feeds; where that is not known here, whoever its bundle was trained with."""
    feeder, fed = held.node(name), held.node(into)
    if into != ANCHOR and (feeder is None or fed is None):
        return trained
    own = _identity(held, into, trained)
    return own if feeder is None else anchor_side(own, feeder, fed, held.facts.models[ANCHOR].tokenizer)


def _reader(held: _Held, name: str, trained: Identity) -> Identity:
    """Who the augment is that a stack reads, and who feeds it; likewise."""
    behind = [stack_name(*pair) for pair in wiring.behind(held.feeds, name)]
    if any(isinstance(held.stacks[stack][2], str) and stack not in held.configs for stack in behind):
        fed_by = trained.fed  # one of them cannot be read, and that is told
    else:
        on = [each for each, augment in held.spec.augments.items() if augment.enabled]
        fed_by = met(trained.fed, held.feeds, name, held.digests, on)
    return _identity(held, name, trained).model_copy(update={"fed": fed_by})


def _identity(held: _Held, name: str, trained: Identity) -> Identity:
    """Who a model of the graph is by itself."""
    model, anchor, augment = held.facts.models.get(name), held.facts.models.get(ANCHOR), held.spec.augments.get(name)
    if model is None:
        return trained
    known = held.weights[name] or trained.fingerprint
    if augment is None or anchor is None:
        return identify(model, known, template=augment.template if augment else None)
    ahead = augment.tail == "provisional" and checking.reads_a_stream(augment, anchor, model)
    return identify(model, known, template=augment.template, provisional=ahead)


def _other_anchor(held: _Held, stack: str, into: str) -> Iterator[str]:
    """Whether a bundle was trained for another model than the first one of the graph that feeds the same."""
    first, config = min(each for each in held.configs if held.stacks[each][1] == into), held.configs[stack]
    ours, theirs = held.configs[first].anchor, config.anchor
    if ours.fingerprint != theirs.fingerprint:
        yield (
            f"it was trained with an anchor of the weights {theirs.fingerprint[:12]} ({theirs.name}), "
            f"and the bundle of {first} with {ours.fingerprint[:12]} ({ours.name})"
        )


def _misplaced(held: _Held, name: str, into: str, bundle: BundleFacts) -> list[str]:
    """What keeps the sites of a bundle from being between the models of the graph."""
    models = held.facts.models
    if not {into, name} <= models.keys():
        return []
    heads, whom = "the number of heads is", "the anchor" if into == ANCHOR else into
    lines = checking.misplaced(bundle.sites, "site", heads, anchor=models[into], augment=models[name], whom=whom)
    read = [site.augment_layer for site in held.sites if site.augment == into]
    if read:
        lines += checking.never_run(bundle.sites, "site", into, depth=models[into].num_layers, run=1 + max(read))
    return [line.removesuffix(".") for line in lines]


def _no_floats(header: Tensors) -> Iterator[tuple[str, str]]:
    return ((key, kind) for key, kind in sorted(header.dtypes.items()) if kind not in FLOATS)


def _changed(bundle: BundleFacts, config: BundleConfig, header: Tensors) -> Iterator[str]:
    """How the weights of a bundle differ from those that its config speaks of."""
    needed = sum(map(num_params, bundle.sites))
    if header.num_params != needed:
        yield f"{WEIGHTS_FILE} holds {header.num_params:,} numbers, and its sites need {needed:,}"
    if file_sha256(Path(bundle.source) / WEIGHTS_FILE) != config.weights_sha256:
        yield f"{WEIGHTS_FILE} is not the file that {CONFIG_FILE} names by its SHA-256"


def _trained(config: BundleConfig, header: Tensors) -> dict[str, str]:
    """What a bundle says of itself, in a few words for each aspect."""
    anchor, augment = config.anchor, config.augment
    template = "none" if augment.template is None else json.dumps(augment.template)
    fed = f", fed by {', '.join(each[:12] for each in augment.fed)}" if augment.fed else ""
    return {
        "anchor": f"{anchor.name} {anchor.fingerprint[:12]}",
        "augment": f"{augment.name} {augment.fingerprint[:12]}{fed}",
        "sites": ", ".join(site.key for site in config.placed("")),
        "dtype": ", ".join(sorted(set(header.dtypes.values()))),
        "tokenizer": " -> ".join((side.tokenizer or "not known")[:12] for side in (anchor, augment)),
        "template": f"{template}, {augment.tail or 'held'}",
        "alignment": str(config.alignment_version),
        "file": config.weights_sha256[:12],
    }
