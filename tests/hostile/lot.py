"""Loads every hostile graph, one after the other, in a process with little memory; a line of JSON for each.

`python -m tests.hostile.lot FOLDER` is run by the tests. The process is one that may not fetch anything.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import orchestra
from orchestra import api
from orchestra.io.checkpoint import cache_folder
from tests import folders
from tests.hostile.bundles import BUNDLES
from tests.hostile.cases import Cases
from tests.hostile.documents import GRAPHS
from tests.hostile.models import MODELS
from tests.hostile.texts import TOKENIZERS

ALL: Cases = {
    f"{group}: {name}": case
    for group, cases in {"graph": GRAPHS, "bundle": BUNDLES, "model": MODELS, "tokenizer": TOKENIZERS}.items()
    for name, case in cases.items()
}
MOST_BYTES = 1 << 30
"""What the process may take beyond what it has once everything is imported."""
LONGEST_S = 30


class TooLong(BaseException):
    """A case took longer than any may."""


def whole(base: Path) -> None:
    """What every case starts from: two models, a bundle between them, and their graph."""
    folders.checkpoint(base / "anchor", "llama")
    folders.checkpoint(base / "kv", "qwen3", seed=1)
    folders.bundle(base)
    (base / "fresh.json").unlink()
    folders.graph(base / "graph.json", folders.document(kv={"bridges": "kv-bundle"}))


def listing(base: Path) -> list[tuple[str, int, int]]:
    """Every file with its size and its time of change; none is opened, as some never end."""
    found = sorted(base.rglob("*"))
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in found]


def meet(base: Path) -> dict[str, Any]:
    """Load a graph, and say what came of it."""
    before, modules, peak = listing(base), set(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    signal.alarm(LONGEST_S)
    try:
        orchestra.load(base / "graph.json")
        kind, told = "", ""
    except BaseException as error:
        kind, told = type(error).__name__, str(error)
    signal.alarm(0)
    files = [getattr(sys.modules[name], "__file__", None) or "" for name in sys.modules.keys() - modules]
    return {
        "kind": kind,
        "told": told,
        "seconds": time.process_time() - started,
        "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak,
        "untouched": listing(base) == before,
        "imported": [file for file in files if file.startswith(str(base))],
    }


def main(folder: Path) -> None:
    """Run the lot."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    template = folder / "template"
    whole(template)
    api.load(template / "graph.json")  # what is imported late is there before anything is measured
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES,) * 2)
    for name, case in ALL.items():
        base = folder / "case"
        shutil.copytree(template, base)
        shutil.rmtree(cache_folder(), ignore_errors=True)
        case.build(base)
        print(json.dumps({"name": name, **meet(base)}), flush=True)
        shutil.rmtree(base)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
