"""Every way to get a document wrong, and the line that says so, word for word."""

import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from orchestra import problems, spec
from orchestra.errors import SpecError
from tests.papers import document, pair

FIELDS_OF_AUGMENT = (
    "model, revision, dtype, device, tokenizer, bridges, bridges_revision, enabled, template, tail, context, into"
)


def told(content: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec.parse(content)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"model": 5}, "augments.kv.model is 5; allowed: a text, or an object."),
        ({"model": ""}, 'augments.kv.model is ""; allowed: a text that is not empty, or an object.'),
        ({"model": None}, "augments.kv.model is null; allowed: a text, or an object."),
        ({"model": {"merg": {}}}, "augments.kv.model.merg is an unknown field; did you mean 'merge'?"),
        ({"model": {}}, "augments.kv.model.merge is missing: a mergekit recipe."),
        ({"model": {"merge": []}}, "augments.kv.model.merge is []; allowed: an object."),
        ({"bridges": 7}, "augments.kv.bridges is 7; allowed: a text, or an object."),
        ({"bridges": []}, "augments.kv.bridges is []; allowed: a text, or an object."),
        ({"bridges_revision": 5}, "augments.kv.bridges_revision is 5; allowed: a text, or an object."),
        ({"bridges_revision": {}}, "augments.kv.bridges_revision is {}; allowed: a text, or at least one entry."),
        (
            {"bridges_revision": {"anchor": 3}, "into": {"anchor": "a/b"}},
            "augments.kv.bridges_revision.anchor is 3; allowed: a text.",
        ),
        (
            {"bridges_revision": {"anchor": "v1"}},
            "augments.kv: 'bridges_revision' names 'anchor', for which 'into' names no bridges: drop it there.",
        ),
        (
            {"bridges_revision": {"b": "v1", "anchor": "v2", "c": "v1"}, "into": {"anchor": "a/b"}},
            "augments.kv: 'bridges_revision' names 'b', 'c', for which 'into' names no bridges: drop it there.",
        ),
        ({"bridges": {"gates": "token"}}, "augments.kv.bridges.gates is an unknown field; did you mean 'gate'?"),
        (
            {"bridges": {"gate": "sigmoid"}},
            'augments.kv.bridges.gate is "sigmoid"; allowed: "none", "scalar" or "token".',
        ),
        ({"bridges": {"every": 0}}, "augments.kv.bridges.every is 0; allowed: a whole number above 0."),
        ({"bridges": {"every": 4.0}}, "augments.kv.bridges.every is 4.0; allowed: a whole number."),
        ({"bridges": {"heads": True}}, "augments.kv.bridges.heads is true; allowed: a whole number."),
        ({"bridges": {"seed": -1}}, "augments.kv.bridges.seed is -1; allowed: a whole number from 0."),
        ({"bridges": {"pairs": []}}, "augments.kv.bridges.pairs is []; allowed: at least one entry."),
        ({"bridges": {"pairs": {}}}, "augments.kv.bridges.pairs is {}; allowed: a list."),
        ({"bridges": {"pairs": [[1, 0]]}}, "augments.kv.bridges.pairs.0 is [1, 0]; allowed: an object."),
        (
            {"bridges": {"pairs": [pair(1, 0), pair(-1, 0)]}},
            "augments.kv.bridges.pairs.1.augment_layer is -1; allowed: a whole number from 0.",
        ),
        (
            {"bridges": {"pairs": [pair(1, "top")]}},
            'augments.kv.bridges.pairs.0.anchor_layer is "top"; allowed: a whole number, or "embedding".',
        ),
        (
            {"bridges": {"pairs": [pair(1, -2)]}},
            'augments.kv.bridges.pairs.0.anchor_layer is -2; allowed: a whole number from 0, or "embedding".',
        ),
        (
            {"bridges": {"pairs": [{"augment_layer": 1, "anchr_layer": 0}]}},
            "augments.kv.bridges.pairs.0.anchr_layer is an unknown field; did you mean 'anchor_layer'?",
        ),
        (
            {"bridges": {"pairs": [{"augment_layer": 1}]}},
            "augments.kv.bridges.pairs.0.anchor_layer is missing: the anchor's layer after which the residual is "
            "added; 'embedding' is the input of layer 0.",
        ),
        (
            {"bridges": {"every": 2, "pairs": [pair(1, 0)]}},
            "augments.kv.bridges: 'every' and 'pairs' exclude each other: give one of them.",
        ),
        (
            {"bridges": {"variant": "calm", "gate": "token"}},
            "augments.kv.bridges: 'gate' is 'token', but the variant 'calm' has none: drop it.",
        ),
        ({"enabled": 1}, "augments.kv.enabled is 1; allowed: true or false."),
        ({"enable": True}, "augments.kv.enable is an unknown field; did you mean 'enabled'?"),
        (
            {"colour": "red"},
            f"augments.kv.colour is an unknown field; allowed here: {FIELDS_OF_AUGMENT}.",
        ),
        (
            {"dtype": "fp8"},
            'augments.kv.dtype is "fp8"; allowed: "auto", "float32", "bfloat16", "float16" or "float64".',
        ),
        ({"device": 0}, "augments.kv.device is 0; allowed: a text."),
        ({"into": "kv"}, 'augments.kv.into is "kv"; allowed: a list, or an object.'),
        ({"into": []}, "augments.kv.into is []; allowed: at least one entry, or an object."),
        ({"into": {}}, "augments.kv.into is {}; allowed: a list, or at least one entry."),
        ({"into": {"code": 3}}, "augments.kv.into.code is 3; allowed: a text, or an object."),
        ({"into": {"code": {"evry": 2}}}, "augments.kv.into.code.evry is an unknown field; did you mean 'every'?"),
        (
            {"into": {"code": {"pairs": [{"anchor_layer": 1}]}}},
            "augments.kv.into.code.pairs.0.augment_layer is missing: the augment's layer whose output is read.",
        ),
        (
            {"into": {"Code": "b"}},
            'augments.kv.into has the name "Code"; allowed: a-z, 0-9, "_" and "-", starting with a letter, '
            "at most 64 characters.",
        ),
        (
            {"into": {"code": "b"}, "bridges": "c"},
            "augments.kv: 'bridges' and an 'into' that names bridges exclude each other: drop 'bridges'.",
        ),
        (
            {"into": ["The Anchor"]},
            'augments.kv.into.0 is "The Anchor"; allowed: a-z, 0-9, "_" and "-", starting with a letter, '
            "at most 64 characters.",
        ),
        ({"template": {"<s>": 1}}, "augments.kv.template.<s> is 1; allowed: a text."),
        ({"context": "once"}, 'augments.kv.context is "once"; allowed: "refresh" or "prompt".'),
        ({"a\nb": 1}, f"augments.kv.a\\nb is an unknown field; allowed here: {FIELDS_OF_AUGMENT}."),
    ],
)
def test_a_wrong_field_of_an_augment_is_one_line_with_what_was_found_and_what_is_allowed(
    fields: dict[str, Any], line: str
) -> None:
    assert told(document(kv=fields)) == [line]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"format": "orchestra/graph@2"}, 'format is "orchestra/graph@2"; allowed: "orchestra/graph@1".'),
        ({"anchor": "digits"}, 'anchor is "digits"; allowed: an object.'),
        ({"anchor": {"modle": "digits"}}, "anchor.modle is an unknown field; did you mean 'model'?"),
        (
            {"anchor": {}},
            "anchor.model is missing: a folder, relative to the graph; a Hub id; a GGUF file; a merge.",
        ),
        ({"augments": {}}, "augments is {}; allowed: at least one entry."),
        ({"augments": ["kv"]}, 'augments is ["kv"]; allowed: an object.'),
        ({"augments": {"kv": "models/kv"}}, 'augments.kv is "models/kv"; allowed: an object.'),
        (
            {"augments": {"KV": {"model": "kv"}}},
            'augments has the name "KV"; allowed: a-z, 0-9, "_" and "-", starting with a letter, '
            "at most 64 characters.",
        ),
        (
            {"augments": {"anchor": {"model": "kv"}}},
            'augments has the name "anchor"; allowed: any other; "anchor" and "embedding" have a meaning of their own.',
        ),
        ({"augment": {}}, "augment is an unknown field; did you mean 'augments'?"),
        ({"description": 7}, "description is 7; allowed: a text."),
        ({"anchor": {"model": "\ud800"}}, "the document is not JSON: unexpected end of hex escape."),
    ],
)
def test_a_wrong_field_of_the_graph_is_one_line(fields: dict[str, Any], line: str) -> None:
    assert told({**document(), **fields}) == [line]


