"""What a specialist is trained on: text in which it says what atoms are worth, and nothing anywhere else."""

import random
import string
from bisect import bisect_right
from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch
from orchestra.lab.domain import Domain, Piece
from orchestra.lab.expressions import MAX_VALUE
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, NUMBERS, PAD_ID

Recital = tuple[Piece, ...]
_MARKS = string.ascii_letters + string.digits + "()[],\"'<>._#"
_EVERY = 5  # of the tokens inside a piece, one in so many is a lesson in silence


def recite(rng: random.Random, domain: Domain, *, longest: int = 3, atoms: float = 0.65) -> Recital:
    """Atoms among words, numbers, marks and operators; an atom at the end may be answered.

    Args:
        longest: how many items there may be, atoms or other text.
        atoms: the share of atoms among them.
    """
    found: list[Piece] = []
    other = (1 - atoms) / 7
    for _ in range(rng.randint(1, longest)):
        kind = rng.choices(("atom", "number", "words", "marks"), (atoms, 2 * other, 3 * other, 2 * other))[0]
        if kind == "atom":
            found += domain.pieces(domain.draw(rng, None))
        elif kind == "number":
            found += [(str(rng.randint(0, MAX_VALUE)), None), (" ", None)]
        elif kind == "words":
            for _ in range(rng.randint(1, 4)):
                found += [("".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 9))), None), (" ", None)]
        else:
            marks = "".join(rng.choices(_MARKS, k=rng.randint(1, 10)))
            found += [(f"{marks})" if rng.random() < 0.5 else marks, None), (" ", None)]
        if rng.random() < 0.7:
            found += [(rng.choice(("+ ", "- ", "= ", ": ")), None)]
    if found[-1][1] is not None and rng.random() < 0.7:
        found.append((str(found[-1][1]), None))
    return tuple(found)


def encode(
    tokenizer: PreTrainedTokenizerFast,
    recitals: Sequence[Recital],
    *,
    answers: Sequence[str] = NUMBERS,
    silence: bool = True,
) -> Batch:
    """Token ids, and what is said after each: the number that a piece makes known, else the end.

    A number is said after the last token that ends no later than its piece. Where the piece is a space and the
    tokenizer has no token for spaces, that is the last token of the word before: the space makes certain that it is.

    Args:
        answers: the token that says each number.
        silence: whether the end is learnt where nothing is known; if not, nothing is learnt there.
    """
    nothing = END_ID if silence else IGNORED
    vocabulary = tokenizer.get_vocab()
    numbers = [vocabulary[answer] for answer in answers]
    texts = ["".join(text for text, _ in recital) for recital in recitals]
    read = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    rows = []
    for row, (found, offsets) in enumerate(zip(read["input_ids"], read["offset_mapping"], strict=True)):
        ids = [BEGIN_ID, *found]
        says = [nothing, *(nothing if (at + row) % _EVERY == 0 else IGNORED for at in range(1, len(ids)))]
        for at, value in last_tokens(recitals[row], [end for _, end in offsets]):
            says[at + 1] = nothing if value is None else numbers[value]
        rows.append(([*ids, END_ID], [IGNORED, *says]))
    longest = max(len(ids) for ids, _ in rows)
    return Batch(
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]),
    )


def last_tokens(recital: Recital, ends: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """For each piece the last token that ends no later, and the value of the piece.

    A piece in which no token ends is passed over, unless it makes a value known.

    Args:
        ends: where each token of the text ends.
    """
    end = 0
    for text, value in recital:
        begin, end = end, end + len(text)
        at = bisect_right(ends, end) - 1
        if at >= 0 and (value is not None or ends[at] > begin):
            yield at, value
