"""What matplotlib is asked for, and what is said where it is missing. It is imported when something is drawn."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestra.errors import ComposeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
_FONT = "DejaVu Sans"  # comes with matplotlib
_STYLE = {"font.family": _FONT, "svg.hashsalt": "orchestra", "text.parse_math": False}


def check(path: Path, endings: Sequence[str] = ENDINGS) -> None:
    """See that a file can be plotted, before anything is worked out for it.

    Raises:
        ComposeError: matplotlib is missing, or the ending is none of those that are written.
    """
    if path.suffix.lower() not in endings:
        raise ComposeError(f"{path}: a picture ends in {', '.join(endings)}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as missing:
        raise ComposeError(f"{path}: drawing it needs matplotlib: pip install 'orchestra-lm[plot]'.") from missing


def figure(size: tuple[float, float]) -> "Figure":
    """An empty figure, of a width and a height in inches; no window is opened for it."""
    from matplotlib.figure import Figure

    return Figure(figsize=size)


def save(drawn: "Figure", path: Path, *, dpi: float = 110) -> None:
    """Write a figure: the same bytes for the same figure, and dollars are dollars."""
    import matplotlib as mpl

    about = {} if path.suffix.lower() == ".png" else {"CreationDate" if path.suffix.lower() == ".pdf" else "Date": None}
    with mpl.rc_context(_STYLE):
        drawn.savefig(path, dpi=dpi, metadata=about)


def legible(text: str) -> str:
    """A text in letters that the font has; any other is written as its escape."""
    return "".join(
        letter if letter.isprintable() and ord(letter) in _letters() else ascii(letter)[1:-1] for letter in text
    )


@cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(findfont(_FONT))).get_charmap())
