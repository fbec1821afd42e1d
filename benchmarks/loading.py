"""What loading a composition costs over the parts' own `from_pretrained`; hashing the weights is timed apart.

    python -m benchmarks.loading [--real] [--rounds 7]

`from_pretrained` maps files and reads no weight before it is needed; a composition looks at every weight for NaN. So
the parts are timed a second time, with each weight looked at once. Digests of weights are needed for bundles only, and
are remembered: the bundles' row has them remembered.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import orchestra
from benchmarks import folders, real, timing, toy
from benchmarks.table import Table
from orchestra.io.checkpoint import file_sha256


def look(models: list[Any]) -> None:
    """Read every weight once."""
    for model in models:
        for weight in model.state_dict().values():
            weight.aminmax()


def ways(places: dict[str, Path], bundles: Path) -> dict[str, timing.Way]:
    """Loading with fresh bridges and with bundles, the parts, and the digests that bundles are held against."""
    fresh = real.document(places)
    orchestra.load(fresh).save_bridges(bundles)
    named = {**fresh, "augments": {n: {**a, "bridges": str(bundles / n)} for n, a in fresh["augments"].items()}}

    def parts() -> list[Any]:
        for place in places.values():
            if (place / "tokenizer.json").is_file():
                AutoTokenizer.from_pretrained(place)
        return [AutoModelForCausalLM.from_pretrained(place, dtype="auto") for place in places.values()]

    return {
        "fresh": lambda: orchestra.load(fresh),
        "bundles": lambda: orchestra.load(named),
        "parts": parts,
        "looked at": lambda: look(parts()),
        "fingerprints": lambda: [file_sha256(place / "model.safetensors") for place in places.values()],
    }


def rows(table: Table, what: str, places: dict[str, Path], work: Path, rounds: int) -> None:
    """The rows of some models."""
    with torch.no_grad():
        times = timing.alternate(ways(places, work / "bundles"), rounds=rounds)
    for way, name in (("bundles", "with bundles"), ("fresh", "with fresh bridges")):
        table.ratio(f"{what}, {name} / the parts' from_pretrained", times, way, "parts", 1.10)
        table.ratio(f"{what}, {name} / the parts, weights looked at", times, way, "looked at")
    table.ratio(f"{what}, fingerprints, the first time / the parts' from_pretrained", times, "fingerprints", "parts")
    table.point(what, **{name.replace(" ", "_") + "_s": times.of(name) for name in times.seconds})


def toys(place: Path) -> dict[str, dict[str, Path]]:
    """The toy and the wide toy in folders, old enough that their digests are remembered."""
    small = folders.save({"anchor": toy.anchor(), **toy.augments(2)}, place / "small")
    wide = folders.save(folders.wide(torch.float32), place / "wide")
    for each in (*small.values(), *wide.values()):
        os.utime(each / "model.safetensors", (past := time.time() - 10, past))
    return {"toy": small, "wide toy": wide}


def main() -> None:
    """Make the table."""
    told = timing.with_real(__doc__, rounds=7).parse_args()
    timing.settle()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["ORCHESTRA_CACHE"] = str(work / "cache")
        if told.real:
            table = Table("loading-real", "Loading, real models", told)
            rows(table, "SmolLM2 + three", real.folders(3), work, told.rounds)
        else:
            table = Table("loading", "Loading, toys", told)
            for name, places in toys(work).items():
                rows(table, name, places, work / f"{name} of {len(places)}", told.rounds)
    table.write()


if __name__ == "__main__":
    main()
