"""The composed model as the harness asks it: every text is read knowing where its prompt ends."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from huggingface_hub.utils.tqdm import tqdm
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from torch.nn.functional import log_softmax
from torch.nn.utils.rnn import pad_sequence

from orchestra.errors import EvalError

Request = tuple[tuple[str, str] | None, list[int], list[int]]
"""A context and an answer, as texts and in tokens; no texts where a whole text is scored."""


class _Text(NamedTuple):
    """What is read for an answer; answers that differ in their last token alone share it.

    Attributes:
        ids: the context and the answer but for its last token, as much of their end as the model reads.
        start: how many of them come before the answer.
        prompt: how many of them are the prompt.
    """

    ids: tuple[int, ...]
    start: int
    prompt: int


class Asked(HFLM):  # type: ignore[misc]  # the harness has no types
    """The harness' model of transformers, for a composed one.

    The harness reads a context and an answer as one text. An augment that reads the prompt only, and a stream, must
    know where the first ends, as in training and in generation; and padding is no text to them.
    """

    def _model_call(self, inps: Tensor, attn_mask: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """Logits of texts that are all prompt: by them the harness finds out how many go at once."""
        return self._logits(list(inps), [inps.shape[1]] * len(inps))

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Of each answer: its log-likelihood, and whether it is what the model would write greedily.

        The context is the prompt. A text that is scored whole (`loglikelihood_rolling`) has none.

        Raises:
            EvalError: an answer has no token, or more than the model reads.
        """
        sharing = defaultdict[_Text, list[int]](list)
        for index, request in enumerate(requests):
            sharing[self._text(request)].append(index)
        texts = sorted(sharing, key=lambda text: len(text.ids), reverse=True)
        size = override_bs or self.batch_size
        if size == "auto":
            size = self._detect_batch_size([requests[sharing[text][0]] for text in texts[:1]])
        found: dict[int, tuple[float, bool]] = {}
        with tqdm(  # type: ignore[no-untyped-call]
            total=len(requests), disable=disable_tqdm, desc="Running loglikelihood requests"
        ) as bar:
            for first in range(0, len(texts), size):
                several = texts[first : first + size]
                ids = [torch.tensor(text.ids, device=self.device) for text in several]
                for text, logits in zip(several, self._logits(ids, [text.prompt for text in several]), strict=True):
                    likely = log_softmax(logits[text.start - 1 : len(text.ids)], dim=-1)
                    found |= {index: self._answer(likely, requests[index]) for index in sharing[text]}
                    bar.update(len(sharing[text]))
        return [found[index] for index in range(len(requests))]

    def _text(self, request: Request) -> _Text:
        said, context, answer = request
        if not 0 < len(answer) <= self.max_length:
            told = "" if said is None else f" ({said[1]!r})"
            raise EvalError(f"an answer{told} has {len(answer)} tokens; this model scores from 1 to {self.max_length}.")
        # A context of blanks has no token of its own: the harness gives them to the answer.
        ids = ((context or [self.prefix_token_id]) + answer)[-(self.max_length + 1) :][:-1]
        start = len(ids) + 1 - len(answer)
        return _Text(tuple(ids), start, 0 if said is None else start)

    def _answer(self, likely: Tensor, request: Request) -> tuple[float, bool]:
        said, _, answer = request
        ids = torch.tensor(answer, device=likely.device)
        found = float(likely.gather(-1, ids[:, None]).sum()), bool((likely.argmax(-1) == ids).all())
        if said is not None:
            self.cache_hook.add_partial("loglikelihood", said, found)
        return found

    def _logits(self, texts: Sequence[Tensor], prompts: Sequence[int]) -> Tensor:
        """Logits of texts, padded on the right."""
        model: Any = self.model
        with torch.no_grad():
            logits: Tensor = model(
                pad_sequence(list(texts), batch_first=True),
                attention_mask=pad_sequence([torch.ones_like(text) for text in texts], batch_first=True),
                prompt_length=torch.tensor(prompts, device=self.device),
                use_cache=False,
            ).logits
        return logits
