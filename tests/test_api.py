import inspect
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import folders
import pytest
import tiny
import torch

import orchestra
from orchestra import BundleError, GraphError, ModelError, OrchestraError, SpecError, api
from orchestra.io.checkpoint import file_sha256
from orchestra.io.models import load_model, load_tokenizer

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
    assert orchestra.load(folders.document(kv=ONE_PAIR), models=in_memory(), tokenizer=tokenizer).tokenizer is tokenizer
    assert orchestra.load(graph(base, kv=ONE_PAIR), tokenizer=tokenizer).tokenizer is tokenizer


def test_bridges_trained_between_models_from_memory_come_back_to_the_same_weights(tmp_path: Path) -> None:
    trained = tiny.loud(orchestra.load(folders.document(kv=ONE_PAIR), models=in_memory()))
    trained.save_bridges(tmp_path)
    content = folders.document(kv={"bridges": str(tmp_path / "kv")})
    assert same_logits(trained, orchestra.load(content, models=in_memory()))
    other = {**in_memory(), "kv": tiny.model("qwen3", seed=2, dtype=torch.float32)}
    with pytest.raises(BundleError, match=r"^augments\.kv\.bridges: .*: does not fit: the augment's weights are "):
        orchestra.load(content, models=other)


# -- bad input: one clear error, nothing loaded, nothing written ------------------------------------------------------


@pytest.fixture
def refused(base: Path, loads: list[str], own_cache: Path) -> Iterator[Callable[..., list[str]]]:
    """Load a graph that cannot be; the lines of its error."""

    def lines(kind: type[OrchestraError], source: object = None, **options: Any) -> list[str]:
        before = folders.snapshot(base)
        with pytest.raises(OrchestraError) as caught:
            orchestra.load(base / "graph.json" if source is None else source, **options)  # type: ignore[arg-type]
        assert type(caught.value) is kind
        assert loads == []
        assert folders.snapshot(base) == before
        return str(caught.value).splitlines()

    yield lines
    assert [path.name for path in own_cache.iterdir() if path.name != "sha256.json"] == []


def test_a_graph_that_is_not_json(base: Path, refused: Callable[..., list[str]]) -> None:
    (base / "graph.json").write_text("{nope")
    assert refused(SpecError) == [
        f"{base}/graph.json: is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."
    ]


def test_a_graph_that_is_not_there(base: Path, refused: Callable[..., list[str]]) -> None:
    assert refused(SpecError) == [f"{base}/graph.json: cannot be read: No such file or directory."]


