"""The invariants on every architecture, as anchor and as augment beside a llama.

docs/architectures.md is the table of what came of it. `pytest tests/runtime/test_architectures.py
--write-architectures` writes it, and every other run compares.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoModel

import orchestra
from orchestra import ComposedModel, ModelError
from orchestra.nn.mask import positions
from orchestra.runtime.view import layers_path
from tests.configs import CONFIGS, REFUSED, WINDOW, refusal
from tests.tiny import LENGTH, VOCAB, compose, document, generate, model, tokens, watching

ROLES = ("anchor", "augment")
TABLE = Path(__file__).parents[2] / "docs" / "architectures.md"

# What an architecture computes in fp32, whatever its dtype, is compared as fp32 allows. Two of them make NaN of padding
# in float64 (a softmax in fp32 takes float64's lowest number for -inf): they run in fp32 throughout.
DTYPE = dict.fromkeys(("gemma2", "mpt"), torch.float32)
CLOSE = {"gptj": 1e-5, "gemma2": 1e-3, "mpt": 1e-3}

NOTES = {
    "gemma3": "sliding windows between whole attention",
    "gemma2": "sliding windows, soft-capping; tested in fp32",
    "qwen2": "with sliding windows",
    "mistral": "sliding windows",
    "phi3": "sliding windows",
    "starcoder2": "sliding windows",
    "mixtral": "experts",
    "gpt2": "a table of positions",
    "opt": "a table of positions",
    "bloom": "alibi",
    "mpt": "alibi; tested in fp32",
    "gptj": "attends in fp32; compared as that allows",
    "granite": "multipliers",
    "cohere": "scaled logits",
}


@dataclass(frozen=True)
class Case:
    """An architecture in a role, with a llama in the other."""

    architecture: str
    role: str

    def composed(self, *, fresh: bool = False) -> ComposedModel:
        dtype = DTYPE.get(self.architecture, torch.float64)
        tested, llama = model(self.architecture, seed=1, dtype=dtype), model("llama", seed=2, dtype=dtype)
        anchor, augment = (tested, llama) if self.role == "anchor" else (llama, tested)
        return compose(anchor, dtype, fresh=fresh, kv=augment)

    def same(self, one: Tensor, two: Tensor) -> None:
        torch.testing.assert_close(one, two, rtol=0, atol=CLOSE.get(self.architecture, 1e-9))


def ragged() -> tuple[Tensor, Tensor]:
    """A left-padded batch, longer than any sliding window, and its mask."""
    mask = torch.ones(3, LENGTH, dtype=torch.long)
    mask[1, :2], mask[2, :5] = 0, 0
    return tokens(3) * mask, mask


def silent(case: Case) -> None:
    """Fresh bridges, and augments that are off, change no bit; loud ones are heard."""
    ids, mask = ragged()
    loud, fresh = case.composed(), case.composed(fresh=True)
    counted = {"position_ids": positions(mask.bool())} if "position_ids" in loud._runner._anchor.accepts else {}
    with torch.no_grad():
        assert (loud(ids).logits - loud.anchor(ids).logits).abs().mean() > 0.1
        loud.disable("kv")
        padded = loud.anchor(ids, attention_mask=mask, use_cache=True, **counted).logits
        whole = loud.anchor(ids, use_cache=True).logits  # mpt alone keeps no cache unless it is told to
        for composed in (loud, fresh):
            assert torch.equal(composed(ids, attention_mask=mask).logits, padded)
            assert torch.equal(composed(ids).logits, whole)
            written = [generate(either, ids, attention_mask=mask) for either in (composed, composed.anchor)]
            assert torch.equal(*written)


def causal(case: Case) -> None:
    """A later token changes nothing earlier, and is heard from its own place on."""
    composed, ids = case.composed(), tokens()
    with torch.no_grad():
        before = composed(ids).logits
        for place in (1, 4, 7, LENGTH - 1):
            changed = ids.clone()
            changed[:, place] = changed[:, place] % (VOCAB - 1) + 1
            after = composed(changed).logits
            case.same(after[:, :place], before[:, :place])
            assert (after[:, place] - before[:, place]).abs().max() > 1e-2


def padded(case: Case) -> None:
    """A row is equal alone, left-padded and right-padded, whatever stands in the padding."""
    composed, short = case.composed(), 6
    with torch.no_grad():
        alone, other = composed(tokens()[1:, :short]).logits[0], composed(tokens()[:1]).logits[0]
        for where in (slice(LENGTH - short, None), slice(0, short)):
            ids, mask = tokens(), torch.ones(2, LENGTH, dtype=torch.long)
            ids[1], mask[1] = 13, 0
            ids[1, where], mask[1, where] = tokens()[1, :short], 1
            batch = composed(ids, attention_mask=mask).logits
            case.same(batch[1, where], alone)
            case.same(batch[0], other)


def cached(case: Case) -> None:
    """Token by token with a cache equals one forward, also after a crop."""
    composed, (ids, mask) = case.composed(), ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, use_cache=False).logits
        cache, logits = composed.new_cache(), []
        cache.activate_past_recording()
        for start, end in [(0, 6), *((place, place + 1) for place in range(6, LENGTH))]:
            step = composed(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache)
            logits.append(step.logits)
        case.same(torch.cat(logits, dim=1)[mask.bool()], whole[mask.bool()])
        cache.crop(-3)
        cache.reorder_cache(torch.tensor([2, 0, 1]))
        turned = composed(ids[[2, 0, 1], -3:], attention_mask=mask[[2, 0, 1]], past_key_values=cache).logits
        case.same(turned, whole[[2, 0, 1], -3:])


def written(case: Case) -> None:
    """Greedy decoding and beams write the same with a cache and without."""
    composed, (ids, mask) = case.composed(), ragged()
    for words in ({}, {"num_beams": 3}):
        ways = [generate(composed, ids, attention_mask=mask, use_cache=use, **words) for use in (True, False)]
        assert torch.equal(*ways)


def spared(case: Case) -> None:
    """No layer of the augment runs above its highest tap, nor its head."""
    composed = case.composed()
    augment = composed.augment("kv")
    num_layers = composed.plan.graph.augments[0].facts.num_layers
    with watching() as runs, torch.no_grad():
        composed(tokens())
    layers = augment.get_submodule(".".join(layers_path(augment, num_layers))).children()
    assert [runs(layer) for layer in layers] == [1, 1] + [0] * (num_layers - 2)
    head, embedding = augment.get_output_embeddings(), augment.get_input_embeddings()
    assert runs(head) == (1 if head.weight is embedding.weight else 0)  # tied: it was read once, as an embedding


def trained(case: Case) -> None:
    """A training step changes no byte of a frozen model; recomputed gradients are those of kept activations."""
    composed, (ids, mask) = case.composed().train(), ragged()
    before = {name: tensor.clone() for name, tensor in composed.state_dict().items() if not name.startswith("stacks.")}
    labels = ids.masked_fill(mask == 0, -100)

    def gradients() -> dict[str, Tensor]:
        composed.zero_grad()
        composed(ids, attention_mask=mask, labels=labels).loss.backward()
        return {name: weight.grad.clone() for name, weight in composed.trainable() if weight.grad is not None}

    plain = gradients()
    composed.gradient_checkpointing_enable()
    recomputed = gradients()
    assert plain.keys() == recomputed.keys() == {name for name, _ in composed.trainable()}
    for name, gradient in plain.items():
        assert gradient.any(), name
        case.same(recomputed[name], gradient)
    torch.optim.AdamW([weight for _, weight in composed.trainable()], lr=0.1).step()
    after = composed.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


PROPERTIES: dict[str, Callable[[Case], None]] = {
    check.__name__: check for check in (silent, causal, padded, cached, written, spared, trained)
}


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, bool]]]:
    """What held of each architecture, by role and property; in the end the table must say the same."""
    seen: dict[str, dict[str, bool]] = {}
    yield seen
    rows = {name: row(name, held) for name, held in seen.items() if len(held) == expected(name)}
    if len(rows) < len(CONFIGS) + len(REFUSED):  # some were not selected
        assert rows.items() <= {line.split(" | ")[0][2:]: line for line in TABLE.read_text().splitlines()}.items()
        return
    if request.config.getoption("--write-architectures"):
        TABLE.write_text(page(rows), encoding="utf-8")
    assert unversioned(TABLE.read_text(encoding="utf-8")) == unversioned(page(rows))


def unversioned(text: str) -> str:
    """A page that says the same in every environment."""
    return re.sub(r"\d+\.\d+\.\d+", "", text)


def page(rows: Mapping[str, str]) -> str:
    """docs/architectures.md; rows in the order of the configs."""
    properties = "\n".join(f"- *{name}*: {check.__doc__}" for name, check in PROPERTIES.items())
    lines = "\n".join(rows[name] for name in (*CONFIGS, *REFUSED))
    return f"""\
