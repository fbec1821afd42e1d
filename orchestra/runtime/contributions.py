"""What each bridge adds, token by token, and what the next token owes to each augment."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from orchestra.errors import ComposeError
from orchestra.graph import AnchorLayer
from orchestra.runtime import heat, prompt
from orchestra.runtime.align import Alignment
from orchestra.runtime.schedule import Trace, Traced
from orchestra.runtime.toggles import Toggles
from orchestra.wiring import ANCHOR

_ROWS = 256  # of logits that are made wide at once
_NUMBERS = " gate  share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One bridge over one text.

    Attributes:
        into: the model that is fed; `anchor_layer` is one of its layers.
        gate: per token of that model; 1 for a bridge without a gate.
        share: per token of that model, |residual| / |hidden|.
    """

    augment: str
    augment_layer: int
    anchor_layer: AnchorLayer
    gate: tuple[float, ...]
    share: tuple[float, ...]
    into: str = ANCHOR

    def __str__(self) -> str:
        return f"{self.augment} {self.augment_layer} -> {self.into} {self.anchor_layer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """What an augment that others feed has read of the text.

    Attributes:
        tokens: its own, in the order of `at`.
        at: the index of the text's token at which each was committed.
        provisional: which of them it read ahead, for that one token of the text alone.
    """

    tokens: tuple[str, ...]
    at: tuple[int, ...]
    provisional: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """All bridges, and all augments, over one text; `print` shows tables with a row per token.

    Attributes:
        tokens: the text's.
        emitted: behind each token, the one that follows; behind the last, the one that the composition finds likeliest.
        log_probability: natural logarithm of what the composition gives each emitted token.
        lost: by augment, how much less that is with the augment off.
        prompt_length: how many of the tokens are the prompt.
        bridges: those into augments in the order in which these ran, then those into the anchor.
        fed: what the augments that are fed have read, by name.
    """

    tokens: tuple[str, ...]
    emitted: tuple[str, ...]
    log_probability: tuple[float, ...]
    lost: Mapping[str, tuple[float, ...]]
    prompt_length: int
    bridges: tuple[Contribution, ...]
    fed: Mapping[str, Fed]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    def table(self) -> str:
        """A row per token: what follows it, what that loses without each augment, and gate and share of each bridge.

        A line is drawn where the prompt ends. Augments that are fed have a table of their own, over their tokens.
        """
        tables = [_table(self._anchor_rows(), line_before=2 + self.prompt_length)]
        for name, read in self.fed.items():
            bridges = [bridge for bridge in self.bridges if bridge.into == name]
            tokens = [
                f"{token!r}{' ahead' * ahead}" for token, ahead in zip(read.tokens, read.provisional, strict=True)
            ]
            rows = zip(tokens, map(str, read.at), *map(_cells, bridges), strict=True)
            heads = [[f"read by {name}", "at", *map(_heading, bridges)], ["", "", *(_NUMBERS for _ in bridges)]]
            tables.append(_table([*heads, *rows]))
        return "\n\n".join(tables)

    def __str__(self) -> str:
        return self.table()

    def plot(self, path: str | Path) -> None:
        """Write a heat map, in the format that the ending of the path names: .png, .svg or .pdf.

        Raises:
            ComposeError: matplotlib is missing, or the ending is none of these.
        """
        heat.write(self, Path(path))

    def _anchor_rows(self) -> list[Sequence[str]]:
        bridges = [bridge for bridge in self.bridges if bridge.into == ANCHOR]
        lost = [list(map(_number, values)) for values in self.lost.values()]
        likely = map(_number, self.log_probability)
        rows = zip(map(repr, self.tokens), map(repr, self.emitted), likely, *lost, *map(_cells, bridges), strict=True)
        off = [f"{name} off" for name in self.lost]
        heading = ["token", "emits", "log p", *off, *map(_heading, bridges)]
        return [heading, [*[""] * (3 + len(off)), *(_NUMBERS for _ in bridges)], *rows]


class Explained:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    tokenizer: Any  # transformers evaluates these hints here, where a tokenizer is not known
    device: Any
    active: Any
    ablate: Callable[..., AbstractContextManager[None]]
    unswitched: Callable[..., AbstractContextManager[None]]
    get_input_embeddings: Callable[[], Any]
    _runner: Any
    _toggles: Toggles
    _streams: Mapping[str, Any]

    def contributions(
        self, text: str | Tensor, completion: str | None = None, *, prompt_length: int | None = None
    ) -> Contributions:
        """What each bridge adds at each token of a text, and what each augment is to the token that follows.

        A forward over the text, and one more for each augment that is on, with it off; an augment that feeds only it
        is then off too. All know alike where the prompt ends.

        Args:
            text: a text, or token ids ``(1, seq)`` or ``(seq,)``, as `generate` returns them.
            completion: what has been written behind the text, which is the prompt then. It is tokenized by itself, as
                in training.
            prompt_length: how many of the text's tokens are the prompt: an augment that reads the prompt only ends
                there, and a stream is cut there. Default: all that comes before the completion.

        Raises:
            ComposeError: the model was composed without a tokenizer, the ids are not one text of the anchor's tokens,
                there is no token, or the prompt does not end in the text.
        """
        ids, length = in_tokens(self.tokenizer, text, completion, prompt_length)
        known = self.get_input_embeddings().weight.shape[0]
        if strange := [token for token in ids.flatten().tolist() if not 0 <= token < known]:
            raise ComposeError(f"{strange[0]} is no token of the anchor, which has {known:,}.")
        ids = ids.to(self.device)
        with self.unswitched(), torch.no_grad():
            told = torch.tensor([length], device=ids.device)
            seen = self.traced(ids, told)
            follows = torch.cat([ids[0, 1:], seen.logits[0, -1:].argmax(-1).to(ids.device)])
            likely = _likely(seen.logits[0], follows)
            lost = {name: likely - _likely(self._without(name, ids, told), follows) for name in self.active}
        return Contributions(
            tokens=_spelled(self.tokenizer, ids[0]),
            emitted=_spelled(self.tokenizer, follows),
            log_probability=tuple(likely.tolist()),
            lost={name: tuple(values.tolist()) for name, values in lost.items()},
            prompt_length=length,
            bridges=tuple(_contribution(trace, seen.alignments.get(trace.bridge.site.into)) for trace in seen.traces),
            fed=dict(self._read(seen)),
        )

    def traced(self, input_ids: Tensor, prompt_length: Tensor | None = None) -> Traced:
        """Run ids of shape ``(batch, seq)`` through the composition once, and return what each bridge did."""
        length = prompt.whole(input_ids, None) if prompt_length is None else prompt.stated(prompt_length, input_ids)
        traced: Traced = self._runner.traced(input_ids, active=self._toggles.active, prompt_length=length)
        return traced

    def _without(self, name: str, ids: Tensor, prompt_length: Tensor) -> Tensor:
        """The logits of one text, ``(seq, vocabulary)``, with an augment off."""
        run: Any = self
        with self.ablate(name):
            logits: Tensor = run(ids, prompt_length=prompt_length, use_cache=False).logits[0]
        return logits

    def _read(self, seen: Traced) -> Iterator[tuple[str, Fed]]:
        """What each augment that is fed has read."""
        for name in dict.fromkeys(trace.bridge.site.into for trace in seen.traces):
            if name != ANCHOR:
                stream = self._streams.get(name)
                yield name, _fed(seen.alignments[name], self.tokenizer if stream is None else stream.tokenizer)


def in_tokens(
    tokenizer: PreTrainedTokenizerBase | None,
    text: object,
    completion: object = None,
    prompt_length: int | None = None,
) -> tuple[Int[Tensor, "1 seq"], int]:
    """A text in tokens, and how many of them are its prompt; arguments and errors are those of `contributions`."""
    if tokenizer is None:
        raise ComposeError("contributions need a tokenizer, and this model was composed without one.")
    if not isinstance(text, str | Tensor):
        raise ComposeError(f"text is a {type(text).__name__}; it must be a string, or a tensor of token ids.")
    if not isinstance(completion, str | None):
        raise ComposeError(f"completion is a {type(completion).__name__}; it must be a string.")
    if isinstance(text, str):
        ids = torch.tensor([tokenizer(text)["input_ids"]], dtype=torch.long)
    else:
        ids = text[None] if text.ndim == 1 else text
        if ids.ndim != 2 or ids.shape[0] != 1:
            raise ComposeError(f"contributions are of one text; these ids have shape {tuple(text.shape)}.")
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise ComposeError(f"contributions are of token ids, which are integers; these are {ids.dtype}.")
    length = ids.shape[1]
    if completion is not None:
        written = tokenizer(completion, add_special_tokens=False)["input_ids"]
        ids = torch.cat([ids, torch.tensor([written], dtype=torch.long, device=ids.device)], dim=1)
    if ids.numel() == 0:
        raise ComposeError("contributions need a text of one token or more.")
    length = length if prompt_length is None else prompt_length
    if not 0 <= length <= ids.shape[1]:
        raise ComposeError(f"prompt_length is {length}, and this text has {ids.shape[1]} tokens.")
    return ids, length


def _likely(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities of these tokens, ``(seq,)``, in at least fp32."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    parts = zip(logits.split(_ROWS), ids.to(logits.device).split(_ROWS), strict=True)
    return torch.cat([_of(part.to(wide), which) for part, which in parts])


def _of(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.gather(-1, ids[:, None])[:, 0] - logits.logsumexp(-1)


def _spelled(tokenizer: PreTrainedTokenizerBase, ids: Tensor) -> tuple[str, ...]:
    return tuple(str(tokenizer.decode([token])) for token in ids.tolist())


def _fed(alignment: Alignment, tokenizer: PreTrainedTokenizerBase) -> Fed:
    order = _order(alignment)
    ahead = torch.zeros_like(alignment.valid).bool() if alignment.tail is None else alignment.tail
    return Fed(
        tokens=_spelled(tokenizer, alignment.ids[0, order]),
        at=tuple(alignment.committed[0, order].tolist()),
        provisional=tuple(ahead[0, order].tolist()),
    )


def _order(alignment: Alignment) -> Tensor:
    """An augment's tokens as the text goes on: what it reads ahead stands behind all that is committed."""
    return alignment.committed[0].argsort(stable=True)


