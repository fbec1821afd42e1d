import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import BundleError, api
from orchestra.io.facts import tokenizer_fingerprint
from orchestra.io.models import load_model, load_tokenizer
from tests import folders, tiny

ONE_PAIR = {"bridges": {"pairs": [tiny.pair(0, 1)]}}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folders of an anchor and an augment."""
    folders.checkpoint(tmp_path / "anchor", "llama")
    folders.checkpoint(tmp_path / "kv", "qwen3", seed=1)
    return tmp_path


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that were loaded, in order."""
    loaded: list[str] = []

    def counted(folder: Path, *, dtype: str, device: str) -> Any:
        loaded.append(folder.name)
        return load_model(folder, dtype=dtype, device=device)

    monkeypatch.setattr(api, "load_model", counted)
    return loaded


def graph(base: Path, **augments: Any) -> Path:
    return folders.graph(base / "graph.json", folders.document(**augments))


def same_logits(one: orchestra.ComposedModel, other: orchestra.ComposedModel) -> bool:
    ids = tiny.tokens()
    with torch.no_grad():
        return torch.equal(one(ids).logits, other(ids).logits)


# -- what comes back ------------------------------------------------------------------------------------------------


def test_a_graph_becomes_a_model_with_its_tokenizer(base: Path, loads: list[str]) -> None:
    model = orchestra.load(graph(base, kv=ONE_PAIR))
    assert not model.training
    assert model.active == ("kv",)
    assert model.tokenizer is not None
    assert model.tokenizer("w3")["input_ids"] == [3]
    assert sorted(loads) == ["anchor", "kv"]
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        name for name, _ in model.trainable()
    }


def test_a_path_may_be_text_and_a_home_may_be_short(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    graph(base, kv=ONE_PAIR)
    assert orchestra.load("~/graph.json").active == ("kv",)


def test_a_document_starts_at_the_working_directory(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base)
    assert orchestra.load(folders.document(kv={**ONE_PAIR, "enabled": False})).active == ()


def test_an_anchor_without_a_tokenizer_gives_a_model_without_one(base: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / "anchor" / name).unlink()
    assert orchestra.load(graph(base, kv=ONE_PAIR)).tokenizer is None


def test_a_bundle_brings_its_bridges_back(base: Path) -> None:
    bundle = folders.bundle(base)
    trained = orchestra.load(graph(base, kv={"bridges": str(bundle)}))
    again = orchestra.load(graph(base, table={"model": "kv", "bridges": "kv-bundle"}))
    assert same_logits(trained, again)
    assert not same_logits(trained, orchestra.load(graph(base, kv={"bridges": {"pairs": tiny.PAIRS}})))


def test_saving_and_loading_again_changes_nothing(base: Path) -> None:
    trained = orchestra.load(graph(base, kv={"bridges": str(folders.bundle(base))}))
    trained.save_bridges(base / "saved")
    assert same_logits(trained, orchestra.load(graph(base, kv={"bridges": "saved/kv"})))


# -- one copy -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_by_any_of_its_names_is_loaded_once(base: Path, loads: list[str]) -> None:
    (base / "link").symlink_to(base / "kv")
    model = orchestra.load(
        graph(
            base,
            kv=ONE_PAIR,
            dots={"model": "./anchor/../kv", "device": "cpu", **ONE_PAIR},
            link={"model": "link", "dtype": "float32", **ONE_PAIR},
            full={"model": str(base / "kv"), **ONE_PAIR},
            anchored={"model": "anchor", **ONE_PAIR},
        )
    )
    assert sorted(loads) == ["anchor", "kv"]
    assert model.augment("kv") is model.augment("dots") is model.augment("link") is model.augment("full")
    assert model.augment("anchored") is model.anchor


def test_a_checkpoint_that_is_held_in_two_dtypes_is_two(base: Path, loads: list[str]) -> None:
    model = orchestra.load(graph(base, kv=ONE_PAIR, half={"model": "kv", "dtype": "bfloat16", **ONE_PAIR}))
    assert sorted(loads) == ["anchor", "kv", "kv"]
    assert (model.augment("kv").dtype, model.augment("half").dtype) == (torch.float32, torch.bfloat16)


# -- models from memory ---------------------------------------------------------------------------------------------


def in_memory() -> dict[str, Any]:
    return {"anchor": tiny.model("llama", dtype=torch.float32), "kv": tiny.model("qwen3", seed=1, dtype=torch.float32)}


def test_models_from_memory_are_taken_as_they_are(tmp_path: Path, loads: list[str]) -> None:
    given = in_memory()
    content = folders.document(kv={"model": "nowhere", "dtype": "bfloat16", "device": "cuda:97", **ONE_PAIR})
    model = orchestra.load(folders.graph(tmp_path / "graph.json", content), models=given)
    assert model.anchor is given["anchor"]
    assert model.augment("kv") is given["kv"]
    assert model.augment("kv").dtype == torch.float32
    assert loads == []
    assert model.tokenizer is None
    (cost,) = model.plan.costs
    assert cost.weight_bytes == 4 * given["kv"].num_parameters()


def test_models_from_memory_and_from_folders_mix(base: Path, loads: list[str]) -> None:
    model = orchestra.load(graph(base, kv=ONE_PAIR), models={"kv": in_memory()["kv"]})
    assert loads == ["anchor"]
    assert model.tokenizer is not None


def test_a_model_from_memory_under_two_names_is_counted_once() -> None:
    model = tiny.model("llama")
    composed = orchestra.load(
        folders.document(kv=ONE_PAIR, self=ONE_PAIR), models={"anchor": model, "kv": model, "self": model}
    )
    assert [cost.weight_bytes for cost in composed.plan.costs] == [0, 0]


def test_a_tokenizer_that_is_given_is_taken(base: Path) -> None:
    tokenizer = load_tokenizer(base / "anchor")
    given: dict[str, Any] = {"tokenizers": {"anchor": tokenizer}}
    assert orchestra.load(folders.document(kv=ONE_PAIR), models=in_memory(), **given).tokenizer is tokenizer
    assert orchestra.load(graph(base, kv=ONE_PAIR), **given).tokenizer is tokenizer


# -- tokenizers of their own ------------------------------------------------------------------------------------------


@pytest.fixture
def lettered(base: Path) -> Path:
    """The same folders, each with a tokenizer of letters by other numbers, and a spare one."""
    folders.letters(base / "anchor")
    folders.letters(base / "kv", folders.LETTERS[::-1])
    folders.letters(base / "spare", folders.LETTERS[7:] + folders.LETTERS[:7])
    return base


def reads(model: orchestra.ComposedModel) -> dict[str, str]:
    return {node.name: node.reads for node in model.plan.graph.augments}


def test_an_augment_with_a_tokenizer_of_its_own_reads_a_stream_and_others_the_anchor_s_ids(lettered: Path) -> None:
    fields: dict[str, Any] = {
        "same": {"model": "kv", "tokenizer": "anchor"},
        "mapped": {"model": "anchor", "template": {"9": ""}},
    }
    model = orchestra.load(graph(lettered, kv=ONE_PAIR, **{name: ONE_PAIR | more for name, more in fields.items()}))
    assert reads(model) == {"kv": "stream", "same": "ids", "mapped": "stream"}
    assert model.stream_readers() == ("kv", "mapped")


def test_tokenizers_from_memory_come_before_the_document_s_and_make_streams_between_models_from_memory(
    lettered: Path,
) -> None:
    tokenizers: Any = {name: load_tokenizer(lettered / name) for name in ("anchor", "kv")}
    same = {"anchor": tokenizers["anchor"], "kv": tokenizers["anchor"]}
    for given, what in ((tokenizers, "stream"), (same, "ids")):
        assert reads(orchestra.load(graph(lettered, kv=ONE_PAIR), tokenizers=given)) == {"kv": what}
        composed = orchestra.load(folders.document(kv=ONE_PAIR), models=in_memory(), tokenizers=given)
        assert reads(composed) == {"kv": what}
        assert composed.tokenizer is tokenizers["anchor"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tokenizer": "spare"}, "the augment's tokenizer is {spare}, and it was trained with {kv}"),
        ({"tokenizer": "anchor"}, "the augment's tokenizer is {anchor}, and it was trained with {kv}"),
        ({"template": {"9": ""}}, 'the augment\'s template is {{"9": ""}}, and it was trained with none'),
    ],
)
def test_a_bundle_is_refused_for_another_tokenizer_or_template(
    lettered: Path, fields: dict[str, Any], told: str
) -> None:
    bundle = folders.bundle(lettered)
    assert orchestra.load(graph(lettered, kv={"bridges": "kv-bundle"})).active == ("kv",)
    prints = {name: str(tokenizer_fingerprint(lettered / name))[:12] for name in ("anchor", "kv", "spare")}
    message = f"augments.kv.bridges: {bundle}: does not fit: {told.format(**prints)}."
    with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
        orchestra.load(graph(lettered, kv={"bridges": "kv-bundle", **fields}))


