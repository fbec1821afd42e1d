import re
from pathlib import Path

import pytest

from orchestra.errors import MergeError
from orchestra.io.recipe_file import read_recipe


def test_yaml_and_json_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("merge_method: linear\nmodels:\n  - model: a\n")
    (tmp_path / "r.json").write_text('{"merge_method": "linear", "models": [{"model": "a"}]}')
    assert read_recipe(tmp_path / "r.yml") == read_recipe(tmp_path / "r.json")


def test_a_mapping_may_take_the_fields_of_another(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text("a: &x {weight: 1}\nb: {<<: *x, density: 2}")
    assert read_recipe(tmp_path / "r.yml")["b"] == {"weight": 1, "density": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "is not YAML: expected ',' or ']', but got '<stream end>' at line 1, column 6."),
        ("a: 1\nb: 2\na: 3", "is not YAML: 'a' stands twice at line 1, column 1."),
        ("a: {b: 1, b: 2}", "is not YAML: 'b' stands twice at line 1, column 4."),
        ("- a", "is not a recipe: a recipe is a mapping of fields."),
        ("", "is not a recipe: a recipe is a mapping of fields."),
        ("a: 1\n---\nb: 2", "is not YAML: but found another document at line 2, column 1."),
        (
            "a: !!python/object/apply:os.system [ls]",
            "is not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system' at line 1, column 4.",
        ),
        ("[" * 500, "is nested too deeply."),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "r.yml").write_text(text)
    with pytest.raises(MergeError, match=f"^{re.escape(f'{tmp_path}/r.yml: {told}')}$"):
        read_recipe(tmp_path / "r.yml")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_bytes(b"\xff\xff")
    with pytest.raises(MergeError, match=f"^{tmp_path}/r.yml: is not UTF-8 text.$"):
        read_recipe(tmp_path / "r.yml")
    with pytest.raises(MergeError, match=f"^{tmp_path}: cannot be read: Is a directory.$"):
        read_recipe(tmp_path)