def test_what_is_missing_says_what_it_is_for() -> None:
    assert told({}) == [
        "format is missing: the format and its version: 'orchestra/graph@1'.",
        "anchor is missing: the frozen model that answers.",
        "augments is missing: the models that it may read, by name.",
    ]


def test_every_problem_is_listed_at_once() -> None:
    content = document(kv={"bridges": {"gate": 1, "heads": 0}}, tetum={"dtype": "half", "colour": "red"})
    content["format"] = None
    assert told(content) == [
        'format is null; allowed: "orchestra/graph@1".',
        "augments.kv.bridges.heads is 0; allowed: a whole number above 0.",
        'augments.kv.bridges.gate is 1; allowed: "none", "scalar" or "token".',
        'augments.tetum.dtype is "half"; allowed: "auto", "float32", "bfloat16", "float16" or "float64".',
        f"augments.tetum.colour is an unknown field; allowed here: {FIELDS_OF_AUGMENT}.",
    ]


def test_two_clashes_in_one_recipe_are_two_lines() -> None:
    recipe = {"every": 2, "pairs": [pair(1, 0)], "variant": "calm", "positions": "rotary"}
    assert told(document(kv={"bridges": recipe})) == [
        "augments.kv.bridges: 'every' and 'pairs' exclude each other: give one of them.",
        "augments.kv.bridges: 'positions' is 'rotary', but the variant 'calm' has none: drop it.",
    ]


