from typing import Any

import torch

from benchmarks import alone, toy
from orchestra import ComposedModel


def composed() -> ComposedModel:
    return toy.compose(toy.llama(32, 5), {"a": toy.llama(16, 7, seed=1), "b": toy.llama(16, 3, seed=2)})


def test_a_part_runs_its_first_layers_and_leaves_the_model_as_it_is() -> None:
    model = toy.llama(16, 5)
    part: Any = alone.upto(model, 2)
    ids = toy.ids(11)
    body: Any = model.base_model
    seen: list[torch.Tensor] = []
    handle = body.layers[1].register_forward_hook(lambda *words: seen.append(words[2]))
    body(ids)
    handle.remove()
    part.norm = torch.nn.Identity()
    torch.testing.assert_close(part(ids).last_hidden_state, seen[0], rtol=0, atol=0)
    assert len(body.layers) == 5
    assert not isinstance(body.norm, torch.nn.Identity)


def test_what_each_augment_reads_is_noted_forward_by_forward() -> None:
    whole, prompt = composed(), toy.ids(5)
    with alone.recording(whole) as read:
        written = toy.generate(whole, prompt, 3)
    assert set(read) == {"a", "b"}
    for blocks in read.values():
        assert [block.shape[1] for block in blocks] == [5, 1, 1]
        assert torch.equal(torch.cat(blocks, dim=1), written[:, :-1])
    toy.generate(whole, prompt, 3)
    assert len(read["a"]) == 3


def test_a_replay_reads_a_block_at_a_step_and_beside_an_anchor_one_at_every_token() -> None:
    part, read = toy.llama(16, 3).base_model, list[int]()
    part.register_forward_pre_hook(lambda _, words, more: read.append(more["input_ids"].shape[1]), with_kwargs=True)
    replay = alone.replay(part, toy.ids(11).split([5, 1, 1, 1, 3], dim=1))
    next(replay)
    assert read == [5]
    beside = alone.Beside(replay)
    beside.put()
    assert read == [5, 1]
    beside.end()
    assert read == [5, 1, 1, 1, 3]


def test_what_follows_in_a_replay_sees_what_went_before() -> None:
    part: Any = toy.llama(16, 3).base_model
    seen: list[torch.Tensor] = []
    handle = part.register_forward_hook(lambda *words: seen.append(words[2].last_hidden_state))
    list(alone.replay(part, toy.ids(7).split([4, 3], dim=1)))
    handle.remove()
    torch.testing.assert_close(torch.cat(seen, dim=1), part(toy.ids(7)).last_hidden_state, rtol=1e-4, atol=1e-5)
