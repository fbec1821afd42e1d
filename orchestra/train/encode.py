"""From records to token ids: what carries the loss, and what is too long. Right before a weight is loaded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from orchestra.errors import DataError
from orchestra.train.data import Problem, Record, read_records, refuse

_LIMITS = ("max_position_embeddings", "n_positions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A record in tokens; the first `num_prompt` of them carry no loss."""

    ids: tuple[int, ...]
    num_prompt: int


def read_examples(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    vocab_size: int,
    prompt_readers: Sequence[str] = (),
) -> tuple[Example, ...]:
    """Read and tokenize a JSONL file, after checking all of it.

    The tokenizer adds its special tokens to the prompt, as for generation; the completion is tokenized by itself and
    ends with the end-of-sequence token, as a text does.

    Args:
        max_length: longest record in tokens.
        vocab_size: of the anchor.
        prompt_readers: the trained augments that read the prompt only, and so need one.

    Raises:
        DataError: the file is not what it should be; up to 20 problems are listed by line, the others counted.
    """
    records, problems = read_records(path)
    if tokenizer.eos_token_id is None:
        raise DataError(f"{path}: the anchor's tokenizer has no eos_token, and a completion ends with it: give it one.")
    examples = list(_encode(records, tokenizer))
    for record, example in zip(records, examples, strict=True):
        problems += _problems(record, example, max_length=max_length, vocab_size=vocab_size)
        if prompt_readers and example.num_prompt == 0:
            names = f"{', '.join(prompt_readers)} {'reads' if len(prompt_readers) == 1 else 'read'}"
            what = f"has no prompt, and {names} the prompt only: give it as {{'prompt', 'completion'}}."
            problems.append(Problem(line=record.line, what=what))
    refuse(path, problems)
    if not examples:
        raise DataError(f"{path}: holds no record.")
    return tuple(examples)


def context_limit(configs: Iterable[Mapping[str, Any]]) -> int | None:
    """The longest sequence that all models of these configs read; None where none says."""
    texts = [config.get("text_config") or config for config in configs]
    limits = [text[name] for text in texts for name in _LIMITS if isinstance(text.get(name), int)]
    return min(limits, default=None)


def _encode(records: Sequence[Record], tokenizer: PreTrainedTokenizerBase) -> Iterator[Example]:
    pairs = [record for record in records if record.prompt is not None]
    prompts = iter(_ids(tokenizer, [record.prompt or "" for record in pairs], special=True))
    completions = iter(_ids(tokenizer, [record.target for record in pairs], special=False))
    texts = iter(_ids(tokenizer, [record.target for record in records if record.prompt is None], special=True))
    for record in records:
        prompt = next(prompts) if record.prompt is not None else []
        target = next(completions) if record.prompt is not None else next(texts)
        if target and target[-1] != tokenizer.eos_token_id:
            target = [*target, tokenizer.eos_token_id]
        yield Example(ids=(*prompt, *target), num_prompt=len(prompt))


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], *, special: bool) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=special, return_attention_mask=False, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _problems(record: Record, example: Example, *, max_length: int | None, vocab_size: int) -> Iterator[Problem]:
    field = "text" if record.prompt is None else "completion"
    length = len(example.ids)
    if length == example.num_prompt or length < 2:
        yield Problem(line=record.line, what=f"'{field}' has no tokens; there is nothing to learn.")
    if max_length is not None and length > max_length:
        yield Problem(
            line=record.line,
            what=f"has {length} tokens, and max_length is {max_length}: shorten it, or raise the limit.",
        )
    if max(example.ids, default=0) >= vocab_size:
        yield Problem(
            line=record.line,
            what=f"has token {max(example.ids)}, and the anchor's vocabulary ends at {vocab_size - 1}.",
        )
