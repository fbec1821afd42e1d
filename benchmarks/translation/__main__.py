"""The table: a composition that translates out of one language, beside what it is made of and what could replace it.

    make real                                           # once: fetches the two models
    python -m benchmarks.translation --catalogues DIR --out benchmarks/results/translation.json

Every row is kept in `--work` when it is done, and training goes on from its last checkpoint: run it again after a stop.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.translation import data, learners, start, table, text, training
from benchmarks.translation.text import Form
from benchmarks.translation.writing import translations
from orchestra.nn.bridge import Bridge
from tests.real.fetch import folder

PAIRS = [(4, 0), (6, 3), (8, 6), (11, 10), (17, 21), (17, 28)]
RECIPE = {"pairs": [{"augment_layer": low, "anchor_layer": high} for low, high in PAIRS], "gate": "none"}
RATES = {"lora": 1e-3, "composition": 1e-3, "random augment": 1e-3}


def main() -> None:
    """Fill in the rows that are missing, and write the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    work: Path = options.work / options.language
    found = data.pairs(options.language, options.catalogues)
    parts = data.split(found, train=options.train, tune=options.tune, test=options.test)
    fill = Bench(options, parts, work).rows()
    done = {}
    for name in options.rows or fill:
        place = work / f"{name.replace(' ', '-')}.json"
        if not place.is_file():
            print(f"{name} ...", flush=True)
            started = time.process_time()
            row = fill[name](name)
            row["cpu_minutes"] = round((time.process_time() - started) / 60, 1)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(row, ensure_ascii=False, indent=1), "utf-8")
        done[name] = json.loads(place.read_text("utf-8"))
    result = table.result(done, parts, options.name, epochs=options.epochs, shots=options.shots)
    if options.out is not None:
        options.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
        options.out.with_suffix(".md").write_text(table.markdown(result), "utf-8")
    print(table.markdown(result))


class Bench:
    """The rows, each by what fills it in."""

    def __init__(self, options: argparse.Namespace, parts: data.Split, work: Path) -> None:
        self.options = options
        self.parts = parts
        self.work = work
        self.form = Form(language=options.name)
        self.anchor, self.augment = folder("smollm2"), folder("gemma3")

    def rows(self) -> dict[str, Callable[[str], dict[str, Any]]]:
        """What fills each row in, in the order of the table."""
        random = self.work / "random"
        return {
            "smollm2": lambda _: self._few(self.anchor),
            "gemma3": lambda _: self._few(self.augment),
            "lora": lambda name: self._trained(name, self._lora()),
            "random augment": lambda name: self._trained(
                name, self._started(self._bridges(learners.shuffled(self.augment, random)))
            ),
            "composition": lambda name: self._trained(name, self._started(self._bridges(self.augment))),
        }

    def _few(self, place: Path) -> dict[str, Any]:
        """A model as it is, after examples."""
        model = learners.plain(place, self.options.device)
        return {"outputs": self._write(model, _tokenizer(place), self.parts.train[: self.options.shots])}

    def _lora(self) -> learners.Learner:
        num_weights = self._bridges(self.augment).num_weights
        return learners.lora(self.anchor, num_weights=num_weights, device=self.options.device)

    def _bridges(self, augment: Path) -> learners.Learner:
        torch.manual_seed(0)
        return learners.bridges(self.anchor, augment, RECIPE, tail="provisional", device=self.options.device)

    def _started(self, learner: learners.Learner) -> learners.Learner:
        """Bridges that begin with what both models make of English."""
        bridges = [module for module in learner.model.modules() if isinstance(module, Bridge)]
        some = self.parts.train[:1000]
        english = self._batches([replace(pair, source=pair.english) for pair in some])
        foreign = self._batches(some)[::16]
        start.even_out(bridges, learner.prepare(foreign), foreign)
        start.stitch(bridges, learner.prepare(english), english)
        return learner

    def _batches(self, pairs: Sequence[data.Pair]) -> list[text.Batch]:
        batches = text.batches(_tokenizer(self.anchor), self.form, pairs, size=self.options.batch)
        return [batch.to(self.options.device) for batch in batches]

    def _trained(self, name: str, learner: learners.Learner) -> dict[str, Any]:
        batches, tune = self._batches(self.parts.train), self._batches(self.parts.tune)
        settings = training.Settings(epochs=self.options.epochs, rate=RATES[name])
        place = self.work / f"{name.replace(' ', '-')}.pt"
        training.fit(learner.weights, learner.prepare(batches), batches, settings, place=place)
        return {
            "num_weights": learner.num_weights,
            "rate": settings.rate,
            "tune_loss": round(training.mean_loss(learner.prepare(tune), tune), 4),
            "outputs": self._write(learner.model, _tokenizer(self.anchor), ()),
        }

    def _write(self, model: Any, tokenizer: PreTrainedTokenizerBase, shots: Sequence[data.Pair]) -> list[str]:
        return translations(model, tokenizer, self.form, self.parts.test, shots=shots, size=self.options.batch)


def _tokenizer(place: Path) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation")
    parser.add_argument("--language", default="mk", help="its code: the folder of its catalogues")
    parser.add_argument("--name", default="Macedonian", help="as the models read it")
    parser.add_argument("--catalogues", type=Path, nargs="*", default=[Path("/usr")], help="searched for *.mo files")
    parser.add_argument("--out", type=Path, help="the table as JSON; beside it as Markdown")
    parser.add_argument("--work", type=Path, default=Path("runs/translation"), help="rows and checkpoints")
    parser.add_argument("--rows", nargs="*", help="only these")
    parser.add_argument("--train", type=int, default=4000, help="pairs")
    parser.add_argument("--tune", type=int, default=100, help="pairs")
    parser.add_argument("--test", type=int, default=200, help="pairs")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
