"""Tiny random models, and compositions of them. Weights are large enough that outputs differ."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.bloom import modeling_bloom

import orchestra
from orchestra import ComposedModel
from orchestra.nn.bridge import Bridge
from tests.configs import VOCAB as VOCAB
from tests.configs import config as config

LENGTH = 11
ARCHITECTURES = ("llama", "qwen3", "gemma3", "gpt2", "gpt_neox", "mixtral", "bloom", "falcon")


class _Float64Softmax:
    """torch.nn.functional for bloom, whose softmax in fp32 takes float64's lowest number for -inf: NaN at padding."""

    def __getattr__(self, name: str) -> Any:
        return getattr(functional, name)

    def softmax(self, scores: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
        return functional.softmax(scores, dim=dim, dtype=torch.promote_types(dtype, scores.dtype))


vars(modeling_bloom)["F"] = _Float64Softmax()


def model(architecture: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """A model with random weights whose every part matters: no zero biases, no near-uniform logits."""
    # The grouped kernel of experts knows no float64.
    experts = {"experts_implementation": "eager"} if architecture == "mixtral" else {}
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config(architecture), dtype=dtype, **experts)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            drawn = torch.randn(weight.shape, generator=noise, dtype=torch.float64)
            if weight.ndim > 1:
                weight.copy_(drawn * weight.shape[-1] ** -0.5)
            else:
                weight.add_((drawn * 0.1).to(dtype))
    made.generation_config.pad_token_id = 0
    made.eval()
    return made


def foreigner() -> PreTrainedModel:
    """A model with four words more."""
    torch.manual_seed(6)
    size: dict[str, Any] = {"hidden_size": 20, "intermediate_size": 29, "num_hidden_layers": 2}
    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    made: Any = LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB + 4, **size, **ends, num_attention_heads=2))
    assistant: PreTrainedModel = made.double().eval()
    return assistant


def pair(augment_layer: int, anchor_layer: int | str) -> dict[str, int | str]:
    """One entry of `pairs`."""
    return {"augment_layer": augment_layer, "anchor_layer": anchor_layer}


Augment = PreTrainedModel | tuple[PreTrainedModel, dict[str, Any]]

PAIRS = (pair(0, "embedding"), pair(1, 0), pair(0, 1))
"""Sites that every tiny model has room for; the layers above stay unread."""


def document(augments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A graph of models from memory; each augment's bridges are `PAIRS` unless it says otherwise."""
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": "memory"},
        "augments": {name: {"model": "memory", "bridges": {"pairs": PAIRS}, **rest} for name, rest in augments.items()},
    }


def compose(
    anchor: PreTrainedModel,
    dtype: torch.dtype = torch.float64,
    /,
    *,
    fresh: bool = False,
    tokenizers: Any = None,
    **augments: Augment,
) -> ComposedModel:
    """Compose models under these names; a value is a model, or a pair of a model and the fields of its augment.

    Args:
        fresh: leave the bridges as they start; else they are loud.
        tokenizers: of the anchor and the augments; without any, they share one.
    """
    split = {name: given if isinstance(given, tuple) else (given, {}) for name, given in augments.items()}
    composed = orchestra.load(
        document({name: rest for name, (_, rest) in split.items()}),
        models={"anchor": anchor, **{name: augment for name, (augment, _) in split.items()}},
        tokenizers=tokenizers,
    )
    composed.stacks.to(dtype)
    return composed if fresh else loud(composed)


def loud(composed: ComposedModel) -> ComposedModel:
    """Give every bridge random weights under which it matters."""
    for stack in composed.plan.graph.stacks:
        for key, bridge in composed.stack(stack.augment, stack.into).items():
            noise = torch.Generator().manual_seed(sum(map(ord, stack.name + key)))
            with torch.no_grad():
                for weight in bridge.parameters():
                    drawn = torch.randn(weight.shape, generator=noise, dtype=torch.float64)
                    weight.copy_(drawn * (weight.shape[-1] ** -0.5 if weight.ndim > 1 else 1.0))
    return composed


def bridges(composed: ComposedModel) -> list[Bridge]:
    """All bridges, by stack and site."""
    stacks = (composed.stack(stack.augment, stack.into) for stack in composed.plan.graph.stacks)
    return [bridge for stack in stacks for bridge in stack.bridges()]


def ring(index: int, *, fresh: bool = False) -> ComposedModel:
    """One of eight graphs that together have each architecture once as anchor and twice as augment."""
    first, second, third = (ARCHITECTURES[(index + step) % 8] for step in (0, 1, 3))
    return compose(model(first), fresh=fresh, near=model(second, seed=1), far=model(third, seed=2))


def generate(composed: PreTrainedModel, ids: Tensor, **words: Any) -> Tensor:
    """Tokens as `composed` writes them on, greedily unless said otherwise."""
    any_model: Any = composed
    written: Tensor = any_model.generate(ids, **{"do_sample": False, "max_new_tokens": 5, **words})
    return written


@contextmanager
def watching() -> Iterator[Callable[[nn.Module], int]]:
    """Count runs inside a block: how often the module that holds a weight of the given module was called, at most."""
    calls: Counter[int] = Counter()

    def note(module: nn.Module, _args: Any, _output: Any) -> None:
        calls.update(id(weight) for weight in module._parameters.values() if weight is not None)

    handle = register_module_forward_hook(note)
    try:
        yield lambda module: max(calls[id(weight)] for weight in module.parameters())
    finally:
        handle.remove()


def tokens(rows: int = 2, length: int = LENGTH, *, seed: int = 0) -> Tensor:
    """Random token ids, none of them the padding token 0: ``(rows, length)``."""
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def ragged() -> tuple[Tensor, Tensor]:
    """A left-padded batch and its mask."""
    mask = torch.ones(3, LENGTH, dtype=torch.long)
    mask[1, :2], mask[2, :5] = 0, 0
    return tokens(3) * mask, mask


WIDTHS = ([6] + [1] * 5, [1, 3, 7], [10, 1])
"""Ways to read `LENGTH` tokens in parts."""


def stepped(
    composed: ComposedModel, ids: Tensor, mask: Tensor, widths: Sequence[int], **said: Any
) -> tuple[Tensor, Any]:
    """Logits of a text that is read in parts of these widths, and the cache; what is said, is said once."""
    cache: Any = None
    logits = []
    for new, seen in zip(ids.split(list(widths), dim=1), accumulate(widths), strict=True):
        step: Any = composed(new, attention_mask=mask[:, :seen], past_key_values=cache, use_cache=True, **said)
        cache, said = step.past_key_values, {}
        logits.append(step.logits)
    return torch.cat(logits, dim=1), cache


def close(one: Tensor, two: Tensor) -> None:
    """Assert that two tensors are equal but for rounding in float64."""
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def words() -> PreTrainedTokenizerFast:
    """A tokenizer of the models' 97 words: w1 is 1, and so on."""
    vocabulary = {"?": 0, **{f"w{number}": number for number in range(1, VOCAB)}}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="?",
        pad_token="?",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )
