"""What each bridge adds, token by token: the gate, and how loud the residual is beside the hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from orchestra.errors import ComposeError
from orchestra.graph import AnchorLayer

if TYPE_CHECKING:
    from orchestra.runtime.model import ComposedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One bridge over one text.

    Attributes:
        gate: per token; 1 for a bridge without a gate.
        share: per token, |residual| / |hidden|.
    """

    augment: str
    augment_layer: int
    anchor_layer: AnchorLayer
    gate: tuple[float, ...]
    share: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """All bridges over one text; `print` shows a table, a row per bridge and a column per token."""

    tokens: tuple[str, ...]
    bridges: tuple[Contribution, ...]

    def __str__(self) -> str:
        rows = [
            [f"{c.augment} {c.augment_layer} -> anchor {c.anchor_layer}", *(f"{share:.2f}" for share in c.share)]
            for c in self.bridges
        ]
        return _table([["|residual| / |hidden|", *map(repr, self.tokens)], *rows])


def contributions(model: "ComposedModel", text: str, *, prompt_length: int | None = None) -> Contributions:
    """Run a text through the model once, and collect what each bridge added.

    Args:
        prompt_length: how many tokens are the prompt; default: all.

    Raises:
        ComposeError: the model has no tokenizer, or the text no token.
    """
    if model.tokenizer is None:
        raise ComposeError("contributions need a tokenizer, and this model was composed without one.")
    ids = torch.tensor([model.tokenizer(text)["input_ids"]], dtype=torch.long, device=model.device)
    if ids.numel() == 0:
        raise ComposeError("contributions need a text of one token or more.")
    with torch.no_grad():
        traces = model.traced(ids, None if prompt_length is None else torch.tensor([prompt_length]))
    return Contributions(
        tokens=tuple(str(model.tokenizer.decode([token])) for token in ids[0].tolist()),
        bridges=tuple(
            Contribution(
                augment=trace.bridge.site.augment,
                augment_layer=trace.bridge.site.augment_layer,
                anchor_layer=trace.bridge.site.anchor_layer,
                gate=tuple(trace.gate[0].tolist()),
                share=tuple(trace.share[0].tolist()),
            )
            for trace in traces
        ),
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
