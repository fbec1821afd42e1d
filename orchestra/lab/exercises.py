"""Expressions over the atoms of specialists: what bridges are trained on, and what a composition is tested with."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import Batch, encode
from orchestra.lab.domain import Domain
from orchestra.lab.expressions import MAX_VALUE, Example, Expression, ask
from orchestra.lab.surroundings import code, words


class Part(NamedTuple):
    """A piece of an exercise.

    Attributes:
        text: what is read.
        twin: what the anchor could read instead, token for token: a number in the place of what ends an atom.
        learnt: whether it is answered, or only read.
    """

    text: str
    twin: str
    learnt: bool = False


Exercise = tuple[Part, ...]


def exercise(rng: random.Random, domain: Domain) -> Exercise:
    """One to four operands: most of them atoms that bridges may see, a fifth or so numbers after text of any kind."""
    operands = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.choices(("atom", "number", "text"), (0.6, 0.2, 0.2))[0]
        if kind == "atom":
            operands.append(_atom(rng, domain, seen=True))
        else:
            operands.append(_number(rng, among_text=kind == "text"))
    return _joined(rng, operands, working=rng.random() < 0.3)


def question(rng: random.Random, domains: Sequence[Domain], *, working: bool, seen: bool = False) -> Exercise:
    """A question to test with: two to four operands, at least one of each domain and none of another.

    Args:
        domains: none is digits only.
    """
    size = rng.randint(max(2, len(domains)), 4)
    if not domains:
        return _joined(rng, [_number(rng, among_text=False) for _ in range(size)], working=working)
    chosen = [*domains, *rng.choices(domains, k=size - len(domains))]
    rng.shuffle(chosen)
    operands = [_atom(rng, domain, seen=seen) for domain in chosen]
    return _joined(rng, operands, working=working)


def example(exercise: Exercise) -> Example:
    """What is read and what is answered, without twins."""
    return tuple((part.text, part.learnt) for part in exercise)


def encode_with_twins(tokenizer: PreTrainedTokenizerFast, exercises: Sequence[Exercise]) -> Batch:
    """Token ids and labels, and the ids of what the anchor could read instead."""
    twins = encode(tokenizer, [tuple((part.twin, part.learnt) for part in one) for one in exercises])
    batch = encode(tokenizer, [example(one) for one in exercises])
    return batch._replace(twins=twins.ids)


_Operand = tuple[list[Part], int]


def _atom(rng: random.Random, domain: Domain, *, seen: bool) -> _Operand:
    atom = domain.draw(rng, seen)
    return [Part(text, text if value is None else str(value)) for text, value in domain.pieces(atom)], domain.value(
        atom
    )


def _number(rng: random.Random, *, among_text: bool) -> _Operand:
    value = rng.randint(0, MAX_VALUE)
    before = (words(rng) if rng.random() < 0.5 else code(rng)) if among_text else []
    return [Part(text, text) for text in (*before, str(value), " ")], value


def _joined(rng: random.Random, operands: Sequence[_Operand], *, working: bool) -> Exercise:
    signs = tuple(rng.choice("+-") for _ in operands[1:])
    expression = Expression(tuple(value for _, value in operands), signs)
    (mark, _), (answer, _) = ask("", expression, working=working)
    parts: list[Part] = []
    for sign, (pieces, _) in zip(("", *signs), operands, strict=True):
        parts += [Part(f"{sign} ", f"{sign} ")] if sign else []
        parts += pieces
    return (*parts, Part(mark, mark), Part(answer, answer, learnt=True))
