"""How long a text an augment can read: some models end where their table of positions does."""

from collections.abc import Collection, Mapping

from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra.errors import ComposeError
from orchestra.nn.mask import positions

_TABLES = ("wpe", "embed_positions", "position_embeddings", "positions_embed")
"""What architectures of transformers call a table with a row per position."""


def num_positions(model: PreTrainedModel) -> int | None:
    """How many tokens a model's table of positions is for; None for a model that has none."""
    learnt = [
        table.num_embeddings - getattr(table, "offset", 0)  # some leave their first rows out
        for name, table in model.named_modules()
        if isinstance(table, nn.Embedding) and name.split(".")[-1] in _TABLES
    ]
    fixed = [len(table) for name, table in model.named_buffers() if name.split(".")[-1] in _TABLES]
    biases = [model.config.max_seq_len] if model.config.model_type == "mpt" else []
    return min((*learnt, *fixed, *biases), default=None)


def check_lengths(
    valid: Int[Tensor, "batch seq"],
    limits: Mapping[str, int | None],
    prompt_length: Int[Tensor, " batch"] | None,
    prompt_only: Collection[str],
    streamed: Mapping[str, int],
) -> None:
    """See that every augment can read its part of a text to the end.

    Args:
        valid: 1 for each token of the past and of now, 0 at padding.
        limits: the number of positions of each augment that is on.
        prompt_length: how many tokens of each row the augments of `prompt_only` read.
        streamed: how many tokens of its own the longest row is to each augment that reads a stream.

    Raises:
        ComposeError: an augment has fewer positions; all that have are named.
    """
    finite = {name: limit for name, limit in sorted(limits.items()) if limit is not None}
    if all(streamed.get(name, valid.shape[1]) <= limit for name, limit in finite.items()):
        return  # without a look at values, for which an accelerator would be waited for
    whole = 1 + int(positions(valid.bool()).max())
    part = whole if prompt_length is None else min(whole, int(prompt_length.max()))
    lengths = {name: part if name in prompt_only else whole for name in finite} | dict(streamed)
    short = [(name, limit) for name, limit in finite.items() if limit < lengths[name]]
    if short:
        raise ComposeError.listing(
            f"augment {name!r} reads {limit} tokens at most, its table of positions ends there, and this text has "
            f"{lengths[name]}: shorten it, or switch the augment off."
            for name, limit in short
        )
