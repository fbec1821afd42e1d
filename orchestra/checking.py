"""From a document and the facts about its models to a graph that can exist. Never imports torch.

`check` lists every problem at once, or returns a `Graph`: who is joined to whom, at which sites.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestra import wiring
from orchestra.errors import GraphError
from orchestra.graph import (
    ALIGNMENT_VERSION,
    AnchorLayer,
    BundleFacts,
    Facts,
    Feed,
    Graph,
    ModelFacts,
    Node,
    Site,
    stack_name,
)
from orchestra.problems import show
from orchestra.spec import AugmentSpec, BridgeRecipe, GraphSpec
from orchestra.wiring import ANCHOR


def check(spec: GraphSpec, facts: Facts, unread: Sequence[str] = ()) -> Graph:
    """Decide whether the graph that a document declares can exist.

    Args:
        unread: problems met while the facts were gathered; they are listed with the others.

    Raises:
        GraphError: it cannot; the message has one line per problem.
    """
    feeds = {name: list(augment.feeds()) for name, augment in spec.augments.items()}
    lines = list(wiring.misfits(feeds))
    problems = [*unsupported(spec), *lines, *unread]
    sites: list[Site] = []
    if not lines:
        sites, misfits = place_all(spec, facts)
        problems += misfits
    if problems:
        raise GraphError.listing(problems)
    order = [*wiring.order(feeds), ANCHOR]
    return Graph(
        description=spec.description,
        anchor=Node(
            name="anchor",
            facts=facts.models["anchor"],
            dtype=spec.anchor.dtype,
            device=spec.anchor.device,
            tokenizer=facts.tokenizers.get("anchor"),
        ),
        augments=tuple(node(name, augment, facts) for name, augment in sorted(spec.augments.items())),
        sites=tuple(
            sorted(sites, key=lambda site: (order.index(site.into), site.depth, site.augment, site.augment_layer))
        ),
        stacks=tuple(_stacks(spec, facts)),
    )


def _stacks(spec: GraphSpec, facts: Facts) -> Iterator[Feed]:
    for name, augment in sorted(spec.augments.items()):
        for into, bridges in sorted(augment.feeds().items(), key=lambda item: (item[0] != ANCHOR, item[0])):
            stack = Feed(augment=name, into=into, field=augment.field(name, into))
            if isinstance(bridges, BridgeRecipe):
                yield replace(stack, seed=bridges.seed)
            else:
                bundle = facts.bundles[stack.name]
                yield replace(stack, bundle=bundle.source, origin=bundle.origin)


def place_all(spec: GraphSpec, facts: Facts) -> tuple[list[Site], list[str]]:
    """The sites of every augment, and what is wrong with them.

    Whom an augment feeds is placed before it: above the highest layer that is read there, nothing runs.
    """
    feeds = {name: augment.feeds() for name, augment in spec.augments.items()}
    sites, problems = list[Site](), dict[str, list[str]]()
    for name in reversed(wiring.order(feeds)):
        problems[name] = []
        for into, bridges in feeds[name].items():
            if {name, into, ANCHOR} <= facts.models.keys():
                read = [site.augment_layer for site in sites if site.augment == into]
                placed, misfits = _place(name, into, bridges, facts, spec, run=1 + max(read) if read else None)
                sites += placed
                problems[name] += misfits
        if {name, ANCHOR} <= facts.models.keys():
            problems[name] += _unknown_tokenizers(name, spec.augments[name], facts)
    return sites, [line for _, lines in sorted(problems.items()) for line in lines]


def unsupported(spec: GraphSpec) -> Iterator[str]:
    """Fields that the format has and this version cannot serve yet: refused, never ignored."""
    for name, model in (("anchor", spec.anchor), *((f"augments.{n}", a) for n, a in sorted(spec.augments.items()))):
        if not isinstance(model.model, str) and model.revision is not None:
            yield f"{name}.revision is {model.revision!r}, but its model is a merge, which has none; drop it."
    for name, augment in sorted(spec.augments.items()):
        if isinstance(augment.bridges, str) and not isinstance(augment.into, dict) and len(augment.into) > 1:
            yield (
                f"augments.{name}.bridges is {augment.bridges!r}, and a bundle leads into one model, but 'into' names "
                f"{len(augment.into)}; give each its own in 'into': {{{_example(augment.into)}}}."
            )


def _example(into: Sequence[str]) -> str:
    return ", ".join(f'"{name}": "..."' for name in dict.fromkeys(into))


def node(name: str, augment: AugmentSpec, facts: Facts) -> Node:
    """An augment as the graph has it; its model and the anchor are known."""
    return Node(
        name=name,
        facts=facts.models[name],
        dtype=augment.dtype,
        device=augment.device,
        enabled=augment.enabled,
        context=augment.context,
        reads="stream" if reads_a_stream(augment, facts.models["anchor"], facts.models[name]) else "ids",
        tokenizer=facts.tokenizers.get(name),
        template=augment.template,
        tail=augment.tail,
    )


def reads_a_stream(augment: AugmentSpec, anchor: ModelFacts, reader: ModelFacts) -> bool:
    """Whether an augment cannot take the anchor's ids; tokenizers that are not both known are taken to be alike."""
    known = anchor.tokenizer is not None and reader.tokenizer is not None
    return augment.template is not None or (known and anchor.tokenizer != reader.tokenizer)


