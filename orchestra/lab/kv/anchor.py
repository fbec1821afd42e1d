"""The anchor: arithmetic over numbers in digits, with its working; it reads numbers among letters, too."""

import math
import random
import string
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch, encode
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.kv.expression import MOST, SIGNS, draw
from orchestra.lab.kv.words import features, groups, value
from orchestra.lab.kv.working import working
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

POSITIONS = 1600
"""More than the longest question and working take."""
_START = 0.04
_PERIODS = (2, 5, 10, 20, 50, 100, 200)
_CIRCLE = 0.15
_NEAR, _FAR = 100.0, 10_000.0  # bases of the rotary frequencies
_TURNS, _SHARP = 3, 5.0  # how many frequencies tell a fresh head where to look, and how strongly
_SIZES = ((300, (2, 2, 3)), (3000, (2, 3, 3, 4)), (math.inf, (2, 3, 4, 5, MOST)))
"""How many operands lessons have, up to a step."""
_PRACTICE = 4500
"""The step from which on many lessons are sums alone: what is wrong by then is wrong in sums (docs/notes/kv.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a model is; `inner` counts in widths.

    Attributes:
        back: whether each head of the first layer begins by looking at one place, the first head at its own, the next
            one token back, and so on. Without it there are no biases.
    """

    width: int
    layers: int
    inner: int
    d_head: int = 32
    back: bool = False


def fresh(words: PreTrainedTokenizerFast, size: Size, *, seed: int) -> LlamaForCausalLM:
    """A Llama with fresh weights, whose tokens begin as the sums of their features."""
    torch.manual_seed(seed)
    heads = size.width // size.d_head
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=size.width,
        intermediate_size=size.inner * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        pad_token_id=PAD_ID,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        initializer_range=_START,
        attention_bias=size.back,
        rope_parameters={"rope_type": "default", "rope_theta": _NEAR if size.back else _FAR},
    )
    model = LlamaForCausalLM(config)
    rows = embeddings(words, size.width)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(rows)
        model.lm_head.weight.copy_(rows / 2)
        if size.back:
            _look_back(model.model.layers[0].self_attn, size.d_head)
    return model


def _look_back(attention: nn.Module, d_head: int) -> None:
    """Set the biases of queries and keys so that each head looks at the place as many tokens back as its number.

    Under rotary positions a query (cos, sin) of minus an angle, and a key (1, 0), agree best where the key's place lies
    as far back as makes that angle.
    """
    query, key = (getattr(attention, name).bias.view(-1, d_head) for name in ("q_proj", "k_proj"))
    key[:, :_TURNS] = _SHARP
    for head, biases in enumerate(query):
        for turn in range(_TURNS):
            angle = head * _NEAR ** (-2 * turn / d_head)
            biases[turn] = _SHARP * math.cos(angle)
            biases[d_head // 2 + turn] = -_SHARP * math.sin(angle)


def embeddings(words: PreTrainedTokenizerFast, width: int) -> Tensor:
    """A row per token: the sum of random directions, one per feature, all rows about equally long.

    What says a number in a working has its place on circles of several periods as well, so that adding is turning
    (`lab.models.write_number_embeddings`).
    """
    directions: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    rows = []
    for token in words.convert_ids_to_tokens(list(range(len(words)))):
        found = features(token)
        for name in found:
            if name not in directions:
                directions[name] = _START * torch.randn(width, generator=generator)
        row = torch.stack([directions[name] for name in found]).sum(0) / math.sqrt(len(found))
        if (number := value(token)) is not None:
            angles = [2 * math.pi * number / period for period in _PERIODS]
            circles = [part for angle in angles for part in (math.cos(angle), math.sin(angle))]
            row[: len(circles)] = _CIRCLE * torch.tensor(circles)
        rows.append(row)
    return torch.stack(rows)


def lesson(rng: random.Random, step: int) -> Example:
    """An expression in digits and its working; in half of them most numbers stand among letters and brackets.

    Products take most of a working; half of the expressions have few, so that sums are learnt as well, and in the end
    four of ten have none.
    """
    sizes = next(sizes for until, sizes in _SIZES if step < until)
    none, few = (0.0, 0.5) if step < _PRACTICE else (0.4, 0.7)
    share = rng.random()
    expression = draw(rng, sizes=sizes, signs="+-" if share < none else "++--*" if share < few else SIGNS)
    among = 0.8 if rng.random() < 0.5 else 0.0
    operands = [after_letters(rng, number) if rng.random() < among else str(number) for number in expression.numbers]
    return ((expression.written(operands), False), ("".join(working(expression)), True))


def after_letters(rng: random.Random, number: int) -> str:
    """A number as it would be read in the place of a key's end."""
    return f"<{''.join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 7)))}{number:05d}"


def train(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, settings: Fit, *, checkpoint: Path, start: int = 0
) -> float:
    """Train an anchor in place; groups of digits keep their embeddings, which stay sums of their digits.

    Args:
        start: the step of the lessons to begin with.
    """
    kept = torch.ones(len(words), 1)
    kept[words.convert_tokens_to_ids(groups())] = 0.0
    hook = model.model.embed_tokens.weight.register_hook(lambda grad: grad * kept.to(grad))
    try:
        return fit(
            model,
            lambda rng, step: lesson(rng, start + step),
            lambda rows: encode(words, rows),
            settings,
            checkpoint=checkpoint,
            title=checkpoint.stem,
            loss_of=loss,
        )
    finally:
        hook.remove()


def loss(model: PreTrainedModel, batch: Batch, settings: Fit, step: int) -> Tensor:
    """Cross-entropy over what is learnt; only what is learnt is compared with all tokens.

    Noise goes to the questions alone: what a bridge brings is never quite a number's embedding, a working is.
    """
    causal, device = model, model.device
    ids, labels = batch.ids.to(device), batch.labels.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        embedded = model.get_input_embeddings()(ids)
        if settings.noise:
            embedded = embedded + settings.noise * _noise(embedded, step) * (labels == IGNORED)[..., None]
        states = causal.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        learnt = labels[:, 1:] != IGNORED
        logits = causal.lm_head(states[:, :-1][learnt])
    return functional.cross_entropy(logits.float(), labels[:, 1:][learnt])


def _noise(embedded: Tensor, step: int) -> Tensor:
    """Gaussian noise of the embeddings' size, in half of the rows."""
    generator = torch.Generator().manual_seed(step)
    size = embedded.detach().float().pow(2).mean().sqrt()
    some = (torch.rand(len(embedded), 1, 1, generator=generator) < 0.5).float()
    return size * (some * torch.randn(embedded.shape, generator=generator)).to(embedded.device)
