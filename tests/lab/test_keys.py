import random

import pytest

from orchestra.lab import keys
from orchestra.lab.table import Table

TABLE = Table(size=500)
DOMAIN = keys.domain(TABLE)


@pytest.mark.parametrize(("seen", "expected"), [(True, TABLE.seen), (False, TABLE.unseen)])
def test_which_keys_bridges_may_see_is_the_tables_to_say(seen: bool, expected: tuple[str, ...]) -> None:
    drawn = {DOMAIN.draw(random.Random(seed), seen).strip("<>") for seed in range(300)}
    assert drawn <= set(expected)
    assert len(drawn) > 50


def test_any_key_may_be_drawn() -> None:
    drawn = {DOMAIN.draw(random.Random(seed), None).strip("<>") for seed in range(300)}
    assert drawn & set(TABLE.seen)
    assert drawn & set(TABLE.unseen)


def test_a_key_is_known_at_its_closing_bracket() -> None:
    key = TABLE.seen[0]
    assert DOMAIN.pieces(f"<{key}>") == ((f"<{key}", None), (">", TABLE.values[key]), (" ", None))
    assert DOMAIN.until_known(f"<{key}>") == f"<{key}>"
    assert DOMAIN.value(f"<{key}>") == TABLE.values[key]
