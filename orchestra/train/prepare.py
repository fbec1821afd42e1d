"""What can be settled before a weight is loaded: who is trained, on which examples, and where the result goes."""

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from orchestra.errors import BundleError, TrainError
from orchestra.graph import Feed, Node
from orchestra.io.bundle import CONFIG_FILE, read_config
from orchestra.io.checkpoint import file_sha256
from orchestra.io.facts import model_config
from orchestra.io.hub import Online
from orchestra.io.merge import tokenizer_folder
from orchestra.io.merge_facts import config_folder, weights_fingerprint
from orchestra.io.models import load_tokenizer
from orchestra.paper import plan
from orchestra.plan import Plan
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.prompt import readers as prompt_readers
from orchestra.train.encode import Example, context_limit, read_examples
from orchestra.train.spec import TrainSpec
from orchestra.wiring import above, below, reaching

# Settings that may change when a training is resumed: none of them changes what is learnt.
_FREE = {"data", "output", "eval_data", "epochs", "steps", "batch_size", "gradient_accumulation", "resume"}
_FREE |= {"gradient_checkpointing", "keep_taps", "eval_every", "save_every", "log_every", "max_length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A training that can start.

    Attributes:
        augments: whose stacks are trained, sorted.
        on: these, and the augments of the graph that feed them or that they feed, so that they reach the anchor.
        pad_id: fills batches up.
    """

    plan: Plan
    augments: tuple[str, ...]
    on: tuple[str, ...]
    train: tuple[Example, ...]
    evaluation: tuple[Example, ...] | None
    pad_id: int


def prepare(source: str | Path | Mapping[str, Any] | ComposedModel, spec: TrainSpec) -> Prepared:
    """Check everything that can be checked without weights.

    Raises:
        TrainError, SpecError, GraphError, DataError, BundleError: something is not as it should be.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise TrainError("training needs accelerate: pip install 'orchestra-lm[train]'.")
    planned = source.plan if isinstance(source, ComposedModel) else plan(source, hub=Online())
    augments = _chosen(planned, spec.augments)
    on = _on(planned, augments)
    _check_output(spec.output, planned, augments)
    anchor = planned.graph.anchor.facts
    tokenizer = source.tokenizer if isinstance(source, ComposedModel) else _tokenizer(planned.graph.anchor)
    if tokenizer is None:
        raise TrainError(f"{anchor.source}: the anchor has no tokenizer, and records are text: add its tokenizer.json.")
    readers = prompt_readers(planned, on)
    limit = min(filter(None, (spec.max_length, context_limit(_configs(source, planned, on)))), default=None)

    def examples(path: Path, tokenizer: PreTrainedTokenizerBase = tokenizer) -> tuple[Example, ...]:
        return read_examples(path, tokenizer, max_length=limit, vocab_size=anchor.vocab_size, prompt_readers=readers)

    return Prepared(
        plan=planned,
        augments=augments,
        on=on,
        train=examples(spec.data),
        evaluation=examples(spec.eval_data) if spec.eval_data is not None else None,
        pad_id=tokenizer.pad_token_id or 0,
    )


def identity(prepared: Prepared, spec: TrainSpec, *, steps: int, global_batch: int) -> dict[str, Any]:
    """What makes this training this one and no other; a checkpoint of another is refused.

    How a step is laid out in batches, accumulation and processes is no part of it.
    """
    graph = prepared.plan.graph
    beside = stacks(prepared.plan, {*prepared.on} - {*prepared.augments})
    nodes = [graph.anchor, *(node for node in graph.augments if node.name in prepared.on)]
    facts = {node.name: node.facts for node in nodes if node.facts.merge or Path(node.facts.source).exists()}
    readers = prompt_readers(prepared.plan, prepared.on)
    seeds = {stack.name: stack.seed for stack in stacks(prepared.plan, prepared.augments) if stack.bundle is None}
    return {
        **{field: value for field, value in asdict(spec).items() if field not in _FREE},
        **({"prompt_only": list(readers)} if readers else {}),
        **({"beside": {stack.name: _weights(stack) for stack in beside}} if beside else {}),
        "augments": list(prepared.augments),
        "data_sha256": file_sha256(spec.data),
        "global_batch": global_batch,
        "models": {name: weights_fingerprint(known) for name, known in facts.items()},
        "reads": {node.name: reading(node) for node in nodes},
        "seeds": seeds,
        "sites": [asdict(site) for site in graph.sites if site.augment in prepared.augments],
        "steps": steps,
    }


def reading(node: Node) -> dict[str, Any]:
    """What decides, beside its weights, what a model makes of a text."""
    template = None if node.template is None else dict(node.template)
    return {"dtype": node.dtype, "template": template, "tail": node.tail, "tokenizer": node.facts.tokenizer}


def _tokenizer(anchor: Node) -> PreTrainedTokenizerBase | None:
    return None if anchor.tokenizer is None else load_tokenizer(tokenizer_folder(anchor.facts, anchor.tokenizer))


def _chosen(planned: Plan, wanted: tuple[str, ...]) -> tuple[str, ...]:
    names = [node.name for node in planned.graph.augments]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise TrainError(f"no augment is called {unknown[0]!r}; this graph has {', '.join(names)}.")
    chosen = wanted or tuple(node.name for node in planned.graph.augments if node.enabled)
    if not chosen:
        raise TrainError(f"every augment of the graph is off: name those to train, of {', '.join(names)}.")
    return tuple(sorted(set(chosen)))


def _on(planned: Plan, augments: tuple[str, ...]) -> tuple[str, ...]:
    """The augments that are trained, and those that are on in the graph on a path with one of them."""
    feeds = planned.graph.feeds
    enabled = {node.name for node in planned.graph.augments if node.enabled}
    on = (enabled & (above(feeds, augments) | below(feeds, augments))) | set(augments)
    running = reaching(feeds, on)
    if stopped := sorted(set(augments) - running):
        raise TrainError(
            f"augment {stopped[0]!r} feeds {', '.join(feeds[stopped[0]])}, and nothing that is on leads from there to "
            "the anchor: enable what does, or train it as well."
        )
    return tuple(sorted(running))


def stacks(planned: Plan, augments: Collection[str]) -> tuple[Feed, ...]:
    """All stacks of these augments."""
    return tuple(stack for stack in planned.graph.stacks if stack.augment in augments)


def _weights(stack: Feed) -> str | None:
    return None if stack.bundle is None else read_config(Path(stack.bundle)).weights_sha256


def _check_output(output: Path, planned: Plan, augments: tuple[str, ...]) -> None:
    """Refuse now what could not be written after hours."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"output {output} cannot be a folder: {error.strerror}.") from error
    for folder in (output / planned.graph.place_of(stack) for stack in stacks(planned, augments)):
        if folder.exists() and not (folder / CONFIG_FILE).is_file() and any(folder.iterdir()):
            raise BundleError(f"{folder}: not written: the folder holds something that is not a bundle.")


def _configs(source: object, planned: Plan, augments: tuple[str, ...]) -> list[Mapping[str, Any]]:
    if isinstance(source, ComposedModel):
        models = [source.anchor, *(source.augment(name) for name in augments)]
        return [model.config.to_dict() for model in models]
    nodes = (planned.graph.anchor, *(node for node in planned.graph.augments if node.name in augments))
    return [model_config(config_folder(node.facts)) for node in nodes]
