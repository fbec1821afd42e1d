"""Which tokens of a fed augment see which of its feeder's, by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestra.graph import Node, alike
from orchestra.nn.mask import Places
from orchestra.runtime.align import Alignment, Branches, align
from orchestra.runtime.links import Link, link
from tests.papers import KV

CPU = torch.device("cpu")


def read(committed: list[int], *, new: int, tail: list[int] | None = None, **more: Any) -> Alignment:
    """One row of an augment whose last tokens are new; `tail` says which are provisional."""
    history = torch.tensor([committed], dtype=torch.long)
    place = torch.arange(len(committed))[None]
    return Alignment(
        ids=history[:, len(committed) - new :],
        valid=torch.ones_like(history),
        position=place[:, len(committed) - new :],
        committed=history[:, len(committed) - new :],
        query_position=torch.zeros(1, 1, dtype=torch.long),
        padded=True,
        mask=None,
        history=history,
        tail=None if tail is None else torch.tensor([tail]).bool(),
        **more,
    )


def seen(found: Alignment | Link) -> list[str]:
    """Rows of what each new token of the fed augment sees; '.' where it sees nothing."""
    added = found.sight.added(torch.float32)
    assert added is not None
    nowhere = found.sight.nowhere
    open_ = (added[0, 0] == 0) & (True if nowhere is None else ~nowhere[0])
    return ["".join("x" if each else "." for each in row) for row in open_.tolist()]


def index(places: Places) -> Tensor:
    """The places themselves."""
    found: Tensor = vars(places)["_index"]
    return found


def test_a_token_sees_what_was_committed_at_or_before_the_token_at_which_it_was_itself() -> None:
    feeder, fed = read([0, 2, 2, 3, 6], new=5), read([1, 1, 3, 5], new=4)
    found = link(feeder, fed, same=False, device=CPU)
    assert seen(found) == ["x....", "x....", "xxxx.", "xxxx."]
    assert index(found.places).tolist() == [[0, 2, 2, 2, 4]]  # the last is seen first by a token that is yet to come
    assert index(found.query_places).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_places_and_sight_are_the_same_in_parts(split: int) -> None:
    """The anchor's tokens before `split` in one step, the others in the next."""
    committed = {"feeder": [0, 2, 2, 3, 6], "fed": [1, 1, 3, 5]}
    whole = link(*(read(each, new=len(each)) for each in committed.values()), same=False, device=CPU)
    before = {name: sum(token < split for token in each) for name, each in committed.items()}
    feeder, fed = (read(each, new=len(each) - before[name]) for name, each in committed.items())
    later = link(feeder, fed, same=False, device=CPU)
    assert seen(later) == seen(whole)[before["fed"] :]
    assert index(later.places).tolist() == [index(whole.places)[0, before["feeder"] :].tolist()]
    first = {name: each[: before[name]] for name, each in committed.items()}
    feeder, fed = (read(each, new=len(each)) for each in first.values())
    sooner = link(feeder, fed, same=False, device=CPU)
    assert index(sooner.places).tolist() == [index(whole.places)[0, : before["feeder"]].tolist()]


def test_a_provisional_token_is_seen_by_what_is_read_at_its_own_token_of_the_anchor() -> None:
    feeder = read([0, 2, 1, 2, 3], new=5, tail=[0, 0, 1, 1, 1])
    fed = read([1, 2, 3, 1], new=4, tail=[0, 0, 0, 1])
    found = link(feeder, fed, same=False, device=CPU)
    assert seen(found) == ["x.x..", "xx.x.", "xx..x", "x.x.."]
    assert index(found.places).tolist() == [[0, 1, 0, 1, 2]]  # of those that last


def test_streams_of_the_same_tokens_correspond_one_by_one() -> None:
    feeder, fed = read([0, 2, 2, 2], new=3), read([0, 2, 2, 2], new=3)
    found = link(feeder, fed, same=True, device=CPU)
    assert seen(found) == ["xx..", "xxx.", "xxxx"]
    assert index(found.places).tolist() == index(found.query_places).tolist() == [[1, 2, 3]]
    branches = Branches(seen=torch.eye(4)[None, 1:].bool(), distance=torch.zeros(1, 3, 4).long())
    assert seen(link(feeder, replace(fed, branches=branches), same=True, device=CPU)) == [".x..", "..x.", "...x"]


def test_who_reads_the_anchors_ids_is_fed_as_the_anchor_is() -> None:
    ids = torch.ones(1, 3, dtype=torch.long)
    fed, feeder = align(ids, ids), read([0, 2], new=2)
    assert link(feeder, fed, same=False, device=CPU) is feeder


def node(**changes: Any) -> Node:
    facts = replace(KV, tokenizer=changes.pop("tokenizer", "a"), vocab_size=changes.pop("vocab_size", 97))
    return Node(name="kv", facts=facts, dtype="auto", device="auto", **{"reads": "stream", **changes})


def test_streams_are_of_the_same_tokens_where_all_that_decides_them_is_alike() -> None:
    assert alike(node(), node(enabled=False))
    others: list[dict[str, Any]] = [
        {"tokenizer": "b"},
        {"template": {}},
        {"tail": "provisional"},
        {"context": "prompt"},
        {"reads": "ids"},
        {"vocab_size": 89},
    ]
    assert not any(alike(node(), node(**other)) for other in others)
    assert not alike(node(reads="ids"), node(reads="ids"))
    assert not alike(node(tokenizer=None), node(tokenizer=None))