def _place(
    name: str, into: str, bridges: str | BridgeRecipe, facts: Facts, spec: GraphSpec, *, run: int | None
) -> tuple[list[Site], list[str]]:
    """The sites of one stack, and what is wrong with them.

    Args:
        run: how many layers of a fed augment run; None for the anchor, all of whose layers do.
    """
    fed, reader, stack = facts.models[into], facts.models[name], stack_name(name, into)
    field_ = spec.augments[name].field(name, into)
    whom = "the anchor" if into == ANCHOR else into
    if isinstance(bridges, BridgeRecipe):
        some = replace(fed, num_layers=run or fed.num_layers)
        sites, where = recipe_sites(name, bridges, anchor=some, augment=reader, into=into), f"{field_}.pairs"
        heads = f"{field_}.heads is" if bridges.heads else f"{field_} has no 'heads', and {whom}'s number is"
    elif stack in facts.bundles:
        bundle = facts.bundles[stack]
        sites, where = list(bundle.sites), f"{field_} ({bundle.source}) site"
        heads = f"{field_} ({bundle.source}) has the number of heads"
    else:
        return [], []  # the bundle could not be read, and that has been said
    problems = misplaced(sites, where, heads, anchor=fed, augment=reader, whom=whom)
    problems += never_run(sites, where, into, depth=fed.num_layers, run=run or fed.num_layers)
    if stack in facts.bundles:
        problems += _bundle_misfits(facts.bundles[stack], field_, whom, fed, reader)
    return sites, problems


def misplaced(
    sites: Sequence[Site], where: str, heads: str, *, anchor: ModelFacts, augment: ModelFacts, whom: str = "the anchor"
) -> list[str]:
    """What keeps sites from being between two models.

    Args:
        where: names the list of sites.
        heads: begins a sentence about the number of heads.
        whom: names the model that is fed.
    """
    head_misfits = dict.fromkeys(line for site in sites for line in _head_misfits(site, heads, whom))
    return [*_past_the_end(sites, where, whom, anchor, augment), *_doubles(sites, where), *head_misfits]


