"""The report's plots. Each names the digest of what it shows, so that one that is out of date can be told."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

Content = Mapping[str, Any]
Series = list[dict[str, float]]

BLUE, ORANGE, GREY, GREEN = "#0b6aa8", "#d1661f", "#8a8a8a", "#3c8c4f"
ALONE: Any = {"markerfacecolor": "white", "markeredgecolor": "black", "markersize": 5}
SHARES = {
    "weights": ("weights, bridges included", BLUE),
    "caches": ("caches", GREEN),
    "tokenizers": ("tokenizers by themselves", GREY),
    "beyond": ("beyond", ORANGE),
}
STYLE: Any = {
    "svg.hashsalt": "orchestra",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
}


def length(figure: Figure, found: Mapping[str, Content]) -> None:
    """Milliseconds per token as the text grows."""
    axes = figure.subplots()
    points: Series = found["length"]["series"]["length"]
    new = [point["new"] for point in points]
    axes.plot(
        new, [point["composed_ms"] for point in points], "o-", color=BLUE, label="anchor and two augments, composed"
    )
    axes.plot(new, [point["parts_ms"] for point in points], "s-", color=ORANGE, label="the sum of its parts")
    axes.set_xscale("log", base=2)
    axes.set_xticks(new, [f"{int(each):,}" for each in new])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("new tokens behind a prompt of 16")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("CPU milliseconds per token, toy, one thread")
    axes.grid(axis="y", alpha=0.3)


def many(figure: Figure, found: Mapping[str, Content]) -> None:
    """Milliseconds and operators against the number of augments."""
    points: Series = found["many"]["series"]["augments"]
    left, right = figure.subplots(1, 2)
    _against_number(left, points, "ms_per_token", "CPU milliseconds per token", BLUE)
    _against_number(right, points, "operators", "operators per token", GREEN)


def _against_number(axes: Axes, points: Series, field: str, title: str, color: str) -> None:
    number, values = [point["number"] for point in points], [point[field] for point in points]
    slope = (values[2] - values[0]) / (number[2] - number[0])
    line = [values[0] + slope * (each - number[0]) for each in number]
    axes.plot(number, line, "--", color=GREY, label="a straight line through 1 and 4")
    axes.plot(number, values, "o", color=color, label="measured" if field == "ms_per_token" else "counted")
    axes.set_xticks(number)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("augments")
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


def memory(figure: Figure, found: Mapping[str, Content]) -> None:
    """The peaks of loading and decoding, in parts, over the weights."""
    names = (name for name in ("memory", "memory-real") if name in found)
    bars = {what: points[0] for name in names for what, points in found[name]["series"].items()}
    axes = figure.subplots()
    for at, point in enumerate(bars.values()):
        weights, start = point["weights"], 0.0
        sizes = {"weights": weights, "caches": point.get("caches", 0), "tokenizers": point.get("tokenizers", 0)}
        sizes["beyond"] = max(0, point["peak"] - sum(sizes.values()))
        for name, size in sizes.items():
            axes.barh(at, size / weights, left=start, color=SHARES[name][1], height=0.6)
            start += size / weights
        target = 1.1 * (1 + sizes["caches"] / weights)
        axes.plot([target, target], [at - 0.38, at + 0.38], color="black", linewidth=1.5)
        if "parts" in point:
            axes.plot(point["parts"] / weights, at, "D", **ALONE)
        axes.text(max(start, target) + 0.03, at, f"{point['peak'] / 1e6:,.0f} MB", va="center")
    shown = [Patch(color=color, label=label) for label, color in SHARES.values()]
    line = Line2D([], [], color="black", label="1.1 times weights and caches")
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.set_xlim(right=axes.get_xlim()[1] * 1.12)
    axes.set_xlabel("peak over the weights' own bytes")
    axes.set_title("Memory at the peak")
    alone = Line2D([], [], linestyle="none", marker="D", label="the parts' own load, which maps files", **ALONE)
    figure.legend(handles=[*shown, line, alone], frameon=False, loc="outside lower center", ncols=3)


DRAWN: dict[str, tuple[Callable[[Figure, Mapping[str, Content]], None], tuple[str, ...], tuple[float, float]]] = {
    "decode-length": (length, ("length",), (6.5, 3.6)),
    "augments": (many, ("many",), (8.5, 3.4)),
    "memory": (memory, ("memory", "memory-real"), (8.5, 4.2)),
}
"""What draws each plot, the tables that it shows, and its size."""


def digest(plot: str, found: Mapping[str, Content]) -> str:
    """Of what a plot shows."""
    series = [found[name]["series"] for name in DRAWN[plot][1] if name in found]
    return hashlib.sha256(json.dumps(series, sort_keys=True).encode()).hexdigest()[:16]


def draw(found: Mapping[str, Content], folder: Path, kind: str = "svg") -> list[Path]:
    """Draw those whose first table is there, and return where they are."""
    paths = []
    for name, (drawn, needed, size) in DRAWN.items():
        if needed[0] not in found:
            continue
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=size, layout="constrained")
            drawn(figure, found)
            about = {"Date": None, "Creator": None, "Description": digest(name, found)} if kind == "svg" else {}
            figure.savefig(folder / f"{name}.{kind}", metadata=about, dpi=110)
        paths.append(folder / f"{name}.{kind}")
    return paths
