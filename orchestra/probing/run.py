"""probe(): from a graph and records to what each layer holds. The whole probing on one page."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from orchestra.api import load
from orchestra.errors import ComposeError, DataError
from orchestra.probing.linear import Bootstrap, Interval, Probe, Split, divided, interval
from orchestra.probing.places import Place, Texts, encode
from orchestra.probing.records import PROMPT, SPANS, Record, drawn, read_records, split
from orchestra.probing.result import LayerScore, Places, Probed
from orchestra.probing.sites import propose
from orchestra.probing.spec import ProbeSpec
from orchestra.probing.states import Layer, states
from orchestra.runtime.config import shortest
from orchestra.runtime.model import ComposedModel
from orchestra.wiring import ANCHOR

LEAST = 10
"""Texts that are needed on each side."""
_SKETCH = 64

States = Mapping[str, Mapping[Layer, Tensor]]


def probe(source: str | Path | Mapping[str, Any] | ComposedModel, spec: ProbeSpec) -> Probed:
    """Fit linear maps from the states of augments, and of the anchor, to what is to be told; score them on other texts.

    Models run as they are, alone; bridges and what they were trained to say nothing. An augment that reads a stream is
    read at the last token that is committed at or before the place.

    Args:
        source: what `orchestra.load` takes, or what it returned.

    Raises:
        DataError: records are malformed, or too few.
        ComposeError: an augment is not there, or is fed by another, or does not feed the anchor.
        OrchestraError: as `orchestra.load`.
    """
    seen, held, path = _records(spec)
    model = source if isinstance(source, ComposedModel) else load(source)
    names = _chosen(model, spec.augments)
    texts = _encoded(model, spec, seen, held, path)
    kinds = _kinds(spec, texts, len(seen))
    found = {name: states(model, name, texts, batch_size=spec.batch_size) for name in (*names, ANCHOR)}
    places = tuple(_scored(model, spec, texts, found, kind, len(seen)) for kind in kinds)
    depth = model.plan.graph.anchor.facts.num_layers
    pairs = {
        name: propose(
            {each.kind: each.layers[name] for each in places if (each.adds[name].low or 0.0) > 0},
            augment_layers=len(found[name]),
            anchor_layers=depth,
        )
        for name in names
    }
    return Probed(places=places, pairs=pairs, num_texts=(len(seen), len(held)), seed=spec.seed)


def _records(spec: ProbeSpec) -> tuple[list[Record], list[Record], Path]:
    """Records to fit on, records to score on, and the file of these."""
    records = drawn(read_records(spec.data), spec.limit, spec.seed)
    if spec.eval_data is None:
        seen, held = split(records, spec.held_out, spec.seed)
    else:
        known = {record.text for record in records}
        seen, held = records, drawn(read_records(spec.eval_data), spec.limit, spec.seed)
        held = [record for record in held if record.text not in known]
    for path, side, what in ((spec.data, seen, "fit on"), (spec.eval_data or spec.data, held, "score on")):
        count = len({record.text for record in side})
        if count < LEAST:
            raise DataError(f"{path}: leaves {count} texts to {what}, and {LEAST} are needed: give it more records.")
    return seen, held, spec.eval_data or spec.data


def _encoded(model: ComposedModel, spec: ProbeSpec, seen: list[Record], held: list[Record], path: Path) -> Texts:
    """All texts, those to fit on first."""
    if model.tokenizer is None:
        raise ComposeError("records are text, and this model's anchor has no tokenizer: give it a tokenizer.json.")
    limit = shortest(model.anchor.config)
    first = encode(spec.data, seen, model.tokenizer, max_length=limit)
    last = encode(path, held, model.tokenizer, max_length=limit)
    moved = (
        Place(row=place.row + len(seen), kind=place.kind, at=place.at, label=place.label, goal=place.goal)
        for place in last.places
    )
    return Texts(ids=(*first.ids, *last.ids), places=(*first.places, *moved))


def _chosen(model: ComposedModel, wanted: Sequence[str]) -> tuple[str, ...]:
    """The augments to probe, sorted."""
    feeds = model.plan.graph.feeds
    names = tuple(sorted(set(wanted))) or tuple(sorted(model.active))
    if not names:
        raise ComposeError(f"every augment of the graph is off: name those to probe, of {', '.join(sorted(feeds))}.")
    problems = list(_refused(feeds, names))
    if problems:
        raise ComposeError.listing(problems)
    return names


def _refused(feeds: Mapping[str, Sequence[str]], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        feeders = sorted(other for other, targets in feeds.items() if name in targets)
        if name not in feeds:
            yield f"no augment is called {name!r}; this graph has {', '.join(sorted(feeds))}."
        elif feeders:
            yield (
                f"{feeders[0]!r} feeds {name!r}: what {name!r} holds changes with the bridges between them, and is "
                "not probed. Name the others, or probe it in a graph of its own."
            )
        elif ANCHOR not in feeds[name]:
            yield (
                f"{name!r} feeds {', '.join(feeds[name])} and not the anchor, and probes tell what the anchor could "
                "be brought. Name the others, or probe it in a graph of its own."
            )


def _kinds(spec: ProbeSpec, texts: Texts, num_seen: int) -> list[str]:
    """The kinds of places that there are, each in texts enough on both sides."""
    found, problems = [], []
    for kind, what in ((PROMPT, "prompts with labels or completions"), (SPANS, "spans")):
        texts_of = [
            {texts.ids[place.row] for place in texts.places if place.kind == kind and (place.row >= num_seen) is held}
            for held in (False, True)
        ]
        if not any(texts_of):
            continue
        found.append(kind)
        files = ((spec.data, "fit on"), (spec.eval_data or spec.data, "score on"))
        problems += [
            f"{path}: leaves {len(some)} texts with {what} to {use}, and {LEAST} are needed: give it more, or none."
            for some, (path, use) in zip(texts_of, files, strict=True)
            if len(some) < LEAST
        ]
    if problems:
        raise DataError.listing(problems)
    return found


def _scored(model: ComposedModel, spec: ProbeSpec, texts: Texts, found: States, kind: str, num_seen: int) -> Places:
    """Everything about one kind of place."""
    here = [index for index, place in enumerate(texts.places) if place.kind == kind]
    places = [texts.places[index] for index in here]
    alike: dict[tuple[int, ...], int] = {}
    rows = torch.tensor([alike.setdefault(texts.ids[place.row], place.row) for place in places])
    is_held = torch.tensor([place.row >= num_seen for place in places])
    parts = divided(rows, is_held, seed=spec.seed)
    sums = Bootstrap(rows[parts.held], resamples=spec.resamples, seed=spec.seed)
    goals = _Goals(model, places, parts, classes=spec.classes)
    at = {name: {layer: each[here] for layer, each in layers.items()} for name, layers in found.items()}
    right, ones = goals.is_first()[:, None], torch.ones(len(parts.held), 1)
    scores = {
        name: _layers(layers, parts, goals, sums, None if name == ANCHOR else at[ANCHOR]) for name, layers in at.items()
    }
    known = at[ANCHOR][_best(scores[ANCHOR]).layer]
    return Places(
        kind=kind,
        num_fit=len(parts.fit),
        num_held=len(parts.held),
        num_labels=goals.num_labels,
        num_tokens=len(goals.tokens.unique()),
        known=goals.known,
        most_frequent=_intervals(sums, right, ones)[0],
        layers=scores,
        adds={
            name: _added(known, at[name][_best(own).layer], goals, sums)
            for name, own in scores.items()
            if name != ANCHOR
        },
    )


class _Goals:
    """What is to be told at places: labels as classes, and the anchor's vectors."""

    def __init__(self, model: ComposedModel, places: Sequence[Place], parts: Split, *, classes: int) -> None:
        self._parts = parts
        labels = Counter(places[index].label for index in parts.fit.tolist())
        order = {label: index for index, (label, _) in enumerate(labels.most_common(classes))}
        self.num_labels = len(order)
        self.classes = torch.tensor([order.get(place.label, -1) for place in places])
        self.known = sum(places[index].label in order for index in parts.held.tolist()) / len(parts.held)
        self.tokens = torch.tensor([place.goal for place in places])
        embed = model.anchor.get_input_embeddings()
        with torch.no_grad():
            self.vectors = embed(self.tokens.to(model.device)).float().cpu()

    def is_first(self) -> Tensor:
        """Where the most frequent label is right."""
        return self.classes[self._parts.held] == 0

    def judge(self, states: Tensor) -> tuple["Probe", Tensor]:
        """The probe of a layer; and by held-out row what it told right, came nearest to, missed, and could miss."""
        fitted, parts = Probe(states, self._parts), self._parts
        told = fitted.classify(self.classes, self.num_labels) == self.classes[parts.held]
        brought = fitted.regress(self.vectors)
        wanted = self.vectors[parts.held].double()
        missed = (brought - wanted).square().sum(-1)
        spread = (wanted - self.vectors[parts.fit].double().mean(0)).square().sum(-1)
        tokens, first = _firsts(self.tokens[parts.fit])
        nearest = torch.cdist(brought, self.vectors[parts.fit][first].double()).argmin(-1)
        near = tokens[nearest] == self.tokens[parts.held]
        return fitted, torch.stack([told.double(), near.double(), missed, spread])