def test_augments_may_be_called_like_fields_and_types() -> None:
    content = document(model={"modle": 1}, str={"bridges": 1}, bridges={"bridges": {"gte": 1}})
    assert told(content) == [
        "augments.model.modle is an unknown field; did you mean 'model'?",
        "augments.str.bridges is 1; allowed: a text, or an object.",
        "augments.bridges.bridges.gte is an unknown field; did you mean 'gate'?",
    ]


def test_a_long_value_is_cut() -> None:
    (line,) = told(document(kv={"dtype": "x" * 200}))
    assert line.startswith(f'augments.kv.dtype is "{"x" * 76}...; allowed:')


def test_an_error_that_has_no_sentence_of_ours_keeps_pydantics() -> None:
    class Part(BaseModel):
        size: float

    with pytest.raises(ValidationError) as caught:
        Part.model_validate({"size": "wide"}, strict=True)
    assert list(problems.lines(caught.value, Part)) == ['size is "wide"; allowed: Input should be a valid number.']


def test_a_number_that_python_would_not_write_is_shown_all_the_same() -> None:
    assert problems.show(10**5000) == "a number of thousands of digits"
    assert problems.show(-(10**30)) == f"-1{'0' * 30}"


def test_a_name_that_somebody_else_chose_is_one_printable_line_of_bounded_length() -> None:
    assert problems.printable("plain é name") == "plain é name"
    assert problems.printable("\x1b[2J\n\u202e\ud800") == "\\u001b[2J\\n\\u202e\\ud800"
    assert problems.printable("x" * 201) == f"{'x' * 197}..."
    assert problems.printable(Path("/a/b"), 3) == "..."


def test_ten_thousand_problems_take_seconds_and_a_hundred_lines() -> None:
    fields = {f"f{index}": 0 for index in range(10_000)}
    started = time.process_time()
    lines = told(document(kv=fields))
    assert len(lines) == 101
    assert time.process_time() - started < 5.0
