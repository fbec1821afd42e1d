import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import ComposedModel, ComposeError
from orchestra.runtime import contributions
from tests.deep import deep
from tests.mixed import streaming
from tests.prompts import PROMPT, mixed
from tests.tiny import (
    LENGTH,
    VOCAB,
    bridges,
    close,
    compose,
    document,
    generate,
    loud,
    model,
    pair,
    ring,
    stepped,
    tokens,
    words,
)

FIELDS: dict[str, dict[str, Any]] = {
    "kv": {"bridges": {"pairs": [pair(0, "embedding"), pair(1, 1)], "gate": "token"}},
    "far": {"bridges": {"pairs": [pair(0, 1)], "gate": "none"}},
}


def composition(*, tokenized: bool = True, context: str = "refresh") -> ComposedModel:
    fields = {**FIELDS, "kv": {**FIELDS["kv"], "context": context}}
    models = {"anchor": model("llama"), "kv": model("gpt2", seed=1), "far": model("falcon", seed=2)}
    composed = orchestra.load(document(fields), models=models, tokenizers={"anchor": words()} if tokenized else None)
    composed.stacks.to(torch.float64)
    return loud(composed)


def named(composed: ComposedModel) -> ComposedModel:
    """A composition whose tokens have names."""
    composed.tokenizer = composed.tokenizer or words()
    return composed


