"""svg(): a plan as the text of an SVG file.

Nothing behind the drawing is painted, and its greys are of middle brightness: it reads on a light and on a dark page.
"""

from collections.abc import Callable, Iterator, Mapping
from html import escape

from orchestra.draw.boxes import GREY, WIDTH, Model, Row
from orchestra.draw.scene import Arrow, Scene, scene
from orchestra.draw.words import printable
from orchestra.graph import Site
from orchestra.plan import Plan


def svg(plan: Plan, gates: Mapping[Site, float] | None = None) -> str:
    """Draw a plan, as the text of an SVG file.

    Layers above the highest one that an augment's bridges read are never run, and drawn so.

    Args:
        gates: how far bridges are open, as a mean, of those of which it is known; the widest open is drawn thickest.
    """
    return paint(scene(plan, gates))


def paint(drawn: Scene, link: Callable[[str], str] | None = None) -> str:
    """A scene as SVG.

    Args:
        link: the address that a click on a model leads to, by its name.
    """
    size = f'viewBox="0 0 {drawn.width:g} {drawn.height:g}" width="{drawn.width:g}" height="{drawn.height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="system-ui, sans-serif" font-size="12" '
        'text-anchor="middle">',
        f"<title>{text(drawn.title)}</title>",
        *(line for model in drawn.models for line in _model(model, link)),
        *map(_arrow, drawn.arrows),
    ]
    if drawn.note:
        lines.append(_label(drawn.width / 2, drawn.height - 12, drawn.note, f'fill="{GREY}"'))
    return "\n".join([*lines, "</svg>", ""])


def text(content: str) -> str:
    """Text that XML can hold: escaped, and without control characters."""
    return escape(printable(content))


def _model(model: Model, link: Callable[[str], str] | None) -> Iterator[str]:
    name = text(model.name)
    yield f'<g class="model is-{name}" fill="{GREY}" opacity="{0.7 if model.faded else 1}"><title>{name}</title>'
    if link is not None:
        yield f'<a href="{text(link(model.name))}">'
    yield _rect(
        model.left, model.top, WIDTH, model.height, 9, f'fill="{model.colour}" fill-opacity="0.07"', model.colour
    )
    for index, line in enumerate(model.lines):
        style = f'font-size="15" font-weight="bold" fill="{model.colour}"' if index == 0 else ""
        yield _label(model.left + WIDTH / 2, model.top + 22 + 16 * index, line, style)
    yield from (_row(model, row) for row in model.rows)
    if link is not None:
        yield "</a>"
    yield "</g>"


def _row(model: Model, row: Row) -> str:
    paint, stroke, ink = f'fill="{model.colour}" fill-opacity="0.15"', model.colour, GREY
    if row.look == "joined":
        paint, ink = f'fill="{model.colour}"', "#ffffff"
    elif row.look == "never":
        paint, stroke = 'fill="none" stroke-dasharray="3 3"', GREY
    box = _rect(model.left + 10, row.top, WIDTH - 20, row.height, 5, paint, stroke)
    return box + _label(model.left + WIDTH / 2, row.middle + 4, row.text, f'fill="{ink}"')


def _arrow(arrow: Arrow) -> str:
    x, y = arrow.path.start
    path = f"M{x:g} {y:g}" + "".join(
        f"C{' '.join(f'{number:g}' for point in curve for number in point)}" for curve in arrow.path.curves
    )
    corners = " ".join(f"{x:g},{y:g}" for x, y in arrow.corners)
    dashes = ' stroke-dasharray="4 4"' if arrow.faded else ""
    return (
        f'<g class="bridge from-{text(arrow.site.augment)}"><title>{text(arrow.told)}</title>'
        f'<path d="{path}" fill="none" stroke="{arrow.colour}" stroke-width="{arrow.width:.2g}"{dashes}/>'
        f'<polygon points="{corners}" fill="{arrow.colour}"/></g>'
    )


def _rect(x: float, y: float, width: float, height: float, radius: float, paint: str, stroke: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" {paint} stroke="{stroke}"/>'
    )


def _label(x: float, y: float, content: str, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{text(content)}</text>'
