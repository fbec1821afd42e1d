"""Runs the parts of a composition: each augment up to its highest tap, then the anchor with the bridges in it.

Views and hooks are built once. A forward's state lives in a `Pass` and nowhere else.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra.graph import Graph, stack_name
from orchestra.nn.bridge import Bridge
from orchestra.nn.mask import positions
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime.align import Alignment, align, align_prompt, align_stream
from orchestra.runtime.below import Below
from orchestra.runtime.branching import branching_mask, check_branching
from orchestra.runtime.cache import ComposedCache
from orchestra.runtime.columns import Columns
from orchestra.runtime.limits import check_lengths, num_positions
from orchestra.runtime.links import Link, link, pairs
from orchestra.runtime.schedule import (
    Pass,
    Trace,
    Traced,
    inject,
    inject_embedding,
    recompute_in_backward,
    remember,
    running,
    skip_if_run,
    tap,
)
from orchestra.runtime.stream import Stream
from orchestra.runtime.taps import Taps, check, check_fed, join, lowest, marks, refuse_learning, split
from orchestra.runtime.view import view
from orchestra.wiring import ANCHOR, closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A view of a frozen model, the arguments that its forward knows, and for how many tokens it has positions."""

    model: PreTrainedModel
    accepts: frozenset[str]
    num_positions: int | None

    def mask(self, alignment: Alignment) -> Tensor | dict[str, Tensor]:
        """The attention mask of an augment."""
        if alignment.branches is None:
            return alignment.valid.to(self.model.device)
        return branching_mask(self.model, alignment.branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What the augments read in one forward.

    Attributes:
        alignments: by augment; one that has read nothing and is given nothing is left out: it has nothing to show.
        columns: what each augment that reads a stream has read then.
        links: for each augment and one that it feeds, what the bridges between them share.
    """

    alignments: Mapping[str, Alignment]
    columns: Mapping[str, Columns]
    links: Mapping[tuple[str, str], Alignment | Link]


NOTHING = Reads(alignments={}, columns={}, links={})
"""When no augment is on."""


class Runner:
    """The views of a composition: what runs, and where it is tapped and fed."""

    def __init__(
        self,
        plan: Plan,
        *,
        anchor: PreTrainedModel,
        augments: Mapping[str, PreTrainedModel],
        stacks: Mapping[str, Stack],
        streams: Mapping[str, Stream],
    ) -> None:
        self._streams, self._stacks = dict(streams), dict(stacks)
        self._prompt_only = frozenset(node.name for node in plan.graph.augments if node.context == "prompt")
        self._order, self._feeds, self._deep = plan.graph.order, plan.graph.feeds, plan.graph.deep
        self._fed, self._pairs = _bridges_into(plan.graph, stacks), pairs(plan.graph)
        self._anchor = _anchor_view(plan, anchor, self._fed[ANCHOR])
        self._below = Below(anchor, num_layers=plan.graph.anchor.facts.num_layers)
        self._sites = tuple(site for site in plan.graph.sites if site.into == ANCHOR)
        self._augments = {
            cost.augment: _augment_view(
                plan, cost.augment, augments[cost.augment], self._fed[cost.augment], keep=cost.layers_run
            )
            for cost in plan.costs
        }

    def align(
        self,
        ids: Tensor,
        valid: Tensor,
        *,
        active: Iterable[str],
        cache: ComposedCache | None = None,
        prompt_length: Tensor | None = None,
        cut: Tensor | None = None,
    ) -> Reads:
        """What each augment that is on reads now; nothing is changed yet.

        Args:
            ids: the anchor's new tokens, ``(batch, new)``.
            valid: 1 for each token of the past and of now, 0 at padding: ``(batch, past + new)``.
            prompt_length: how many tokens of each row are its prompt; needed where an augment reads nothing else.
            cut: where the streams of the others are cut on purpose; default: at the end of the prompt.

        Raises:
            ComposeError: an augment has no positions for the text, or its tokenizer no token for a character.
        """
        names = sorted(active)
        prompt_only = self._prompt_only
        if prompt_only and self._deep:
            prompt_only = closed(prompt_only, self._feeds, names)
        alignments, columns = dict[str, Alignment](), dict[str, Columns]()
        shared: Alignment | None = None  # all that read the anchor's ids alike read one alignment
        for name in names:
            if name in self._streams:
                before = None if cache is None else cache.columns.get(name)
                only = name in prompt_only
                alignments[name], columns[name] = align_stream(
                    before or Columns.empty(self._streams[name], ids.shape[0]),
                    ids,
                    valid,
                    prompt_length=prompt_length if only or cut is None else cut,
                    prompt_only=only,
                )
            elif name in prompt_only:
                assert prompt_length is not None
                held = 0 if cache is None else cache.bridges[name].get_seq_length()
                alignments[name] = align_prompt(ids, valid, prompt_length, held)
            else:
                alignments[name] = shared = shared or align(ids, valid)
        limits = {name: self._augments[name].num_positions for name in names}
        streamed = {name: each.reach for name, each in columns.items()}
        check_lengths(valid, limits, prompt_length, prompt_only, streamed)
        reading = {name: one for name, one in alignments.items() if one.valid.shape[1] > 0}
        return Reads(alignments=reading, columns=columns, links=self._links(reading, alignments))

    def _links(
        self, reading: Mapping[str, Alignment], active: Mapping[str, Alignment]
    ) -> dict[tuple[str, str], Alignment | Link]:
        """How the augments that are on correspond to those on that they feed; these may have read nothing yet."""
        return {
            (name, into): link(reading[name], active[into], same=same, device=self._augments[into].model.device)
            for (name, into), same in self._pairs.items()
            if into in active and name in reading
        }

    def read(
        self,
        reads: Reads,
        *,
        cache: ComposedCache | None = None,
        recompute: bool = False,
        traces: list[Trace] | None = None,
    ) -> Pass:
        """Run every augment that has something to read, feeders first, and return the pass that holds their taps.

        Args:
            traces: filled with what each bridge does.
        """
        state = Pass(alignments=reads.alignments, links=reads.links, cache=cache, recompute=recompute, traces=traces)
        if cache is not None:
            cache.columns.update(reads.columns)
        for name in self._order:
            alignment = reads.alignments.get(name)
            bridges = [bridge for bridge in self._fed[name] if (bridge.site.augment, name) in reads.links]
            if alignment is None or alignment.ids.shape[1] == 0:
                remember(state, bridges)
                continue
            # What is fed passes gradients on to the bridges that feed it; nothing else is kept.
            with running(state), torch.set_grad_enabled(torch.is_grad_enabled() and bool(bridges)):
                self._read(name, alignment, cache)
        return state

    def _read(self, name: str, alignment: Alignment, cache: ComposedCache | None) -> None:
        """Run one augment."""
        part = self._augments[name]
        device = part.model.device
        arguments: dict[str, Any] = {
            "input_ids": alignment.ids.to(device),
            "past_key_values": cache.augments[name] if cache is not None else None,
            "use_cache": cache is not None,
        }
        if alignment.padded or alignment.branches is not None:  # else a model makes less of counting by itself
            arguments["attention_mask"] = part.mask(alignment)
            if "position_ids" in part.accepts:
                arguments["position_ids"] = alignment.position.to(device)
        part.model(**arguments)

    def taps(self, reads: Reads, ids: Tensor, mask: Tensor | None, *, active: Collection[str]) -> list[Taps]:
        """What the augments that are on, and the anchor's layers up to the lowest bridge, make of each text."""
        stacks = self._between(active)
        refuse_learning(stacks)
        read = {(site.augment, site.augment_layer) for site in self._sites}
        found = {key: hidden for key, hidden in self.read(reads).taps.items() if key in read}
        kept = {key: split(hidden, reads.alignments[key[0]].valid) for key, hidden in found.items()}
        kept |= marks(stacks, len(ids))
        for site in self._sites:
            if site.augment in active and site.augment not in reads.alignments:  # it had nothing to read
                nothing = torch.zeros(0, site.d_augment, dtype=self._augments[site.augment].model.dtype)
                kept[site.augment, site.augment_layer] = [nothing] * len(ids)
        layer = lowest(self._sites, active)
        if layer is not None:
            arguments = {"input_ids": ids, "attention_mask": mask, **self._position_ids(mask, ids)}
            valid = torch.ones_like(ids) if mask is None else mask
            kept[ANCHOR, layer] = split(self._below.run(layer, **arguments), valid)
        return [{key: rows[row] for key, rows in kept.items()} for row in range(len(ids))]

    def given(
        self, reads: Reads, taps: Sequence[Taps], valid: Tensor, *, active: Collection[str], recompute: bool
    ) -> Pass:
        """The pass of texts whose taps are there already.

        Raises:
            ComposeError: the taps are not of these texts, an augment that is on was off when they were made or fed by
                others, or bridges between augments learn.
        """
        stacks = self._between(active)
        refuse_learning(stacks)
        check_fed(taps, stacks, active)
        check(taps, valid, reads.alignments, self._sites, active)
        state = Pass(alignments=reads.alignments, cache=None, recompute=recompute)
        for name, layer in taps[0] if taps else ():
            rows = [each[name, layer] for each in taps]
            if name == ANCHOR:
                hidden = join(rows, valid).to(self._anchor.model.device)
                state.under = layer, self._below.in_place_of(hidden)
            elif name in reads.alignments:
                state.taps[name, layer] = join(rows, reads.alignments[name].valid)
        return state

    def _between(self, active: Collection[str]) -> dict[tuple[str, str], Stack]:
        """The stacks from augments that are on into others that are."""
        return {pair: self._stacks[stack_name(*pair)] for pair in self._pairs if {*pair} <= {*active}}

    def answer(
        self,
        state: Pass,
        ids: Tensor,
        mask: Tensor | None,
        position_ids: Tensor | None = None,
        outputs: Mapping[str, bool | None] | None = None,
        *,
        logits_to_keep: int | Tensor = 0,
    ) -> Any:
        """Run the anchor, with the residuals of the bridges, and return its output.

        Args:
            mask: over past and present; None leaves it, and counting positions, to the anchor.
            outputs: what else it is to return, as its own arguments say it; None leaves that to its config.
        """
        arguments: dict[str, Any] = {name: value for name, value in (outputs or {}).items() if value is not None}
        arguments |= self._position_ids(mask, ids, position_ids)
        slices = "logits_to_keep" in self._anchor.accepts
        if slices:
            arguments["logits_to_keep"] = logits_to_keep
        with running(state):
            output = self._anchor.model(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=state.cache,
                use_cache=state.cache is not None,
                return_dict=True,
                **arguments,
            )
        if not slices:
            keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            output.logits = output.logits[:, keep]
        return output

    def _position_ids(self, mask: Tensor | None, ids: Tensor, given: Tensor | None = None) -> dict[str, Tensor | None]:
        """The argument that says the anchor's positions, if it has one; None leaves counting them to it."""
        if "position_ids" not in self._anchor.accepts:
            return {}
        if given is None and mask is not None:
            given = positions(mask.bool())[:, -ids.shape[1] :]
        return {"position_ids": given}

    def traced(self, ids: Tensor, *, active: Iterable[str], prompt_length: Tensor) -> Traced:
        """Run whole texts without padding once, and return what each bridge did."""
        reads, traces = self.align(ids, torch.ones_like(ids), active=active, prompt_length=prompt_length), list[Trace]()
        logits = self.answer(self.read(reads, traces=traces), ids, None).logits
        return Traced(traces=tuple(traces), alignments=reads.alignments, logits=logits)


def _anchor_view(plan: Plan, anchor: PreTrainedModel, bridges: Sequence[Bridge]) -> Part:
    model, layers = view(anchor, num_layers=plan.graph.anchor.facts.num_layers)
    _feed(layers, bridges)
    for index, layer in enumerate(layers):
        skip_if_run(layer, index)
    return _part(model)


def _augment_view(plan: Plan, name: str, augment: PreTrainedModel, bridges: Sequence[Bridge], *, keep: int) -> Part:
    """A view without the layers above the highest tap and without the LM head."""
    body = augment.base_model
    assert isinstance(body, PreTrainedModel)
    node = next(node for node in plan.graph.augments if node.name == name)
    if node.reads == "stream" and node.tail == "provisional":
        check_branching(name, body)
    model, layers = view(body, num_layers=node.facts.num_layers, keep=keep)
    if bridges:
        _feed(layers, bridges)  # first: a tap reads what is fed
    for index in {site.augment_layer for site in plan.graph.sites if site.augment == name}:
        tap(layers[index], name, index)
    return _part(model)


def _feed(layers: Sequence[nn.Module], bridges: Sequence[Bridge]) -> None:
    """Put the bridges into a model between the layers of its view."""
    for layer in layers:
        recompute_in_backward(layer)
    placed: dict[int | str, list[Bridge]] = {}
    for bridge in bridges:
        placed.setdefault(bridge.site.anchor_layer, []).append(bridge)
    for anchor_layer, here in placed.items():
        if isinstance(anchor_layer, int):
            inject(layers[anchor_layer], here)
        else:
            inject_embedding(layers[0], here)


def _bridges_into(graph: Graph, stacks: Mapping[str, Stack]) -> dict[str, list[Bridge]]:
    """The bridges that feed each model, in the order of summation."""
    found: dict[str, list[Bridge]] = {name: [] for name in (ANCHOR, *graph.order)}
    for site in graph.sites:
        found[site.into].append(stacks[stack_name(site.augment, site.into)].bridge(site))
    return found


def _part(model: PreTrainedModel) -> Part:
    accepts = frozenset(inspect.signature(model.forward).parameters)
    return Part(model=model, accepts=accepts, num_positions=num_positions(model))
