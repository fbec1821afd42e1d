import re
from collections.abc import Iterator

import pytest

from orchestra import errors
from orchestra.errors import GraphError, OrchestraError


def test_the_tree_in_the_docstring_is_the_tree_of_the_code() -> None:
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert drawn == [leaf.__name__ for leaf in OrchestraError.__subclasses__()]


@pytest.mark.parametrize("leaf", OrchestraError.__subclasses__())
def test_catching_the_root_catches_every_leaf(leaf: type[OrchestraError]) -> None:
    with pytest.raises(OrchestraError):
        raise leaf("it broke")


def test_a_listing_is_one_error_of_its_kind_with_a_line_per_problem() -> None:
    error = GraphError.listing(line for line in ("first", "second"))
    assert type(error) is GraphError
    assert str(error) == "first\nsecond"


def test_a_listing_of_problems_without_end_is_cut() -> None:
    def endless(first: int) -> Iterator[str]:
        while True:
            yield f"problem {first}"
            first += 1

    lines = str(GraphError.listing(endless(1))).splitlines()
    assert (lines[0], lines[-2:]) == ("problem 1", ["problem 100", "and more problems."])
    assert len(lines) == 101
    assert str(GraphError.listing(map(str, range(100)))).splitlines()[-1] == "99"
