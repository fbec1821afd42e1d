"""What a specialist is trained on: text in which it says what atoms are worth, and nothing anywhere else."""

import random
import string
from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch
from orchestra.lab.domain import Domain, Piece
from orchestra.lab.expressions import MAX_VALUE
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

Recital = tuple[Piece, ...]
_MARKS = string.ascii_letters + string.digits + "()[],\"'<>._#"
_EVERY = 5  # of the tokens inside a piece, one in so many is a lesson in silence


def recite(rng: random.Random, domain: Domain) -> Recital:
    """Up to three atoms among words, numbers, marks and operators; an atom at the end may be answered."""
    found: list[Piece] = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choices(("atom", "number", "words", "marks"), (0.65, 0.1, 0.15, 0.1))[0]
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


def encode(tokenizer: PreTrainedTokenizerFast, recitals: Sequence[Recital], *, silence: bool = True) -> Batch:
    """Token ids, and what is said after each: the number that a piece makes known, else the end.

    Args:
        silence: whether the end is learnt where nothing is known; if not, nothing is learnt there.
    """
    nothing = END_ID if silence else IGNORED
    rows = []
    for row, recital in enumerate(recitals):
        ids, says = [BEGIN_ID], [nothing]
        for text, value in recital:
            piece = tokenizer.encode(text, add_special_tokens=False)
            inner = [nothing if (len(ids) + at + row) % _EVERY == 0 else IGNORED for at in range(len(piece) - 1)]
            ids += piece
            says += [*inner, nothing if value is None else tokenizer.encode(str(value), add_special_tokens=False)[0]]
        rows.append(([*ids, END_ID], [IGNORED, *says]))
    longest = max(len(ids) for ids, _ in rows)
    return Batch(
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]),
    )
