"""compat(): whether bundles that were trained apart join in one graph, before a weight is loaded. No torch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra import checking
from orchestra.errors import GraphError
from orchestra.graph import BundleFacts, Facts, ModelFacts
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
from orchestra.io.checkpoint import file_sha256, fingerprint
from orchestra.io.document import Document, read
from orchestra.io.facts import gather
from orchestra.io.hosted import Hub, cached
from orchestra.io.safetensors_header import FLOATS, Tensors
from orchestra.plan import num_params
from orchestra.problems import printable
from orchestra.spec import AugmentSpec, GraphSpec

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
        bundle: where it lies.
        trained: by aspect, what the bundle says of itself.
        misfits: by aspect, every reason why it does not fit; empty where it does.
        unknown: aspects that cannot be told here, as the weights of a model are not here.
    """

    augment: str
    bundle: str
    trained: Mapping[str, str]
    misfits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """All bundles of a graph.

    Attributes:
        fresh: augments whose bridges are fresh, and fit anything.
        problems: what keeps the graph from being read, or from being one.
    """

    bundles: tuple[Fit, ...]
    fresh: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def reasons(self) -> list[str]:
        """Why it does not fit, a line each; none where it does."""
        found = ((fit.augment, line) for fit in self.bundles for lines in fit.misfits.values() for line in lines)
        return [*self.problems, *(f"augments.{augment}.bridges: {line}." for augment, line in found)]


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
    facts, unread = gather(spec, document.folder, root=document.root, hub=hub)
    weights = {name: _weights(model) for name, model in facts.models.items()}
    bundles = ((name, bundle) for name, bundle in sorted(facts.bundles.items()) if name in spec.augments)
    configs = {name: read_config(Path(bundle.source)) for name, bundle in bundles}  # of those into the anchor
    return Compatibility(
        bundles=tuple(_fit(name, spec.augments[name], facts, weights, configs) for name in configs),
        fresh=tuple(name for name, augment in sorted(spec.augments.items()) if not isinstance(augment.bridges, str)),
        problems=tuple(_problems(spec, facts, unread)),
    )


def _weights(model: ModelFacts) -> str | None:
    """The fingerprint of a model; None where its weights have not been fetched."""
    return None if model.weight_bytes is None else fingerprint(Path(model.source))


def _problems(spec: GraphSpec, facts: Facts, unread: list[str]) -> Iterator[str]:
    """What is wrong with the graph besides its bundles."""
    try:
        checking.check(spec, facts, unread)
    except GraphError as error:
        held = tuple(f"augments.{name}.bridges (" for name in facts.bundles)  # those are told by aspect
        yield from (line for line in str(error).splitlines() if not line.startswith(held))


def _fit(
    name: str,
    augment: AugmentSpec,
    facts: Facts,
    weights: Mapping[str, str | None],
    configs: Mapping[str, BundleConfig],
) -> Fit:
    config, bundle = configs[name], facts.bundles[name]
    header = read_weights_header(Path(bundle.source))
    anchor = _identity("anchor", config.anchor, facts, weights)
    reader = _identity(name, config.augment, facts, weights, augment)
    found = [
        *misfits_by_aspect(config, anchor=anchor, augment=reader),
        *(("anchor", line) for line in _other_anchor(name, configs) if weights.get("anchor") is None),
        *(("sites", line) for line in _misplaced(name, bundle, facts)),
        *(("dtype", f"the tensor {printable(key)} holds {kind}") for key, kind in _no_floats(header)),
        *(("file", line) for line in _changed(bundle, config, header)),
    ]
    return Fit(
        augment=name,
        bundle=str(bundle.origin or bundle.source),
        trained=_trained(config, header),
        misfits={aspect: lines for aspect in ASPECTS if (lines := tuple(line for of, line in found if of == aspect))},
        unknown=tuple(aspect for aspect, model in (("anchor", "anchor"), ("augment", name)) if not weights.get(model)),
    )


def _identity(
    name: str, trained: Identity, facts: Facts, weights: Mapping[str, str | None], augment: AugmentSpec | None = None
) -> Identity:
    """Who a model of the graph is; where that is not known here, whoever the bundle was trained with."""
    model, anchor = facts.models.get(name), facts.models.get("anchor")
    if model is None:
        return trained
    known = weights[name] or trained.fingerprint
    if augment is None or anchor is None:
        return identify(model, known, template=augment.template if augment else None)
    ahead = augment.tail == "provisional" and checking.reads_a_stream(augment, anchor, model)
    return identify(model, known, template=augment.template, provisional=ahead)


def _other_anchor(name: str, configs: Mapping[str, BundleConfig]) -> Iterator[str]:
    """Whether a bundle was trained for another anchor than the first one of the graph."""
    first, config = next(iter(configs)), configs[name]
    ours, theirs = configs[first].anchor, config.anchor
    if ours.fingerprint != theirs.fingerprint:
        yield (
            f"it was trained with an anchor of the weights {theirs.fingerprint[:12]} ({theirs.name}), "
            f"and the bundle of {first} with {ours.fingerprint[:12]} ({ours.name})"
        )


def _misplaced(name: str, bundle: BundleFacts, facts: Facts) -> list[str]:
    """What keeps the sites of a bundle from being between the models of the graph."""
    if not {"anchor", name} <= facts.models.keys():
        return []
    anchor, augment = facts.models["anchor"], facts.models[name]
    lines = checking.misplaced(bundle.sites, "site", "the number of heads is", anchor=anchor, augment=augment)
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
    return {
        **{role: f"{side.name} {side.fingerprint[:12]}" for role, side in (("anchor", anchor), ("augment", augment))},
        "sites": ", ".join(site.key for site in config.placed("")),
        "dtype": ", ".join(sorted(set(header.dtypes.values()))),
        "tokenizer": " -> ".join((side.tokenizer or "not known")[:12] for side in (anchor, augment)),
        "template": f"{template}, {augment.tail or 'held'}",
        "alignment": str(config.alignment_version),
        "file": config.weights_sha256[:12],
    }
