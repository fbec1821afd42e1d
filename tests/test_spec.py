"""Reading documents: files that are none, random valid ones, and random damage."""

import copy
import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra import spec
from orchestra.errors import SpecError
from tests.papers import document, pair

SCHEMA = Path("graphs/graph.schema.json")


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "graph.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        spec.read(path)
    return str(caught.value)


def test_a_document_is_read_field_for_field(tmp_path: Path) -> None:
    content = document(kv={"bridges": {"pairs": [pair(2, "embedding")]}, "enabled": False}, tetum={"bridges": "../t"})
    content["$schema"] = "graph.schema.json"
    read = spec.read(write(tmp_path, json.dumps(content)))
    recipe = read.augments["kv"].bridges
    assert isinstance(recipe, spec.BridgeRecipe)
    assert recipe.pairs == (spec.Pair(augment_layer=2, anchor_layer="embedding"),)
    assert (read.augments["kv"].enabled, read.augments["tetum"].enabled) == (False, True)
    assert read.augments["tetum"].bridges == "../t"
    assert read.anchor.model == "digits"


def test_a_document_cannot_be_changed_once_it_is_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec.parse(document()).description = "other"  # type: ignore[misc]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert told(tmp_path / "none.json") == f"{tmp_path}/none.json: cannot be read: No such file or directory."


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    assert told(tmp_path) == f"{tmp_path}: cannot be read: Is a directory."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"\xff\xfe{}", "is not UTF-8 text."),
        (b"", "is not JSON: Expecting value at line 1, column 1."),
        (b'{"format" 1}', "is not JSON: Expecting ':' delimiter at line 1, column 11."),
        (b'{"format":\n 1 2}', "is not JSON: Expecting ',' delimiter at line 2, column 4."),
        (b"[1]", "a graph is a JSON object, not a list."),
        (b'"graph"', "a graph is a JSON object, not a text."),
        (b"null", "a graph is a JSON object, not null."),
        (b"true", "a graph is a JSON object, not true or false."),
        (b"7", "a graph is a JSON object, not a number."),
        (b'{"every": NaN}', "the document is not JSON: Out of range float values are not JSON compliant."),
        (b"[" * 100_000, "the document is nested too deeply."),
    ],
)
def test_a_file_that_is_no_document_is_one_line_with_its_path(tmp_path: Path, text: bytes, line: str) -> None:
    path = write(tmp_path, text)
    found = told(path)
    assert re.sub(r"compliant.*", "compliant.", found) == f"{path}: {line}"


def test_a_number_with_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, '{"seed": ' + "7" * 5000 + "}")
    assert told(path).startswith(f"{path}: is not JSON that can be read: Exceeds the limit (4300 digits)")


def test_every_name_that_stands_twice_in_one_object_is_listed(tmp_path: Path) -> None:
    path = write(tmp_path, '{"format": 1, "format": 2, "augments": {"kv": {}, "kv": {}}, "anchor": {"kv": 3}}')
    assert told(path).splitlines() == [
        f'{path}: "kv" stands twice in one object; keep one.',
        f'{path}: "format" stands twice in one object; keep one.',
    ]


def test_every_problem_of_a_file_starts_with_its_path(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({**document(), "format": 1, "extra": 2}))
    assert told(path).splitlines() == [
        f'{path}: format is 1; allowed: "orchestra/graph@1".',
        f"{path}: extra is an unknown field; allowed here: $schema, format, description, anchor, augments.",
    ]


def test_a_document_from_memory_must_be_what_json_can_say() -> None:
    content = {**document(), "description": {1, 2}}
    with pytest.raises(SpecError, match=r"^the document is not JSON: Object of type set is not JSON serializable\.$"):
        spec.parse(content)


@pytest.mark.parametrize(
    ("depth", "line"), [(300, "not JSON: recursion limit exceeded"), (100_000, "nested too deeply")]
)
def test_a_document_from_memory_may_not_be_nested_without_end(depth: int, line: str) -> None:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    with pytest.raises(SpecError, match=rf"^the document is {line}\.$"):
        spec.parse(document(kv={"model": {"merge": {"models": nested}}}))


