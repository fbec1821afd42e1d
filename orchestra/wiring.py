"""Who feeds whom: any graph without cycles that ends in the anchor. Pure values; never imports torch.

`Feeds` says, for each augment, whom it feeds: the anchor, other augments, or both.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping

import networkx as nx

ANCHOR = "anchor"

Feeds = Mapping[str, Collection[str]]


def order(feeds: Feeds) -> tuple[str, ...]:
    """The augments in the order in which they run: who feeds goes before whom it feeds, else by name."""
    found = nx.lexicographical_topological_sort(_graph(feeds))
    return tuple(name for name in found if name != ANCHOR)


def reaching(feeds: Feeds, on: Iterable[str]) -> frozenset[str]:
    """Those of the augments that are on whose output reaches the anchor through others that are on."""
    wires = _graph({name: feeds[name] for name in on})
    return frozenset(nx.ancestors(wires, ANCHOR)) if ANCHOR in wires else frozenset()


def below(feeds: Feeds, names: Iterable[str]) -> frozenset[str]:
    """These augments, and those that they feed, by whatever path."""
    wires = _graph(feeds)
    return frozenset(name for start in names for name in (start, *nx.descendants(wires, start))) - {ANCHOR}


def above(feeds: Feeds, names: Iterable[str]) -> frozenset[str]:
    """These augments, and those that feed them, by whatever path."""
    wires = _graph(feeds)
    return frozenset(name for start in names for name in (start, *nx.ancestors(wires, start)))


def closed(those: Collection[str], feeds: Feeds, on: Collection[str]) -> frozenset[str]:
    """Those augments, and all that feed, of the augments that are on, none but them."""
    found = set(those)
    for name in reversed(order(feeds)):
        fed = {into for into in feeds[name] if into == ANCHOR or into in on}
        if name in on and fed <= found:
            found.add(name)
    return frozenset(found)


def behind(feeds: Feeds, name: str) -> tuple[tuple[str, str], ...]:
    """Who feeds whom on all ways that lead to an augment: what makes of it more than the model that it is."""
    reached = above(feeds, [name])
    return tuple((each, into) for each in sorted(feeds) for into in sorted(feeds[each]) if into in reached)


def misfits(feeds: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Every reason why augments that feed each other so are no graph that ends in the anchor, a line each."""
    models = {ANCHOR, *feeds}
    known = {name: [target for target in targets if target in models - {name}] for name, targets in feeds.items()}
    wires = _graph(known)
    for name, targets in sorted(feeds.items()):
        yield from _names(name, list(targets), models)
    loops = [loop for loop in nx.strongly_connected_components(wires) if len(loop) > 1]
    for loop in sorted(map(sorted, loops)):
        steps = nx.find_cycle(wires.subgraph(loop), loop[0])
        path = [str(step[0]) for step in steps]
        first = path.index(min(path))
        told = " -> ".join([*path[first:], *path[: first + 1]])
        yield f"augments.{min(path)}.into closes a cycle: {told}; drop one of its steps."
    reached: set[str] = nx.ancestors(wires, ANCHOR)
    for name in sorted(feeds.keys() - reached - {each for loop in loops for each in loop}):
        if len(known[name]) == len(list(feeds[name])):  # else its names are wrong, and that has been said
            yield f"augments.{name} feeds {', '.join(sorted(known[name]))}, from where nothing reaches the anchor."


def _names(name: str, targets: list[str], models: Collection[str]) -> Iterator[str]:
    """What is wrong with the names that an augment's `into` has."""
    for target in dict.fromkeys(targets):
        field = f"augments.{name}.into names {json.dumps(target)}"
        if target == name:
            yield f"{field}, itself; an augment feeds the anchor or other augments."
        elif target not in models:
            others = sorted(set(models) - {name})
            close = difflib.get_close_matches(target, others, n=1)
            hint = f"did you mean {json.dumps(close[0])}?" if close else f"it has {', '.join(others)}."
            yield f"{field}, which is no model of this graph; {hint}"
        elif targets.count(target) > 1:
            yield f"{field} twice; once is enough."


def _graph(feeds: Mapping[str, Iterable[str]]) -> "nx.DiGraph[str]":
    wires: nx.DiGraph[str] = nx.DiGraph()
    wires.add_node(ANCHOR)
    wires.add_nodes_from(sorted(feeds))
    wires.add_edges_from((name, target) for name in sorted(feeds) for target in sorted(feeds[name]))
    return wires
