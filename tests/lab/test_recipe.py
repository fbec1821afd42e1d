from pathlib import Path

import pytest
from transformers import AutoTokenizer

from orchestra.lab.recipe import Specialist, recipes
from orchestra.runtime.stream import same_tokenizer

SHIPPED = Path(__file__).parents[2] / "graphs/models"
TRIO = recipes()["trio"]


@pytest.mark.parametrize("specialist", TRIO.specialists, ids=lambda one: one.name)
def test_the_tokenizer_that_ships_is_the_one_that_the_recipe_makes(specialist: Specialist) -> None:
    shipped = AutoTokenizer.from_pretrained(SHIPPED / specialist.model.name)
    assert same_tokenizer(shipped, specialist.model.tokenizer())


@pytest.mark.parametrize("specialist", TRIO.specialists, ids=lambda one: one.name)
def test_a_specialist_answers_numbers_in_order(specialist: Specialist) -> None:
    vocabulary = specialist.model.tokenizer().get_vocab()
    assert [answer.strip("<|>") for answer in specialist.answers[:100]] == [str(number) for number in range(100)]
    assert set(specialist.answers) <= set(vocabulary)
