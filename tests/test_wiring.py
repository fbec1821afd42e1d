"""Who feeds whom: what is a graph that ends in the anchor, and what is said of what is none."""

import pytest

from orchestra.wiring import Feeds, above, behind, below, closed, misfits, order, reaching

DIAMOND: Feeds = {"z": ["b", "c"], "b": ["anchor"], "c": ["anchor", "b"]}


def test_feeders_run_first_and_the_others_by_name() -> None:
    assert order(DIAMOND) == ("z", "c", "b")
    assert order({"b": ["anchor"], "a": ["anchor"]}) == ("a", "b")
    assert order({}) == ()


@pytest.mark.parametrize(
    ("on", "run"),
    [("zbc", "zbc"), ("zb", "zb"), ("zc", "zc"), ("z", ""), ("bc", "bc"), ("c", "c"), ("", "")],
)
def test_who_feeds_only_others_that_are_off_does_not_run(on: str, run: str) -> None:
    assert reaching(DIAMOND, on) == set(run)


def test_all_that_an_augment_feeds_and_all_that_feed_it_are_found_by_any_path() -> None:
    chain: Feeds = {"a": ["b"], "b": ["c"], "c": ["anchor"], "d": ["anchor"]}
    assert below(chain, ["b"]) == {"b", "c"}
    assert above(chain, ["b"]) == {"a", "b"}
    assert below(chain, ["a", "d"]) == {"a", "b", "c", "d"}
    assert above(chain, []) == set()


def test_who_feeds_none_but_some_is_found_of_those_that_are_on() -> None:
    assert closed(["c"], DIAMOND, "zbc") == {"c"}
    assert closed(["b"], DIAMOND, "zb") == {"b", "z"}
    assert closed(["b"], {"a": ["b"], "z": ["a"], "b": ["anchor"]}, "abz") == {"a", "b", "z"}
    assert closed([], DIAMOND, "zbc") == set()


def test_who_feeds_whom_on_the_ways_to_an_augment_is_found_and_no_step_beside_or_after_it() -> None:
    assert behind(DIAMOND, "b") == (("c", "b"), ("z", "b"), ("z", "c"))
    assert behind(DIAMOND, "c") == (("z", "c"),)
    assert behind(DIAMOND, "z") == ()


@pytest.mark.parametrize("feeds", [DIAMOND, {"a": ["anchor"]}, {"a": ["b"], "b": ["anchor"]}])
def test_what_ends_in_the_anchor_is_a_graph(feeds: Feeds) -> None:
    assert list(misfits(feeds)) == []


@pytest.mark.parametrize(
    ("feeds", "lines"),
    [
        (
            {"kv": ["kv"]},
            ['augments.kv.into names "kv", itself; an augment feeds the anchor or other augments.'],
        ),
        (
            {"kv": ["tetun"], "tetum": ["anchor"]},
            ['augments.kv.into names "tetun", which is no model of this graph; did you mean "tetum"?'],
        ),
        (
            {"kv": ["python"], "tetum": ["anchor"]},
            ['augments.kv.into names "python", which is no model of this graph; it has anchor, tetum.'],
        ),
        ({"kv": ["anchor", "anchor"]}, ['augments.kv.into names "anchor" twice; once is enough.']),
        (
            {"kv": ["tetum"], "tetum": ["anchor", "kv"]},
            ["augments.kv.into closes a cycle: kv -> tetum -> kv; drop one of its steps."],
        ),
        (
            {"a": ["b"], "b": ["c"], "c": ["a", "anchor"], "d": ["e"], "e": ["d"], "f": ["d"], "g": ["h"], "h": ["x"]},
            [
                'augments.h.into names "x", which is no model of this graph; it has a, anchor, b, c, d, e, f, g.',
                "augments.a.into closes a cycle: a -> b -> c -> a; drop one of its steps.",
                "augments.d.into closes a cycle: d -> e -> d; drop one of its steps.",
                "augments.f feeds d, from where nothing reaches the anchor.",
                "augments.g feeds h, from where nothing reaches the anchor.",
            ],
        ),
    ],
)
def test_everything_that_is_wrong_with_a_wiring_is_said_at_once(feeds: Feeds, lines: list[str]) -> None:
    assert list(misfits(feeds)) == lines
