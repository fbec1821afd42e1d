from pathlib import Path
from xml.etree import ElementTree

from orchestra import paper
from orchestra.draw import svg
from tests.cli.conftest import Run
from tests.papers import graph_file


def test_the_graph_is_printed_as_a_tree(run: Run, tmp_path: Path) -> None:
    done = run("show", graph_file(tmp_path))
    assert done.code == 0
    assert done.out == (
        "anchor  llama, width 22, 5 layers\n└── layer 4\n    └── kv, layer 2\n"
        "kv  gpt2, width 14, 3 layers, 3 run, reads the anchor's ids\n"
    )


def test_the_drawing_is_written_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    path, drawing = graph_file(tmp_path), tmp_path / "graph.svg"
    done = run("show", path, "--svg", drawing)
    assert (done.code, done.out) == (0, f"{drawing}: written.\n")
    assert drawing.read_text(encoding="utf-8") == svg(paper.plan(path))
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")


def test_a_graph_that_cannot_exist_is_not_drawn(run: Run, tmp_path: Path) -> None:
    drawing = tmp_path / "graph.svg"
    assert run("show", graph_file(tmp_path, kv={"model": "lost"}), "--svg", drawing).code == 1
    assert not drawing.exists()
