"""Where results of experiments are written."""

from pathlib import Path

from orchestra.io.checkpoint import write_atomically

FOLDER = Path("benchmarks/results")


def named(name: str, scale: str) -> str:
    """What an experiment's results are called: those of different scales stand side by side."""
    return name if scale == "small" else f"{name}-{scale}"


def write(output: Path, name: str, results: str, table: str) -> None:
    """Write results, each file whole or not at all.

    Args:
        output: `benchmarks/results/` is below it, and made where it is missing.
        results: as JSON, for `NAME.json`; `table`: for people, for `NAME.md`.
    """
    folder = output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", f"{results}\n")
    write_atomically(folder / f"{name}.md", table)