def _firsts(tokens: Tensor) -> tuple[Tensor, list[int]]:
    """The different tokens, and where each stands first."""
    found: dict[int, int] = {}
    for index, token in enumerate(tokens.tolist()):
        found.setdefault(token, index)
    return torch.tensor(list(found)), list(found.values())


def _layers(
    layers: Mapping[Layer, Tensor],
    parts: Split,
    goals: _Goals,
    sums: Bootstrap,
    anchor: Mapping[Layer, Tensor] | None,
) -> tuple[LayerScore, ...]:
    """The scores of every layer of one model."""
    judged, alike = [], []
    order = sorted(layers, key=lambda layer: -1 if isinstance(layer, str) else layer)
    for layer in order:
        fitted, scores = goals.judge(layers[layer])
        judged.append(scores)
        alike.append(None if anchor is None else _alike(fitted, anchor, parts))
    told, near, missed, spread = torch.stack(judged, dim=-1)
    value, samples = sums.ratios(missed, spread)
    best = int(value.nan_to_num(torch.inf).argmin())
    as_good = torch.quantile((samples - samples[:, best : best + 1]).nan_to_num(torch.inf), 0.025, dim=0) <= 0
    ones = torch.ones_like(told)
    tells, comes = _intervals(sums, told, ones), _intervals(sums, near, ones)
    return tuple(
        LayerScore(
            layer=layer,
            told=tells[index],
            explained=interval(1 - value[index], 1 - samples[:, index]),
            nearest=comes[index],
            as_good=bool(as_good[index]),
            alike=alike[index],
        )
        for index, layer in enumerate(order)
    )


