import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import BundleError
from orchestra.graph import ModelFacts, Site
from orchestra.io.bundle import (
    BundleConfig,
    Identity,
    bundle_sites,
    config_text,
    identify,
    misfits,
    read_config,
    read_weights_header,
)

ANCHOR = Identity(
    name="digits",
    fingerprint="a" * 64,
    model_type="llama",
    num_layers=3,
    d_model=14,
    num_heads=7,
    vocab_size=97,
    tokenizer="1" * 64,
)
AUGMENT = Identity(
    name="kv",
    fingerprint="b" * 64,
    model_type="qwen3",
    num_layers=5,
    d_model=11,
    num_heads=1,
    vocab_size=97,
    tokenizer="1" * 64,
)
SITE = Site(augment="kv", augment_layer=4, anchor_layer=1, d_augment=11, d_anchor=14, num_heads=7, gate="token")
CONFIG = BundleConfig(
    anchor=ANCHOR,
    augment=AUGMENT,
    sites=bundle_sites([SITE, replace(SITE, anchor_layer="embedding", variant="calm", positions="none")]),
    weights_sha256="c" * 64,
)


def write(folder: Path, **changes: Any) -> Path:
    (folder / "bridge_config.json").write_text(json.dumps({**CONFIG.model_dump(), **changes}))
    return folder


def test_a_config_survives_the_disk(tmp_path: Path) -> None:
    assert read_config(write(tmp_path)) == CONFIG


def test_sites_come_back_for_the_name_that_the_graph_gives_the_augment() -> None:
    here = replace(SITE, augment="table")
    assert CONFIG.placed("table") == (
        here,
        replace(here, anchor_layer="embedding", variant="calm", positions="none"),
    )


def test_a_model_is_remembered_by_its_folder_and_never_by_its_path() -> None:
    facts = ModelFacts(
        source="/private/place/digits", model_type="llama", num_layers=3, d_model=14, num_heads=7, vocab_size=97
    )
    assert identify(facts, "f" * 64) == ANCHOR.model_copy(update={"fingerprint": "f" * 64, "tokenizer": None})
    assert identify(facts, "f" * 64, name="anchor").name == "anchor"


