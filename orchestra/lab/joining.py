"""Specialists joined without merging: logits averaged, or the base composed with them; and what each way costs."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from orchestra.api import load
from orchestra.lab.batches import encode
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.specialists import Workshop
from orchestra.lab.tokenizer import END_ID, PAD_ID
from orchestra.runtime.model import ComposedModel

BRIDGES: Mapping[str, Any] = {"every": 2, "gate": "token"}


class Averaged:
    """Several models whose logits are averaged at every token; it only knows what `measure.answers` asks of a model."""

    def __init__(self, models: Sequence[PreTrainedModel]) -> None:
        self.models = models

    def generate(self, input_ids: Tensor, attention_mask: Tensor, *, max_new_tokens: int, **_: Any) -> Tensor:
        """Greedy tokens, without a cache; a row that has ended goes on with padding."""
        home, device = input_ids.device, self.models[0].device
        input_ids, attention_mask = input_ids.to(device), attention_mask.to(device)
        ended = torch.zeros(len(input_ids), dtype=torch.bool, device=device)
        for _step in range(max_new_tokens):
            places = (attention_mask.cumsum(1) - 1).clamp_min(0)
            logits = sum(
                model(input_ids, attention_mask=attention_mask, position_ids=places, use_cache=False).logits[:, -1]
                for model in self.models
            )
            new = torch.as_tensor(logits).argmax(-1).masked_fill(ended, PAD_ID)
            input_ids = torch.cat([input_ids, new[:, None]], dim=1)
            attention_mask = torch.cat([attention_mask, torch.ones_like(attention_mask[:, :1])], dim=1)
            ended |= new == END_ID
            if ended.all():
                break
        return input_ids.to(home)


def document(base: Path, augments: Mapping[str, Any], bridges: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The graph of the base and these augments: folders, or merges.

    Args:
        bridges: bundles by name; default: fresh stacks.
    """
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": str(base)},
        "augments": {
            name: {"model": model, "bridges": (bridges or {}).get(name, BRIDGES)} for name, model in augments.items()
        },
    }


def trained(
    shop: Workshop, name: str, graph: Mapping[str, Any], examples: Sequence[Example], settings: Fit
) -> ComposedModel:
    """A composition whose stacks are trained on these examples, all at once."""
    model = load(graph)
    with shop.timed(name):
        fit(
            model,
            lambda rng, _: rng.choice(examples),
            partial(encode, shop.words),
            settings,
            checkpoint=shop.folder / f"{name}.pt",
            title=name,
        )
    return model


def bundle(
    shop: Workshop, name: str, model: Path, examples: Sequence[Example], settings: Fit, *, named: str | None = None
) -> str:
    """The bundle of one augment whose stack is trained with no other in sight.

    Args:
        named: what the bundle is called; default: as the augment.
    """
    folder = shop.folder / f"stack-{named or name}"
    if not folder.is_dir():
        graph = document(shop.base(), {name: str(model)})
        trained(shop, folder.name, graph, examples, settings).save_stack(name, folder)
    return str(folder)


def cost(model: PreTrainedModel | Averaged) -> dict[str, int]:
    """Parameters in memory, and FLOPs per token: two for each parameter that is multiplied with.

    Looking a token up and attending to earlier ones are not counted; both are small for models and texts of this size.
    """
    if not isinstance(model, ComposedModel):
        models = model.models if isinstance(model, Averaged) else [model]
        held = sum(one.num_parameters() for one in models)
        return {"parameters": held, "flops": 2 * sum(map(_multiplied, models)), "bridges": 0}
    bridges = sum(weight.numel() for weight in model.stacks.parameters())
    runs = _multiplied(model.anchor) + bridges
    held, counted = model.anchor.num_parameters() + bridges, {id(model.anchor)}
    for spent in model.plan.costs:
        augment: Any = model.augment(spent.augment)
        held += 0 if id(augment) in counted else augment.num_parameters()
        counted.add(id(augment))
        layers = augment.model.layers[: spent.layers_run]
        runs += sum(weight.numel() for weight in layers.parameters())
    return {"parameters": held, "flops": 2 * runs, "bridges": bridges}


def _multiplied(model: PreTrainedModel) -> int:
    looked_up: Any = model.get_input_embeddings()
    return int(model.num_parameters() - looked_up.weight.numel())
