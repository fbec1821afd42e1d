"""A composition goes to the Hub, and comes back the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import HubError
from tests import folders, hubserver, tiny
from tests.hubserver import OWNER, Hub


def document(**kv: Any) -> dict[str, Any]:
    fields = {"model": "acme/kv", "bridges": "acme/anchor-x-kv", **kv}
    return {"format": "orchestra/graph@1", "anchor": {"model": "acme/anchor"}, "augments": {"kv": fields}}


def pushed(hub: Hub, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hub.repositories["acme/duo"].files()[path])
    return found


def test_what_is_pushed_is_what_is_loaded_elsewhere(
    hosted: Hub, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = orchestra.load(document(enabled=False))
    composed.enable("kv")
    tiny.loud(composed)
    commit = composed.push_to_hub("acme/duo", token=OWNER, commit_message="Two", recipe={"steps": 3})
    assert commit.oid == hosted.repositories["acme/duo"].at("main")
    hubserver.move(monkeypatch, own_cache / "elsewhere")
    other = orchestra.load("acme/duo", revision=commit.oid)
    assert other.active == ()
    other.enable("kv")
    assert torch.equal(other(tiny.tokens()).logits, composed(tiny.tokens()).logits)
    assert pushed(hosted, "bridges/kv/bridge_config.json")["recipe"] == {"steps": 3}
    assert hosted.repositories["acme/duo"].messages[-1] == "Two"


def test_a_stack_that_is_as_it_was_keeps_what_its_bundle_tells(hosted: Hub) -> None:
    composed = orchestra.load(document())
    composed.push_to_hub("acme/duo", token=OWNER)
    config = pushed(hosted, "bridges/kv/bridge_config.json")
    assert (config["recipe"], config["scores"]) == ({"steps": 7}, {"accuracy": 0.5})
    with torch.no_grad():
        next(iter(composed.stacks.parameters())).add_(1)
    composed.push_to_hub("acme/duo", token=OWNER, private=True, revision="dev")
    config = json.loads(hosted.repositories["acme/duo"].files("dev")["bridges/kv/bridge_config.json"])
    assert (config["recipe"], config["scores"]) == ({}, {})


def test_a_composition_of_folders_is_refused_before_anything_is_sent(hub: Hub, parts: Path) -> None:
    composed = orchestra.load(parts / "graph.json")
    upload = "a graph on the Hub names models on the Hub: upload it, and name its id."
    message = (
        f"anchor.model is the folder {parts}/anchor; {upload}\naugments.kv.model is the folder {parts}/kv; {upload}"
    )
    with pytest.raises(HubError, match=f"^{re.escape(message)}$"):
        composed.push_to_hub("acme/duo", token=OWNER)
    assert hub.asked == []


def test_a_tokenizer_of_its_own_goes_along_and_is_read_there(hosted: Hub, tmp_path: Path) -> None:
    folders.tokenizer(tmp_path / "words")
    composed = orchestra.load(document(tokenizer=str(tmp_path / "words")))
    composed.push_to_hub("acme/duo", token=OWNER)
    other = orchestra.load("acme/duo")
    (kv,) = other.plan.graph.augments
    assert str(kv.tokenizer).endswith("/tokenizers/kv")
    assert torch.equal(other(tiny.tokens()).logits, composed(tiny.tokens()).logits)
