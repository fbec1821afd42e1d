"""Bundles of stacks into augments: what they remember of both sides, and whom they fit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import BundleError, ComposedModel
from orchestra.io.bundle import read_config
from tests import folders, tiny

FRESH = {"pairs": tiny.PAIRS}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folders with one tokenizer, and a fourth whose tokenizer another fold leads to."""
    path = tmp_path_factory.mktemp("models")
    for seed, (name, architecture) in enumerate({"anchor": "llama", "kv": "qwen3", "code": "gpt2"}.items()):
        folders.checkpoint(path / name, architecture, seed=seed)
        folders.letters(path / name)
    return path


def graph(base: Path, name: str = "graph.json", *, kv: Any = FRESH, code: Any = FRESH, **more: Any) -> Path:
    """The chain kv -> code -> anchor with these bridges."""
    content = folders.document(kv={"into": {"code": kv}, **more}, code={"bridges": code})
    return folders.graph(base / name, content)


def logits(composed: ComposedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = composed(tiny.tokens() % 30 + 1).logits
    return found


def test_a_chain_is_saved_and_comes_back(base: Path, tmp_path: Path) -> None:
    composed = tiny.loud(orchestra.load(graph(base)))
    composed.save_bridges(tmp_path)
    again = orchestra.load(graph(base, kv=str(tmp_path / "kv"), code=str(tmp_path / "code")))
    assert torch.equal(logits(again), logits(composed))
    kv, code = (read_config(tmp_path / name) for name in ("kv", "code"))
    assert (kv.anchor.name, kv.augment.name, kv.augment.fed) == ("code", "kv", None)
    assert (code.anchor.name, code.augment.name, code.augment.fed) == ("anchor", "code", (kv.weights_sha256,))


def test_an_augment_that_feeds_two_models_has_a_bundle_for_each(base: Path, tmp_path: Path) -> None:
    content = folders.document(kv={"into": ["code", "anchor"], "bridges": FRESH}, code={"bridges": FRESH})
    composed = tiny.loud(orchestra.load(folders.graph(base / "two.json", content)))
    composed.save_bridges(tmp_path)
    into = {name: str(tmp_path / "kv" / name) for name in ("code", "anchor")}
    content = folders.document(kv={"into": into}, code={"bridges": str(tmp_path / "code")})
    assert torch.equal(logits(orchestra.load(folders.graph(base / "two.json", content))), logits(composed))
    into = {"code": into["anchor"], "anchor": into["code"]}
    content = folders.document(kv={"into": into}, code={"bridges": FRESH})
    with pytest.raises(orchestra.GraphError, match=r"augments\.kv\.into\.anchor .* joins width 36, but the anchor"):
        orchestra.load(folders.graph(base / "two.json", content))


def test_a_bundle_that_was_trained_on_what_others_fed_needs_them(base: Path, tmp_path: Path) -> None:
    composed = tiny.loud(orchestra.load(graph(base)))
    composed.save_bridges(tmp_path)
    fed = read_config(tmp_path / "kv").weights_sha256[:12]
    with torch.no_grad():
        composed.stack("kv").bridges()[0].gate.add_(1)
    composed.save_stack("kv", tmp_path / "other")
    other = read_config(tmp_path / "other").weights_sha256[:12]
    code = tmp_path / "code"
    for kv, found in ((str(tmp_path / "other"), other), (FRESH, "nobody")):
        message = (
            f"augments.code.bridges: {code}: does not fit: the augment is fed by {found}, "
            f"and it was trained when it was fed by {fed}."
        )
        with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
            orchestra.load(graph(base, kv=kv, code=str(code)))


def test_bundles_that_were_trained_apart_are_joined_in_a_chain(base: Path, tmp_path: Path) -> None:
    """kv into code with code for an anchor, and code into the anchor with nobody behind it."""
    inner = folders.document(kv={"bridges": FRESH})
    inner["anchor"]["model"] = "code"
    tiny.loud(orchestra.load(folders.graph(base / "inner.json", inner))).save_stack("kv", tmp_path / "kv")
    outer = folders.document(code={"bridges": FRESH})
    tiny.loud(orchestra.load(folders.graph(base / "outer.json", outer))).save_stack("code", tmp_path / "code")
    assert "fed" not in json.loads((tmp_path / "code" / "bridge_config.json").read_text())["augment"]
    joined = orchestra.load(graph(base, kv=str(tmp_path / "kv"), code=str(tmp_path / "code")))
    whole = logits(joined)
    with joined.ablate("kv"):
        assert (logits(joined) - whole).abs().max() > 1e-3


def test_fresh_bridges_into_an_augment_change_nothing_that_its_bundle_remembers(base: Path, tmp_path: Path) -> None:
    composed = orchestra.load(graph(base))
    tiny.loud(composed)
    for bridge in composed.stack("kv").bridges():
        torch.nn.init.zeros_(bridge.gate)
    composed.save_bridges(tmp_path)
    assert read_config(tmp_path / "code").augment.fed is None


def test_which_text_both_are_streams_of_is_remembered_where_it_decides_what_is_seen(base: Path, tmp_path: Path) -> None:
    other = folders.checkpoint(base / "other", "llama", seed=9)
    folders.letters(other, folders.LETTERS[::-1])
    other = folders.checkpoint(base / "third", "llama", seed=8)
    folders.letters(other, folders.LETTERS[3:] + folders.LETTERS[:3])
    content = folders.document(kv={"into": {"code": FRESH}, "model": "kv"}, code={"model": "other", "bridges": FRESH})
    tiny.loud(orchestra.load(folders.graph(base / "apart.json", content))).save_stack("kv", tmp_path / "kv")
    kept = read_config(tmp_path / "kv")
    assert kept.anchor.text == read_config_of_anchor(base)
    content["augments"]["kv"]["into"] = {"code": str(tmp_path / "kv")}
    orchestra.load(folders.graph(base / "apart.json", content))
    content["anchor"]["model"] = "third"
    with pytest.raises(
        BundleError, match=r"the tokenizer of the anchor's text is [0-9a-f]{12}, and it was trained with"
    ):
        orchestra.load(folders.graph(base / "apart.json", content))
    content["augments"]["kv"] |= {"model": "other", "into": {"code": FRESH}}  # the same tokens, one by one
    tiny.loud(orchestra.load(folders.graph(base / "apart.json", content))).save_stack("kv", tmp_path / "same")
    assert read_config(tmp_path / "same").anchor.text is None


def read_config_of_anchor(base: Path) -> str | None:
    composed = orchestra.load(folders.graph(base / "plain.json", folders.document(kv={"bridges": FRESH})))
    return composed.plan.graph.anchor.facts.tokenizer


# -- who counts as feeding ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(base: Path) -> Path:
    """One more model, that feeds kv."""
    folders.letters(folders.checkpoint(base / "first", "llama", seed=5))
    return base


def long(base: Path, *, first: Any = FRESH, kv: Any = FRESH, code: Any = FRESH, off: str = "") -> Path:
    """The chain first -> kv -> code -> anchor with these bridges; one of its augments may be off."""
    fields: dict[str, Any] = {"first": {"into": {"kv": first}}, "kv": {"into": {"code": kv}}, "code": {"bridges": code}}
    if off:
        fields[off]["enabled"] = False
    return folders.graph(base / "long.json", folders.document(**fields))


def sha(folder: Path) -> str:
    return read_config(folder).weights_sha256


def test_what_feeds_a_feeder_counts_too(three: Path, tmp_path: Path) -> None:
    tiny.loud(orchestra.load(graph(three))).save_stack("kv", tmp_path / "alone")  # nobody feeds kv
    alone = str(tmp_path / "alone")
    tiny.loud(orchestra.load(long(three, kv=alone))).save_bridges(tmp_path)
    assert read_config(tmp_path / "code").augment.fed == tuple(sorted(sha(tmp_path / name) for name in ("kv", "first")))
    bundles = {name: str(tmp_path / name) for name in ("first", "kv", "code")}
    assert orchestra.load(long(three, **bundles)).active == ("code", "first", "kv")
    with pytest.raises(BundleError, match=r"augments\.code\.bridges: .* is fed by [0-9a-f]{12}, and it was trained"):
        orchestra.load(graph(three, kv=alone, code=bundles["code"]))


def test_a_stack_that_is_as_its_bundle_was_needs_no_more_than_that(three: Path, tmp_path: Path) -> None:
    tiny.loud(orchestra.load(graph(three))).save_bridges(tmp_path / "fed")
    plain = folders.graph(three / "plain.json", folders.document(code={"bridges": FRESH}))
    tiny.loud(orchestra.load(plain)).save_bridges(tmp_path / "plain")
    for name, needs in (("plain", None), ("fed", (sha(tmp_path / "fed/kv"),))):
        composed = orchestra.load(graph(three, kv=str(tmp_path / "fed/kv"), code=str(tmp_path / name / "code")))
        composed.save_stack("code", tmp_path / "again")
        assert read_config(tmp_path / "again").augment.fed == needs
        with torch.no_grad():
            composed.stack("code").bridges()[0].gate.add_(1)
        composed.save_stack("code", tmp_path / "again")  # it was trained since, in this graph
        assert read_config(tmp_path / "again").augment.fed == (sha(tmp_path / "fed/kv"),)


def test_a_stack_that_was_never_trained_needs_nobody(three: Path, tmp_path: Path) -> None:
    tiny.loud(orchestra.load(graph(three))).save_stack("kv", tmp_path / "kv")
    orchestra.load(graph(three, kv=str(tmp_path / "kv"))).save_stack("code", tmp_path / "code")
    assert read_config(tmp_path / "code").augment.fed is None


def test_who_was_off_while_a_stack_was_trained_did_not_feed_it(three: Path, tmp_path: Path) -> None:
    composed = tiny.loud(orchestra.load(long(three)))
    composed.save_bridges(tmp_path)
    for on, needs in ((("kv", "code"), ("kv",)), (("code",), ()), (("code", "first"), ())):
        composed.save_stack("code", tmp_path / "code", on=on)
        assert (read_config(tmp_path / "code").augment.fed or ()) == tuple(sha(tmp_path / name) for name in needs)
    composed.save_stack("code", tmp_path / "code", on=("kv", "code"))
    bundles = {name: str(tmp_path / name) for name in ("first", "kv", "code")}
    with pytest.raises(BundleError, match=r"is fed by [0-9a-f]{12}, [0-9a-f]{12}, and .* when it was fed by"):
        orchestra.load(long(three, **bundles))
    assert orchestra.load(long(three, **bundles, off="first")).active == ("code", "kv")  # it may be on later
    assert orchestra.load(long(three, **bundles, off="kv")).active == ("code",)
    with pytest.raises(BundleError, match=r"augments\.code\.bridges: .* is fed by [0-9a-f]{12}, and it was trained"):
        orchestra.load(long(three, **{**bundles, "kv": FRESH}, off="kv"))


def test_bundles_in_half_precision_are_told_by_their_files(three: Path, tmp_path: Path) -> None:
    composed = tiny.loud(orchestra.load(graph(three)))
    composed.stacks.bfloat16()
    composed.save_bridges(tmp_path)
    assert orchestra.load(graph(three, kv=str(tmp_path / "kv"), code=str(tmp_path / "code"))).active == ("code", "kv")


def test_a_bundle_that_adds_nothing_feeds_nobody(three: Path, tmp_path: Path) -> None:
    for gate in ("scalar", "token"):
        recipe = {"pairs": tiny.PAIRS, "gate": gate}
        composed = orchestra.load(graph(three, kv=recipe))
        tiny.loud(composed).save_stack("code", tmp_path / "code", on=("code",))
        with torch.no_grad():
            for weight in composed.stack("kv").parameters():  # only what closes a bridge is nought
                weight.add_(1)
            for bridge in composed.stack("kv").bridges():
                torch.nn.init.zeros_(bridge.gate if gate == "scalar" else bridge.out.weight)
        composed.save_stack("kv", tmp_path / "kv")
        folders.edit_json(tmp_path / "code/bridge_config.json", augment=needing(tmp_path / "code", "f" * 64))
        with pytest.raises(BundleError, match="is fed by nobody, and it was trained when it was fed by ffffffffffff"):
            orchestra.load(graph(three, kv=str(tmp_path / "kv"), code=str(tmp_path / "code")))


def needing(folder: Path, *digests: str) -> dict[str, Any]:
    """What a bundle remembers of its augment, with these that fed it."""
    content: dict[str, Any] = json.loads((folder / "bridge_config.json").read_text())["augment"]
    return {**content, "fed": list(digests)}
