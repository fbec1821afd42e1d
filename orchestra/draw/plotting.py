"""What matplotlib is asked for, and what is said where it is missing. It is imported when something is drawn."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestra.errors import ComposeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
_FONT = "DejaVu Sans"  # comes with matplotlib
_STYLE: Any = {"font.family": _FONT, "svg.hashsalt": "orchestra", "text.parse_math": False}


def check(path: Path, endings: Sequence[str] = ENDINGS) -> None:
    """See that a file can be plotted, before anything is worked out for it.

    Raises:
        ComposeError: matplotlib is missing, there is no such folder, or the ending is none of those that are written.
    """
    check_folder(path)
    if path.suffix.lower() not in endings:
        raise ComposeError(f"{path}: a picture ends in {', '.join(endings)}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as missing:
        raise ComposeError(f"{path}: drawing it needs matplotlib: pip install 'orchestra-lm[plot]'.") from missing


def check_folder(path: Path) -> None:
    """See that there is a folder to write a file into.

    Raises:
        ComposeError: there is none.
    """
    if not path.parent.is_dir():
        raise ComposeError(f"{path}: there is no folder {path.parent}.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file if the system does not let the block write it.

    Raises:
        ComposeError: it does not.
    """
    try:
        yield
    except OSError as error:
        raise ComposeError(f"{path}: cannot be written: {error.strerror or error}.") from error


@contextmanager
def sheet(path: Path, size: tuple[float, float], *, dpi: float = 110) -> "Iterator[Figure]":
    """An empty figure, written when the block ends: the same bytes for the same figure, and dollars are dollars.

    Args:
        size: width and height in inches.

    Raises:
        ComposeError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    about = {} if path.suffix.lower() == ".png" else {"CreationDate" if path.suffix.lower() == ".pdf" else "Date": None}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size)
        yield figure
        with writing(path):
            figure.savefig(path, dpi=dpi, metadata=about)


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