# -- random documents ------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
names = st.text(string.ascii_lowercase + string.digits + "_-", max_size=6).map(lambda tail: "a" + tail)
layers = st.integers(0, 2**40)
positive = st.integers(1, 2**40)
pairs = st.fixed_dictionaries({"augment_layer": layers, "anchor_layer": layers | st.just("embedding")})
plain = {"heads": positive | st.none(), "seed": st.integers(0, 2**70)}
placed = st.fixed_dictionaries({}, optional={"every": positive, **plain}) | st.fixed_dictionaries(
    {"pairs": st.lists(pairs, min_size=1, max_size=3)}, optional=plain
)
recipes = st.builds(
    lambda place, form: {**place, **form},
    placed,
    st.fixed_dictionaries(
        {},
        optional={
            "gate": st.sampled_from(["none", "scalar", "token"]),
            "positions": st.sampled_from(["rotary", "none"]),
            "variant": st.just("orchestra"),
        },
    )
    | st.fixed_dictionaries({"variant": st.just("calm")}, optional={"gate": st.just("none")}),
)
merges = st.fixed_dictionaries({"merge": st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3)})
model_fields = {
    "revision": texts,
    "dtype": st.sampled_from(["auto", "float32", "bfloat16", "float16", "float64"]),
    "device": texts,
    "tokenizer": texts,
}
anchors = st.fixed_dictionaries({"model": texts | merges}, optional=model_fields)
augments = st.fixed_dictionaries(
    {"model": texts | merges},
    optional={
        **model_fields,
        "bridges": texts | recipes,
        "bridges_revision": texts,
        "enabled": st.booleans(),
        "template": st.dictionaries(texts, texts, max_size=2),
        "context": st.sampled_from(["refresh", "prompt"]),
        "into": st.lists(names | st.just("anchor"), min_size=1, max_size=3),
    },
) | st.fixed_dictionaries(
    {
        "model": texts,
        "into": st.dictionaries(names | st.just("anchor"), texts | recipes, min_size=1, max_size=3),
    }
)
documents = st.fixed_dictionaries(
    {
        "format": st.just("orchestra/graph@1"),
        "anchor": anchors,
        "augments": st.dictionaries(names, augments, min_size=1, max_size=3),
    },
    optional={"description": texts, "$schema": texts},
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(documents)
def test_a_valid_document_says_the_same_after_a_round_trip(content: dict[str, Any]) -> None:
    read = spec.parse(content)
    written = json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))
    assert written == content
    assert spec.parse(written) == read


@given(documents)
def test_the_schema_accepts_every_valid_document(content: dict[str, Any]) -> None:
    jsonschema.validate(content, spec.schema())


def refusal(read: Callable[[], object]) -> list[str]:
    """The lines with which a document is refused; none when it is accepted."""
    try:
        read()
    except SpecError as error:
        return str(error).splitlines() or [""]
    return []


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inside for place in ((content, key), *places(value))]


@given(documents, values, st.data())
def test_random_damage_is_a_spec_error_of_whole_lines_or_no_damage_at_all(
    content: dict[str, Any], value: Any, data: st.DataObject
) -> None:
    damaged = copy.deepcopy(content)
    container, key = data.draw(st.sampled_from(places(damaged)))
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            container[key] = value
        case "remove":
            del container[key]
        case "add" if isinstance(container, dict):
            container[data.draw(st.text(max_size=4))] = value
        case _:
            container.append(value)
    lines = refusal(lambda: spec.parse(damaged))
    assert all(line.endswith((".", "?")) for line in lines)
    assert len(set(lines)) == len(lines)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents, st.data())
def test_a_damaged_file_is_a_spec_error_or_still_a_document(
    tmp_path: Path, content: dict[str, Any], data: st.DataObject
) -> None:
    raw = bytearray(json.dumps(content).encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    lines = refusal(lambda: spec.read(write(tmp_path, bytes(raw))))
    assert all(line.startswith(str(tmp_path)) for line in lines)


# -- the schema ------------------------------------------------------------------------------------------------------


def test_the_shipped_schema_has_not_drifted() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == spec.schema_text()


@pytest.mark.parametrize("wrong", [{"format": "orchestra/graph@2"}, {"augments": {}}, {"extra": 1}, {"anchor": {}}])
def test_the_schema_refuses_what_the_spec_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document(), **wrong}, spec.schema())


def test_the_schema_is_itself_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(spec.schema())


def test_every_field_of_the_document_says_what_it_is_for() -> None:
    parts = [spec.schema(), *spec.schema()["$defs"].values()]
    silent = [
        name
        for part in parts
        for name, field in part["properties"].items()
        if not field.keys() & {"description", "$ref"}
    ]
    assert silent == []
