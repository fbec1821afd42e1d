import random

from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED
from orchestra.lab.kv import bridges
from orchestra.lab.kv.expression import Expression
from orchestra.lab.kv.keys import UniqueTable
from orchestra.lab.kv.working import restated
from orchestra.lab.tokenizer import END_ID


def test_exercises_hold_keys_that_bridges_may_see_and_what_they_are_worth(table: UniqueTable) -> None:
    rng, found = random.Random(0), set()
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
        assert said.text == "".join(restated(Expression(tuple(values), signs)))
    assert found == set(table.seen)


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