def test_a_layer_past_the_end_and_two_damaged_models(base: Path, refused: Callable[..., list[str]]) -> None:
    graph(base, kv={"bridges": {"pairs": [tiny.pair(5, 0)]}}, a={"model": "kv-a"}, b={"model": "kv-b"})
    for name in ("kv-a", "kv-b"):
        folders.checkpoint(base / name)
    (base / "kv-a" / "config.json").unlink()
    path = base / "kv-b" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    size = path.stat().st_size
    assert refused(GraphError) == [
        f"augments.a.model: {base}/kv-a: holds no config.json.",
        f"augments.b.model: {path}: is {size} bytes long, but its header announces {size + 1}; fetch or save it again.",
        "augments.kv.bridges.pairs.0.augment_layer is 5, but kv has 5 layers, numbered 0 to 4.",
    ]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda kv: (kv / "config.json").unlink(), "{kv}: holds no config.json."),
    "a config without sizes": (
        lambda kv: folders.edit_json(kv / "config.json", hidden_size=...),
        "{kv}: its config has no hidden_size or n_embd or d_model.",
    ),
    "a config that is not JSON": (
        lambda kv: (kv / "config.json").write_text("{nope"),
        "{kv}/config.json: is not JSON.",
    ),
    "no weights": (lambda kv: (kv / "model.safetensors").unlink(), "{kv}: holds no model.safetensors."),
    "weights that are empty": (
        lambda kv: (kv / "model.safetensors").write_bytes(b""),
        "{kv}/model.safetensors: is not a whole safetensors file; fetch or save it again.",
    ),
    "a bit flipped in the header": (
        lambda kv: folders.flip(kv / "model.safetensors", 8),
        "{kv}/model.safetensors: has a damaged safetensors header; fetch or save it again.",
    ),
    "a missing shard": (
        lambda kv: (
            (kv / "model.safetensors").rename(kv / "a.safetensors")
            and (kv / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}})
            )
        ),
        "{kv}: holds no b.safetensors, though model.safetensors.index.json names it.",
    ),
    "a shard outside its folder": (
        lambda kv: (
            (kv / "model.safetensors").rename(kv / "a.safetensors")
            and (kv / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "../anchor/model.safetensors"}})
            )
        ),
        "{kv}/model.safetensors.index.json: names a shard outside its folder: '../anchor/model.safetensors'.",
    ),
    "only a pickle": (
        lambda kv: (kv / "model.safetensors").rename(kv / "pytorch_model.bin"),
        "{kv}: holds only pickled weights (pytorch_model.bin), which are never loaded; save it as safetensors.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model(base: Path, refused: Callable[..., list[str]], damage: str) -> None:
    DAMAGE[damage][0](base / "kv")
    graph(base, kv=ONE_PAIR)
    assert refused(GraphError) == [f"augments.kv.model: {DAMAGE[damage][1].format(kv=base / 'kv')}"]


def test_a_folder_that_does_not_exist(base: Path, refused: Callable[..., list[str]]) -> None:
    graph(base, kv={"model": "acme/kv", "bridges": "acme/digits-x-kv"})
    hint = "Models and bundles on the Hub come in a later version; download it, and name the folder."
    assert refused(GraphError) == [
        f"augments.kv.model is 'acme/kv', but there is no folder {base}/acme/kv. {hint}",
        f"augments.kv.bridges is 'acme/digits-x-kv', but there is no folder {base}/acme/digits-x-kv. {hint}",
    ]


@pytest.fixture
def bundle(base: Path, loads: list[str]) -> Path:
    """A bundle for the two models, and a graph that names it."""
    made = folders.bundle(base)
    graph(base, kv={"bridges": "kv-bundle"})
    loads.clear()
    return made


def test_a_bundle_of_another_model(base: Path, bundle: Path, refused: Callable[..., list[str]]) -> None:
    config = json.loads((bundle / "bridge_config.json").read_text())
    was = [config[role]["fingerprint"][:12] for role in ("anchor", "augment")]
    folders.checkpoint(base / "anchor", "llama", seed=7)
    folders.checkpoint(base / "kv", "qwen3", seed=8)
    now = [file_sha256(base / name / "model.safetensors")[:12] for name in ("anchor", "kv")]
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: does not fit: the anchor's weights are {now[0]} (anchor), "
        f"and it was trained with {was[0]} (anchor).",
        f"augments.kv.bridges: {bundle}: does not fit: the augment's weights are {now[1]} (kv), "
        f"and it was trained with {was[1]} (kv).",
    ]


def test_a_bundle_of_another_architecture(base: Path, bundle: Path, refused: Callable[..., list[str]]) -> None:
    folders.checkpoint(base / "kv", "gpt2")
    where = f"augments.kv.bridges ({bundle})"
    assert refused(GraphError) == [f"{where} joins width 20, but kv has width 36."]


def test_the_misfits_of_all_bundles(base: Path, bundle: Path, refused: Callable[..., list[str]]) -> None:
    other = base / "other-bundle"
    bundle_copy = folders.snapshot(bundle)
    other.mkdir()
    for name, content in bundle_copy.items():
        (other / name).write_bytes(content or b"")
    folders.edit_json(bundle / "bridge_config.json", weights_sha256="0" * 64)
    folders.edit_weights(other / "bridge_model.safetensors", lambda tensors: tensors.pop("anchor_0_from_1.gate"))
    graph(base, kv={"bridges": "kv-bundle"}, other={"model": "kv", "bridges": "other-bundle"})
    changed = "does not fit: bridge_model.safetensors is not the file that bridge_config.json names by its SHA-256."
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: {changed}",
        f"augments.other.bridges: {other}: does not fit: the tensor anchor_0_from_1.gate is missing.",
        f"augments.other.bridges: {other}: {changed}",
    ]


def test_a_bit_flipped_in_the_weights_of_a_bundle(base: Path, bundle: Path, refused: Callable[..., list[str]]) -> None:
    path = bundle / "bridge_model.safetensors"
    folders.flip(path, path.stat().st_size - 1)
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: does not fit: "
        "bridge_model.safetensors is not the file that bridge_config.json names by its SHA-256."
    ]


