import random

from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED
from orchestra.lab.kv import bridges
from orchestra.lab.kv.expression import Expression
from orchestra.lab.kv.keys import UniqueTable
from orchestra.lab.kv.working import restated, working
from orchestra.lab.tokenizer import END_ID


def test_exercises_hold_keys_that_bridges_may_see_and_what_they_are_worth(table: UniqueTable) -> None:
    rng, found, whole = random.Random(0), set(), 0
    for _ in range(300):
        *read, equals, said = bridges.exercise(rng, table)
        assert (equals.text, said.learnt) == ("=", True)
        values = []
        for part in read[::2]:
            if part.text.startswith("<"):
                key = part.text[1:-2]
                found.add(key)
                assert part.twin == f"<{key}{table.values[key]:05d}"
                values.append(table.values[key])
            else:
                assert part.text == part.twin
                values.append(int(part.text))
        signs = tuple(part.text for part in read[1::2])
        expression = Expression(tuple(values), signs)
        short, long = ("".join(told(expression)) for told in (restated, working))
        assert said.text in (short, long)
        whole += said.text == long
    assert found == set(table.seen)
    assert 30 < whole < 100  # a quarter, but for the longest


def test_an_exercise_and_its_twin_have_the_same_tokens_but_at_the_ends_of_keys(
    words: PreTrainedTokenizerFast, table: UniqueTable
) -> None:
    rng = random.Random(0)
    batch = bridges.encode_exercises(words, [bridges.exercise(rng, table) for _ in range(20)])
    differ = batch.ids != batch.twins
    assert set(words.convert_ids_to_tokens(batch.ids[differ].tolist())) == {"/", ">"}
    assert END_ID not in batch.labels
    assert (batch.labels != IGNORED).any()
    assert bridges.encode_exercises(words, [bridges.exercise(rng, table)], twins=False).twins is None
