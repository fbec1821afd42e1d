"""The rule by which bridges are proposed."""

from orchestra.probing.linear import Interval
from orchestra.probing.result import LayerScore
from orchestra.probing.sites import Pair, propose


def scores(*explained: float, as_good: tuple[int, ...] = (), width: float = 0.05) -> list[LayerScore]:
    anything = Interval(value=0.5, low=0.4, high=0.6)
    return [
        LayerScore(
            layer=layer,
            told=anything,
            explained=Interval(value=value, low=value - width, high=value + width),
            nearest=anything,
            as_good=layer in as_good,
        )
        for layer, value in enumerate(explained)
    ]


def pairs(*found: tuple[int, int | str]) -> tuple[Pair, ...]:
    return tuple(Pair(augment_layer=layer, anchor_layer=into) for layer, into in found)


def test_a_small_model_gives_one_bridge_from_its_best_layer_into_the_embedding() -> None:
    found = propose({"prompt": scores(0.1, 0.3, 0.9)}, augment_layers=3, anchor_layers=6)
    assert found == pairs((2, "embedding"))


def test_the_earliest_layer_that_cannot_be_told_from_the_best_is_read() -> None:
    found = propose({"prompt": scores(0.1, 0.7, 0.8, 0.75, as_good=(1, 3))}, augment_layers=4, anchor_layers=6)
    assert found == pairs((1, "embedding"))


def test_as_many_bridges_as_the_default_write_evenly_into_the_lower_half() -> None:
    found = propose({"prompt": scores(*[0.2] * 16, 0.6, 0.4)}, augment_layers=18, anchor_layers=30)
    assert found == pairs((16, "embedding"), (16, 2), (16, 6), (16, 10))


def test_each_kind_of_place_is_read_where_it_is_held() -> None:
    both = {"prompt": scores(0.1, 0.2, 0.9), "spans": scores(0.1, 0.9, 0.2)}
    assert propose(both, augment_layers=3, anchor_layers=6) == pairs((1, "embedding"), (2, 0))
    assert propose(both, augment_layers=3, anchor_layers=1) == pairs((1, "embedding"), (2, "embedding"))


def test_where_nothing_is_explained_nothing_is_proposed() -> None:
    assert propose({"prompt": scores(-0.1, 0.04, 0.01)}, augment_layers=3, anchor_layers=6) == ()
    nothing = LayerScore(
        layer=0,
        told=Interval(value=1.0, low=1.0, high=1.0),
        explained=Interval(value=None, low=None, high=None),
        nearest=Interval(value=1.0, low=1.0, high=1.0),
        as_good=False,
    )
    assert propose({"prompt": [nothing]}, augment_layers=1, anchor_layers=6) == ()
