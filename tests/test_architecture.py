"""The shape of the code, held like any behaviour."""

import subprocess
import sys
from pathlib import Path

import pytest

import orchestra
from orchestra import paper

ROOT = Path(orchestra.__file__).parents[1]
HEAVY = ("torch", "transformers", "huggingface_hub", "safetensors", "numpy")
GRAPHS = sorted(path for path in (ROOT / "graphs").glob("*.json") if path.name != "graph.schema.json")


def modules_after(statement: str) -> set[str]:
    """The heavy packages that are imported once a statement has run in a fresh interpreter."""
    script = f"import sys\n{statement}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_paper_half_and_its_commands_import_nothing_heavy() -> None:
    paper_half = (
        "errors",
        "files",
        "problems",
        "spec",
        "merging",
        "wiring",
        "graph",
        "checking",
        "plan",
        "draw",
        "cost.tables",
        "cost.config",
        "paper",
        "compat",
    )
    commands = ("cli", "cli.check", "cli.plan", "cli.compat", "cli.cost", "cli.show", "cli.schema")
    assert modules_after(";".join(f"import orchestra.{module}" for module in (*paper_half, *commands))) == set()


def test_what_speaks_to_the_hub_waits_for_no_tensors() -> None:
    assert modules_after("import orchestra.cli.push, orchestra.cli.pull, orchestra.cli.lock") == {"huggingface_hub"}


def test_the_heavy_half_is_seen_by_the_same_measure() -> None:
    assert modules_after("import orchestra.nn.mask") == {"torch", "numpy"}


def test_what_the_package_offers_is_exactly_this() -> None:
    assert orchestra.__all__ == [
        "BundleError",
        "ComposeError",
        "ComposedModel",
        "DataError",
        "EvalError",
        "GraphError",
        "HubError",
        "LockError",
        "MergeError",
        "ModelError",
        "OrchestraError",
        "SpecError",
        "TrainError",
        "load",
        "merge",
    ]


def test_everything_offered_is_there_and_listed() -> None:
    assert set(orchestra.__all__) <= set(dir(orchestra))
    for name in orchestra.__all__:
        assert getattr(orchestra, name).__module__.startswith("orchestra.")


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'orchestra' has no attribute 'laod'$"):
        _ = orchestra.laod  # type: ignore[attr-defined, unused-ignore]


def test_nothing_inside_imports_the_root() -> None:
    inside = [path for path in (ROOT / "orchestra").rglob("*.py") if path.parent.name != "cli"]
    importers = [path.name for path in inside if "\nimport orchestra\n" in path.read_text(encoding="utf-8")]
    assert importers == []


def test_matplotlib_is_imported_when_something_is_drawn_and_not_before() -> None:
    script = "import sys, orchestra.cli.show, orchestra.cli.contributions; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"


def test_mergekit_is_imported_when_models_are_merged_and_not_before() -> None:
    modules = (ROOT / "orchestra").rglob("*.py")
    lines = [line for path in modules for line in path.read_text(encoding="utf-8").splitlines() if "mergekit" in line]
    imports = [line for line in lines if line.lstrip().startswith(("import ", "from "))]
    assert imports
    assert [line for line in imports if not line.startswith("        ")] == []


def test_every_shipped_graph_can_exist() -> None:
    for path in GRAPHS:
        assert paper.plan(path).graph.sites, path.name
