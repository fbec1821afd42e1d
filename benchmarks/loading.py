"""What loading a composition costs over the parts' own `from_pretrained`; hashing the weights is timed apart.

python -m benchmarks.loading [--rounds 7]
"""

import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import orchestra
from benchmarks import timing, toy
from orchestra.io.checkpoint import file_sha256


def main() -> None:
    """Print the table."""
    told = timing.parser(__doc__).parse_args()
    timing.settle()
    with tempfile.TemporaryDirectory() as folder:
        models = {"anchor": toy.anchor(), **toy.augments(2)}
        places = {name: Path(folder, name) for name in models}
        for name, model in models.items():
            model.save_pretrained(places[name])
        document = {
            "format": "orchestra/graph@1",
            "anchor": {"model": str(places["anchor"])},
            "augments": {
                name: {"model": str(places[name]), "bridges": {"every": 2}} for name in models if name != "anchor"
            },
        }
        ways: dict[str, timing.Way] = {
            "composed": lambda: orchestra.load(document),
            "parts": lambda: [AutoModelForCausalLM.from_pretrained(each, dtype="auto") for each in places.values()],
            "fingerprints": lambda: [file_sha256(each / "model.safetensors") for each in places.values()],
        }
        with torch.no_grad():
            times = timing.alternate(ways, rounds=told.rounds)
    timing.row("load: composed / parts", times, "composed", "parts", 1.10)
    timing.row("fingerprints / parts", times, "fingerprints", "parts")


if __name__ == "__main__":
    main()
