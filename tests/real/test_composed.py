"""SmolLM2 as an anchor with itself as an augment: the only pair of these models that shares a tokenizer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import orchestra
from orchestra import ComposedModel
from tests import tiny
from tests.real.texts import left_padded

pytestmark = pytest.mark.real

PROMPTS = ("The capital of France is", "Here is a list of the planets, from the sun outwards:", "def add(a, b):\n")


def compose(folder: Path, dtype: str) -> ComposedModel:
    model = {"model": str(folder), "dtype": dtype}
    own = {**model, "bridges": {"every": 10}}
    return orchestra.load({"format": "orchestra/graph@1", "anchor": model, "augments": {"own": own}})


@pytest.fixture(scope="module")
def fresh(real: Callable[[str], Path]) -> ComposedModel:
    """The pair with bridges that add nothing, in bf16."""
    return compose(real("smollm2"), "bfloat16")


@pytest.fixture(scope="module")
def loud(real: Callable[[str], Path]) -> ComposedModel:
    """The pair with bridges that matter, in fp32."""
    return tiny.loud(compose(real("smollm2"), "float32"))


def ragged(composed: ComposedModel) -> dict[str, Tensor]:
    """All prompts as one left-padded batch."""
    return left_padded(composed, PROMPTS)


def furthest(model: PreTrainedModel, batch: dict[str, Tensor]) -> float:
    """How far a row in a batch strays from the same row alone, as a share of the largest logit."""
    together: Tensor = model(**batch).logits
    furthest = 0.0
    for row, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)):
        alone = model(ids[mask][None]).logits[0]
        furthest = max(furthest, float((together[row][mask] - alone).abs().max() / alone.abs().max()))
    return furthest


def test_fresh_bridges_leave_every_logit_and_every_token_untouched(fresh: ComposedModel) -> None:
    batch = ragged(fresh)
    # The anchor alone is called as it is called inside: with positions that count no padding.
    places = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    assert torch.equal(fresh(**batch).logits, fresh.anchor(**batch, position_ids=places).logits)
    ids = batch["input_ids"][1:2]
    assert torch.equal(
        tiny.generate(fresh, ids, max_new_tokens=17), tiny.generate(fresh.anchor, ids, max_new_tokens=17)
    )


def test_one_copy_is_in_memory_and_its_bridges(fresh: ComposedModel) -> None:
    assert fresh.augment("own") is fresh.anchor
    bridges = sum(weight.nbytes for weight in fresh.stacks.parameters())
    anchor = sum(weight.nbytes for weight in fresh.anchor.parameters())
    assert sum(weight.nbytes for weight in fresh.parameters()) == anchor + bridges
    assert bridges == fresh.plan.costs[0].bridge_bytes
    assert anchor == 2 * (fresh.plan.graph.anchor.facts.num_params or 0)


def test_what_is_written_with_a_cache_is_what_full_forwards_write(loud: ComposedModel) -> None:
    """One forward over the text finds likeliest what greedy decoding chose, which by causality is enough."""
    ids = ragged(loud)["input_ids"][1:2]
    written = tiny.generate(loud, ids, max_new_tokens=64, min_new_tokens=64)
    chosen = written[0, ids.shape[1] :]
    assert len(chosen) == 64
    logits = loud(written, use_cache=False).logits[0, ids.shape[1] - 1 : -1]
    logits[:, loud.tokenizer.eos_token_id if loud.tokenizer else 0] = -torch.inf  # min_new_tokens forbids the end
    assert torch.equal(logits.argmax(dim=-1), chosen)
    assert torch.equal(tiny.generate(loud, ids, max_new_tokens=5, use_cache=False), written[:, : ids.shape[1] + 5])


def test_a_ragged_batch_strays_no_further_than_the_anchor_does(loud: ComposedModel) -> None:
    """Held to the plain anchor's own deviation in the same comparison, times three: one bridge sums over as many."""
    strays, anchors = furthest(loud, ragged(loud)), furthest(loud.anchor, ragged(loud))
    print(f"composition {strays:.1e}, anchor {anchors:.1e}")
    assert strays <= 3 * max(anchors, 1e-6)


def test_toggles_bring_the_anchor_back_and_the_augment_too(loud: ComposedModel) -> None:
    ids = ragged(loud)["input_ids"][1:2]
    on, plain = loud(ids).logits, loud.anchor(ids).logits
    assert not torch.allclose(on, plain, atol=0.1)
    with loud.ablate("own"):
        assert torch.equal(loud(ids).logits, plain)
    loud.disable("own")
    try:
        assert torch.equal(loud(ids).logits, plain)
    finally:
        loud.enable("own")
    assert torch.equal(loud(ids).logits, on)
