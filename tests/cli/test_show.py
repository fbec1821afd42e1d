from pathlib import Path
from xml.etree import ElementTree

import orchestra
from orchestra import paper
from orchestra.draw import page, svg
from orchestra.io.gates import scalar_gates
from orchestra.loudness import mean_gates
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
    done = run("show", path, "--output", drawing)
    assert (done.code, done.out) == (0, f"{drawing}: written.\n")
    assert drawing.read_text(encoding="utf-8") == svg(paper.plan(path))
    assert ElementTree.parse(drawing).getroot().tag.endswith("svg")


def test_a_graph_that_cannot_exist_is_not_drawn(run: Run, tmp_path: Path) -> None:
    drawing = tmp_path / "graph.svg"
    assert run("show", graph_file(tmp_path, kv={"model": "lost"}), "--output", drawing).code == 1
    assert not drawing.exists()


def test_bridges_are_as_thick_as_the_bundles_say(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "graph.svg"
    assert run("show", loud_graph, "--output", drawing).code == 0
    planned = paper.plan(loud_graph)
    assert drawing.read_text(encoding="utf-8") == svg(planned, scalar_gates(planned.graph))
    assert len(set(scalar_gates(planned.graph).values())) > 2
    assert ", gate " in run("show", loud_graph).out


def test_bridges_are_as_thick_as_they_open_on_texts(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    page_file = tmp_path / "graph.html"
    done = run("show", loud_graph, "--text", "w5 w7", "--text", "w11", "--output", page_file)
    assert (done.code, done.out) == (0, f"{page_file}: written.\n")
    model = orchestra.load(loud_graph)
    gates = mean_gates(model, ["w5 w7", "w11"])
    assert {site.augment for site in gates} == {"kv"}  # tetum is off
    assert page_file.read_text(encoding="utf-8") == page(model.plan, gates)


def test_a_file_of_an_unknown_kind_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    done = run("show", tmp_path / "none.json", "--output", "graph.bmp")
    assert (done.code, done.err) == (1, "graph.bmp: a picture ends in .svg, .html, .png, .pdf.\n")
