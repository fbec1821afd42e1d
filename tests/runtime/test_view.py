import re

import pytest
import torch
from torch import nn

from orchestra import ComposeError
from orchestra.runtime.view import first_tensor, layers_path, view, with_first_tensor, wrap_forward
from tests.tiny import ARCHITECTURES, config, model, tokens

PATHS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "bloom": "transformer.h", "falcon": "transformer.h"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_layers_of_every_architecture_are_found(architecture: str) -> None:
    path = layers_path(model(architecture), config(architecture).num_hidden_layers)
    assert ".".join(path) == PATHS.get(architecture, "model.layers")


class Odd(nn.Module):
    def __init__(self, *lengths: int) -> None:
        super().__init__()
        for place, length in enumerate(lengths):
            self.add_module(f"list{place}", nn.ModuleList(nn.Identity() for _ in range(length)))


@pytest.mark.parametrize(("lengths", "found"), [((), 0), ((2, 5), 0), ((3, 3), 2)])
def test_a_model_without_one_list_of_layers_is_refused(lengths: tuple[int, ...], found: int) -> None:
    message = f"Odd: looked for one list of 3 decoder layers, and found {found}; this architecture cannot be composed."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        layers_path(Odd(*lengths), 3)


def test_of_two_lists_the_outer_one_holds_the_layers() -> None:
    outer = Odd(3)
    outer.get_submodule("list0").add_module("0", Odd(3))
    assert layers_path(outer, 3) == ["list0"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_view_computes_what_the_model_computes(architecture: str) -> None:
    whole = model(architecture)
    twin, layers = view(whole, num_layers=whole.config.num_hidden_layers)
    with torch.no_grad():
        assert torch.equal(twin(tokens()).logits, whole(tokens()).logits)
    assert len(layers) == whole.config.num_hidden_layers
    pairs = list(zip(twin.modules(), whole.modules(), strict=True))
    assert all(mine is not theirs for mine, theirs in pairs)
    assert all(mine is theirs for mine, theirs in zip(twin.parameters(), whole.parameters(), strict=True))


def test_a_view_may_keep_its_lower_layers_only() -> None:
    whole = model("llama")
    twin, layers = view(whole.model, num_layers=3, keep=2)
    assert len(layers) == len(list(twin.get_submodule("layers").children())) == 2
    assert len(whole.model.layers) == 3


def test_hooks_of_the_model_stay_with_it_and_those_of_a_view_with_the_view() -> None:
    whole, calls = model("llama"), []
    whole.model.layers[0].register_forward_hook(lambda *_: calls.append("model"))
    _, layers = view(whole, num_layers=3)
    layers[0].register_forward_hook(lambda *_: calls.append("view"))
    whole(tokens())
    assert calls == ["model"]


def test_a_layer_s_output_may_be_a_tensor_or_a_tuple() -> None:
    hidden, other = torch.zeros(1), torch.ones(1)
    assert first_tensor(hidden) is first_tensor((hidden, "weights")) is hidden
    assert with_first_tensor(hidden, other) is other
    assert with_first_tensor((hidden, "weights"), other) == (other, "weights")


def test_a_wrapped_forward_stays_inside_the_hooks() -> None:
    layer, calls = nn.Identity(), []
    layer.register_forward_hook(lambda *_: calls.append("hook"))
    wrap_forward(layer, lambda forward, *args: calls.append("around") or forward(*args))  # type: ignore[func-returns-value]
    assert layer(3) == 3
    assert calls == ["around", "hook"]
