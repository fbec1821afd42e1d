import re

import pytest

from orchestra import ComposeError
from orchestra.runtime.toggles import Toggles

UNKNOWN = "^" + re.escape("no augment is called 'x'; this model has kv, python, tetum.") + "$"


@pytest.fixture
def toggles() -> Toggles:
    return Toggles({"tetum": True, "kv": True, "python": False})


def test_what_the_document_says_is_on_at_first(toggles: Toggles) -> None:
    assert toggles.active == {"kv", "tetum"}
    assert toggles.names == ("kv", "python", "tetum")


def test_a_switch_lasts(toggles: Toggles) -> None:
    toggles.switch(["kv"], on=False)
    toggles.switch(["python"], on=True)
    assert toggles.active == {"python", "tetum"}


def test_blocks_nest_and_restore_what_they_found(toggles: Toggles) -> None:
    with toggles.without(["kv"]):
        assert toggles.active == {"tetum"}
        with toggles.only(["kv", "python"]):
            assert toggles.active == {"kv", "python"}
            with toggles.without(["kv", "tetum"]):
                assert toggles.active == {"python"}
            assert toggles.active == {"kv", "python"}
        assert toggles.active == {"tetum"}
    assert toggles.active == {"kv", "tetum"}


def test_only_without_a_name_leaves_the_anchor_alone(toggles: Toggles) -> None:
    with toggles.only([]):
        assert toggles.active == set()
    with toggles.without([]):
        assert toggles.active == {"kv", "tetum"}


def test_a_block_restores_after_an_exception(toggles: Toggles) -> None:
    for block in (toggles.without(["kv"]), toggles.only(["python"])):
        with pytest.raises(KeyError), block:
            raise KeyError
        assert toggles.active == {"kv", "tetum"}


def test_an_unknown_name_is_refused_and_nothing_is_switched(toggles: Toggles) -> None:
    with pytest.raises(ComposeError, match=UNKNOWN):
        toggles.switch(["kv", "x"], on=False)
    for block in (toggles.without(["kv", "x"]), toggles.only(["x", "y"])):
        with pytest.raises(ComposeError, match=UNKNOWN), block:
            pytest.fail("the block was entered")
    with pytest.raises(ComposeError, match=UNKNOWN):
        toggles.known("x")
    assert toggles.known("kv") == "kv"
    assert toggles.active == {"kv", "tetum"}
