"""The anchor up to its lowest bridge, by itself: what training never changes, and need not run twice."""

from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra.errors import ComposeError
from orchestra.runtime.view import first_tensor, view


class Below:
    """Runs the lower layers of an anchor, and says what a layer's output looks like where it is put in its place."""

    def __init__(self, anchor: PreTrainedModel, *, num_layers: int) -> None:
        body = anchor.base_model
        assert isinstance(body, PreTrainedModel)
        self._body = body
        self._num_layers = num_layers
        self._upto = cache(self._view)

    @torch.no_grad()
    def run(self, layer: int, **inputs: Any) -> Tensor:
        """The output of a layer: ``(batch, anchor_seq, d_anchor)``."""
        return first_tensor(self._output(layer, inputs))

    def in_place_of(self, hidden: Tensor) -> Any:
        """What a layer returns when these are its hidden states: some return a tuple, and nothing else is looked at."""
        return (hidden, *[None] * (self._returns - 1)) if self._returns else hidden

    @cached_property
    def _returns(self) -> int:
        """The length of the tuple that a layer returns; 0 where it returns the hidden states alone."""
        shared = getattr(self._body.config.get_text_config(), "num_kv_shared_layers", 0)
        if shared:
            raise ComposeError(
                f"upper layers of the anchor ({self._body.config.model_type}) read keys and values of lower ones, "
                "which are not in taps: train it without."
            )
        with torch.no_grad():
            output = self._output(0, {"input_ids": torch.zeros(1, 1, dtype=torch.long, device=self._body.device)})
        return len(output) if isinstance(output, tuple) else 0

    def _output(self, layer: int, inputs: dict[str, Any]) -> Any:
        seen: list[Any] = []
        model, top = self._upto(layer)
        handle = top.register_forward_hook(lambda _module, _args, output: seen.append(output))
        try:
            model(**inputs, use_cache=False)
        finally:
            handle.remove()
        return seen[0]

    def _view(self, layer: int) -> tuple[PreTrainedModel, nn.Module]:
        model, layers = view(self._body, num_layers=self._num_layers, keep=layer + 1)
        return model, layers[-1]