def _best(scores: Sequence[LayerScore]) -> LayerScore:
    """The layer that explains most."""
    return max(scores, key=lambda each: -math.inf if each.explained.value is None else each.explained.value)


def _added(known: Tensor, brought: Tensor, goals: _Goals, sums: Bootstrap) -> Interval:
    """How much more is explained from an augment's state together with the anchor's than from the anchor's alone."""
    judged = [goals.judge(each)[1] for each in (known, torch.cat([known, brought], dim=-1))]
    _, _, missed, spread = torch.stack(judged, dim=-1)
    value, samples = sums.ratios(missed, spread)
    return interval(value[0] - value[1], samples[:, 0] - samples[:, 1])


def _intervals(sums: Bootstrap, above: Tensor, below: Tensor) -> list[Interval]:
    value, samples = sums.ratios(above, below)
    return [interval(value[index], samples[:, index]) for index in range(len(value))]


def _alike(fitted: Probe, anchor: Mapping[Layer, Tensor], parts: Split) -> dict[str, float | None]:
    """The share of the anchor's state after each of its layers that is told from the augment's."""
    widths = [each.shape[-1] for each in anchor.values()]
    whole = torch.cat(list(anchor.values()), dim=-1)
    noise = torch.randn(whole.shape[-1], _SKETCH, generator=torch.Generator().manual_seed(0))
    told = fitted.regress(whole, told_by=whole @ noise)
    wanted = whole[parts.held].double()
    missed = (told - wanted).square().sum(0).split(widths)
    spread = (wanted - whole[parts.fit].double().mean(0)).square().sum(0).split(widths)
    return {
        str(layer): float(1 - over.sum() / under.sum()) if under.sum() > 1e-9 else None
        for layer, over, under in zip(anchor, missed, spread, strict=True)
    }
