"""A cost as tables for people, a hundred columns wide."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from orchestra.cost.report import Cost, Row

Part = Table | Text


def tables(cost: Cost) -> Iterator[Part]:
    """What a graph costs to hold, to run and to train, and what was assumed."""
    asked = cost.asked
    texts = "one text" if asked.batch == 1 else f"{asked.batch} texts"
    yield Text(f"To run: {texts} of {asked.prompt_length} + {asked.new_tokens} tokens")
    yield _running(cost)
    yield Text(f"To train: FLOPs for each token of texts of {asked.length} tokens")
    yield _training(cost)
    for line in (*_weights(cost), *cost.notes):
        yield Text(line)


def _running(cost: Cost) -> Table:
    """A row for the anchor, for what each augment adds, for the whole, and for what it is held against."""
    flops = ("FLOPs,\nprompt", "FLOPs,\ntoken", "times\nanchor")
    table = columns("", "parameters", "trained", "weights", *flops, "cache,\ntoken")
    anchor = cost.rows[0]
    for row in cost.rows:
        if row.kind == "composition" or row.kind == "lora":
            table.add_section()
        table.add_row(
            f"+ {row.name}" if row.kind == "augment" else row.name,
            si(row.num_params),
            si(row.trained_params),
            num_bytes(row.num_bytes),
            si(row.prompt_flops),
            si(row.token_flops),
            _times(row, anchor),
            num_bytes(row.token_bytes),
            style="bold" if row.kind == "composition" else None,
        )
    return table


def _times(row: Row, anchor: Row) -> str:
    """FLOPs of a token over the anchor's."""
    sign = "+" if row.kind == "augment" else ""
    return f"{sign}{row.token_flops / anchor.token_flops:.2f}"


def _training(cost: Cost) -> Table:
    flops = ("FLOPs,\nforward", "FLOPs,\nbackward", "times\ntuning")
    table = columns("", "trained", *flops, "gradients", "optimizer", "disk,\ntoken")
    tuned = next(row for row in cost.train if row.kind == "tuned")
    for row in cost.train:
        table.add_row(
            row.name,
            si(row.trained_params),
            si(row.forward_flops),
            si(row.backward_flops),
            f"{row.flops / tuned.flops:.2f}",
            num_bytes(row.gradient_bytes),
            num_bytes(row.optimizer_bytes),
            num_bytes(row.disk_bytes) if row.disk_bytes else "",
        )
    return table


def _weights(cost: Cost) -> Iterator[str]:
    """Weights by dtype and device, and where the adapters of LoRA stand."""
    sums: dict[tuple[str, str], int] = {}
    for each in cost.held.values():
        sums[each.dtype, each.device] = sums.get((each.dtype, each.device), 0) + each.num_bytes
    frozen = ", ".join(f"{num_bytes(size)} as {dtype} on {device}" for (dtype, device), size in sums.items())
    bridges = sum(row.trained_params for row in cost.rows if row.kind == "composition")
    yield f"Weights: {frozen}; bridges {num_bytes(4 * bridges)} as float32."
    ends = {row.kind: num_bytes(row.text_bytes) for row in cost.rows}
    yield f"Caches at the ends of the texts: {ends['composition']}, of the anchor alone {ends['anchor']}."
    yield f"LoRA, rank {cost.lora.rank}: on {', '.join(cost.lora.modules)} of every layer."


def columns(*names: str) -> Table:
    """A table whose columns but the first hold numbers."""
    table = Table()
    for index, name in enumerate(names):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    return table


def si(number: float) -> str:
    """A number with three digits and a letter for its size."""
    for sign, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size * 0.9995:
            return f"{_three(number / size)} {sign}"
    return _three(number) if number % 1 else f"{number:.0f}"


def num_bytes(number: float) -> str:
    """Likewise, of bytes."""
    return f"{si(number)}B" if number >= 999.5 else f"{number:.0f} B"


def _three(number: float) -> str:
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def seconds(number: float) -> str:
    """Likewise, of time."""
    return f"{_three(number)} s" if number >= 0.9995 else f"{_three(1000 * number)} ms"