@pytest.mark.parametrize(("role", "name"), [("anchor", "anchor"), ("augment", "kv")])
def test_a_bit_flipped_in_the_weights_of_a_model(
    base: Path, bundle: Path, refused: Callable[..., list[str]], role: str, name: str
) -> None:
    path = base / name / "model.safetensors"
    was = file_sha256(path)
    folders.flip(path, path.stat().st_size - 4)
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: does not fit: the {role}'s weights are {file_sha256(path)[:12]} ({name}), "
        f"and it was trained with {was[:12]} ({name})."
    ]


def test_weights_of_a_bundle_that_are_no_numbers(base: Path, bundle: Path, refused: Callable[..., list[str]]) -> None:
    path = bundle / "bridge_model.safetensors"
    folders.edit_weights(path, lambda tensors: tensors["anchor_0_from_1.gate"].fill_(torch.nan))
    folders.edit_json(bundle / "bridge_config.json", weights_sha256=file_sha256(path))
    assert refused(BundleError) == [f"augments.kv.bridges: {path}: holds NaN or infinity in anchor_0_from_1.gate."]


@pytest.mark.parametrize("name", ["bridge_model.bin", "stack.pt"])
def test_a_bundle_of_pickles(base: Path, bundle: Path, refused: Callable[..., list[str]], name: str) -> None:
    (bundle / "bridge_model.safetensors").rename(bundle / name)
    told = f"only pickled weights ({name}), which are never loaded."
    assert refused(GraphError) == [f"augments.kv.bridges: {bundle}: holds no bridge_model.safetensors, {told}"]
    (bundle / "bridge_config.json").unlink()
    assert refused(GraphError) == [
        f"augments.kv.bridges: {bundle}: is not a bundle: it holds no bridge_config.json, {told}"
    ]


def test_devices_that_are_not_there(base: Path, refused: Callable[..., list[str]]) -> None:
    content = folders.document(kv={"device": "cuda:97", **ONE_PAIR})
    content["anchor"]["device"] = "banana"
    folders.graph(base / "graph.json", content)
    assert refused(ModelError) == [
        "anchor.device is 'banana'; torch has no such device here.",
        "augments.kv.device is 'cuda:97'; torch has no such device here.",
    ]


def test_models_under_names_that_the_graph_does_not_have(base: Path, refused: Callable[..., list[str]]) -> None:
    graph(base, kv=ONE_PAIR)
    assert refused(GraphError, models={"vk": in_memory()["kv"]}) == [
        "models has 'vk', which the graph does not name; it names anchor, kv."
    ]


def test_models_that_are_none(base: Path, refused: Callable[..., list[str]]) -> None:
    graph(base, kv=ONE_PAIR)
    broken = tiny.model("qwen3")
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.inf)
    composed = tiny.compose(tiny.model("llama"), kv=tiny.model("qwen3"))
    given = {"anchor": "models/digits", "kv": broken, "more": composed, "linear": torch.nn.Linear(2, 3)}
    assert refused(ModelError, models=given) == [
        "models['anchor'] is a str; a PreTrainedModel of transformers is needed.",
        "models['kv'] holds NaN or infinity in model.embed_tokens.weight.",
        "models['more'] is a composed model; this version composes plain models only.",
        "models['linear'] is a Linear; a PreTrainedModel of transformers is needed.",
    ]


@pytest.mark.parametrize(("name", "model"), [("anchor", "llama"), ("kv", "qwen3")])
def test_weights_of_a_model_that_are_no_numbers(base: Path, own_cache: Path, name: str, model: str) -> None:
    graph(base, kv=ONE_PAIR)
    folders.edit_weights(base / name / "model.safetensors", lambda weights: weights[folders.UP].fill_(torch.nan))
    before = folders.snapshot(base)
    message = f"{base / name}: holds NaN or infinity in {folders.UP}."
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        orchestra.load(base / "graph.json")
    assert folders.snapshot(base) == before
    assert os.listdir(own_cache) == []


def test_every_refusal_that_is_promised_is_one_of_ours() -> None:
    documented = re.findall(r"^\s+(\w+Error):", inspect.getdoc(orchestra.load) or "", re.MULTILINE)
    assert documented == ["SpecError", "GraphError", "ModelError", "BundleError"]
