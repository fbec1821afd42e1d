"""Likelihoods of answers are those of the composed model that knows where the prompt ends, however many go at once."""

import copy
import re
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from orchestra import ComposedModel
from orchestra.errors import EvalError
from orchestra.eval.harness import language_model
from orchestra.eval.likelihood import Request
from orchestra.eval.spec import EvalSpec
from tests.mixed import streaming
from tests.prompts import PROMPT, mixed
from tests.tiny import tokens, words

Found = list[tuple[float, bool]]
GRAPHS = ("prompt", "stream", "stream of the prompt")


def composed(graph: str) -> ComposedModel:
    if graph == "prompt":
        made = mixed(0)
        made.tokenizer = words()
        made.tokenizer.eos_token = "w96"
        return made
    near: dict[str, Any] = PROMPT if graph == "stream of the prompt" else {}
    made = streaming(0, **near)
    made.tokenizer = copy.deepcopy(made.tokenizer)
    made.tokenizer.eos_token = "<begin>"
    return made


def requests() -> list[Request]:
    """Prompts and answers of different lengths; two texts that part in two ways; answers that share all but an end."""
    drawn = [row.tolist() for row in tokens(7, 70, seed=3)]
    parts = [(1, 3), (9, 1), (4, 6), (9, 4), (2, 2), (68, 2), (5, 60)]
    found: list[Request] = [
        (("", ""), row[:long], row[long : long + answer]) for row, (long, answer) in zip(drawn, parts, strict=True)
    ]
    one, other = drawn[0][:8], drawn[1][:9]
    found += [(("", ""), one[:3], one[3:]), (("", ""), one[:6], one[6:])]
    return [*found, (("", ""), other, [7]), (("", ""), other, [8, 9]), (("", ""), other, [8, 10])]


def scored(model: ComposedModel, given: list[Request], size: int | str) -> Found:
    asked = language_model(model, EvalSpec(tasks=(), batch_size=size))
    found: Found = asked._loglikelihood_tokens(given, disable_tqdm=True)
    return found


def direct(model: ComposedModel, request: Request, prompt: int | None) -> tuple[float, bool]:
    """What the model itself says of an answer, its text alone; `prompt` is how much of the context is the prompt."""
    _, context, answer = request
    ids = torch.tensor([[*context, *answer[:-1]]])
    said = {} if prompt is None else {"prompt_length": torch.tensor([prompt])}
    with torch.no_grad():
        likely = model(ids, **said).logits[0, len(context) - 1 :].log_softmax(-1)
    wanted = torch.tensor(answer)
    return float(likely.gather(-1, wanted[:, None]).sum()), bool((likely.argmax(-1) == wanted).all())


def same(one: Found, two: Found) -> None:
    assert [greedy for _, greedy in one] == [greedy for _, greedy in two]
    assert [likely for likely, _ in one] == pytest.approx([likely for likely, _ in two], abs=1e-9)


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_answer_is_as_likely_as_the_model_says_that_knows_its_prompt_in_batches_of_any_size(graph: str) -> None:
    model, given = composed(graph), requests()
    # The model reads 64 tokens, and nothing of an answer's last one: of longer texts the beginning is cut off.
    cut = [(said, context[max(0, len(context) + len(answer) - 65) :], answer) for said, context, answer in given]
    alone = scored(model, given, 1)
    same(alone, [direct(model, request, len(request[1])) for request in cut])
    for size in (3, len(given), "auto"):
        same(scored(model, given, size), alone)


@pytest.mark.parametrize("graph", GRAPHS)
def test_where_the_prompt_ends_matters(graph: str) -> None:
    model, (_, text, _) = composed(graph), requests()[5]
    short: list[Request] = [(("", ""), text[:9], text[9:20])]
    [(likely, _)] = scored(model, short, 1)
    assert abs(likely - direct(model, short[0], 8)[0]) > 1e-3


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_text_that_is_scored_whole_has_no_prompt(graph: str) -> None:
    model = composed(graph)
    asked = language_model(model, EvalSpec(tasks=(), batch_size=2))
    ids = tokens(1, 12, seed=4)[0].tolist()
    text = asked.tok_decode(ids)
    context, answer = [asked.prefix_token_id], asked.tok_encode(text)
    whole = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    [likely] = asked.loglikelihood_rolling([whole], disable_tqdm=True)
    expected = direct(model, (None, context, answer), 0)[0]
    assert likely == pytest.approx(expected, abs=1e-9)
    if graph == "stream":  # nothing is closed, as where nobody says where a prompt ends
        assert expected == direct(model, (None, context, answer), None)[0]


def test_a_context_of_blanks_is_the_beginning_of_a_text() -> None:
    asked = language_model(composed("prompt"), EvalSpec(tasks=()))

    def answer(context: str) -> Any:
        return Instance(request_type="loglikelihood", doc={}, arguments=(context, "w3 w4"), idx=0)

    [blank] = asked.loglikelihood([answer("  ")], disable_tqdm=True)
    assert [blank] == asked.loglikelihood([answer("")], disable_tqdm=True)


@pytest.mark.parametrize(("tokens", "told"), [(0, 0), (65, 65)])
def test_an_answer_of_no_token_or_of_more_than_the_model_reads_is_an_error(tokens: int, told: int) -> None:
    message = f"an answer ('this') has {told} tokens; this model scores from 1 to 64."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        scored(composed("prompt"), [(("that", "this"), [1, 2], [3] * tokens)], 1)
