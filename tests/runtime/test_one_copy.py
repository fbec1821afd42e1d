"""Invariant 8: a checkpoint named twice is in memory once, and a model may be anchor and augment at once."""

from pathlib import Path

import torch

import orchestra
from tests.tiny import bridges, compose, document, generate, loud, model, tokens, watching


def test_a_folder_named_twice_is_loaded_once(tmp_path: Path) -> None:
    model("llama").save_pretrained(tmp_path / "digits")
    model("gpt2", seed=1).save_pretrained(tmp_path / "kv")
    graph = document({"kv": {}, "again": {}, "self": {}})
    graph["anchor"]["model"] = graph["augments"]["self"]["model"] = str(tmp_path / "digits")
    graph["augments"]["kv"]["model"] = graph["augments"]["again"]["model"] = str(tmp_path / "kv")
    composed = orchestra.load(graph)
    assert composed.augment("self") is composed.anchor
    assert composed.augment("again") is composed.augment("kv")
    alone = sum(weight.numel() for part in ("anchor",) for weight in getattr(composed, part).parameters())
    kv = sum(weight.numel() for weight in composed.augment("kv").parameters())
    own = sum(weight.numel() for bridge in bridges(composed) for weight in bridge.parameters())
    assert sum(weight.numel() for weight in composed.parameters()) == alone + kv + own


def test_one_folder_held_in_two_dtypes_is_two_models(tmp_path: Path) -> None:
    model("llama").save_pretrained(tmp_path)
    graph = document({"same": {"model": str(tmp_path)}, "small": {"model": str(tmp_path), "dtype": "bfloat16"}})
    graph["anchor"]["model"] = str(tmp_path)
    composed = orchestra.load(graph)
    assert composed.augment("same") is composed.anchor
    assert composed.augment("small") is not composed.anchor
    assert composed.augment("small").dtype == torch.bfloat16
    assert composed.stacks.to(torch.float64) is not None
    assert composed(tokens()).logits.dtype == torch.float64


def test_a_model_that_is_anchor_and_augment_runs_twice_and_is_bridged_once() -> None:
    anchor = model("llama")
    composed, twins = compose(anchor, own=anchor), compose(anchor, own=model("llama"))
    with torch.no_grad(), watching() as runs:
        logits = composed(tokens()).logits
    assert [runs(layer) for layer in anchor.model.layers] == [2, 2, 1]
    assert all(runs(bridge) == 1 for bridge in bridges(composed))
    with torch.no_grad():
        # Two copies cannot share anything by mistake: if bridges also acted in the reading run, this would differ.
        assert torch.equal(logits, twins(tokens()).logits)
        assert not torch.equal(logits, anchor(tokens()).logits)
    assert torch.equal(generate(composed, tokens()), generate(composed, tokens(), use_cache=False))


def test_one_model_as_two_augments_has_two_stacks() -> None:
    anchor, kv = model("llama"), model("gpt2", seed=1)
    composed = compose(anchor, one=kv, two=kv)
    assert composed.augment("one") is composed.augment("two")
    with torch.no_grad(), composed.only("one"):
        one = composed(tokens()).logits
    with torch.no_grad(), composed.only("two"):
        assert not torch.equal(composed(tokens()).logits, one)
    with torch.no_grad():
        assert torch.equal(one, loud(compose(anchor, one=model("gpt2", seed=1)))(tokens()).logits)


def test_a_shared_model_is_counted_once(capsys: object) -> None:
    anchor = model("llama")
    composed = compose(anchor, own=anchor)
    assert composed.plan.costs[0].weight_bytes in (0, None)
    assert len({id(weight) for weight in composed.parameters()}) == len(list(composed.parameters()))