def test_a_bundle_remembers_its_template(lettered: Path) -> None:
    content = folders.document(kv={"bridges": {"pairs": tiny.PAIRS}, "template": {"9": "nine"}})
    orchestra.load(folders.graph(lettered / "fresh.json", content)).save_stack("kv", lettered / "mapped")
    assert reads(orchestra.load(graph(lettered, kv={"bridges": "mapped", "template": {"9": "nine"}}))) == {
        "kv": "stream"
    }
    with pytest.raises(BundleError, match=r'the augment\'s template is none, and it was trained with \{"9": "nine"\}'):
        orchestra.load(graph(lettered, kv={"bridges": "mapped"}))


def test_bridges_trained_between_models_from_memory_come_back_to_the_same_weights(tmp_path: Path) -> None:
    trained = tiny.loud(orchestra.load(folders.document(kv=ONE_PAIR), models=in_memory()))
    trained.save_bridges(tmp_path)
    content = folders.document(kv={"bridges": str(tmp_path / "kv")})
    assert same_logits(trained, orchestra.load(content, models=in_memory()))
    other = {**in_memory(), "kv": tiny.model("qwen3", seed=2, dtype=torch.float32)}
    with pytest.raises(BundleError, match=r"^augments\.kv\.bridges: .*: does not fit: the augment's weights are "):
        orchestra.load(content, models=other)


def test_every_refusal_that_is_promised_is_one_of_ours() -> None:
    documented = re.findall(r"^\s+(\w+Error):", inspect.getdoc(orchestra.load) or "", re.MULTILINE)
    assert documented == [
        "SpecError",
        "GraphError",
        "ModelError",
        "ComposeError",
        "MergeError",
        "BundleError",
        "HubError",
        "LockError",
    ]