def told(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_config(folder)
    return str(caught.value)


def test_a_folder_without_a_config_is_no_bundle(tmp_path: Path) -> None:
    assert told(tmp_path) == f"{tmp_path}: is not a bundle: it holds no bridge_config.json."


@pytest.mark.parametrize("name", ["bridges.bin", "bridge_model.pt"])
def test_a_folder_of_pickles_is_no_bundle(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert told(tmp_path) == (
        f"{tmp_path}: is not a bundle: it holds no bridge_config.json, only pickled weights ({name}), "
        "which are never loaded."
    )


@pytest.mark.parametrize("content", [b"{nope", b'"\xff"', b"[" * 100_000])
def test_a_config_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bridge_config.json").write_bytes(content)
    assert told(tmp_path) == f"{tmp_path}/bridge_config.json: is not JSON."


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bridge_config.json").mkdir()
    assert told(tmp_path) == f"{tmp_path}/bridge_config.json: cannot be read: Is a directory."


def test_a_config_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bridge_config.json").write_text("[]")
    assert told(tmp_path) == f"{tmp_path}/bridge_config.json: input should be an object."


def test_every_field_that_is_wrong_is_listed(tmp_path: Path) -> None:
    site = {**CONFIG.model_dump()["sites"][0], "num_heads": 0, "anchor_layer": "top", "speed": 1}
    write(tmp_path, format="orchestra/bundle@2", sites=[site], anchor=None)
    path = tmp_path / "bridge_config.json"
    assert told(tmp_path).splitlines() == [
        f"{path}: format: input should be 'orchestra/bundle@1'.",
        f"{path}: anchor: input should be an object.",
        f"{path}: sites.0.anchor_layer: input should be a valid integer or input should be 'embedding'.",
        f"{path}: sites.0.num_heads: input should be greater than 0.",
        f"{path}: sites.0.speed: extra inputs are not permitted.",
    ]


def weights_told(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_weights_header(folder)
    return str(caught.value)


def test_a_bundle_without_weights_is_refused(tmp_path: Path) -> None:
    assert weights_told(tmp_path) == f"{tmp_path}: holds no bridge_model.safetensors."


def test_pickled_weights_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bridge_model.bin").touch()
    assert weights_told(tmp_path) == (
        f"{tmp_path}: holds no bridge_model.safetensors, only pickled weights (bridge_model.bin), "
        "which are never loaded."
    )


def test_damaged_weights_are_the_bundles_fault(tmp_path: Path) -> None:
    (tmp_path / "bridge_model.safetensors").write_bytes(b"short")
    assert weights_told(tmp_path) == (
        f"{tmp_path}/bridge_model.safetensors: is not a whole safetensors file; fetch or save it again."
    )


def test_a_bundle_fits_the_models_that_it_was_trained_between() -> None:
    assert list(misfits(CONFIG, anchor=ANCHOR, augment=AUGMENT)) == []


def test_names_and_unknown_tokenizers_do_not_matter() -> None:
    renamed = ANCHOR.model_copy(update={"name": "other", "tokenizer": None})
    assert list(misfits(CONFIG, anchor=renamed, augment=AUGMENT)) == []


def test_where_a_stream_was_or_is_read_a_tokenizer_that_is_not_known_is_another_one() -> None:
    other, unknown = (AUGMENT.model_copy(update={"tokenizer": tokenizer}) for tokenizer in ("2" * 64, None))
    through = CONFIG.model_copy(update={"augment": other})
    told = "the augment's tokenizer is {}, and it was trained with {}"
    assert list(misfits(through, anchor=ANCHOR, augment=other)) == []
    assert list(misfits(through, anchor=ANCHOR, augment=unknown)) == [told.format("not known", "222222222222")]
    unread = CONFIG.model_copy(update={"augment": unknown})
    assert list(misfits(unread, anchor=ANCHOR, augment=AUGMENT)) == []
    assert list(misfits(unread, anchor=ANCHOR, augment=other)) == [told.format("222222222222", "not known")]


def test_another_template_is_a_misfit_and_none_is_not_an_empty_one() -> None:
    plain, empty, full = (AUGMENT.model_copy(update={"template": given}) for given in (None, {}, {"<s>": "\n"}))
    told = {id(plain): "none", id(empty): "{}", id(full): '{"<s>": "\\n"}'}
    for was in (plain, empty, full):
        config = CONFIG.model_copy(update={"augment": was})
        for now in (plain, empty, full):
            line = f"the augment's template is {told[id(now)]}, and it was trained with {told[id(was)]}"
            assert list(misfits(config, anchor=ANCHOR, augment=now)) == ([] if now is was else [line])


def test_a_template_is_written_only_where_there_is_one(tmp_path: Path) -> None:
    assert "template" not in config_text(CONFIG)
    mapped = CONFIG.model_copy(update={"augment": AUGMENT.model_copy(update={"template": {"<s>": ""}})})
    (tmp_path / "bridge_config.json").write_text(config_text(mapped))
    assert config_text(mapped).count('"template"') == 1
    assert read_config(tmp_path) == mapped


def test_a_bundle_trained_with_provisional_tokens_is_for_them_alone(tmp_path: Path) -> None:
    ahead = AUGMENT.model_copy(update={"tail": "provisional"})
    config = CONFIG.model_copy(update={"augment": ahead})
    assert "tail" not in config_text(CONFIG)
    (tmp_path / "bridge_config.json").write_text(config_text(config))
    assert read_config(tmp_path) == config
    assert list(misfits(config, anchor=ANCHOR, augment=ahead)) == []
    told = "the augment's tail is held, and it was trained with provisional"
    assert list(misfits(config, anchor=ANCHOR, augment=AUGMENT)) == [told]
    told = "the augment's tail is provisional, and it was trained with held"
    assert list(misfits(CONFIG, anchor=ANCHOR, augment=ahead)) == [told]


@pytest.mark.parametrize("role", ["anchor", "augment"])
@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("model_type", "gpt2", "the {role}'s model_type is gpt2, and it was trained with {was}"),
        ("num_layers", 2, "the {role}'s num_layers is 2, and it was trained with {was}"),
        ("d_model", 13, "the {role}'s d_model is 13, and it was trained with {was}"),
        ("num_heads", 2, "the {role}'s num_heads is 2, and it was trained with {was}"),
        ("vocab_size", 98, "the {role}'s vocab_size is 98, and it was trained with {was}"),
        ("tokenizer", "2" * 64, "the {role}'s tokenizer is 222222222222, and it was trained with 111111111111"),
        (
            "fingerprint",
            "d" * 64,
            "the {role}'s weights are dddddddddddd ({name}), and it was trained with {short} ({name})",
        ),
    ],
)
def test_each_difference_is_a_misfit(role: str, field: str, value: object, line: str) -> None:
    models = {"anchor": ANCHOR, "augment": AUGMENT}
    was = models[role]
    models[role] = was.model_copy(update={field: value})
    told = line.format(role=role, was=getattr(was, field), name=was.name, short=was.fingerprint[:12])
    assert list(misfits(CONFIG, anchor=models["anchor"], augment=models["augment"])) == [told]


def test_every_misfit_is_listed_with_the_alignment_first() -> None:
    older = CONFIG.model_copy(update={"alignment_version": 0})
    lines = list(misfits(older, anchor=AUGMENT, augment=ANCHOR))
    assert lines[0] == "its alignment version is 0, and this Orchestra's is 1"
    assert len(lines) == 1 + 2 * len(("model_type", "num_layers", "d_model", "num_heads", "fingerprint"))
