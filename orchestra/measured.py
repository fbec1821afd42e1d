"""measure(): what a graph takes on this machine, in time and in memory, beside what it is held against.

All ways take turns, round by round. A ratio is taken in each round; told are the median and the least and the greatest.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from orchestra import wiring
from orchestra.api import load
from orchestra.cost.asked import Asked
from orchestra.cost.report import Cost
from orchestra.cost.tables import columns, num_bytes, seconds
from orchestra.errors import ComposeError
from orchestra.runtime.config import shortest
from orchestra.runtime.model import ComposedModel
from orchestra.stopwatch import Times, Way, alternate, clock_of, peak
from orchestra.ways import Bench, adapted


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Ratios of one way over another, one per round."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way, measured.

    Attributes:
        prompt_s, token_s: for a batch: to read the prompt, and to write a token behind it; medians.
        prompt_times, token_times: over the anchor.
        peak_bytes: the most that was held at a time beside weights.
    """

    name: str
    kind: str
    prompt_s: float
    token_s: float
    prompt_times: Share
    token_times: Share
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """Likewise, of a training step without the optimizer's.

    Attributes:
        times: over fine-tuning the anchor.
    """

    name: str
    kind: str
    step_s: float
    times: Share
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All ways.

    Attributes:
        clock: what seconds are.
        tokens_per_token: of each augment that reads a stream, over a text with what was written behind it.
    """

    device: str
    clock: str
    threads: int
    rounds: int
    rows: tuple[Measured, ...]
    train: tuple[MeasuredStep, ...]
    tokens_per_token: Mapping[str, float]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same, in what JSON knows."""
        return asdict(self)


def measure(source: str | Path | Mapping[str, Any] | ComposedModel, cost: Cost, *, rounds: int = 5) -> Measurements:
    """Run a graph, and what it is held against, on texts of the sizes that a cost was asked for.

    Args:
        source: what `orchestra.load` takes, or what it returned.

    Raises:
        ComposeError: the texts are longer than a model has positions for; and whatever `load` raises.
    """
    model = source if isinstance(source, ComposedModel) else load(source)
    asked = cost.asked
    check_lengths(model, asked)
    bench = Bench(model, asked)
    lora = adapted(model, cost.lora) if find_spec("peft") else None
    running, training = bench.running(cost, lora), bench.training(cost, lora)
    halves = {f"{name}: {half}": way[half] for half in ("prompt", "text") for name, way in running.items()}
    with _progress(rounds, {**halves, **training}) as ways:
        times = alternate(ways, rounds=rounds, clock=clock_of(model.device))
        peaks = {name: _peak(model.device, way) for name, way in ways.items() if not name.endswith(": prompt")}
    kinds = {row.name: row.kind for row in cost.rows if row.kind != "augment"}
    kinds |= {step.name: step.kind for step in cost.train}
    kinds |= {f"anchor + {name}": "augment" for name in model.active}
    return Measurements(
        device=torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type,
        clock="seconds of the GPU" if model.device.type == "cuda" else "CPU-seconds",
        threads=torch.get_num_threads(),
        rounds=rounds,
        rows=tuple(_row(name, kinds, times, peaks, asked.new_tokens) for name in running),
        train=tuple(_step(name, kinds, times, peaks) for name in training),
        tokens_per_token=bench.ratios(),
        notes=() if lora else ("LoRA was not measured: pip install 'orchestra-lm[eval]' brings peft.",),
    )


def check_lengths(model: ComposedModel, asked: Asked) -> None:
    """See that every model has positions for the texts.

    Raises:
        ComposeError: one has fewer; all that have are named.
    """
    nodes = (model.plan.graph.anchor, *model.plan.graph.augments)
    models = {node.name: model.anchor if node.name == wiring.ANCHOR else model.augment(node.name) for node in nodes}
    needed = {node.name: int(asked.tokens(node, asked.length)) + 1 for node in nodes}
    limits = {name: shortest(each.config) for name, each in models.items()}
    problems = [
        f"prompt_length {asked.prompt_length} and new_tokens {asked.new_tokens} make {needed[name]} tokens of {name}, "
        f"which has positions for {limit}; ask for less."
        for name, limit in limits.items()
        if limit is not None and limit < needed[name]
    ]
    if problems:
        raise ComposeError.listing(problems)


@contextmanager
def _progress(rounds: int, ways: Mapping[str, Way]) -> Iterator[dict[str, Way]]:
    """The same ways, that tell on standard error how far they have come; each runs twice more than it is timed."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=(rounds + 2) * len(ways))

        def told(way: Way) -> None:
            way()
            bar.advance(task)

        yield {name: partial(told, way) for name, way in ways.items()}


def _peak(device: torch.device, way: Way) -> int:
    with peak(device) as found:
        way()
    return found.num_bytes


def _row(name: str, kinds: Mapping[str, str], times: Times, peaks: Mapping[str, int], new: int) -> Measured:
    prompts, texts = (times.seconds[f"{name}: {half}"] for half in ("prompt", "text"))
    first = next(iter(times.seconds)).removesuffix(": prompt")
    tokens = _tokens(prompts, texts, new)
    over = _tokens(times.seconds[f"{first}: prompt"], times.seconds[f"{first}: text"], new)
    return Measured(
        name=name,
        kind=kinds[name],
        prompt_s=median(prompts),
        token_s=median(tokens),
        prompt_times=_share(times.ratios(f"{name}: prompt", f"{first}: prompt")),
        token_times=_share([a / b for a, b in zip(tokens, over, strict=True)]),
        peak_bytes=peaks[f"{name}: text"],
    )


def _tokens(prompts: Sequence[float], texts: Sequence[float], new: int) -> list[float]:
    """Seconds for each token behind the prompt, by round; never below zero, however short and noisy a text is."""
    return [max(text - prompt, 1e-9) / new for prompt, text in zip(prompts, texts, strict=True)]


def _step(name: str, kinds: Mapping[str, str], times: Times, peaks: Mapping[str, int]) -> MeasuredStep:
    tuned = next(each for each, kind in kinds.items() if kind == "tuned")
    return MeasuredStep(
        name=name,
        kind=kinds[name],
        step_s=times.of(name),
        times=_share(times.ratios(name, tuned)),
        peak_bytes=peaks[name],
    )


def _share(ratios: Sequence[float]) -> Share:
    return Share(median=median(ratios), least=min(ratios), most=max(ratios))


def tables(found: Measurements) -> Iterator[Table | Text]:
    """What was measured, for people, a hundred columns wide."""
    yield Text(f"Measured on {found.device}, {found.clock}, median of rounds: {found.rounds} (least-most)")
    yield Text("Memory is the most that was held at a time, beside weights")
    table = columns("", "prompt", "times anchor", "token", "times anchor", "memory")
    for row in found.rows:
        spread = _told(row.prompt_times), _told(row.token_times)
        table.add_row(
            *(row.name, seconds(row.prompt_s), spread[0], seconds(row.token_s), spread[1], num_bytes(row.peak_bytes)),
            style="bold" if row.kind == "composition" else None,
        )
    yield table
    table = columns("", "training step", "times tuning", "memory")
    for step in found.train:
        table.add_row(step.name, seconds(step.step_s), _told(step.times), num_bytes(step.peak_bytes))
    yield table
    for name, ratio in found.tokens_per_token.items():
        yield Text(f"{name} read {ratio:.3g} tokens for each of the anchor's (--tokens-per-token {name}={ratio:.3g}).")
    for line in found.notes:
        yield Text(line)


def _told(share: Share) -> str:
    return f"{share.median:.2f} ({share.least:.2f}-{share.most:.2f})"
