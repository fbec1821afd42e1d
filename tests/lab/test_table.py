import hashlib
import json
import random
from itertools import pairwise

from orchestra.lab.table import Table, recite


def test_the_table_of_the_demo_has_25000_keys_of_2_to_6_letters_and_100_numbers() -> None:
    values = Table().values
    assert len(values) == 25_000
    assert {len(key) for key in values} == {2, 3, 4, 5, 6}
    assert set(values.values()) == set(range(100))


def test_the_table_of_the_demo_is_the_one_that_its_models_were_trained_on() -> None:
    digest = hashlib.sha256(json.dumps(Table().values).encode()).hexdigest()
    assert digest[:16] == "3f2882d5b63daf9c"


def test_bridges_see_a_fifth_of_the_keys_and_none_of_the_others() -> None:
    table = Table()
    assert len(table.seen) == 5_000
    assert not set(table.seen) & set(table.unseen)
    assert {*table.seen, *table.unseen} == set(table.values)


def test_a_recital_gives_keys_their_own_numbers_and_ends_with_one() -> None:
    table = Table(size=50)
    for seed in range(50):
        pieces = recite(random.Random(seed), table)
        assert pieces[-1][1]
        for (text, _), (number, learnt) in pairwise(pieces):
            if learnt:
                assert str(table.values[text.strip("+-<>")]) == number


def test_short_keys_may_be_recited_more_often() -> None:
    table = Table(size=500)

    def short(share: float) -> float:
        keys = [recite(random.Random(seed), table, short=share)[0][0].strip("<>") for seed in range(400)]
        return sum(len(key) <= 3 for key in keys) / len(keys)

    assert short(0.0) < 0.3
    assert short(0.8) > 0.7
