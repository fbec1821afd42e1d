"""The heat map of a text: what each next token owes to each augment, how far each bridge is open, and how loud it is.

Panels over the same tokens stand upon each other, with the tokens below them and the tokens that follow above.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestra.draw import plotting
from orchestra.wiring import ANCHOR

if TYPE_CHECKING:
    from orchestra.runtime.contributions import Contribution, Contributions

_CELL = (0.28, 0.26)  # inches of a token and of a row
_FEWEST = 24  # tokens that there is room for, be there fewer
_WIDEST = 60.0
_LETTER = 0.08
_TITLE = 0.34
_MARGIN = 0.25
_BARS = 0.9
_SMALL: Any = {"fontsize": 8}
_BLANK, _BREAK = "\N{OPEN BOX}", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One grid of numbers: a row per bridge or augment.

    Attributes:
        signed: whether 0 is the middle of its colours and not their end.
    """

    title: str
    rows: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    colours: str
    signed: bool = False

    @property
    def height(self) -> float:
        return len(self.rows) * _CELL[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Panels over the same tokens.

    Attributes:
        above: what stands above each token; nothing, or as many as there are tokens.
        end: how many of the tokens are the prompt.
    """

    panels: tuple[_Panel, ...]
    tokens: tuple[str, ...]
    above: tuple[str, ...] = ()
    end: int = 0

    @property
    def height(self) -> float:
        labels = _reach(self.tokens) + (_reach(self.above) if self.above else 0)
        return 2 * _MARGIN + labels + sum(_TITLE + panel.height for panel in self.panels)


def write(found: "Contributions", path: Path) -> None:
    """Draw it into a file.

    Raises:
        ComposeError: matplotlib is missing, or the ending of the path is unknown.
    """
    plotting.check(path)
    groups = [group for group in _groups(found) if group.panels]
    names = [len(row) for group in groups for panel in group.panels for row in panel.rows]
    left, longest = _MARGIN + _LETTER * max(names, default=0), max((len(group.tokens) for group in groups), default=0)
    width = min(_WIDEST, left + _BARS + max(_FEWEST, longest) * _CELL[0])
    size = width, sum(group.height for group in groups) or 1.0
    top, cell = size[1], (width - left - _BARS) / max(_FEWEST, longest)
    with plotting.sheet(path, size) as figure:
        for group in groups:
            _draw(figure, group, top=top, left=left, cell=cell)
            top -= group.height


def _groups(found: "Contributions") -> Iterator[_Group]:
    lost = _Panel(
        title="log-probability that the next token loses with the augment off; above: the next token",
        rows=tuple(found.lost),
        values=tuple(found.lost.values()),
        colours="RdBu",
        signed=True,
    )
    bridges = [bridge for bridge in found.bridges if bridge.into == ANCHOR]
    panels = (*([lost] if found.lost else []), *_bridges(bridges, ""))
    tokens, emitted = (tuple(map(_sign, texts)) for texts in (found.tokens, found.emitted))
    yield _Group(panels=panels, tokens=tokens, above=emitted if found.lost else (), end=found.prompt_length)
    for name, read in found.fed.items():
        ahead = zip(read.tokens, read.provisional, strict=True)
        own = tuple(_sign(token) + " (ahead)" * early for token, early in ahead)
        bridges = [bridge for bridge in found.bridges if bridge.into == name]
        yield _Group(panels=tuple(_bridges(bridges, f"into {name}, over its tokens: ")), tokens=own)


def _bridges(bridges: Sequence["Contribution"], place: str) -> Iterator[_Panel]:
    """Gates and shares of the bridges into one model."""
    if not bridges:
        return
    rows = tuple(f"{one.augment} {one.augment_layer} \N{RIGHTWARDS ARROW} {one.anchor_layer}" for one in bridges)
    gates, shares = tuple(one.gate for one in bridges), tuple(one.share for one in bridges)
    signed = min(map(min, gates)) < 0
    yield _Panel(title=f"{place}gate", rows=rows, values=gates, colours="PuOr" if signed else "Greens", signed=signed)
    yield _Panel(title=f"{place}|residual| / |hidden|", rows=rows, values=shares, colours="Oranges")


def _draw(figure: Any, group: _Group, *, top: float, left: float, cell: float) -> None:
    """Draw panels from an inch of the figure downwards; `cell` is the width of a token."""
    width, height = figure.get_size_inches()
    across, first = cell * len(group.tokens), top - _MARGIN - (_reach(group.above) if group.above else 0)
    step = max(1, round(_CELL[0] / cell))  # of a very long text only some tokens are named
    named = list(range(0, len(group.tokens), step))
    for panel in group.panels:
        above = group.above if panel is group.panels[0] else ()
        first -= _TITLE + panel.height
        axes = figure.add_axes((left / width, first / height, across / width, panel.height / height))
        bar = figure.add_axes(((left + across + 0.12) / width, first / height, 0.1 / width, panel.height / height))
        _fill(figure, axes, bar, panel)
        axes.set_title(panel.title, fontsize=9, loc="left", y=1, pad=4 + (72 * _reach(above) if above else 0))
        if 0 < group.end < len(group.tokens):
            axes.axvline(group.end - 0.5, color="black", linewidth=1, linestyle=":")
        if above:
            _name(axes.secondary_xaxis("top"), [above[index] for index in named], named)
        _name(axes, [group.tokens[index] for index in named] if panel is group.panels[-1] else [], named)


def _fill(figure: Any, axes: Any, bar: Any, panel: _Panel) -> None:
    """The colours of one panel, and the bar that says what they mean."""
    most = max((abs(value) for row in panel.values for value in row), default=0) or 1.0
    low = -most if panel.signed else 0
    look: Any = {"aspect": "auto", "interpolation": "none"}
    shown = axes.imshow(panel.values, cmap=panel.colours, vmin=low, vmax=most, **look)
    axes.set_yticks(range(len(panel.rows)), panel.rows, fontsize=9)
    axes.tick_params(length=0)
    figure.colorbar(shown, cax=bar, ticks=[low, 0, most] if panel.signed else [0, most], format="%.3g")
    bar.tick_params(labelsize=7, length=2)


def _name(axis: Any, labels: Sequence[str], places: Sequence[int]) -> None:
    """Name columns; a label of more than two letters stands upright."""
    axis.set_xticks(places if labels else [])
    axis.set_xticklabels(labels, **_SMALL)
    axis.tick_params(length=0)
    for label in axis.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 2 else 0)


def _reach(labels: Sequence[str]) -> float:
    """Inches that labels take upwards."""
    longest = max(map(len, labels), default=0)
    return 0.22 if longest <= 2 else 0.1 + _LETTER * longest


def _sign(token: str) -> str:
    """A token in letters that the font has; blanks are shown."""
    return plotting.legible(token.replace(" ", _BLANK).replace("\n", _BREAK))
