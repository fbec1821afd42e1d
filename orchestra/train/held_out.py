"""What no control learns from: a file of its own or a seeded share of the data; and what a composition makes of it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from orchestra.errors import DataError, TrainError
from orchestra.io.checkpoint import write_atomically
from orchestra.runtime.model import ComposedModel
from orchestra.train.batches import NO_LOSS, collate
from orchestra.train.data import Record, read_records, refuse
from orchestra.train.encode import Example, context_limit

TRAINED_ON, HELD_OUT = "trained-on.jsonl", "held-out.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a composition makes of held-out records.

    Attributes:
        losses: by record, the sum over the tokens of its completion.
        tokens: by record, how many these are.
        exact: by record that is asked, whether the greedy completion is the record's, blanks around it left out.
    """

    losses: tuple[float, ...]
    tokens: tuple[int, ...]
    exact: tuple[bool, ...]


def split(data: Path, folder: Path, *, share: float, seed: int) -> tuple[Path, Path]:
    """Part a file of records in two, written into `folder`; records of one prompt, or one text, stay together.

    Returns:
        What is trained on, and what is held out.

    Raises:
        DataError: the file is not what it should be, or one of the parts is empty.
    """
    records, problems = read_records(data)
    refuse(data, problems)
    parts: dict[bool, list[Record]] = {False: [], True: []}
    for record in records:
        parts[_draw(record, seed) < share].append(record)
    if not all(parts.values()):
        raise DataError(
            f"{data}: of {len(records)} records {len(parts[True])} would be held out (a share of {share:g}; those of "
            "one prompt stay together): give more records, another share, or eval_data."
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / TRAINED_ON, folder / HELD_OUT
    for path, part in zip(paths, (parts[False], parts[True]), strict=True):
        write_atomically(path, "".join(f"{_line(record)}\n" for record in part))
    return paths


def distinct(examples: Sequence[Example]) -> list[Example]:
    """Each record once, in their order: what stands there twice tells no more than once."""
    return list({(example.ids, example.num_prompt): example for example in examples}.values())


def repeated(train: Sequence[Example], held_out: Sequence[Example]) -> int:
    """How many held-out records have a prompt, or are a text, that is trained on as well."""
    seen = {_asked(example) for example in train}
    return sum(_asked(example) in seen for example in held_out)


def score(
    model: ComposedModel, examples: Sequence[Example], *, batch_size: int, asked: int, pad_id: int, bf16: bool
) -> Scores:
    """Read every record, and complete the prompts of those that have one.

    Args:
        asked: how many prompts are completed at most, from all over the records.
    """
    if model.tokenizer is None:
        raise TrainError("held-out records are text, and the anchor has no tokenizer: add its tokenizer.json.")
    losses, tokens = [], []
    models = (model.anchor, *(model.augment(node.name) for node in model.plan.graph.augments))
    limit = context_limit(each.config.to_dict() for each in models)
    with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for start in range(0, len(examples), batch_size):
            batch = {
                name: tensor.to(model.device)
                for name, tensor in collate(examples[start : start + batch_size], pad_id).items()
            }
            logits = model(**batch, use_cache=False).logits[:, :-1].float()
            wanted = batch["labels"][:, 1:]
            each = functional.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=NO_LOSS, reduction="none")
            losses += each.sum(1).tolist()
            tokens += (wanted != NO_LOSS).sum(1).tolist()
        prompts = _spread([example for example in examples if example.num_prompt], asked)
        exact = [
            right
            for some in _together(prompts, batch_size, limit)
            for right in _exact(model, model.tokenizer, some, pad_id)
        ]
    return Scores(losses=tuple(losses), tokens=tuple(tokens), exact=tuple(exact))


def _spread(examples: Sequence[Example], count: int) -> Sequence[Example]:
    """So many of them at most, evenly spaced: a file may be sorted."""
    if len(examples) <= count:
        return examples
    return [examples[at * len(examples) // count] for at in range(count)]


def _together(examples: Sequence[Example], size: int, limit: int | None) -> Iterator[list[Example]]:
    """Batches in which the longest prompt and the longest completion, of another record maybe, fit what models read."""
    batch: list[Example] = []
    for example in examples:
        more = [*batch, example]
        most = max(one.num_prompt for one in more) + max(len(one.ids) - one.num_prompt for one in more)
        if batch and (len(batch) == size or (limit is not None and most > limit)):
            yield batch
            more = [example]
        batch = more
    if batch:
        yield batch


def _exact(
    model: ComposedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], pad_id: int
) -> list[bool]:
    """Whether each prompt is completed as its record is, in as many tokens, whatever else is in the batch."""
    width = max(example.num_prompt for example in examples)
    ids = torch.full((len(examples), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(examples):
        ids[row, width - example.num_prompt :] = torch.tensor(example.ids[: example.num_prompt])
        mask[row, width - example.num_prompt :] = 1
    running: Any = model  # transformers types the self of generate as a protocol that no model of its own meets
    written = running.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max(len(example.ids) - example.num_prompt for example in examples),
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else pad_id,
    )[:, width:]
    completions = [list(example.ids[example.num_prompt :]) for example in examples]
    own = [row[: len(ids)] for row, ids in zip(written.tolist(), completions, strict=True)]
    said, wanted = (tokenizer.batch_decode(each, skip_special_tokens=True) for each in (own, completions))
    return [one.strip() == other.strip() for one, other in zip(said, wanted, strict=True)]


def _asked(example: Example) -> tuple[int, ...]:
    """The prompt of a record, or all of a text that has none."""
    return example.ids[: example.num_prompt] if example.num_prompt else example.ids


def _draw(record: Record, seed: int) -> float:
    told = json.dumps(record.target if record.prompt is None else record.prompt, ensure_ascii=False)
    digest = hashlib.sha256(f"{seed}/{told}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


def _line(record: Record) -> str:
    if record.prompt is None:
        return json.dumps({"text": record.target}, ensure_ascii=False)
    return json.dumps({"prompt": record.prompt, "completion": record.target}, ensure_ascii=False)
