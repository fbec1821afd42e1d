"""picture(): a plan as a file, painted by matplotlib on white."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestra.draw import plotting
from orchestra.draw.boxes import GREY, WIDTH, Model, Row
from orchestra.draw.scene import Arrow, Scene, scene
from orchestra.graph import Site
from orchestra.plan import Plan

_INCH = 96  # pixels
_POINT = 0.72  # of a pixel of text: a point, and what the font is wider than those of browsers


def picture(plan: Plan, path: Path, gates: Mapping[Site, float] | None = None) -> None:
    """Draw a plan into a .png or .pdf file; arguments are as for `svg`."""
    drawn = scene(plan, gates)
    with plotting.sheet(path, (drawn.width / _INCH, drawn.height / _INCH), dpi=2 * _INCH) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, drawn.width)
        axes.set_ylim(drawn.height, 0)
        axes.set_axis_off()
        for patch in _patches(drawn):
            axes.add_patch(patch)
        for model in drawn.models:
            _write(axes, model)
        look: Any = {"ha": "center", "va": "center", "fontsize": 12 * _POINT, "color": GREY}
        axes.text(drawn.width / 2, drawn.height - 16, drawn.note, **look)


def _patches(drawn: Scene) -> Iterator[Any]:
    for model in drawn.models:
        faded = 0.7 if model.faded else 1.0
        yield _box((model.left, model.top), (WIDTH, model.height), 9, model.colour, 0.07, model.colour, faded)
        for row in model.rows:
            yield _row(model, row, faded)
    for arrow in drawn.arrows:
        yield from _arrow(arrow)


def _row(model: Model, row: Row, faded: float) -> Any:
    filled = {"joined": 1.0, "plain": 0.15, "never": 0.0}[row.look]
    edge = GREY if row.look == "never" else model.colour
    corner, size = (model.left + 10, row.top), (WIDTH - 20, row.height)
    return _box(corner, size, 5, model.colour, filled, edge, faded, dashed=row.look == "never")


def _box(
    corner: tuple[float, float],
    size: tuple[float, float],
    radius: float,
    fill: str,
    filled: float,
    edge: str,
    faded: float,
    *,
    dashed: bool = False,
) -> Any:
    from matplotlib.patches import FancyBboxPatch

    style: Any = f"round,pad=0,rounding_size={radius}"
    colours: Any = {"facecolor": (fill, filled * faded), "edgecolor": (edge, faded)}
    line: Any = {"linewidth": _POINT, "linestyle": (0, (3, 3)) if dashed else "-"}
    return FancyBboxPatch(corner, size[0], size[1], boxstyle=style, mutation_aspect=1, **colours, **line)


def _arrow(arrow: Arrow) -> Iterator[Any]:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Curve

    points = [arrow.path.start, *(point for curve in arrow.path.curves for point in curve)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * (len(points) - 1)]
    dashes: Any = (0, (4 / arrow.width, 4 / arrow.width)) if arrow.faded else "-"
    look: Any = {"linewidth": arrow.width * _POINT, "linestyle": dashes, "capstyle": "butt"}
    yield PathPatch(Curve(points, codes), facecolor="none", edgecolor=arrow.colour, **look)
    yield Polygon(arrow.corners, closed=True, facecolor=arrow.colour, linewidth=0)


def _write(axes: Any, model: Model) -> None:
    """The texts of a model."""
    middle, faded = model.left + WIDTH / 2, 0.7 if model.faded else 1.0
    place: Any = {"ha": "center", "va": "center_baseline", "alpha": faded}
    for index, line in enumerate(model.lines):
        name: Any = {"fontsize": 15 * _POINT, "fontweight": "bold", "color": model.colour}
        other: Any = {"fontsize": 12 * _POINT, "color": GREY}
        written = plotting.legible(line)
        axes.text(middle, model.top + 18 + 16 * index, written, **place, **(name if index == 0 else other))
    for row in model.rows:
        ink = "white" if row.look == "joined" else GREY
        axes.text(middle, row.middle, row.text, **place, fontsize=12 * _POINT, color=ink)
