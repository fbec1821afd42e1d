"""Bad input, through the whole of `orchestra.load`: one clear error each, nothing loaded, nothing written."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch

import orchestra
from orchestra import BundleError, ComposeError, GraphError, ModelError, OrchestraError, SpecError, api
from orchestra.io.checkpoint import file_sha256
from tests import folders, tiny

ONE_PAIR = {"bridges": {"pairs": [tiny.pair(0, 1)]}}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folders of an anchor and an augment."""
    folders.checkpoint(tmp_path / "anchor", "llama")
    folders.checkpoint(tmp_path / "kv", "qwen3", seed=1)
    return tmp_path


def graph(base: Path, **augments: Any) -> Path:
    return folders.graph(base / "graph.json", folders.document(**augments))


class Refused(Protocol):
    def __call__(
        self,
        kind: type[OrchestraError],
        *,
        models: Mapping[str, Any] | None = None,
        tokenizers: Mapping[str, Any] | None = None,
    ) -> list[str]: ...


@pytest.fixture
def refused(base: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Refused:
    """Load a graph that cannot be; the lines of its error."""

    def loads(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    def lines(
        kind: type[OrchestraError],
        *,
        models: Mapping[str, Any] | None = None,
        tokenizers: Mapping[str, Any] | None = None,
    ) -> list[str]:
        before = folders.snapshot(base)
        with monkeypatch.context() as patch:
            patch.setattr(api, "load_model", loads)
            with pytest.raises(OrchestraError) as caught:
                orchestra.load(base / "graph.json", models=models, tokenizers=tokenizers)
        assert type(caught.value) is kind
        assert folders.snapshot(base) == before
        assert os.listdir(own_cache) in ([], ["sha256.json"])
        return str(caught.value).splitlines()

    return lines


def test_a_graph_that_is_not_json(base: Path, refused: Refused) -> None:
    (base / "graph.json").write_text("{nope")
    assert refused(SpecError) == [
        f"{base}/graph.json: is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."
    ]


def test_a_graph_that_is_not_there(base: Path, refused: Refused) -> None:
    assert refused(SpecError) == [f"{base}/graph.json: cannot be read: No such file or directory."]


def test_a_layer_past_the_end_and_two_damaged_models(base: Path, refused: Refused) -> None:
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
    "weights that are packed whole numbers": (
        lambda kv: folders.edit_weights(
            kv / "model.safetensors", lambda weights: weights.update({folders.UP: weights[folders.UP].to(torch.int8)})
        ),
        f"{{kv}}: {folders.UP} holds I8, and no quantization_config in its config says how to read that; "
        "weights are F64, F32, F16 or BF16.",
    ),
    "only a pickle": (
        lambda kv: (kv / "model.safetensors").rename(kv / "pytorch_model.bin"),
        "{kv}: holds only pickled weights (pytorch_model.bin), which are never loaded; save it as safetensors.",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model(base: Path, refused: Refused, damage: str) -> None:
    DAMAGE[damage][0](base / "kv")
    graph(base, kv=ONE_PAIR)
    assert refused(GraphError) == [f"augments.kv.model: {DAMAGE[damage][1].format(kv=base / 'kv')}"]


def test_a_folder_that_does_not_exist(base: Path, refused: Refused) -> None:
    graph(base, kv={"model": "acme/kv", "bridges": "acme/digits-x-kv"})
    assert refused(GraphError) == [
        f"augments.kv.{field} is {source!r}: there is no such folder, and the Hub's cache does not hold all of "
        f"{source}, and nothing is fetched offline."
        for field, source in (("model", "acme/kv"), ("bridges", "acme/digits-x-kv"))
    ]


@pytest.fixture
def bundle(base: Path) -> Path:
    """A bundle for the two models, and a graph that names it."""
    made = folders.bundle(base)
    graph(base, kv={"bridges": "kv-bundle"})
    return made


def test_a_bundle_of_another_model(base: Path, bundle: Path, refused: Refused) -> None:
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


def test_a_bundle_of_another_architecture(base: Path, bundle: Path, refused: Refused) -> None:
    folders.checkpoint(base / "kv", "gpt2")
    where = f"augments.kv.bridges ({bundle})"
    assert refused(GraphError) == [f"{where} joins width 20, but kv has width 36."]


def test_the_misfits_of_all_bundles(base: Path, bundle: Path, refused: Refused) -> None:
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


def test_a_bit_flipped_in_the_weights_of_a_bundle(base: Path, bundle: Path, refused: Refused) -> None:
    path = bundle / "bridge_model.safetensors"
    folders.flip(path, path.stat().st_size - 1)
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: does not fit: "
        "bridge_model.safetensors is not the file that bridge_config.json names by its SHA-256."
    ]


@pytest.mark.parametrize(("role", "name"), [("anchor", "anchor"), ("augment", "kv")])
def test_a_bit_flipped_in_the_weights_of_a_model(
    base: Path, bundle: Path, refused: Refused, role: str, name: str
) -> None:
    path = base / name / "model.safetensors"
    was = file_sha256(path)
    folders.flip(path, path.stat().st_size - 4)
    assert refused(BundleError) == [
        f"augments.kv.bridges: {bundle}: does not fit: the {role}'s weights are {file_sha256(path)[:12]} ({name}), "
        f"and it was trained with {was[:12]} ({name})."
    ]


def test_weights_of_a_bundle_that_are_no_numbers(base: Path, bundle: Path, refused: Refused) -> None:
    path = bundle / "bridge_model.safetensors"
    folders.edit_weights(path, lambda tensors: tensors["anchor_0_from_1.gate"].fill_(torch.nan))
    folders.edit_json(bundle / "bridge_config.json", weights_sha256=file_sha256(path))
    assert refused(BundleError) == [f"augments.kv.bridges: {path}: holds NaN or infinity in anchor_0_from_1.gate."]


@pytest.mark.parametrize("name", ["bridge_model.bin", "stack.pt"])
def test_a_bundle_of_pickles(base: Path, bundle: Path, refused: Refused, name: str) -> None:
    (bundle / "bridge_model.safetensors").rename(bundle / name)
    told = f"only pickled weights ({name}), which are never loaded."
    assert refused(GraphError) == [f"augments.kv.bridges: {bundle}: holds no bridge_model.safetensors, {told}"]
    (bundle / "bridge_config.json").unlink()
    assert refused(GraphError) == [
        f"augments.kv.bridges: {bundle}: is not a bundle: it holds no bridge_config.json, {told}"
    ]


def test_devices_that_are_not_there(base: Path, refused: Refused) -> None:
    content = folders.document(kv={"device": "cuda:97", **ONE_PAIR})
    content["anchor"]["device"] = "banana"
    folders.graph(base / "graph.json", content)
    assert refused(ModelError) == [
        "anchor.device is 'banana'; torch has no such device here.",
        "augments.kv.device is 'cuda:97'; torch has no such device here.",
    ]


def test_models_under_names_that_the_graph_does_not_have(base: Path, refused: Refused) -> None:
    graph(base, kv=ONE_PAIR)
    assert refused(GraphError, models={"vk": tiny.model("qwen3")}) == [
        "models has 'vk', which the graph does not name; it names anchor, kv."
    ]


def test_models_that_are_none(base: Path, refused: Refused) -> None:
    graph(base, kv=ONE_PAIR)
    broken = tiny.model("qwen3")
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.inf)
    composed = tiny.compose(tiny.model("llama"), kv=tiny.model("qwen3"))
    given = {
        "anchor": "models/digits",
        "kv": broken,
        "more": composed,
        "linear": torch.nn.Linear(2, 3),
        "far": tiny.model("gpt2").to("meta"),  # type: ignore[arg-type]
    }
    assert refused(ModelError, models=given) == [
        "models['anchor'] is a str; a PreTrainedModel of transformers is needed.",
        "models['kv'] holds NaN or infinity in model.embed_tokens.weight.",
        "models['more'] is a composed model; this version composes plain models only.",
        "models['linear'] is a Linear; a PreTrainedModel of transformers is needed.",
        "models['far'] has weights that are not in memory (they are on the device 'meta').",
    ]


def test_tokenizers_that_belong_to_other_models(base: Path, refused: Refused) -> None:
    graph(base, kv={"tokenizer": "spare", **ONE_PAIR})
    folders.tokenizer(base / "anchor", {f"w{index}": index for index in range(98)})
    folders.tokenizer(base / "spare", {**folders.WORDS, "far": 1009})
    told = "{0}: its tokenizer has the token {1} with the id {2}, but the model's vocabulary has 97, numbered 0 to 96; "
    told += "name the model's own tokenizer in {0}.tokenizer."
    assert refused(ModelError) == [told.format("anchor", "'w97'", 97), told.format("augments.kv", "'far'", 1009)]


def test_tokenizers_that_no_stream_can_lead_from(base: Path, refused: Refused) -> None:
    graph(base, kv=ONE_PAIR)
    folders.letters(base / "kv")
    assert refused(ComposeError) == [
        "the anchor's tokenizer cannot be read token by token: "
        "it has no decoder, so that its tokens would be joined by blanks that are not in the text."
    ]


def test_tokenizers_that_are_none_or_nobody_s(base: Path, refused: Refused) -> None:
    graph(base, kv=ONE_PAIR)
    assert refused(ModelError, tokenizers={"anchor": "models/digits"}) == [
        "tokenizers['anchor'] is a str; a PreTrainedTokenizerBase of transformers is needed."
    ]
    assert refused(GraphError, tokenizers={"vk": tiny.words()}) == [
        "tokenizers has 'vk', which the graph does not name; it names anchor, kv."
    ]


def test_a_tokenizer_that_is_not_there(base: Path, refused: Refused) -> None:
    graph(base, kv={"tokenizer": "./lost", **ONE_PAIR})
    assert refused(GraphError) == [f"augments.kv.tokenizer is './lost', but there is no folder {base}/lost."]


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
