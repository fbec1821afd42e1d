"""cost(): what a graph costs, beside the anchor alone, LoRA, fine-tuning, and its augments as models of their own."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from orchestra.cost.asked import Asked
from orchestra.cost.running import (
    Flops,
    Shapes,
    anchor_flops,
    augment_flops,
    lora_flops,
    prompt_readers,
    rank_params,
    read,
    running,
    whole_flops,
)
from orchestra.cost.sizes import Held, Kept, anchor_kept, augment_kept, held, taps_bytes, whole_kept
from orchestra.cost.training import Step, anchor_step, augment_step, full_step, lora_step
from orchestra.plan import ELEMENT_BYTES, Plan
from orchestra.wiring import ANCHOR

_TRAINED_BYTES = ELEMENT_BYTES["float32"]
_FAR = 0.1
"""From which share on a count of parameters says that a config was not understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one way to answer costs to run, or what one augment adds to it.

    Attributes:
        kind: 'anchor', 'augment', 'composition', 'lora', 'tuned' or 'separate'.
        trained_params: of them; those of fresh weights beside frozen ones count in `num_params` too.
        num_bytes: of weights, where they are held whole.
        prompt_flops, token_flops: for one text: reading its prompt, and reading one token more.
        token_bytes, text_bytes: that caches keep of a token, and of all texts to their ends.
    """

    name: str
    kind: str
    num_params: int
    trained_params: int
    num_bytes: int
    prompt_flops: float
    token_flops: float
    token_bytes: float
    text_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRow:
    """What one way to learn costs.

    Attributes:
        kind: as in `Row`, or 'kept'.
        forward_flops, backward_flops: of a step, for each token of a text.
        gradient_bytes, optimizer_bytes: of what is trained; AdamW keeps two numbers for each.
        disk_bytes: for each token, of taps that are kept.
    """

    name: str
    kind: str
    trained_params: int
    forward_flops: float
    backward_flops: float
    gradient_bytes: int
    optimizer_bytes: int
    disk_bytes: float = 0.0

    @property
    def flops(self) -> float:
        """Of a step, for each token of a text."""
        return self.forward_flops + self.backward_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Adapters with as many parameters as the bridges that run, as nearly as a rank allows.

    Attributes:
        modules: the maps that have one, by name: every map of every layer of the anchor, experts left out.
    """

    rank: int
    num_params: int
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a graph costs for such texts.

    Attributes:
        held: weights by model.
        notes: what was assumed, a sentence each.
    """

    asked: Asked
    held: dict[str, Held]
    lora: Lora
    rows: tuple[Row, ...]
    train: tuple[TrainRow, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same, in what JSON knows."""
        return asdict(self)


def cost(planned: Plan, shapes: Shapes, asked: Asked) -> Cost:
    """Work out what a graph costs.

    Args:
        shapes: of its models, by name.

    Raises:
        ComposeError: what is asked does not fit the graph.
    """
    asked.fit(planned.graph)
    weights = held(planned, shapes)
    lora = _lora(planned, shapes)
    return Cost(
        asked=asked,
        held=weights,
        lora=lora,
        rows=tuple(_rows(planned, shapes, asked, weights, lora)),
        train=tuple(_train(planned, shapes, asked, weights, lora)),
        notes=tuple(_notes(planned, shapes, asked)),
    )


def _lora(planned: Plan, shapes: Shapes) -> Lora:
    """As large as the bridges that are trained, or as all where none of them runs."""
    each, on = rank_params(shapes[ANCHOR]), running(planned)
    bridges = sum(cost.bridge_params for cost in planned.costs if cost.augment in on or not on)
    rank = max(1, round(bridges / each))
    names = dict.fromkeys(one.name for layer in shapes[ANCHOR].layers for one in layer.maps)
    return Lora(rank=rank, num_params=rank * each, modules=tuple(names))


