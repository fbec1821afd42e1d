"""write(): a drawing into a file of the kind that its name ends in."""

from collections.abc import Mapping
from pathlib import Path

from orchestra.draw import plotting
from orchestra.draw.picture import picture
from orchestra.draw.vector import svg
from orchestra.draw.web import page
from orchestra.graph import Site
from orchestra.plan import Plan

_TEXTS = {".svg": svg, ".html": page}
_PLOTTED = (".png", ".pdf")


def check(path: Path) -> None:
    """See that a file can be drawn, before anything is worked out for it.

    Raises:
        ComposeError: the ending is unknown, there is no such folder, or matplotlib is missing, which .png and .pdf
            need.
    """
    plotting.check_folder(path)
    if path.suffix.lower() not in _TEXTS:
        plotting.check(path, (*_TEXTS, *_PLOTTED))


def write(plan: Plan, path: Path, gates: Mapping[Site, float] | None = None) -> None:
    """Draw a plan into a file: .svg, .html, .png or .pdf.

    Args:
        gates: how far bridges are open, as a mean, of those of which it is known; the widest open is drawn thickest.

    Raises:
        ComposeError: as `check`, or the file cannot be written.
    """
    check(path)
    draw = _TEXTS.get(path.suffix.lower())
    if draw is None:
        picture(plan, path, gates)
    else:
        content = draw(plan, gates)
        with plotting.writing(path):
            path.write_text(content, encoding="utf-8")