def recipe_sites(
    name: str, recipe: BridgeRecipe, *, anchor: ModelFacts, augment: ModelFacts, into: str = ANCHOR
) -> list[Site]:
    """Place the bridges of a fresh stack: the pairs as named, or one per `every` augment layers, evenly spread.

    Source: CALM, section 3.1 and 4 (arXiv 2401.02412): every 4th augment layer, evenly over the anchor's layers.
    """
    if recipe.pairs is not None:
        places: list[tuple[int, AnchorLayer]] = [(pair.augment_layer, pair.anchor_layer) for pair in recipe.pairs]
    else:
        count = max(1, augment.num_layers // (recipe.every or 4))
        places = [
            (math.ceil((i + 1) * augment.num_layers / count) - 1, math.ceil((i + 1) * anchor.num_layers / count) - 1)
            for i in range(count)
        ]
    calm = recipe.variant == "calm"
    return [
        Site(
            augment=name,
            augment_layer=augment_layer,
            anchor_layer=anchor_layer,
            d_augment=augment.d_model,
            d_anchor=anchor.d_model,
            num_heads=recipe.heads or anchor.num_heads,
            gate=recipe.gate or ("none" if calm else "scalar"),
            positions=recipe.positions or ("none" if calm else "rotary"),
            variant=recipe.variant,
            into=into,
        )
        for augment_layer, anchor_layer in places
    ]


def _past_the_end(
    sites: Sequence[Site], where: str, whom: str, anchor: ModelFacts, augment: ModelFacts
) -> Iterator[str]:
    for index, site in enumerate(sites):
        for field_, layer, model, facts in (
            ("augment_layer", site.augment_layer, site.augment, augment),
            ("anchor_layer", site.anchor_layer, whom, anchor),
        ):
            if layer != "embedding" and layer >= facts.num_layers:
                yield (
                    f"{where}.{index}.{field_} is {show(layer)}, but {model} has {facts.num_layers} "
                    + (f"layers, numbered 0 to {facts.num_layers - 1}." if facts.num_layers > 1 else "layer, number 0.")
                )


def never_run(sites: Sequence[Site], where: str, into: str, *, depth: int, run: int) -> Iterator[str]:
    """Bridges into layers of an augment that never run, as nobody reads them or what is above.

    Args:
        depth: how many layers it has.
        run: how many of them run.
    """
    for index, site in enumerate(sites):
        if run <= site.depth < depth:
            yield (
                f"{where}.{index}.anchor_layer is {site.depth}, but {into} is read at its layer {run - 1} at most, and "
                "what lies above is never run."
            )


def _doubles(sites: Sequence[Site], where: str) -> Iterator[str]:
    """Bridges that join the same two layers as one before them."""
    first: dict[str, int] = {}
    for index, site in enumerate(sites):
        if first.setdefault(site.key, index) != index:
            yield (
                f"{where}.{index} joins augment layer {site.augment_layer} to {site.into} layer {site.anchor_layer} "
                f"again; {where}.{first[site.key]} does so already."
            )


def _bundle_misfits(
    bundle: BundleFacts, field_: str, whom: str, anchor: ModelFacts, augment: ModelFacts
) -> Iterator[str]:
    if bundle.alignment_version != ALIGNMENT_VERSION:
        yield (
            f"{field_} ({bundle.source}) has alignment version {bundle.alignment_version}; "
            f"this version of Orchestra aligns by version {ALIGNMENT_VERSION}. Train the bundle again."
        )
    for site in bundle.sites[:1]:  # a bundle's sites all join the same two models
        for model, trained, facts in (
            (whom, site.d_anchor, anchor),
            (site.augment, site.d_augment, augment),
        ):
            if trained != facts.d_model:
                yield f"{field_} ({bundle.source}) joins width {trained}, but {model} has width {facts.d_model}."


def _head_misfits(site: Site, heads: str, whom: str) -> Iterator[str]:
    if site.d_anchor % site.num_heads:
        yield f"{heads} {show(site.num_heads)}, which does not divide {whom}'s width {site.d_anchor}."
    elif site.positions == "rotary" and (site.d_anchor // site.num_heads) % 2:
        yield (
            f"{heads} {site.num_heads}, which leaves each head the width {site.d_anchor // site.num_heads}; "
            "rotary positions need an even one: change 'heads', or set 'positions' to 'none'."
        )


def _unknown_tokenizers(name: str, augment: AugmentSpec, facts: Facts) -> Iterator[str]:
    """A stream leads from one tokenizer to another: both must be known."""
    models = {"anchor": facts.models["anchor"], f"augments.{name}": facts.models[name]}
    unknown = [f"{where}.tokenizer" for where, model in models.items() if model.tokenizer is None]
    ours, theirs = (model.vocab_size for model in models.values())
    if unknown and (augment.template is not None or ours != theirs):
        why = f": its vocabulary has {theirs} tokens and the anchor's {ours}" if ours != theirs else " has a template"
        yield (
            f"augments.{name}{why}, so that it reads a stream, and for that both tokenizers must be known: "
            f"name a folder that holds a tokenizer.json in {' and '.join(unknown)}."
        )
