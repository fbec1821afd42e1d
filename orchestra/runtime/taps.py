"""Taps: what the frozen parts make of a text, kept so that bridges are trained without running those parts again.

No training changes what an augment makes of a text, nor what the anchor makes of it under its lowest bridge. The taps
of a text are a mapping: the hidden states ``(seq, width)`` by model and layer, in the dtype in which they were made and
without padding, so that texts can be kept one by one and joined in any batch.

    ("kv", 2)       of augment kv after layer 2, as after each of its layers that a bridge reads
    ("anchor", 3)   of the anchor after layer 3, the lowest that a bridge writes to, before it does; not there if that
                    is the embedding, as nothing of the anchor is below it
    ("kv>code", 0)  nothing, where kv feeds the augment code: the mark that it did while the taps were made

Only what the anchor's bridges read is kept. What an augment that is fed makes of a text changes with the bridges that
feed it; they must not learn.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from orchestra.errors import ComposeError
from orchestra.graph import FEEDS, Site, stack_name
from orchestra.nn.stack import Stack
from orchestra.runtime.align import Alignment, full_mask
from orchestra.runtime.toggles import Toggles
from orchestra.wiring import ANCHOR

Taps = Mapping[tuple[str, int], Tensor]


class Tapped:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    _runner: Any  # transformers evaluates these hints here, where a Runner is not known
    _toggles: Toggles
    _reads: Callable[..., Any]

    def taps(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        prompt_length: Tensor | None = None,
    ) -> list[Taps]:
        """What the frozen parts make of texts, a mapping for each row: `forward(..., taps=...)` goes on from there.

        Arguments are as in `forward`; labels say only where a prompt ends. Only what the bridges read is run: each
        augment that is on, and the anchor up to its lowest bridge.

        Returns:
            By model and layer, hidden states ``(seq, width)`` without padding, in the dtype and on the device that they
            were made in: of each augment at the layers that the anchor's bridges read; of the ``"anchor"`` at its
            lowest layer with a bridge, unless that is the embedding.

        Raises:
            ComposeError: as `forward`; or bridges between augments that are on learn.
        """
        active = self._toggles.active
        mask = None if attention_mask is None else full_mask(input_ids, attention_mask)
        valid = full_mask(input_ids, mask)
        reads = self._reads(input_ids, valid, active, None, labels=labels, prompt_length=prompt_length)
        kept: list[Taps] = self._runner.taps(reads, input_ids, mask, active=active)
        return kept

    def alignment(
        self, name: str, input_ids: Tensor, attention_mask: Tensor | None = None, *, prompt_length: Tensor | None = None
    ) -> Alignment | None:
        """What an augment reads of texts, and which of its tokens each token of the anchor sees; None where nothing.

        Arguments are as in `forward`. The augment need not be on, and nothing runs.

        Raises:
            ComposeError: there is no such augment; else as `forward`.
        """
        valid = full_mask(input_ids, attention_mask)
        active = frozenset({self._toggles.known(name)})
        found: Alignment | None = self._reads(
            input_ids, valid, active, None, labels=None, prompt_length=prompt_length
        ).alignments.get(name)
        return found


def lowest(sites: Collection[Site], active: Collection[str]) -> int | None:
    """The lowest anchor layer with a bridge of an augment that is on; None where that is the embedding, or nothing."""
    depths = [site.depth for site in sites if site.augment in active]
    return min(depths) if min(depths, default=-1) >= 0 else None


def marks(pairs: Collection[tuple[str, str]], rows: int) -> dict[tuple[str, int], list[Tensor]]:
    """What taps hold for each augment that feeds another: no number, but its name."""
    return {(stack_name(*pair), 0): [torch.zeros(0, 0)] * rows for pair in pairs}


def refuse_learning(stacks: Mapping[tuple[str, str], Stack]) -> None:
    """See that bridges from augments that are on into others that are do not learn.

    Raises:
        ComposeError: some do.
    """
    for (feeder, fed), stack in sorted(stacks.items(), key=lambda item: item[0]):
        if any(weight.requires_grad for weight in stack.parameters()):
            raise ComposeError(
                f"{feeder!r} feeds {fed!r} by bridges that learn: what {fed!r} makes of a text changes with them, and "
                f"is no tap to keep. Run without taps, or freeze them: model.stack({feeder!r}, {fed!r})"
                ".requires_grad_(False)."
            )


def check_fed(taps: Sequence[Taps], pairs: Collection[tuple[str, str]], active: Collection[str]) -> None:
    """See that each augment that is on is fed by those that fed it when taps were made.

    Args:
        pairs: who feeds whom, of those that are on.

    Raises:
        ComposeError: one is fed by others.
    """
    for row, each in enumerate(taps):
        made = {name for name, _ in each if FEEDS in name}
        for fed in sorted(active):
            was = sorted(name.partition(FEEDS)[0] for name in made if name.endswith(f"{FEEDS}{fed}"))
            now = sorted(feeder for feeder, into in pairs if into == fed)
            if was != now:
                raise ComposeError(
                    f"taps[{row}] were made while {fed!r} was fed by {', '.join(was) or 'nobody'}, and now it would be "
                    f"by {', '.join(now) or 'nobody'}: make them anew."
                )


def alone(past_key_values: object, use_cache: bool | None, *outputs: bool | None) -> bool:
    """Whether a forward on taps uses a cache: it does not.

    Raises:
        ComposeError: it is asked for a cache, or for what layers that do not run would have put out.
    """
    if past_key_values is not None or use_cache:
        raise ComposeError("taps are those of whole texts, read without a cache: drop past_key_values and use_cache.")
    if any(outputs):
        raise ComposeError(
            "layers under the taps do not run: drop output_attentions and output_hidden_states, or taps."
        )
    return False


def split(padded: Tensor, valid: Tensor) -> list[Tensor]:
    """The rows of a batch without their padding.

    Args:
        padded: ``(batch, seq, width)``.
        valid: 0 at padding, ``(batch, seq)``.
    """
    inside = valid.bool().to(padded.device)
    return [row[own] for row, own in zip(padded, inside, strict=True)]


def join(rows: Sequence[Tensor], valid: Tensor) -> Tensor:
    """Rows as a batch, zero at padding: `split` undone."""
    tokens = torch.cat(list(rows))
    inside = valid.bool().to(tokens.device)
    joined = tokens.new_zeros(*inside.shape, tokens.shape[-1])
    joined[inside] = tokens
    return joined


def check(
    taps: Sequence[Taps],
    valid: Tensor,
    alignments: Mapping[str, Alignment],
    sites: Collection[Site],
    active: Collection[str],
) -> None:
    """See that taps are those of the texts of a batch, made with these augments on, or more.

    Args:
        valid: which columns of the anchor hold tokens: ``(batch, anchor_seq)``.

    Raises:
        ComposeError: they are not.
    """
    if len(taps) != len(valid):
        raise ComposeError(f"taps are of {len(taps)} texts, and input_ids of {len(valid)}.")
    first = [key for key in (taps[0] if taps else ()) if key[0] == ANCHOR]
    depths = [site.depth for site in sites if site.augment in active]
    if first and depths and first[0][1] > min(depths):
        where = "embedding" if min(depths) < 0 else f"layer {min(depths)}"
        raise ComposeError(
            f"taps[0] go on from anchor layer {first[0][1]}, and the lowest bridge that is on is at its {where}: "
            "make them with all augments on that are on now."
        )
    widths = {(site.augment, site.augment_layer): site.d_augment for site in sites if site.augment in active}
    widths |= {key: site.d_anchor for key in first for site in sites}
    for (name, layer), width in widths.items():
        counts = valid if name == ANCHOR else alignments[name].valid if name in alignments else valid[:, :0]
        for row, (each, count) in enumerate(zip(taps, counts.bool().sum(-1).tolist(), strict=True)):
            if (name, layer) not in each:
                raise ComposeError(
                    f"taps[{row}] hold nothing of layer {layer} of {name!r}: make them with all augments on that are "
                    "on now."
                )
            if (found := tuple(each[name, layer].shape)) != (count, width):
                raise ComposeError(
                    f"taps[{row}] hold {found} of layer {layer} of {name!r}, and this text needs {(count, width)}: "
                    "they are another text's, or its prompt ended elsewhere."
                )