# Architectures

Each of these is composed with a llama, once as its anchor and once as its augment, as a tiny random model, and held to:

{properties}

Texts are longer than every sliding window. What cannot work is refused by `orchestra check` and by `load` in the words
of the note. Other architectures of transformers may work; they are not tested.

Written by `pytest tests/runtime/test_architectures.py --write-architectures`, with transformers
{transformers.__version__} and torch {torch.__version__.split("+")[0]}; every other run of these tests compares.

| architecture | as anchor | as augment | note |
|---|---|---|---|
{lines}
"""


def row(name: str, held: Mapping[str, bool]) -> str:
    """A line of the table."""
    if name in REFUSED:
        cells = ["refused" if held[role] else "**not refused**" for role in ROLES]
        return f"| {name} | {' | '.join(cells)} | {refusal(name)} |"
    cells = []
    for role in ROLES:
        failed = [check for check in PROPERTIES if not held[f"{role} {check}"]]
        cells.append(f"**no**: {', '.join(failed)}" if failed else "yes")
    return f"| {name} | {' | '.join(cells)} | {NOTES.get(name, '')} |"


def expected(name: str) -> int:
    """How many outcomes a whole run has of an architecture."""
    return len(ROLES) * (1 if name in REFUSED else len(PROPERTIES))


@pytest.mark.parametrize("check", PROPERTIES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("architecture", CONFIGS)
def test_it_holds(architecture: str, role: str, check: str, outcomes: dict[str, dict[str, bool]]) -> None:
    held = outcomes.setdefault(architecture, {})
    held[f"{role} {check}"] = False
    PROPERTIES[check](Case(architecture, role))
    held[f"{role} {check}"] = True


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_the_reason(
    name: str, role: str, outcomes: dict[str, dict[str, bool]]
) -> None:
    held = outcomes.setdefault(name, {})
    held[role] = False
    unfit, llama = AutoModel.from_config(REFUSED[name][0]), model("llama")
    given = {"anchor": unfit, "kv": llama} if role == "anchor" else {"anchor": llama, "kv": unfit}
    message = rf"^<{type(unfit).__name__} in memory at 0x[0-9a-f]+>: {re.escape(refusal(name))}$"
    with pytest.raises(ModelError, match=message):
        orchestra.load(document({"kv": {}}), models=given)
    held[role] = True


@pytest.mark.parametrize("architecture", [name for name, (_, fields) in CONFIGS.items() if "sliding_window" in fields])
def test_texts_are_longer_than_the_sliding_windows(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = model(architecture)
    kind, fields = CONFIGS[architecture]
    monkeypatch.setitem(CONFIGS, architecture, (kind, {**fields, "sliding_window": 64}))
    with torch.no_grad():
        apart = (narrow(tokens()).logits - model(architecture)(tokens()).logits).abs()
    assert not apart[:, :WINDOW].any()
    assert apart[:, -1].max() > 1e-2
