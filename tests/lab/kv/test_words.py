import random

from transformers import PreTrainedTokenizerFast

from orchestra.lab.kv.expression import draw
from orchestra.lab.kv.words import features, groups, tokens
from orchestra.lab.kv.working import working


def test_every_token_of_a_working_is_one_token(words: PreTrainedTokenizerFast) -> None:
    rng = random.Random(0)
    for _ in range(60):
        expression = draw(rng, sizes=(3, 4, 5, 6))
        question = expression.written([str(number) for number in expression.numbers])
        made = working(expression)
        ids = words.encode(question + "".join(made), add_special_tokens=False)
        assert words.convert_ids_to_tokens(ids)[-len(made) :] == made
        assert words.decode(ids) == question + "".join(made)


def test_numbers_are_cut_into_threes_from_the_right_and_keys_into_letters(words: PreTrainedTokenizerFast) -> None:
    assert words.tokenize("12345+7-<kqz/>*345=") == [
        *("12", "345", "+", "7", "-"),
        *("<", "k", "q", "z", "/", ">", "*", "345", "="),
    ]
    assert words.tokenize("<kqz00945") == ["<", "k", "q", "z", "00", "945"]


def test_tokens_are_told_apart_by_what_they_are_made_of_but_for_groups_that_mean_the_same() -> None:
    made = [tuple(features(token)) for token in tokens() if token not in groups()]
    assert len(set(made)) == len(made)
    assert features("5") == features("005") != features("050")
