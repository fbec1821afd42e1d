"""Ways to run and to train a composition and what it is held against, each over the same text."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from orchestra import wiring
from orchestra.cost.asked import Asked
from orchestra.cost.report import Cost, Lora
from orchestra.cost.running import prompt_readers
from orchestra.graph import Node
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.view import view
from orchestra.stopwatch import Way

TEXT = (
    "The harbour froze early that winter, and the boats lay in it like flies in glass. Every morning somebody walked "
    "out to the lighthouse with bread, 12 eggs and a can of oil, and came back before noon. "
)
"""What is read, over and over, where the anchor has a tokenizer; else ids at random."""


class Bench:
    """The ways to run and to train, over one text."""

    def __init__(self, model: ComposedModel, asked: Asked) -> None:
        self._model = model
        self._asked = asked
        self._text = _text(model, asked)
        self._prompt = self._text[:, : asked.prompt_length]
        self._length = torch.full((asked.batch,), asked.prompt_length, device=self._text.device)

    def running(self, cost: Cost, lora: Any) -> dict[str, dict[str, Way]]:
        """Reading the prompt alone, and writing a whole text, by way."""
        model, names = self._model, {row.kind: row.name for row in cost.rows}
        ways = {names["anchor"]: self._writing(model.anchor)}
        feeds = model.plan.graph.feeds
        for name in model.active:
            ways[f"anchor + {name}"] = self._writing(model, only=wiring.below(feeds, [name]) & {*model.active})
        ways[names["composition"]] = self._writing(model)
        if lora is not None:
            ways[names["lora"]] = self._writing(lora)
        separate = [self._writing(model.anchor), *map(self._alone, model.plan.graph.augments)]
        ways[names["separate"]] = {half: _all(each[half] for each in separate) for half in ("prompt", "text")}
        return ways

    def training(self, cost: Cost, lora: Any) -> dict[str, Way]:
        """A step's forward and backward, by way."""
        names, model = {row.kind: row.name for row in cost.train}, self._model
        said: dict[str, Any] = {"prompt_length": self._length}
        ways: dict[str, Way] = {}
        if "composition" in names:
            ways[names["composition"]] = lambda: self._learn(model, **said)
        if "kept" in names:
            taps = model.taps(self._text, **said)
            ways[names["kept"]] = lambda: self._learn(model, taps=taps, **said)
        if lora is not None:
            ways[names["lora"]] = lambda: self._learn(lora)

        def tuning() -> None:
            with _tuned(model.anchor):
                self._learn(model.anchor)

        return {**ways, names["tuned"]: tuning}

    def ratios(self) -> dict[str, float]:
        """How many tokens each stream has for each of the anchor's, over all that it reads of a text."""
        model, found = self._model, {}
        short = prompt_readers(model.plan)
        for name in model.stream_readers():
            read = model.alignment(name, self._text, prompt_length=self._length)
            if read is not None:
                found[name] = read.ids.shape[1] / (self._asked.prompt_length if name in short else self._asked.length)
        return found

    def _writing(self, model: Any, *, only: Iterable[str] | None = None) -> dict[str, Way]:
        def write(new: int) -> None:
            with nullcontext() if only is None else model.only(*only):
                generate(model, self._prompt, new)

        return {"prompt": partial(write, 1), "text": partial(write, self._asked.new_tokens + 1)}

    def _alone(self, node: Node) -> dict[str, Way]:
        """An augment as a model of its own, on ids of its own."""
        model: Any = self._model.augment(node.name)
        length = max(1, round(self._asked.tokens(node, self._asked.prompt_length)))
        new = max(1, round(self._asked.tokens(node, self._asked.new_tokens)))
        ids = _drawn(node.facts.vocab_size, self._asked.batch, length).to(model.device)
        return {"prompt": partial(generate, model, ids, 1), "text": partial(generate, model, ids, new + 1)}

    def _learn(self, model: Any, **said: Any) -> None:
        """Forward and backward; gradients are thrown away."""
        with torch.enable_grad():
            model(self._text, labels=self._text, use_cache=False, **said).loss.backward()
        for weight in model.parameters():
            weight.grad = None


def generate(model: Any, prompt: Tensor, new: int) -> None:
    """Write exactly so many tokens, greedily."""
    model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
    )


def adapted(model: ComposedModel, lora: Lora) -> Any:
    """The anchor with adapters; the anchor itself stays as it is."""
    from peft import LoraConfig, get_peft_model

    anchor, _ = view(model.anchor, num_layers=model.plan.graph.anchor.facts.num_layers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft 0.21 calls things of transformers 5.23 by their old names
        return get_peft_model(anchor, LoraConfig(r=lora.rank, target_modules=list(lora.modules))).eval()


@contextmanager
def _tuned(model: nn.Module) -> Iterator[None]:
    """Have a frozen model learn inside a block."""
    model.requires_grad_(True)
    try:
        yield
    finally:
        model.requires_grad_(False)


def _all(ways: Iterable[Way]) -> Way:
    """One after another."""
    each = list(ways)

    def run() -> None:
        for way in each:
            way()

    return run


def _text(model: ComposedModel, asked: Asked) -> Tensor:
    """As many tokens as are asked for, in every row the same."""
    tokenizer: Any = model.tokenizer
    ids: list[int] = [] if tokenizer is None else tokenizer(TEXT)["input_ids"]
    ids = ids * (1 + asked.length // len(ids)) if ids else _drawn(_words(model), 1, asked.length)[0].tolist()
    return torch.tensor([ids[: asked.length]] * asked.batch, device=model.device)


def _words(model: ComposedModel) -> int:
    return model.plan.graph.anchor.facts.vocab_size


def _drawn(vocab_size: int, rows: int, length: int) -> Tensor:
    return torch.randint(0, vocab_size, (rows, length), generator=torch.Generator().manual_seed(0))
