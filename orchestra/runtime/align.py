"""Which augment tokens each anchor position sees. The one place that knows how tokens of the two correspond.

An augment that shares the anchor's tokenizer reads the anchor's ids, token for token, and each of its tokens is
committed at the anchor token of the same index. Any other reads a stream (`stream.py`). An augment that reads the
prompt only is done with its last token: from there on it gets nothing new, and what it has is seen from everywhere.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from orchestra.errors import ComposeError
from orchestra.nn.mask import Places, Sight, known_true, positions, visible
from orchestra.runtime.columns import Columns


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """One forward of one augment, aligned to the anchor's; it lasts as long. All bridges share what is made of it.

    Attributes:
        ids, valid, position: what the augment reads now; `valid` covers its whole past as well.
        committed: index of the anchor token at which each new augment token was committed.
        history: the same of all augment tokens so far; None where token stands for token.
        query_position: index of each new anchor token, padding not counted.
        padded: whether some column, now or before, holds no token, or may hold none.
        mask: where each new anchor token may look, over all augment tokens so far; None where token stands for token
            and nothing is padded, so that each sees all that is before it.
        branches: what each new augment token may see; None where that is whatever is valid before it.
        tail: which augment tokens are provisional; None where none is.
    """

    ids: Int[Tensor, "batch augment_new"]
    valid: Int[Tensor, "batch augment_seq"]
    position: Int[Tensor, "batch augment_new"]
    committed: Int[Tensor, "batch augment_new"]
    query_position: Int[Tensor, "batch anchor_new"]
    padded: bool
    mask: Bool[Tensor, "batch anchor_new augment_seq"] | None
    branches: "Branches | None" = None
    history: Int[Tensor, "batch augment_seq"] | None = None
    tail: Bool[Tensor, "batch augment_seq"] | None = None

    @cached_property
    def sight(self) -> Sight:
        """Where each new anchor token may look."""
        return Sight(self.mask, causal=self.mask is None and self.ids.shape[1] > 1)

    @cached_property
    def places(self) -> Places:
        """Of the new augment tokens."""
        return Places(self.committed)

    @cached_property
    def query_places(self) -> Places:
        """Of the new anchor tokens."""
        return self.places if self.query_position is self.committed else Places(self.query_position)

    @cached_property
    def padding(self) -> Bool[Tensor, "batch augment_new 1"] | None:
        """Which of the new columns hold no token; None where it is known that all do."""
        if not self.padded:
            return None
        return ~self.valid[:, self.valid.shape[1] - self.ids.shape[1] :, None].bool()


@dataclass(frozen=True, slots=True)
class Branches:
    """What augment tokens see of each other where some are provisional.

    Attributes:
        seen: which token sees which.
        distance: how many places each is after the other.
    """

    seen: Bool[Tensor, "batch augment_new augment_seq"]
    distance: Int[Tensor, "batch augment_new augment_seq"]


def align(ids: Int[Tensor, "batch anchor_new"], valid: Int[Tensor, "batch anchor_seq"]) -> Alignment:
    """Align an augment that shares the anchor's tokenizer.

    Args:
        ids: the anchor's new tokens.
        valid: 1 for each token of the past and of now, 0 at padding.
    """
    new, seen = ids.shape[1], valid.shape[1]
    padded = not known_true(valid)
    mask = None
    if not padded and new in (1, seen):
        now = torch.arange(seen - new, seen, device=ids.device).expand(ids.shape[0], -1)
    else:
        index = positions(valid.bool())
        now = index[:, -new:]
        mask = visible(
            query_position=now,
            query_valid=valid[:, -new:].bool(),
            key_position=index,
            key_valid=valid.bool(),
        )
    return Alignment(
        ids=ids,
        valid=valid,
        position=now,
        committed=now,
        query_position=now,
        padded=padded,
        mask=mask,
    )


def align_prompt(
    ids: Int[Tensor, "batch anchor_new"],
    valid: Int[Tensor, "batch anchor_seq"],
    prompt_length: Int[Tensor, " batch"],
    held: int,
) -> Alignment:
    """Align an augment that shares the anchor's tokenizer and reads the prompt only.

    Its columns are the anchor's up to the last one with a token of a prompt; what is not of a row's prompt there is
    padding to it.

    Args:
        ids: the anchor's new tokens.
        valid: 1 for each token of the past and of now, 0 at padding.
        prompt_length: how many tokens of each row are its prompt, padding not counted.
        held: how many columns it has read before.
    """
    past = valid.shape[1] - ids.shape[1]
    index = positions(valid.bool())
    prompt = valid.bool() & (index < prompt_length[:, None])
    some = prompt.any(0).nonzero()
    end = max(held, int(some[-1]) + 1 if len(some) else 0)
    prompt = prompt[:, :end]
    # Columns that it passed over, as nobody's prompt reached there, are padding to all.
    since = torch.cat([ids.new_zeros(ids.shape[0], past - held), ids], dim=1)
    committed = positions(prompt)
    mask = visible(
        query_position=index[:, past:],
        query_valid=valid[:, past:].bool(),
        key_position=committed,
        key_valid=prompt,
    )
    return Alignment(
        ids=since[:, : end - held],
        valid=prompt.long(),
        position=committed[:, held:],
        committed=committed[:, held:],
        history=committed,
        query_position=index[:, past:],
        padded=not known_true(prompt),
        mask=mask,
    )


def align_stream(
    before: Columns,
    ids: Int[Tensor, "batch anchor_new"],
    valid: Int[Tensor, "batch anchor_seq"],
    *,
    prompt_length: Int[Tensor, " batch"] | None,
    prompt_only: bool = False,
) -> tuple[Alignment, Columns]:
    """Align an augment that reads a stream.

    Args:
        before: what it has read of the past.
        ids: the anchor's new tokens.
        valid: 1 for each token of the past and of now, 0 at padding.
        prompt_length: where the stream of each row is cut on purpose, counted in the row's own tokens.
        prompt_only: whether the augment reads nothing after that.

    Returns:
        The alignment, and what it has read then.

    Raises:
        ComposeError: its tokenizer has no token for a character.
    """
    past = valid.shape[1] - ids.shape[1]
    cut = [None] * ids.shape[0] if prompt_length is None else prompt_length.tolist()
    until = cut if prompt_only else [None] * ids.shape[0]
    now, block = before.read(ids, valid[:, past:].bool(), cut=cut, until=until)
    held = torch.cat([before.valid, block.valid], dim=1).to(ids.device)
    committed = now.committed.to(ids.device)
    query = positions(valid.bool())[:, past:]
    mask = visible(query_position=query, query_valid=valid[:, past:].bool(), key_position=committed, key_valid=held)
    branches = tail = None
    if (block.tail & block.valid).any():
        tail = torch.cat([torch.zeros_like(before.valid), block.tail], dim=1).to(ids.device)
        mask = mask & (~tail[:, None, :] | (committed[:, None, :] == query[:, :, None]))
        place = torch.cat([positions(before.valid), block.position], dim=1).to(ids.device)
        branches = _branches(held, committed, place, tail, new=block.ids.shape[1])
    alignment = Alignment(
        ids=block.ids.to(ids.device),
        valid=held.long(),
        position=block.position.to(ids.device),
        committed=committed[:, before.width :],
        history=committed,
        query_position=query,
        padded=not known_true(held),
        mask=mask,
        branches=branches,
        tail=tail,
    )
    return alignment, now


def _branches(held: Tensor, committed: Tensor, place: Tensor, tail: Tensor, *, new: int) -> Branches:
    """A tree: what is committed is its stem, and what was held at each token of the anchor a branch of it.

    A branch leaves the stem after what was committed at its token; nothing sees into the branch of another token.
    """
    first = place.shape[1] - new
    distance = place[:, first:, None] - place[:, None, :]
    same = committed[:, first:, None] == committed[:, None, :]
    before = (distance >= 0) & (committed[:, first:, None] >= committed[:, None, :])
    seen = held[:, None, :] & before & (~tail[:, None, :] | same)
    itself = torch.arange(new, device=held.device)
    seen[:, itself, first + itself] = True  # padding too sees something
    return Branches(seen=seen, distance=distance)


def full_mask(
    ids: Int[Tensor, "batch anchor_new"], attention_mask: Tensor | None, past: int = 0
) -> Int[Tensor, "batch anchor_seq"]:
    """The attention mask over past and present; all ones when the caller gave none.

    Raises:
        ComposeError: the mask is not of the shape (batch, past + new).
    """
    shape = (ids.shape[0], past + ids.shape[1])
    if attention_mask is None:
        return torch.ones(shape, dtype=torch.long, device=ids.device)
    if tuple(attention_mask.shape) != shape:
        raise ComposeError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; for {past} cached and {ids.shape[1]} new "
            f"tokens it must be {shape}."
        )
    return attention_mask.to(torch.long)


def check_positions(position_ids: Tensor | None, valid: Int[Tensor, "batch anchor_seq"]) -> None:
    """See that position ids, where they are given, are those that the mask says.

    Raises:
        ComposeError: they are not, as in packed texts, whose borders the augments would not see.
    """
    if position_ids is None:
        return
    new = position_ids.shape[-1]
    if ((position_ids != positions(valid.bool())[:, -new:]) & valid[:, -new:].bool()).any():
        raise ComposeError(
            "position_ids do not count the tokens of the mask; a composed model reads one text per row, from its "
            "start: pack no texts, and drop the argument."
        )
