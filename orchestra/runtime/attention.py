"""Sees that a loaded model reads from left to right, whatever its architecture is called."""

import inspect

from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from orchestra.errors import ModelError
from orchestra.runtime.view import layers_path


def check_attention(name: str, model: PreTrainedModel, num_layers: int) -> None:
    """Refuse a model whose modules say that it cannot be composed; architectures known by name are refused before.

    Args:
        name: in the graph, for the error.

    Raises:
        ModelError: it keeps a running state, or no cache, or its tokens see later ones.
    """
    kind = type(model).__name__
    if model._is_stateful or any(
        isinstance(layer, LinearAttentionCacheLayerMixin) for layer in DynamicCache(config=model.config).layers
    ):
        raise ModelError(
            f"{name}: {kind} keeps a running state, which cannot go back to an earlier token; "
            "only models that attend to their tokens can be composed."
        )
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise ModelError(
            f"{name}: {kind} keeps no keys and values of what it has read; only models that do can be composed."
        )
    layers = model.get_submodule(".".join(layers_path(model, num_layers)))
    for place, module in layers.named_modules():
        if getattr(module, "is_causal", True) is False:
            raise ModelError(
                f"{name}: {kind} lets tokens see later ones (layer {place}); only decoders can be composed."
            )
