"""From records to tokens: at which token of the anchor something is to be told, and which token that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from orchestra.errors import DataError
from orchestra.probing.records import Mark, Record, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A token of a text, and what is to be told there.

    Attributes:
        row: the text.
        at: index of the token.
        label: what a probe tells, as it is written; of a completion the first token.
        goal: the token that a bridge would deliver: the first of the label, as the anchor writes it.
    """

    row: int
    kind: str
    at: int
    label: str
    goal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts in the anchor's tokens, and the places in them."""

    ids: tuple[tuple[int, ...], ...]
    places: tuple[Place, ...]


def encode(
    path: Path, records: Sequence[Record], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> Texts:
    """Tokenize records as training does: special tokens go to the prompt, a completion is tokenized by itself.

    Raises:
        DataError: a text or a label has no tokens, a text has too many, or its tokenizer knows no offsets for spans.
    """
    spans = any(mark.end is not None for record in records for mark in record.marks)
    if spans and not tokenizer.is_fast:
        raise DataError(f"{path}: has spans, and the anchor's tokenizer does not say where its tokens stand in a text.")
    coded = tokenizer([record.text for record in records], return_offsets_mapping=spans, verbose=False)
    offsets = coded["offset_mapping"] if spans else [()] * len(records)
    places, problems = list[Place](), list[str]()
    for row, (record, ids) in enumerate(zip(records, coded["input_ids"], strict=True)):
        problems += [f"{path}: line {record.marks[0].line}: {what}" for what in _misfits(ids, max_length)]
        for mark in record.marks if ids else ():
            at = len(ids) - 1 if mark.end is None else _ending(offsets[row], mark.end)
            goal = tokenizer(mark.label, add_special_tokens=False, verbose=False)["input_ids"]
            if at is None or not goal:
                what = "has no tokens" if at is not None else "marks a span that no token of the anchor ends"
                problems.append(f"{path}: line {mark.line}: '{mark.field}' {what}.")
            else:
                label = _label(mark, tokenizer, goal[0])
                places.append(Place(row=row, kind=mark.kind, at=at, label=label, goal=goal[0]))
    refuse(path, problems)
    return Texts(ids=tuple(map(tuple, coded["input_ids"])), places=tuple(places))


def _misfits(ids: Sequence[int], max_length: int | None) -> Iterator[str]:
    if not ids:
        yield "the text has no tokens."
    if max_length is not None and len(ids) > max_length:
        yield f"the text has {len(ids)} tokens, and the models read up to {max_length}: shorten it."


def _ending(offsets: Sequence[tuple[int, int]], end: int) -> int | None:
    """The token that holds the character before `end`, the last where several do: all of a span is read there."""
    return next((at for at in reversed(range(len(offsets))) if offsets[at][0] < end <= offsets[at][1]), None)


def _label(mark: Mark, tokenizer: PreTrainedTokenizerBase, goal: int) -> str:
    return str(tokenizer.decode([goal])) if mark.field == "completion" else mark.label
