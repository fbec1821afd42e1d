"""The parts of a composition by themselves: what its cost is held against."""

import copy
from collections import deque
from collections.abc import Iterable, Iterator
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


def replay(part: Any, blocks: Iterable[Tensor]) -> Iterator[None]:
    """Read the same, in the same blocks, with a cache; one block at a step."""
    cache = DynamicCache(config=part.config)
    for block in blocks:
        with torch.no_grad():
            part(input_ids=block, past_key_values=cache, use_cache=True)
        yield


class Beside:
    """Lets augments read a block each at every token that the anchor writes; `generate` takes it for a streamer."""

    def __init__(self, *replays: Iterator[None]) -> None:
        self._replays = replays

    def put(self, value: object = None) -> None:
        """One more token, or the prompt."""
        for each in self._replays:
            next(each, None)

    def end(self) -> None:
        """The text is whole; what is left is read."""
        for each in self._replays:
            deque(each, maxlen=0)
