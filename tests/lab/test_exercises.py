import random
import re

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab import keys, python, tetum
from orchestra.lab.domain import Domain, is_seen
from orchestra.lab.exercises import Exercise, encode_with_twins, example, exercise, question
from orchestra.lab.measure import final, question_and_answer
from orchestra.lab.table import Table

TABLE = Table(size=500)
KV = keys.domain(TABLE)
ALL = (KV, tetum.DOMAIN, python.DOMAIN)

PATTERNS = {"kv": r"<[a-z]{2,}>", "tetum": "(^| )[a-z]+ ", "python": r"[(\[]|0[xob]"}


def last_numbers(asked: Exercise) -> list[int]:
    """The last number of every operand, as the anchor should read the twin."""
    text = "\x1f".join(part.twin for part in asked if not part.learnt)
    operands = re.split(r"[+-] |[=:]", text)[:-1]
    return [int(re.findall(r"\d{1,3}", operand)[-1]) for operand in operands]


def value(asked: Exercise) -> int:
    signs = [part.text[0] for part in asked if part.text in ("+ ", "- ")]
    first, *rest = last_numbers(asked)
    return first + sum(number if sign == "+" else -number for sign, number in zip(signs, rest, strict=True))


@pytest.mark.parametrize("domain", ALL, ids=lambda domain: domain.name)
def test_in_the_twin_of_an_exercise_the_last_numbers_give_the_answer(domain: Domain) -> None:
    for seed in range(200):
        asked = exercise(random.Random(seed), domain)
        assert int(final(asked[-1].text)) == value(asked)


@pytest.mark.parametrize("working", [False, True])
@pytest.mark.parametrize("domains", [(), *((domain,) for domain in ALL), ALL[:2], ALL], ids=len)
def test_a_question_mixes_exactly_its_domains(domains: tuple[Domain, ...], working: bool) -> None:
    for seed in range(50):
        asked = question(random.Random(seed), domains, working=working)
        text, answer = question_and_answer(example(asked))
        found = {name for name, pattern in PATTERNS.items() if re.search(pattern, text)}
        assert found == {domain.name for domain in domains}
        assert int(final(answer)) == value(asked)
        assert ("=" in answer) == working
        assert 2 <= len(last_numbers(asked)) <= 4


@pytest.mark.parametrize("seen", [True, False])
def test_questions_ask_for_atoms_that_bridges_saw_or_for_others(seen: bool) -> None:
    for seed in range(50):
        asked = question(random.Random(seed), (KV,), working=False, seen=seen)
        known = set(re.findall(r"<(\w+)>", "".join(part.text for part in asked)))
        assert known <= set(TABLE.seen if seen else TABLE.unseen)
        text = "".join(part.text for part in question(random.Random(seed), (tetum.DOMAIN,), working=False, seen=seen))
        assert all(is_seen(atom) is seen for atom in re.split(r" [+-] | [=:]", text)[:-1])


def test_training_sees_only_atoms_that_bridges_may_see() -> None:
    for seed in range(100):
        text = "".join(part.text for part in exercise(random.Random(seed), KV))
        assert set(re.findall(r"<(\w+)>", text)) <= set(TABLE.seen)


@pytest.mark.parametrize("domain", ALL, ids=lambda domain: domain.name)
def test_twins_are_the_same_but_where_something_is_known(domain: Domain, words: PreTrainedTokenizerFast) -> None:
    for seed in range(50):
        asked = exercise(random.Random(seed), domain)
        batch = encode_with_twins(words, [asked])
        assert batch.twins is not None
        changed = words.convert_ids_to_tokens(batch.ids[batch.ids != batch.twins].tolist())
        assert len(changed) == sum(part.text != part.twin for part in asked)
        assert set(changed) <= {">", "\u0120"}
        assert torch.equal(batch.labels[:, -1:], torch.full((1, 1), 2))
