import pytest

from orchestra.merging.document import named, parts, references, structure


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("one", "one"),
        ({"model": "acme/one@v1"}, "acme/one@v1"),
        ({"model": {"path": "acme/one"}}, "acme/one"),
        ({"model": {"path": "acme/one", "revision": "v1"}}, "acme/one@v1"),
        ({"model": "one", "lora": "acme/lora@v2"}, "one+acme/lora@v2"),
        ({"model": {"path": "one"}, "lora": {"path": "acme/lora", "revision": "v2"}}, "one+acme/lora@v2"),
        ({"model": "one", "lora": None}, "one"),
        ({"model": "one", "lora": {}}, None),
        ({"lora": "lora"}, None),
        ({"path": "one"}, None),
        ({"model": {"path": 3, "revision": "v1"}}, None),
        ("", None),
        (3, None),
    ],
)
def test_a_model_has_one_name_in_the_short_form_and_in_the_longer(reference: object, name: str | None) -> None:
    assert named(reference) == name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one", [("one", None)]),
        ("acme/one@v1", [("acme/one", "v1")]),
        ("acme/one@", [("acme/one", "")]),
        ("acme/one@v1+acme/lora", [("acme/one", "v1"), ("acme/lora", None)]),
        ("one+a+b@c@d", [("one", None), ("a", None), ("b", "c@d")]),
    ],
)
def test_a_name_is_parted_as_mergekit_parts_it(name: str, found: list[tuple[str, str | None]]) -> None:
    assert parts(name) == found


@pytest.mark.parametrize("revision", ["v1+build", "a@b"])
def test_a_revision_at_which_mergekit_would_part_the_name_is_refused(revision: str) -> None:
    long = {"model": {"path": "acme/one", "revision": revision}}
    assert structure({"merge_method": "linear", "models": [{"model": long}]}) == [
        f"models.0.model.model.revision: {revision!r} has a '+' or an '@', at which mergekit would part it; "
        "name the commit."
    ]


def test_every_field_that_names_a_model_is_known() -> None:
    recipe = {
        "base_model": {"model": "acme/one", "lora": "lora"},
        "slices": [{"sources": [{"model": "acme/two@v1", "layer_range": [0, 1]}]}],
        "tokenizer": {"source": "acme/three", "tokens": {"w": {"source": {"kind": "model_token", "model": "four"}}}},
    }
    assert references(recipe) == [
        ("base_model", "acme/one+lora"),
        ("slices.0.sources.0.model", "acme/two@v1"),
        ("tokenizer.source", "acme/three"),
        ("tokenizer.tokens.w.source.model", "four"),
    ]
