"""States are what bridges would read: those of taps, and of the models by themselves."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from orchestra import ComposedModel
from orchestra.probing.places import Place, Texts
from orchestra.probing.states import states
from tests import mixed
from tests.tiny import compose, model, tokens

TAPPED = (0, 1)


def texts(rows: list[list[int]], *at: tuple[int, int]) -> Texts:
    places = tuple(Place(row=row, kind="spans", at=place, label="x", goal=1) for row, place in at)
    return Texts(ids=tuple(map(tuple, rows)), places=places)


def normed(hidden: Tensor) -> Tensor:
    return functional.rms_norm(hidden.float(), hidden.shape[-1:], eps=1e-12)


def close(one: Tensor, two: Tensor) -> None:
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_augment_of_the_same_tokens_is_read_where_the_anchor_stands(batch_size: int) -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    rows = [tokens(1, length, seed=length)[0].tolist() for length in (5, 11, 7)]
    found = states(composed, "kv", texts(rows, (0, 4), (1, 2), (1, 10), (2, 0)), batch_size=batch_size)
    assert list(found) == list(range(composed.augment("kv").config.num_hidden_layers))
    for index, (row, place) in enumerate([(0, 4), (1, 2), (1, 10), (2, 0)]):
        [taps] = composed.taps(torch.tensor([rows[row]]))
        for layer in TAPPED:
            close(found[layer][index], normed(taps["kv", layer][place]))


def test_layers_above_the_highest_bridge_are_read_too_and_the_models_stay_as_they_are() -> None:
    augment = model("llama", seed=1)
    composed = compose(model("gpt2"), kv=augment)
    ids = tokens(1, 7)
    found = states(composed, "kv", texts(ids.tolist(), (0, 6)), batch_size=1)
    assert not any(module._forward_hooks for module in augment.modules())
    below = augment(ids, output_hidden_states=True).hidden_states
    assert len(found) == augment.config.num_hidden_layers > len(TAPPED)
    close(found[len(found) - 2][0], normed(below[-2][0, -1]))


def test_the_anchor_is_read_without_what_its_bridges_bring() -> None:
    anchor = model("llama")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    rows = [tokens(1, length, seed=length)[0].tolist() for length in (5, 7)]
    found = states(composed, "anchor", texts(rows, (0, 4), (1, 3)), batch_size=2)
    alone = anchor(torch.tensor([rows[0]]), output_hidden_states=True).hidden_states
    close(found["embedding"][0], normed(alone[0][0, 4]))
    close(found[0][0], normed(alone[1][0, 4]))
    assert composed.active == ("kv",)


def last(composed: ComposedModel, name: str, layer: int, ids: list[int], length: int | None) -> Tensor:
    told = None if length is None else torch.tensor([length])
    with composed.only(name):
        [taps] = composed.taps(torch.tensor([ids]), prompt_length=told)
    return normed(taps[name, layer][-1])


@pytest.mark.parametrize("index", [0, 1])
def test_a_stream_is_read_at_the_last_token_that_is_committed(index: int) -> None:
    composed = mixed.streaming(index)
    encoded = mixed.anchors()(["abc de1-a bcd", "e'a bb c", "abab cdcd eeee a1"])["input_ids"]
    at = [(0, 4), (1, 3), (2, 7), *((row, len(ids) - 1) for row, ids in enumerate(encoded))]
    for name in ("near", "far"):
        found = states(composed, name, texts(encoded, *at), batch_size=3)
        read = 0
        for number, (row, end) in enumerate(at):
            prompt = end + 1 if end == len(encoded[row]) - 1 else None
            with composed.only(name):
                [taps] = composed.taps(
                    torch.tensor([encoded[row][: end + 1]]),
                    prompt_length=None if prompt is None else torch.tensor([prompt]),
                )
            for layer in TAPPED:
                hidden = taps[name, layer]
                if len(hidden):
                    read += 1
                    close(found[layer][number], normed(hidden[-1]))
                else:
                    assert not found[layer][number].any()
        assert read > len(TAPPED) * 3


def test_an_unfinished_word_that_is_shown_is_read() -> None:
    shown, held = mixed.streaming(0, tail="provisional"), mixed.streaming(0)
    [ids] = mixed.anchors()(["abab cdcd eeee a1"])["input_ids"]
    differing = 0
    for end in range(2, len(ids) - 1):
        found = states(shown, "near", texts([ids], (0, end)), batch_size=1)
        close(found[1][0], last(held, "near", 1, ids[: end + 1], end + 1))
        differing += not torch.allclose(found[1], states(held, "near", texts([ids], (0, end)), batch_size=1)[1])
    assert differing > 0
