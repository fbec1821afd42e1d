"""The parts of a composition by themselves: what its cost is held against."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import DynamicCache, PreTrainedModel

from orchestra import ComposedModel


def upto(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """A model without its head and without the layers above the first few, over the same weights."""
    body: Any = model.base_model
    part: Any = copy.copy(body)
    part._modules = dict(body._modules)
    part.layers = nn.ModuleList(list(body.layers)[:layers])
    cut: PreTrainedModel = part
    return cut


def parts(composed: ComposedModel) -> dict[str, PreTrainedModel]:
    """Each augment up to its highest tapped layer, by itself."""
    return {cost.augment: upto(composed.augment(cost.augment), cost.layers_run) for cost in composed.plan.costs}


@contextmanager
def recording(composed: ComposedModel) -> Iterator[dict[str, list[Tensor]]]:
    """Note inside a block what each augment reads, forward by forward: in its own tokens, if it reads a stream."""
    read: dict[str, list[Tensor]] = {name: [] for name in composed.active}
    tables = {id(composed.augment(name).get_input_embeddings().weight): name for name in composed.active}

    def note(module: nn.Module, words: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Embedding) and id(module.weight) in tables:
            read[tables[id(module.weight)]].append(words[0].clone())

    handle = register_module_forward_pre_hook(note)
    try:
        yield read
    finally:
        handle.remove()


@torch.no_grad()
def replay(part: Any, blocks: Iterable[Tensor], tick: Callable[[], object] = lambda: None) -> None:
    """Read the same, in the same blocks, with a cache."""
    cache = DynamicCache(config=part.config)
    for block in blocks:
        part(input_ids=block, past_key_values=cache, use_cache=True)
        tick()
