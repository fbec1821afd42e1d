"""What frozen models hold at places of a text, after each of their layers: run alone, without any bridge."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from orchestra.nn.mask import positions
from orchestra.probing.places import Texts
from orchestra.runtime.align import Alignment
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.runner import Part
from orchestra.runtime.view import first_tensor, view
from orchestra.wiring import ANCHOR

Layer = int | str
EMBEDDING = "embedding"


@torch.no_grad()
def states(model: ComposedModel, name: str, texts: Texts, *, batch_size: int) -> dict[Layer, Tensor]:
    """What a model of a composition holds where its bridges would be read, for every place of the texts.

    That is, of an augment, the last token that is committed at or before the place; nothing (zeros) where none is.
    Each state is divided by its root mean square, as bridges do.

    Args:
        name: an augment that nothing feeds, or 'anchor'.

    Returns:
        By layer, `(places, width)` in float32 on the CPU; of the anchor also after its embedding.
    """
    body, layers, accepts = _view(model, name)
    part = Part(model=body, accepts=accepts, num_positions=None)
    found: dict[Layer, list[Tensor]] = {}
    for start in range(0, len(texts.ids), batch_size):
        rows = texts.ids[start : start + batch_size]
        ids, valid = _padded(rows)
        ids, valid = ids.to(model.device), valid.to(model.device)
        at = [(place.row - start, place.at) for place in texts.places if start <= place.row < start + len(rows)]
        if not at:
            continue
        for layer, hidden in _run(model, name, part, layers, ids, valid, at).items():
            found.setdefault(layer, []).append(hidden)
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def _run(
    model: ComposedModel,
    name: str,
    part: Part,
    layers: Sequence[nn.Module],
    ids: Tensor,
    valid: Tensor,
    at: Sequence[tuple[int, int]],
) -> dict[Layer, Tensor]:
    """The states of one batch."""
    alignment = None if name == ANCHOR else model.alignment(name, ids, valid, prompt_length=valid.sum(-1))
    columns: list[tuple[int, int | None]] = [(row, _column(alignment, row, place)) for row, place in at]
    arguments: dict[str, Any]
    if name == ANCHOR:
        arguments = {"input_ids": ids, "attention_mask": valid, "position_ids": positions(valid.bool())}
    elif alignment is None or all(column is None for _, column in columns):
        arguments = {"input_ids": torch.zeros(len(ids), 1, dtype=torch.long)}  # nothing was read; zeroed below
        columns = [(row, None) for row, _ in columns]
    else:
        arguments = {
            "input_ids": alignment.ids,
            "attention_mask": part.mask(alignment),
            "position_ids": alignment.position,
        }
    if "position_ids" not in part.accepts:
        arguments.pop("position_ids", None)
    device = part.model.device
    with _watched(layers, embedding=name == ANCHOR) as seen:
        part.model(**{key: _onto(value, device) for key, value in arguments.items()}, use_cache=False)
    return {layer: _picked(hidden, columns) for layer, hidden in seen.items()}


def _column(alignment: Alignment | None, row: int, place: int) -> int | None:
    """Where the last token stands that an anchor token sees; None where it sees none."""
    if alignment is None or alignment.mask is None:
        return place
    visible = alignment.mask[row, place].nonzero()
    return int(visible[-1]) if len(visible) else None


def _picked(hidden: Tensor, columns: Sequence[tuple[int, int | None]]) -> Tensor:
    nothing = hidden.new_zeros(hidden.shape[-1])
    taken = torch.stack([nothing if column is None else hidden[row, column] for row, column in columns])
    return functional.rms_norm(taken.float(), taken.shape[-1:], eps=1e-12).cpu()


def _view(model: ComposedModel, name: str) -> tuple[PreTrainedModel, list[nn.Module], frozenset[str]]:
    graph = model.plan.graph
    node = next(node for node in (graph.anchor, *graph.augments) if node.name == name)
    body = (model.anchor if name == ANCHOR else model.augment(name)).base_model
    assert isinstance(body, PreTrainedModel)
    own, layers = view(body, num_layers=node.facts.num_layers)
    return own, layers, frozenset(inspect.signature(own.forward).parameters)


@contextmanager
def _watched(layers: Sequence[nn.Module], *, embedding: bool) -> Iterator[Mapping[Layer, Tensor]]:
    """What comes out of each layer inside the block, and what goes into the first."""
    seen: dict[Layer, Tensor] = {}

    def into(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen[EMBEDDING] = args[0] if args else kwargs["hidden_states"]

    def out_of(index: int) -> Any:
        return lambda _module, _args, output: seen.__setitem__(index, first_tensor(output))

    handles = [layer.register_forward_hook(out_of(index)) for index, layer in enumerate(layers)]
    if embedding:
        handles.append(layers[0].register_forward_pre_hook(into, with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, padded on the right."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def _onto(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: _onto(each, device) for name, each in value.items()}
    return value.to(device) if isinstance(value, Tensor) else value