def _contribution(trace: Trace, fed: Alignment | None) -> Contribution:
    site = trace.bridge.site
    gate, share = trace.gate[0].cpu(), trace.share[0].cpu()
    if fed is not None:
        order = _order(fed).cpu()
        gate, share = gate[order], share[order]
    return Contribution(
        augment=site.augment,
        augment_layer=site.augment_layer,
        anchor_layer=site.anchor_layer,
        gate=tuple(gate.tolist()),
        share=tuple(share.tolist()),
        into=site.into,
    )


def _heading(bridge: Contribution) -> str:
    return f"{bridge.augment} {bridge.augment_layer} -> {bridge.anchor_layer}"


def _number(value: float) -> str:
    return f"{round(value, 2) + 0:.2f}"  # never -0.00


def _cells(bridge: Contribution) -> list[str]:
    """Gate and share, token by token."""
    return [f"{gate:5.2f} {share:6.2f}" for gate, share in zip(bridge.gate, bridge.share, strict=True)]


def _table(rows: Sequence[Sequence[str]], line_before: int | None = None) -> str:
    """Columns made even, and a line before one row unless it is the first or none."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if line_before is not None and 2 < line_before < len(lines):
        lines.insert(line_before, "-" * max(map(len, lines)))
    return "\n".join(lines)
