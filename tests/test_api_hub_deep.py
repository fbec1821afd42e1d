"""Deeper graphs and the Hub: a bundle for each stack, each at a revision of its own."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import ComposedModel, GraphError
from orchestra.compat import compat
from orchestra.io.bundle import read_config
from orchestra.io.document import read
from orchestra.io.hosting import declared, graph_parcel
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, take, write_lock
from orchestra.io.pull import unpack
from orchestra.io.push import push
from orchestra.paper import fetched_plan, plan
from tests import folders, hubserver, tiny
from tests.hubserver import OWNER, Hub

FRESH = {"pairs": tiny.PAIRS}


def document(into: Any, **kv: Any) -> dict[str, Any]:
    """kv -> middle -> anchor, and kv -> anchor; the one in the middle is the anchor's checkpoint."""
    middle = {"model": "acme/anchor", "bridges": FRESH}
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": "acme/anchor"},
        "augments": {"kv": {"model": "acme/kv", "into": into, **kv}, "middle": middle},
    }


def logits(composed: ComposedModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = composed(tiny.tokens()).logits
    return found


@pytest.fixture
def two(hosted: Hub, parts: Path) -> Hub:
    """A Hub whose bundle of kv is in the branch `dev` as well."""
    hosted.repositories["acme/anchor-x-kv"].commit(hubserver.files(parts / "kv-bundle"), branch="dev")
    return hosted


BOTH = {"anchor": "acme/anchor-x-kv", "middle": "acme/anchor-x-kv"}


def commits(source: Any) -> list[str]:
    """Which commits the bundles of kv come from: that into the anchor first."""
    stacks = fetched_plan(read(source, hub=Online()), Online()).graph.stacks
    return [stack.origin.commit for stack in stacks if stack.origin]


def test_each_bundle_has_its_own_revision_or_all_have_one(two: Hub, tmp_path: Path) -> None:
    repository = two.repositories["acme/anchor-x-kv"]
    main, dev = repository.at("main"), repository.at("dev")
    for given, found in (
        ({"anchor": "dev", "middle": "main"}, [dev, main]),
        ({"middle": "dev"}, [main, dev]),
        ("dev", [dev, dev]),
        (None, [main, main]),
    ):
        assert commits(document(BOTH, **({"bridges_revision": given} if given else {}))) == found
    assert commits(document({"anchor": FRESH, "middle": BOTH["middle"]}, bridges_revision="dev")) == [dev]
    path = folders.graph(tmp_path / "graph.json", document(BOTH, bridges_revision={"middle": "dev"}))
    unlocked = read(path)
    write_lock(lock_path(path), take(unlocked.spec, fetched_plan(unlocked, Online()).graph))
    for branch in ("main", "dev"):
        repository.commit({"bridge_config.json": b"{}"}, branch=branch)
    assert commits(path) == [main, dev]
    assert orchestra.load(path).active == ("kv", "middle")
    assert compat(path).reasons() == []


@pytest.mark.parametrize(
    ("into", "given", "line"),
    [
        (
            {"anchor": FRESH, "middle": "acme/anchor-x-kv"},
            {"anchor": "dev"},
            "augments.kv.bridges_revision.anchor is 'dev', but its bridges are fresh, and have no revisions; drop it.",
        ),
        (
            {"anchor": FRESH, "middle": FRESH},
            "dev",
            "augments.kv.bridges_revision is 'dev', but its bridges are fresh, and have no revisions; drop it.",
        ),
        (
            {"anchor": "acme/anchor-x-kv", "middle": "{parts}/kv-bundle"},
            {"middle": "dev"},
            "augments.kv.bridges_revision.middle is 'dev', but augments.kv.into.middle is '{parts}/kv-bundle', a "
            "folder, which has no revisions; drop one of them.",
        ),
        (
            {"anchor": "{parts}/kv-bundle"},
            "dev",
            "augments.kv.bridges_revision is 'dev', but augments.kv.into.anchor is '{parts}/kv-bundle', a folder, "
            "which has no revisions; drop one of them.",
        ),
    ],
)
def test_a_revision_of_what_has_none_is_refused_by_its_field(
    hosted: Hub, parts: Path, into: dict[str, Any], given: Any, line: str
) -> None:
    into = {name: each.format(parts=parts) if isinstance(each, str) else each for name, each in into.items()}
    with pytest.raises(GraphError) as caught:
        orchestra.load(document(into, bridges_revision=given))
    assert str(caught.value) == line.format(parts=parts)


def test_what_is_pushed_from_memory_comes_back_with_every_stack(hosted: Hub, tmp_path: Path) -> None:
    composed = tiny.loud(orchestra.load(document(["anchor", "middle"], bridges=FRESH)))
    composed.push_to_hub("acme/trio", token=OWNER, recipe={"steps": 3})
    again = orchestra.load("acme/trio")
    assert torch.equal(logits(again), logits(composed))
    held = again.plan.graph
    assert {stack.name: held.place_of(stack) for stack in held.stacks} == {
        "kv": "kv/anchor",
        "kv>middle": "kv/middle",
        "middle": "middle",
    }
    told = hosted.repositories["acme/trio"].files()["README.md"].decode()
    assert "| kv | acme/kv | " in told
    assert " | 3 into anchor; 3 into middle |" in told
    assert "## kv into middle: recipe" in told
    assert "reads 2 frozen augments, some by way of others, through" in told
    unpack(Online()("acme/trio", None, "graph"), tmp_path / "mine")
    assert torch.equal(logits(orchestra.load(tmp_path / "mine/graph.json")), logits(composed))
    with torch.no_grad():
        again.stack("kv", "middle").bridges()[0].gate.add_(1)
    again.push_to_hub("acme/trio", token=OWNER)
    bundles = orchestra.load("acme/trio").plan.graph.stacks
    recipes = {stack.name: read_config(Path(stack.bundle or "")).recipe for stack in bundles}
    assert recipes == {"kv": {"steps": 3}, "kv>middle": {}, "middle": {"steps": 3}}


def test_a_document_s_bundles_are_pushed_from_disk_and_pinned_on_the_hub(two: Hub, parts: Path) -> None:
    content = document({**BOTH, "middle": str(parts / "kv-bundle")}, bridges_revision={"anchor": "dev"})
    found = read(copy.deepcopy(content))
    push(graph_parcel(declared(found.spec), plan(found, hub=Online()).graph), "acme/trio", token=OWNER)
    repository = two.repositories["acme/trio"]
    told = json.loads(repository.files()["graph.json"])["augments"]["kv"]
    assert told["into"] == {"anchor": "acme/anchor-x-kv", "middle": "./bridges/kv/middle"}
    assert told["bridges_revision"] == {"anchor": two.repositories["acme/anchor-x-kv"].at("dev")}
    assert commits("acme/trio") == [two.repositories["acme/anchor-x-kv"].at("dev")]
    alone = document(["middle"], bridges=str(parts / "kv-bundle"))
    found = read(alone)
    push(graph_parcel(declared(found.spec), plan(found, hub=Online()).graph), "acme/trio", token=OWNER)
    held = sorted(path for path in repository.files() if path.startswith("bridges/"))
    assert held == [f"bridges/kv/{name}" for name in ("README.md", "bridge_config.json", "bridge_model.safetensors")]
