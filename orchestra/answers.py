"""Text in, text out: what a composition answers, and what it answers without some of its augments."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from orchestra.errors import ComposeError
from orchestra.runtime.model import ComposedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is written.

    Attributes:
        sample: draw tokens; otherwise the likeliest is taken each time, and temperature and seed say nothing.
    """

    max_new_tokens: int = 64
    sample: bool = False
    temperature: float = 1.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a composition answered while these of its augments were on."""

    on: tuple[str, ...]
    text: str


def answer(model: ComposedModel, prompt: str, sampling: Sampling = GREEDY) -> Answer:
    """Continue a prompt with the augments that are on. The global random state is left as it was.

    Raises:
        ComposeError: the model was composed without a tokenizer, or the prompt has no tokens.
    """
    ids, num_prompt = written(model, prompt, sampling)
    tokenizer: Any = model.tokenizer
    return Answer(on=model.active, text=str(tokenizer.decode(ids[0, num_prompt:], skip_special_tokens=True)))


def written(model: ComposedModel, prompt: str, sampling: Sampling = GREEDY) -> tuple[Tensor, int]:
    """A prompt and what is written behind it, as ids ``(1, seq)``, and how many of them are the prompt.

    Raises:
        ComposeError: as `answer`.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ComposeError("a prompt needs a tokenizer, and this model's anchor has none: give it a tokenizer.json.")
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"].to(model.device)
    if ids.shape[1] == 0:
        raise ComposeError("the prompt has no tokens.")
    running: Any = model  # transformers types the self of generate as a protocol that no model of its own meets
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(sampling.seed)
        ids_and_more: Tensor = running.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=sampling.max_new_tokens,
            do_sample=sampling.sample,
            temperature=sampling.temperature if sampling.sample else None,
        )
    return ids_and_more, ids.shape[1]


def ablations(model: ComposedModel, prompt: str, sampling: Sampling = GREEDY) -> list[Answer]:
    """Answer one prompt with the augments that are on, without each of them, and with none; each set once."""
    sets = [model.active]
    for name in model.active:
        with model.ablate(name):
            sets.append(model.active)  # others may be stopped with it
    answers = []
    for names in (*dict.fromkeys(filter(None, sets)), ()):
        with model.only(*names):
            answers.append(answer(model, prompt, sampling))
    return answers