def told(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


DEEP = ("ids", "streams", "feeder streams", "fed streams", "tails alike")
GRAPHS: dict[str, Callable[[], ComposedModel]] = {
    **{f"ring {index}": partial(ring, index) for index in (0, 3, 6)},
    **{f"prompt {index}": partial(mixed, index) for index in (1, 4)},
    **{f"stream {index}": partial(streaming, index) for index in (0, 5)},
    "stream of the prompt": partial(streaming, 2, context="prompt"),
    "tail": partial(streaming, 4, tail="provisional"),
    **{f"beside {kind}": partial(deep, "beside", kind) for kind in DEEP},
    "diamond of the prompt": partial(deep, "diamond", "streams", first=PROMPT, second=PROMPT),
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_what_the_next_token_loses_is_what_two_decodings_differ_in(graph: str) -> None:
    composed, ids, length = named(GRAPHS[graph]()), tokens(1), torch.tensor([6])
    found = composed.contributions(ids, prompt_length=6)
    assert list(found.lost) == list(composed.active)

    def likely() -> Tensor:
        """Read step by step, with a cache."""
        logits, _ = stepped(composed, ids, torch.ones_like(ids), [6] + [1] * 5, prompt_length=length)
        return logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]

    with torch.no_grad():
        together = likely()
        close(told(found.log_probability)[:-1], together)
        for name, lost in found.lost.items():
            with composed.ablate(name):
                close(told(lost)[:-1], together - likely())
        assert max(abs(value) for lost in found.lost.values() for value in lost) > 0.01


def test_an_augment_that_is_off_is_one_that_is_not_there() -> None:
    far = model("gpt2", seed=2)
    composed = named(compose(model("llama"), near=model("qwen3", seed=1), far=far))
    without = named(compose(model("llama"), far=far))
    ids = tokens(1)
    found, alone = composed.contributions(ids), without.contributions(ids)
    close(told(found.log_probability)[:-1] - told(found.lost["near"])[:-1], told(alone.log_probability)[:-1])


def test_behind_each_token_stands_the_next_and_behind_the_last_the_likeliest() -> None:
    composed = composition()
    found = composed.contributions("w5 w7 w11")
    with torch.no_grad():
        last = composed(torch.tensor([[5, 7, 11]])).logits[0, -1].log_softmax(-1)
        with composed.ablate("kv"):
            without = composed(torch.tensor([[5, 7, 11]])).logits[0, -1].log_softmax(-1)
    best = int(last.argmax())
    assert found.tokens == ("w5", "w7", "w11")
    assert found.emitted == ("w7", "w11", f"w{best}")
    close(told(found.log_probability[-1]), last[best])
    close(told(found.lost["kv"][-1]), last[best] - without[best])


def test_log_probabilities_are_wide_however_narrow_the_model_is_and_however_long_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = torch.bfloat16
    composed = named(compose(model("llama", dtype=narrow), narrow, kv=model("qwen3", seed=1, dtype=narrow)))
    ids = tokens(1)
    with torch.no_grad():
        logits = composed(ids, prompt_length=torch.tensor([LENGTH]), use_cache=False).logits[0].float()
    expected = logits.log_softmax(-1)[:-1].gather(-1, ids[0, 1:, None])[:, 0]
    for rows in (256, 3):
        monkeypatch.setattr(contributions, "_ROWS", rows)
        found = composed.contributions(ids)
        torch.testing.assert_close(torch.tensor(found.log_probability[:-1]), expected, rtol=0, atol=1e-5)


def test_a_written_text_is_a_prompt_and_what_follows() -> None:
    composed, ids = composition(context="prompt"), torch.tensor([[5, 7, 11]])
    written = generate(composed, ids)
    found = composed.contributions(written, prompt_length=3)
    assert found.prompt_length == 3
    assert composed.contributions(written[0], prompt_length=3) == found
    text = composed.contributions("w5 w7 w11", " ".join(f"w{token}" for token in written[0, 3:].tolist()))
    assert text == found
    assert composed.contributions(written).prompt_length == written.shape[1]
    assert composed.contributions(written).bridges != found.bridges
    # Each token that was written is the likeliest of its place, so that a prompt alone tells of the first.
    assert composed.contributions("w5 w7 w11").emitted[-1] == found.tokens[3]
    assert composed.contributions("w5 w7 w11").lost["kv"][-1] == pytest.approx(found.lost["kv"][2], abs=1e-9)


@pytest.mark.parametrize("kind", ["ids", "streams", "tails alike"])
def test_each_bridge_tells_of_the_model_that_it_feeds_token_by_token(kind: str) -> None:
    composed, seen = named(deep("diamond", kind)), {}

    def note(bridge: Any, args: tuple[Tensor, ...], residual: Tensor) -> None:
        seen[bridge] = (residual.norm(dim=-1) / args[0].norm(dim=-1))[0]

    for bridge in bridges(composed):
        bridge.register_forward_hook(note)
    ids = tokens(1)
    read = composed.traced(ids).alignments
    expected = {(bridge.site.augment, bridge.site.into, bridge.site.key): share for bridge, share in seen.items()}
    found = composed.contributions(ids)
    assert [one.into for one in found.bridges] == ["second"] * 3 + ["third"] * 3 + ["anchor"] * 6
    for one in found.bridges:
        share = expected[one.augment, one.into, f"anchor_{one.anchor_layer}_from_{one.augment_layer}"]
        if one.into != "anchor":
            share = share[read[one.into].committed[0].argsort(stable=True)]
        torch.testing.assert_close(told(one.share), share, rtol=1e-12, atol=0)
        assert len(one.gate) == len(one.share) == (LENGTH if one.into == "anchor" else len(found.fed[one.into].tokens))


def test_an_augment_that_is_fed_names_its_own_tokens_and_where_each_was_committed() -> None:
    composed = named(deep("chain", "tails alike"))
    found = composed.contributions(tokens(1))
    read = found.fed["second"]
    committed = [token for token, ahead in zip(read.tokens, read.provisional, strict=True) if not ahead]
    assert "".join(committed) == "".join(token for token in found.tokens if token != "<begin>")
    places = list(zip(read.at, read.provisional, strict=True))
    assert places == sorted(places)  # what is read ahead of a token stands behind what is committed there
    assert {(0, True), (10, False)} <= set(places)
    assert composed.contributions(tokens(1), prompt_length=5).fed["second"] != read
    plain = named(deep("chain", "ids")).contributions("w5 w7")
    assert plain.fed["second"].tokens == plain.tokens
    assert plain.fed["second"].at == (0, 1)


def test_each_bridge_is_reported_per_token_in_the_order_of_summation() -> None:
    report = composition().contributions("w5 w7 w11")
    places = [(one.augment, one.augment_layer, one.anchor_layer) for one in report.bridges]
    assert places == [("kv", 0, "embedding"), ("far", 0, 1), ("kv", 1, 1)]
    assert report.bridges[1].gate == (1.0, 1.0, 1.0)
    assert len(set(report.bridges[0].gate)) == 3
    assert list(map(str, report.bridges)) == ["kv 0 -> anchor embedding", "far 0 -> anchor 1", "kv 1 -> anchor 1"]


def test_what_is_off_is_not_reported() -> None:
    composed = composition()
    with composed.only("far"):
        found = composed.contributions("w5")
        assert [one.augment for one in found.bridges] == list(found.lost) == ["far"]
    with composed.only():
        assert composed.contributions("w5").bridges == ()
        assert composed.contributions("w5").lost == {}


def test_a_silent_bridge_has_a_share_of_zero_and_nothing_is_lost_without_it() -> None:
    composed = composition()
    for bridge in bridges(composed):
        bridge.reset_parameters(0)
    found = composed.contributions("w5 w7")
    assert {share for one in found.bridges for share in one.share} == {0.0}
    assert found.lost == {"far": (0.0, 0.0), "kv": (0.0, 0.0)}


def test_a_report_prints_a_row_per_token_and_a_line_where_the_prompt_ends() -> None:
    composed = named(deep("chain", "ids", fresh=True))
    found = composed.contributions("w5 w7", "w11")
    likely = [f"{value:.2f}" for value in found.log_probability]
    zeros = "  0.00       0.00         0.00   0.00            0.00   0.00    0.00   0.00"
    assert str(found).splitlines()[:8] == [
        "token  emits  log p  first off  second off  second 0 -> embedding  second 1 -> 0  second 0 -> 1",
        "                                             gate  share            gate  share    gate  share",
        f"'w5'   'w7'   {likely[0]}{zeros}",
        f"'w7'   'w11'  {likely[1]}{zeros}",
        "-" * 95,
        f"'w11'  {found.emitted[2]!r}  {likely[2]}{zeros}",
        "",
        "read by second  at  first 0 -> embedding  first 1 -> 0  first 0 -> 1",
    ]
    assert str(found).splitlines()[9] == "'w5'            0    0.00   0.00           0.00   0.00   0.00   0.00"
    assert found.table() == str(found)


def test_a_report_as_a_dictionary_is_json() -> None:
    found = composition().contributions("w5 w7")
    content = found.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert list(content) == ["tokens", "emitted", "log_probability", "lost", "prompt_length", "bridges", "fed"]
    assert content["lost"]["kv"] == list(found.lost["kv"])
    assert content["bridges"][0] == {
        "augment": "kv",
        "augment_layer": 0,
        "anchor_layer": "embedding",
        "gate": list(found.bridges[0].gate),
        "share": list(found.bridges[0].share),
        "into": "anchor",
    }


def test_an_augment_that_reads_the_prompt_only_reads_the_whole_text_unless_told_how_much_of_it_is_the_prompt() -> None:
    whole, composed = composition(), composition(context="prompt")
    assert composed.contributions("w5 w7 w11") == whole.contributions("w5 w7 w11")
    assert composed.contributions("w5 w7 w11", prompt_length=3) == whole.contributions("w5 w7 w11")
    part, shares = composed.contributions("w5 w7 w11", prompt_length=2), whole.contributions("w5 w7 w11")
    assert part.bridges[0].share[:2] == pytest.approx(shares.bridges[0].share[:2])
    assert part.bridges[0].share[2] != pytest.approx(shares.bridges[0].share[2])
    nothing = composed.contributions("w5 w7", prompt_length=0)
    assert [one.augment for one in nothing.bridges] == ["far"]
    assert nothing.lost["kv"] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("", None, "contributions need a text of one token or more."),
        (tokens(2, 3), None, "contributions are of one text; these ids have shape (2, 3)."),
        (torch.tensor([0.5]), None, "contributions are of token ids, which are integers; these are torch.float32."),
        (torch.tensor([1, VOCAB]), None, f"{VOCAB} is no token of the anchor, which has {VOCAB}."),
        (torch.tensor([1, -1]), None, f"-1 is no token of the anchor, which has {VOCAB}."),
        ("w5 w7", 3, "prompt_length is 3, and this text has 2 tokens."),
        ("w5 w7", -1, "prompt_length is -1, and this text has 2 tokens."),
    ],
)
def test_what_is_no_text_with_a_prompt_is_refused(text: Any, length: int | None, message: str) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composition().contributions(text, prompt_length=length)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[5, 7]], "text is a list; it must be a string, or a tensor of token ids."),
        ([None], "text is a NoneType; it must be a string, or a tensor of token ids."),
        (["w5", 38], "completion is a int; it must be a string."),
    ],
)
def test_what_is_no_text_at_all_is_refused(given: list[Any], message: str) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        contributions.in_tokens(words(), *given)


def test_without_a_tokenizer_nothing_can_be_reported() -> None:
    message = "contributions need a tokenizer, and this model was composed without one."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composition(tokenized=False).contributions("w5")


def test_reporting_changes_nothing() -> None:
    composed, ids = composition(), torch.tensor([[5, 7, 11]])
    composed.disable("far")
    with torch.no_grad():
        before = composed(ids).logits
        composed.contributions("w5 w7 w11")
        assert torch.equal(composed(ids).logits, before)
    assert composed.active == ("kv",)
    assert not any(trace.share.requires_grad for trace in composed.traced(ids).traces)
