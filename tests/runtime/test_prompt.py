import re
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel, ComposeError
from orchestra.runtime.prompt import readers, settle, stated, whole
from tests.tiny import compose, generate, model, tokens

PROMPT = {"context": "prompt"}


def refused(message: str) -> Any:
    return pytest.raises(ComposeError, match=f"^{re.escape(message)}$")


def composition() -> ComposedModel:
    kv, far, near = (model("gpt2", seed=1), PROMPT), (model("llama"), PROMPT), model("gpt2", seed=2)
    return compose(model("llama"), kv=kv, far=far, near=near)


def test_those_that_read_the_prompt_only_are_known_while_they_are_on() -> None:
    composed = composition()
    assert composed.prompt_readers() == readers(composed.plan, {"far", "kv", "near"}) == ("far", "kv")
    with composed.ablate("far"):
        assert composed.prompt_readers() == ("kv",)
    with composed.only("near"):
        assert composed.prompt_readers() == ()


UNKNOWN = (
    "the prompt only, and where it ends is unknown: pass prompt_length, the number of prompt tokens in each row, or "
    "labels that are -100 over the prompt. generate knows it by itself."
)


def test_a_prompt_whose_end_nobody_said_is_refused_with_what_to_pass() -> None:
    composed = composition()
    with refused(f"far, kv read {UNKNOWN}"):
        composed(tokens())
    with composed.ablate("far"), refused(f"kv reads {UNKNOWN}"):
        composed(tokens(), past_key_values=composed.new_cache())
    with composed.only("near"), torch.no_grad():
        assert composed(tokens()).logits.shape == (2, 11, 97)


def test_a_refusal_leaves_a_cache_as_it_was() -> None:
    composed = composition()
    cache = composed.new_cache()
    with refused(f"far, kv read {UNKNOWN}"):
        composed(tokens(), past_key_values=cache)
    with torch.no_grad():
        composed(tokens(), past_key_values=cache, prompt_length=torch.tensor([3, 5]))
    assert cache.prompt_length is not None
    assert cache.prompt_length.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (7, "7"),
        ([3, 5], "[3, 5]"),
        (torch.tensor(7), "shape () and torch.int64"),
        (torch.tensor([3, 5, 7]), "shape (3,) and torch.int64"),
        (torch.tensor([[3, 5]]), "shape (1, 2) and torch.int64"),
        (torch.tensor([3.0, 5.0]), "shape (2,) and torch.float32"),
        (torch.tensor([True, False]), "shape (2,) and torch.bool"),
    ],
)
def test_a_length_that_is_no_count_per_row_is_refused(given: object, found: str) -> None:
    message = (
        f"prompt_length is {found}; it must be a tensor of integers of shape (2,): how many tokens, padding not "
        "counted, the prompt of each row has."
    )
    with refused(message):
        stated(given, tokens())


def test_a_length_below_zero_is_refused_wherever_it_is_said() -> None:
    composed, below = composition(), torch.tensor([3, -5])
    message = "prompt_length is [3, -5]; no prompt is shorter than 0."
    with refused(message):
        composed(tokens(), prompt_length=below)
    with refused(message):
        generate(composed, tokens(), prompt_length=below)


def test_a_length_of_any_integers_will_do() -> None:
    found = stated(torch.tensor([3, 5], dtype=torch.uint8), tokens())
    assert found.dtype == torch.long
    assert found.tolist() == [3, 5]


def test_a_whole_text_is_as_long_as_its_mask_says() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 1]])
    assert whole(tokens(2, 5), mask).tolist() == [3, 4]
    assert whole(tokens(2, 5), mask.bool()).tolist() == [3, 4]
    assert whole(tokens(2, 5), None).tolist() == [5, 5]


def settled(labels: list[list[int]] | None, valid: list[list[int]], **changes: Any) -> Tensor | None:
    words: dict[str, Any] = {"past": 0, "cache": None, "readers": ("kv",), **changes}
    given = words.pop("given", None)
    return settle(given, labels=None if labels is None else torch.tensor(labels), valid=torch.tensor(valid), **words)


def test_labels_say_where_the_prompt_ends_and_padding_is_no_part_of_it() -> None:
    labels = [[-100, -100, -100, 5, 7], [-100, -100, 5, -100, 7], [-100] * 5, [-100] * 5]
    valid = [[0, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0] * 5]
    found = settled(labels, valid)
    assert found is not None
    assert found.tolist() == [2, 2, 3, 0]


def test_what_is_said_outweighs_the_labels() -> None:
    found = settled([[-100, 5, 7]], [[1, 1, 1]], given=torch.tensor([2]))
    assert found is not None
    assert found.tolist() == [2]


def test_labels_without_a_prompt_before_them_are_refused() -> None:
    message = (
        "labels leave row 1 no prompt, and far, kv read the prompt only: set them to -100 over the prompt, or say "
        "prompt_length."
    )
    with refused(message):
        settled([[-100, 5], [3, 5]], [[1, 1], [1, 1]], readers=("far", "kv"))
    with refused(message.replace("far, kv read", "kv reads").replace("row 1", "row 0")):
        settled([[-100, 5]], [[0, 1]])


def test_nobody_asks_where_nobody_reads_a_prompt() -> None:
    assert settled([[3, 5]], [[1, 1]], readers=()) is None
    assert settled(None, [[1, 1]], readers=()) is None


def test_labels_after_a_cached_part_say_nothing_of_the_prompt() -> None:
    with refused(f"kv reads {UNKNOWN}"):
        settled([[-100, 5]], [[1, 1, 1]], past=1)


def test_labels_are_remembered_by_the_cache_that_is_filled_with_them() -> None:
    composed = composition()
    labels = tokens().clone()
    labels[0, :4], labels[1, :7] = -100, -100
    with torch.no_grad():
        cache = composed(tokens(), labels=labels).past_key_values
        whole = composed(torch.cat([tokens(), tokens(2, 1)], dim=1), prompt_length=torch.tensor([4, 7])).logits
        step = composed(tokens(2, 1), labels=tokens(2, 1), past_key_values=cache).logits
    torch.testing.assert_close(step, whole[:, -1:], rtol=0, atol=1e-9)