def _rows(planned: Plan, shapes: Shapes, asked: Asked, weights: dict[str, Held], lora: Lora) -> Iterator[Row]:
    flops, kept, own = anchor_flops(planned, shapes, asked), anchor_kept(planned, shapes, asked), weights[ANCHOR]
    yield _row(ANCHOR, "anchor", [own], 0, flops, kept)
    all_flops, all_kept = flops, kept
    for each in planned.costs:
        added = augment_flops(planned, shapes, asked, each.augment)
        cached = augment_kept(planned, shapes, asked, each.augment)
        yield _row(each.augment, "augment", [weights[each.augment]], each.bridge_params, added, cached)
        all_flops, all_kept = all_flops + added, all_kept + cached
    bridges = sum(each.bridge_params for each in planned.costs)
    yield _row("composition", "composition", weights.values(), bridges, all_flops, all_kept)
    adapted = lora_flops(planned, shapes, asked, lora.rank)
    yield _row(f"LoRA, rank {lora.rank}", "lora", [own], lora.num_params, adapted, kept)
    yield _row("fine-tuned anchor", "tuned", [own], 0, flops, kept, tuned=own.num_params)
    for node in planned.graph.augments:
        flops += whole_flops(planned, shapes, asked, node)
        kept += whole_kept(planned, shapes, asked, node)
    yield _row("separate models", "separate", weights.values(), 0, flops, kept)


def _row(name: str, kind: str, weights: Iterable[Held], fresh: int, flops: Flops, kept: Kept, *, tuned: int = 0) -> Row:
    """A row of models, and of trained weights beside them."""
    models = list(weights)
    return Row(
        name=name,
        kind=kind,
        num_params=fresh + sum(0 if each.shared else each.num_params for each in models),
        trained_params=fresh + tuned,
        num_bytes=fresh * _TRAINED_BYTES + sum(each.num_bytes for each in models),
        prompt_flops=flops.prompt,
        token_flops=flops.token,
        token_bytes=kept.token_bytes,
        text_bytes=kept.text_bytes,
    )


def _train(planned: Plan, shapes: Shapes, asked: Asked, weights: dict[str, Held], lora: Lora) -> Iterator[TrainRow]:
    on = running(planned)
    bridges = sum(each.bridge_params for each in planned.costs if each.augment in on)
    for kept in (False, True) if on and not _fed(planned) else (False,) if on else ():
        step = anchor_step(planned, shapes, asked, kept=kept)
        for name in sorted(on):
            step += augment_step(planned, shapes, asked, name, kept=kept)
        disk = taps_bytes(planned, shapes, asked) if kept else 0.0
        yield _learnt("bridges, on kept taps" if kept else "bridges", "kept" if kept else "composition", bridges, step,
                      asked, disk=disk)  # fmt: skip
    shape = shapes[ANCHOR]
    yield _learnt(f"LoRA, rank {lora.rank}", "lora", lora.num_params, lora_step(shape, asked, lora.rank), asked)
    own = weights[ANCHOR]
    size = ELEMENT_BYTES[own.dtype]
    yield _learnt("fine-tuned anchor", "tuned", own.num_params, full_step(shape, asked), asked, size=size)


def _fed(planned: Plan) -> bool:
    on = running(planned)
    return any(site.into in on and site.augment in on for site in planned.graph.sites)


def _learnt(
    name: str, kind: str, number: int, step: Step, asked: Asked, *, size: int = _TRAINED_BYTES, disk: float = 0.0
) -> TrainRow:
    return TrainRow(
        name=name,
        kind=kind,
        trained_params=number,
        forward_flops=step.forward / asked.length,
        backward_flops=step.backward / asked.length,
        gradient_bytes=number * size,
        optimizer_bytes=2 * number * size,
        disk_bytes=disk,
    )


def _notes(planned: Plan, shapes: Shapes, asked: Asked) -> Iterator[str]:
    for node in planned.graph.augments:
        if node.reads == "stream" and node.name in running(planned):
            ratio = asked.tokens(node, 1)
            why = "" if node.name in asked.tokens_per_token else ", which nobody counted (--tokens-per-token)"
            yield f"{node.name} reads a stream: {ratio:g} of its tokens for each of the anchor's{why}."
        if node.name not in running(planned):
            yield f"{node.name} does not run, and adds weights only."
        elif node.name in prompt_readers(planned):
            yield f"{node.name} reads the prompt only: its cache grows with the prompt, and not with what is written."
    for node in (planned.graph.anchor, *planned.graph.augments):
        shape, counted, whole = shapes[node.name], node.facts.num_params, math.ceil(read(planned, asked, node))
        if shape.longest is not None and whole > shape.longest and node.name in {ANCHOR, *running(planned)}:
            yield f"{node.name} has positions for {shape.longest:,} tokens, and of these texts it would read {whole:,}."
        if counted and abs(shape.num_params - counted) > _FAR * counted:
            yield (
                f"{node.name} ({shape.model_type}) has {counted:,} parameters, and its config was read as one of "
                f"{shape.num_params:,}: its FLOPs are an estimate."
            )
        elif not shape.known:
            yield f"{node.name} is a {shape.model_type}, and was read as if a llama: its FLOPs are an estimate."
