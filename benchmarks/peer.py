"""CALM-pytorch 0.2.2, from its package, over the same models and the same sites. `pip install CALM-pytorch==0.2.2`."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra import ComposedModel


class Logits(nn.Module):
    """A model that returns logits and keeps no cache, as CALM-pytorch asks."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Run it."""
        model: Any = self.model
        logits: Tensor = model(ids, use_cache=False).logits
        return logits


def compose(composed: ComposedModel, anchor: PreTrainedModel, augments: Mapping[str, PreTrainedModel]) -> Any:
    """CALM over copies of the models of a composition; it leaves hooks on those that it is given.

    What it starts at zero is drawn, so that its bridges have something to say.

    Raises:
        ModuleNotFoundError: CALM-pytorch is not installed.
    """
    from CALM_pytorch import CALM, AugmentParams

    def layers(model: PreTrainedModel) -> list[nn.Module]:
        body: Any = model.base_model
        return list(body.layers)

    def connections(name: str) -> tuple[tuple[int, int], ...]:
        """Our sites, counted from 1."""
        sites = [site for site in composed.plan.graph.sites if site.augment == name]
        return tuple((site.augment_layer + 1, 1 + int(site.anchor_layer)) for site in sites)

    params = [
        AugmentParams(model=Logits(model), transformer_blocks=layers(model), connections=connections(name))
        for name, model in augments.items()
    ]
    heads = anchor.config.num_attention_heads
    attention = {
        "linear_project_context": True,
        "pre_rmsnorm": True,
        "flash": True,
        "heads": heads,
        "dim_head": anchor.config.hidden_size // heads,
    }
    calm = CALM(Logits(anchor), params, attn_kwargs=attention, anchor_transformer_blocks=layers(anchor))
    for weight in calm.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.02)
    forget(calm)
    return calm


def generate(calm: Any, prompt: Tensor, new: int) -> Tensor:
    """Write so many tokens as CALM-pytorch does, which samples from the likeliest tokens."""
    return _written(calm, prompt, new)


def greedy(calm: Any, prompt: Tensor, new: int) -> Tensor:
    """Write the likeliest tokens: a threshold of zero leaves one to sample from; its own top_k raises a NameError."""
    return _written(calm, prompt, new, filter_kwargs={"thres": 0.0})


def _written(calm: Any, prompt: Tensor, new: int, **sampling: Any) -> Tensor:
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        (written,) = calm.generate(prompt, seq_len=prompt.shape[1] + new, **sampling)
    forget(calm)
    return torch.cat([prompt, written[None]], dim=1)


def forget(calm: Any) -> None:
    """Empty the records of its hooks on the anchor, which it keeps for ever: gigabytes in a long run."""
    for module in calm.anchor_llm.modules():
        for hook in module._forward_hooks.values():
            if hasattr(hook, "modules") and hasattr(hook, "output"):
                hook.modules.clear()
                hook.output.clear()
