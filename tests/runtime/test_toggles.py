import copy
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

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


def elsewhere(toggles: Toggles) -> frozenset[str]:
    """What is on for another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: toggles.active).result()


def test_a_block_acts_in_its_own_thread_and_a_switch_everywhere(toggles: Toggles) -> None:
    with toggles.without(["kv"]):
        assert elsewhere(toggles) == {"kv", "tetum"}
        toggles.switch(["tetum"], on=False)
        assert elsewhere(toggles) == {"kv"}
        assert toggles.active == set()


def test_a_thread_that_is_handed_the_context_of_a_block_is_in_it(toggles: Toggles) -> None:
    with toggles.without(["kv"]), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copy_context().run, lambda: toggles.active).result() == {"tetum"}


def test_a_switch_inside_a_block_shows_when_the_block_ends(toggles: Toggles) -> None:
    with toggles.without(["kv"]):
        toggles.switch(["kv", "python"], on=True)
        assert toggles.active == {"python", "tetum"}
        toggles.switch(["tetum"], on=False)
    assert toggles.active == {"kv", "python"}


def test_blocks_may_end_in_any_order(toggles: Toggles) -> None:
    first, second = toggles.without(["kv"]), toggles.without(["tetum"])
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert toggles.active == {"kv"}
    second.__exit__(None, None, None)
    assert toggles.active == {"kv", "tetum"}


def test_a_block_of_one_model_is_no_other_model_s_nor_its_copy_s(toggles: Toggles) -> None:
    other = Toggles({"kv": True})
    with toggles.only([]):
        assert other.active == {"kv"}
        assert copy.deepcopy(toggles).active == {"kv", "tetum"}
