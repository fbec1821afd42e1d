from pathlib import Path

from orchestra.io.recipe_file import read_recipe
from tests import mergers
from tests.cli.conftest import Run

RECIPE = """\
merge_method: dare_ties
base_model: {base}/one
models:
  - model: {base}/two
    parameters: {{weight: 1.0, density: 0.5}}
"""


def test_a_recipe_is_merged_into_a_new_folder_and_never_into_another(run: Run, three: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(RECIPE.format(base=three))
    done = run("merge", tmp_path / "r.yml", tmp_path / "made", "--seed", 3)
    assert (done.code, done.out) == (0, f"{tmp_path}/made: written.\n")
    theirs = mergers.mergekits(read_recipe(tmp_path / "r.yml"), tmp_path / "theirs", seed=3)
    assert mergers.same(tmp_path / "made", theirs)
    again = run("merge", tmp_path / "r.yml", tmp_path / "made")
    assert (again.code, again.out) == (1, "")
    assert again.err == f"{tmp_path}/made: is there already; name a folder that is not.\n"
