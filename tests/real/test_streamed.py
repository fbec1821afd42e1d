"""SmolLM2 as an anchor with real augments that each have a tokenizer of their own, one by one and all three."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import ComposedModel
from tests import tiny
from tests.real.texts import left_padded

pytestmark = pytest.mark.real

AUGMENTS = {"tales": "stories", "chat": "minimind2", "tongues": "gemma3"}
GRAPHS = [*((name,) for name in AUGMENTS), tuple(AUGMENTS)]
PROMPTS = (
    "Le chat s'est assis sur le tapis, et",
    "Once upon a time there was a girl who",
    "def add(a, b):\n    # I've been told that 12345",
)
NEW = 200


@pytest.fixture(scope="module", params=GRAPHS, ids="+".join)
def composed(request: pytest.FixtureRequest, real: Callable[[str], Path]) -> ComposedModel:
    """SmolLM2 with some of the augments, in fp32; each graph is loaded once, and one at a time is in memory."""
    folders = {"anchor": real("smollm2"), **{name: real(AUGMENTS[name]) for name in request.param}}
    nodes: dict[str, dict[str, Any]] = {n: {"model": str(f), "dtype": "float32"} for n, f in folders.items()}
    anchor = nodes.pop("anchor")
    augments = {name: node | {"bridges": {"every": 3, "gate": "token"}} for name, node in nodes.items()}
    return orchestra.load({"format": "orchestra/graph@1", "anchor": anchor, "augments": augments})


def ragged(composed: ComposedModel) -> dict[str, Tensor]:
    """All prompts as one left-padded batch."""
    return left_padded(composed, PROMPTS)


def test_fresh_bridges_leave_every_logit_untouched_and_memory_is_the_sum_of_the_parts(
    composed: ComposedModel,
) -> None:
    for bridge in tiny.bridges(composed):
        bridge.reset_parameters(0)
    names, batch = composed.active, ragged(composed)
    # The anchor alone is called as it is called inside: with positions that count no padding.
    places = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    assert torch.equal(composed(**batch).logits, composed.anchor(**batch, position_ids=places).logits)
    models = (composed.anchor, *(composed.augment(name) for name in names))
    parts = sum(weight.nbytes for model in models for weight in model.parameters())
    bridges = sum(weight.nbytes for weight in composed.stacks.parameters())
    assert sum(weight.nbytes for weight in composed.parameters()) == parts + bridges
    assert composed.stream_readers() == names


def test_what_is_written_with_a_cache_is_what_full_forwards_write(composed: ComposedModel) -> None:
    """One forward over the text finds likeliest what greedy decoding chose, which by causality is enough."""
    tiny.loud(composed)
    tokenizer: Any = composed.tokenizer
    ids = tokenizer(PROMPTS[0], return_tensors="pt")["input_ids"]
    told: Any = tiny.generate(
        composed, ids, max_new_tokens=NEW, min_new_tokens=NEW, return_dict_in_generate=True, output_logits=True
    )
    length = torch.tensor([ids.shape[1]])
    whole = composed(told.sequences, use_cache=False, prompt_length=length).logits[0, ids.shape[1] - 1 : -1]
    cached = torch.cat(told.logits)
    assert cached.shape == whole.shape
    strays = float((cached - whole).abs().max() / whole.abs().max())
    print(f"{NEW} tokens: {strays:.1e} of the largest logit; {tokenizer.decode(told.sequences[0])!r}")
    assert strays < 1e-4
    ends = whole.index_fill(1, torch.tensor([tokenizer.eos_token_id]), -torch.inf)  # min_new_tokens forbids the end
    best = ends.topk(2).values
    sure = best[:, 0] - best[:, 1] > 2e-4 * float(whole.abs().max())
    assert sure.float().mean() > 0.9
    assert torch.equal(ends.argmax(-1)[sure], told.sequences[0, ids.shape[1] :][sure])


def test_a_ragged_batch_equals_its_rows_read_and_written(composed: ComposedModel) -> None:
    tiny.loud(composed)
    batch = ragged(composed)
    length = batch["attention_mask"].sum(1)
    together = composed(**batch, prompt_length=length).logits
    written = tiny.generate(composed, batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=17)
    for row, mask in enumerate(batch["attention_mask"].bool()):
        alone = batch["input_ids"][row][mask][None]
        logits = composed(alone, prompt_length=length[row : row + 1]).logits[0]
        assert float((together[row][mask] - logits).abs().max() / logits.abs().max()) < 1e-4
        own = tiny.generate(composed, alone, max_new_tokens=17)[0, alone.shape[1] :]
        assert torch.equal(written[row, batch["input_ids"].shape[1] :][: len(own)], own)


def test_toggles_bring_the_anchor_back_and_each_augment_matters(composed: ComposedModel) -> None:
    tiny.loud(composed)
    ids = ragged(composed)["input_ids"][2:]
    on, plain = composed(ids).logits, composed.anchor(ids).logits
    with composed.only():
        assert torch.equal(composed(ids).logits, plain)
    for name in composed.active:
        with composed.ablate(name):
            assert not torch.allclose(composed(ids).logits, on, atol=0.1)
    assert torch.equal(composed(ids).logits, on)
