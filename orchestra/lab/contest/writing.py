"""Greedy completions, of a plain model or of a composed one: both are models of transformers."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from orchestra.lab.contest.records import alike
from orchestra.lab.progress import track


@torch.no_grad()
def completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    most: int,
    stop: str = "\n",
    size: int = 32,
) -> list[str]:
    """What a model writes after each prompt, up to a stop text or the end.

    Args:
        most: new tokens.
    """
    written = [""] * len(prompts)
    writer: Any = model
    for numbers in track(alike(prompts, size), "answers"):
        texts = [prompts[number] for number in numbers]
        batch: Any = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        ids = batch["input_ids"].to(model.device)
        output: Any = writer.generate(
            ids,
            attention_mask=batch["attention_mask"].to(model.device),
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            stopping_criteria=StoppingCriteriaList([_Said(tokenizer, stop, ids.shape[1])]),
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        )
        answers = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
        for number, answer in zip(numbers, answers, strict=True):
            written[number] = answer.split(stop)[0]
    return written


class _Said(StoppingCriteria):
    """Whether a row has written a text; transformers' own criterion refuses tokenizers without tokens for it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: str, begin: int) -> None:
        self.tokenizer, self.text, self.begin = tokenizer, text, begin

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        said = self.tokenizer.batch_decode(input_ids[:, self.begin :])
        return torch.tensor([self.text in one for one in said], device=input_ids.device)
