import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestra import spec as specs
from orchestra.errors import LockError
from orchestra.io.checkpoint import file_sha256
from orchestra.io.document import read
from orchestra.io.lock import Lock, lock_path, pinned, read_lock, take, verify, write_lock
from orchestra.paper import plan
from tests import folders, papers

A, B = "a" * 40, "b" * 40


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph of folders that hold a little of everything, and its lock."""
    path = papers.graph_file(tmp_path, kv={"tokenizer": "words"})
    folders.tokenizer(tmp_path / "words")
    for name in ("kv/notes.md", "kv/modeling.py", "kv/merges.txt"):
        (tmp_path / name).write_text("x")
    document = read(path)
    write_lock(lock_path(path), take(document.spec, plan(document).graph))
    return path


def check(path: Path, *besides: str) -> list[str]:
    """Hold a graph to its lock; the lines of the error."""
    document = read(path)
    assert document.lock is not None
    try:
        verify(document.lock, lock_path(path), document.spec, plan(document).graph, besides=besides)
    except LockError as error:
        return str(error).splitlines()
    return []


def test_a_lock_names_the_sha256_of_every_file_that_is_read(graph: Path, tmp_path: Path) -> None:
    lock = json.loads((tmp_path / f"{graph.stem}.lock.json").read_text())
    assert lock["format"] == "orchestra/lock@1"
    assert sorted(lock["pins"]) == ["anchor.model", "augments.kv.model", "augments.kv.tokenizer"]
    kv = lock["pins"]["augments.kv.model"]
    assert kv["source"] == "kv"
    assert kv["files"] == {
        name: file_sha256(tmp_path / "kv" / name) for name in ("config.json", "merges.txt", "model.safetensors")
    }
    assert sorted(lock["pins"]["augments.kv.tokenizer"]["files"]) == ["tokenizer.json", "tokenizer_config.json"]
    assert check(graph) == []


def test_every_change_is_named_at_once(graph: Path, tmp_path: Path) -> None:
    was = file_sha256(tmp_path / "kv/merges.txt")
    (tmp_path / "kv/merges.txt").write_text("changed")
    (tmp_path / "kv/added_tokens.json").write_text("{}")
    (tmp_path / "words/tokenizer_config.json").unlink()
    lock = lock_path(graph)
    assert check(graph) == [
        f"{lock}: augments.kv.model: added_tokens.json is in {tmp_path}/kv, and not locked.",
        f"{lock}: augments.kv.model: merges.txt has SHA-256 {file_sha256(tmp_path / 'kv/merges.txt')}, "
        f"and {was} is locked.",
        f"{lock}: augments.kv.tokenizer: tokenizer_config.json is locked, and missing in {tmp_path}/words.",
    ]
    assert len(check(graph, "augments.kv.model")) == 1


def test_files_that_are_never_read_may_change(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "kv/notes.md").write_text("changed")
    (tmp_path / "kv/modeling.py").unlink()
    assert check(graph) == []


def test_weights_that_change_are_named(graph: Path, tmp_path: Path) -> None:
    folders.flip(tmp_path / "digits/model.safetensors", -1)
    (line,) = check(graph)
    assert ": anchor.model: model.safetensors has SHA-256 " in line


def spec(**kv: Any) -> specs.GraphSpec:
    return specs.parse(papers.document(kv={"model": "acme/kv", **kv}))


def lock(**pins: dict[str, Any]) -> Lock:
    files = {"files": {"config.json": "c" * 64}}
    named = {name.replace("_", "."): {**files, **pin} for name, pin in pins.items()}
    return Lock.model_validate({"pins": {"anchor.model": {"source": "digits", **files}, **named}})


PATH = Path("graph.lock.json")


def test_a_locked_commit_takes_the_place_of_a_branch() -> None:
    found = pinned(
        spec(revision="main", bridges="acme/x"),
        lock(
            augments_kv_model={"source": "acme/kv", "revision": "main", "commit": A},
            augments_kv_bridges={"source": "acme/x", "commit": B},
        ),
        PATH,
    )
    assert (found.augments["kv"].revision, found.augments["kv"].bridges_revision) == (A, B)
    assert found.anchor.revision is None


def test_an_anchor_is_pinned_like_an_augment() -> None:
    made = Lock.model_validate(
        {
            "pins": {
                "anchor.model": {"source": "digits", "commit": B, "files": {"config.json": "c" * 64}},
                "augments.kv.model": {"source": "acme/kv", "commit": A, "files": {"config.json": "c" * 64}},
            }
        }
    )
    assert pinned(spec(), made, PATH).anchor.revision == B


def test_a_lock_of_another_document_is_refused_field_by_field() -> None:
    with pytest.raises(LockError) as caught:
        pinned(
            spec(revision="v2", bridges="acme/x"),
            lock(
                augments_kv_model={"source": "acme/kv", "revision": "main", "commit": A},
                augments_tetum_model={"source": "tetum"},
            ),
            PATH,
        )
    assert str(caught.value).splitlines() == [
        "graph.lock.json: augments.kv.model is 'acme/kv' at 'v2', and 'acme/kv' at 'main' is locked; "
        "lock the graph again.",
        "graph.lock.json: augments.kv.bridges is not locked; lock the graph again.",
        "graph.lock.json: locks augments.tetum.model, which the graph does not name; lock the graph again.",
    ]


def test_where_there_is_no_lock_there_is_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "graph.lock.json") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{nope", "is not JSON."),
        ("[" * 100_000, "is not JSON."),
        ('{"pins": {}, "more": 1}', "more: extra inputs are not permitted."),
        ('{"pins": {"anchor.model": {"source": "x", "files": {}}}}', "pins.anchor.model.files: dictionary should have"),
        (
            '{"pins": {"anchor.model": {"source": "x", "files": {"a": "b"}}}}',
            "pins.anchor.model.files.a: string should match pattern",
        ),
    ],
)
def test_a_damaged_lock_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "graph.lock.json"
    path.write_text(text)
    with pytest.raises(LockError, match=f"^{re.escape(f'{path}: {why}')}"):
        read_lock(path)


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.lock.json").mkdir()
    with pytest.raises(LockError, match=r"graph\.lock\.json: cannot be read: Is a directory\.$"):
        read_lock(tmp_path / "graph.lock.json")


def test_a_bundle_into_an_augment_is_locked_under_its_own_field(parts: Path, tmp_path: Path) -> None:
    content = folders.document(kv={"into": {"middle": str(parts / "kv-bundle")}}, middle={"bridges": {"every": 2}})
    for name, model in (("kv", "kv"), ("middle", "anchor")):
        content["augments"][name]["model"] = str(parts / model)
    content["anchor"]["model"] = str(parts / "anchor")
    path = folders.graph(tmp_path / "chain.json", content)
    document = read(path)
    lock = take(document.spec, plan(document).graph)
    assert sorted(lock.pins["augments.kv.into.middle"].files) == ["bridge_config.json", "bridge_model.safetensors"]


def test_an_augment_may_be_called_model(tmp_path: Path) -> None:
    path = papers.graph_file(tmp_path, model={"model": "kv", "tokenizer": "words", "into": ["kv"]}, kv={})
    folders.tokenizer(tmp_path / "words")
    document = read(path)
    write_lock(lock_path(path), take(document.spec, plan(document).graph))
    assert check(path) == []
    (tmp_path / "kv/merges.txt").write_text("changed")
    (tmp_path / "words/merges.txt").write_text("changed")
    places = {"augments.kv.model": "kv", "augments.model.model": "kv", "augments.model.tokenizer": "words"}
    lines = [f"{field}: merges.txt is in {tmp_path}/{place}, and not locked." for field, place in places.items()]
    assert check(path) == [f"{lock_path(path)}: {line}" for line in lines]
