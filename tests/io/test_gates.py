"""What bundles tell of their gates."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from orchestra import paper
from orchestra.errors import ModelError
from orchestra.io.gates import read_number, scalar_gates
from tests import folders, tiny

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_number_is_read_in_whatever_it_is_held(tmp_path: Path, dtype: torch.dtype) -> None:
    number = torch.tensor(-0.7354, dtype=dtype)
    save_file({"a": torch.ones(3), "gate": number, "z": torch.ones(2, 5)}, tmp_path / "w")
    assert read_number(tmp_path / "w", "gate") == number.item()


def test_what_is_no_float_or_no_single_number_is_none(tmp_path: Path) -> None:
    save_file({"many": torch.ones(1), "whole": torch.tensor(3)}, tmp_path / "w")
    assert [read_number(tmp_path / "w", name) for name in ("many", "whole", "missing")] == [None] * 3


def test_a_file_that_went_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"w: cannot be read: No such file or directory\.$"):
        read_number(tmp_path / "w", "gate")
    save_file({"gate": torch.tensor(1.0)}, tmp_path / "w")
    whole = Path.open
    opened: list[Path] = []

    def once(path: Path, *arguments: Any) -> Any:
        opened.append(path)
        if len(opened) > 1:
            raise FileNotFoundError(2, "No such file or directory")
        return whole(path, *arguments)

    monkeypatch.setattr(Path, "open", once)
    with pytest.raises(ModelError, match=r"w: cannot be read: No such file or directory\.$"):
        read_number(tmp_path / "w", "gate")


def test_each_scalar_gate_of_a_bundle_is_told_and_no_other(tmp_path: Path) -> None:
    for name, architecture in (("anchor", "llama"), ("kv", "gpt2"), ("tetum", "bloom"), ("far", "gpt2")):
        folders.checkpoint(tmp_path / name, architecture)
    bundle = folders.bundle(tmp_path, "kv")
    tokens: dict[str, Any] = {"bridges": {"pairs": tiny.PAIRS, "gate": "token"}}
    content = folders.document(kv={"bridges": bundle.name}, tetum={}, far=tokens)
    path = folders.graph(tmp_path / "graph.json", content)
    graph = paper.plan(path).graph
    sites = [site for site in graph.sites if site.augment == "kv"]
    values = dict(zip(sites, (0.5, -1.25, math.nan), strict=True))
    gates = {f"{site.key}.gate": torch.tensor(value) for site, value in values.items()}
    folders.edit_weights(bundle / "bridge_model.safetensors", lambda weights: weights.update(gates))
    assert scalar_gates(graph) == pytest.approx({site: math.tanh(values[site]) for site in sites[:2]})


def test_no_bundle_no_gates(tmp_path: Path) -> None:
    folders.checkpoint(tmp_path / "anchor")
    folders.checkpoint(tmp_path / "kv", "gpt2")
    path = folders.graph(tmp_path / "graph.json", folders.document(kv={"bridges": {"pairs": tiny.PAIRS}}))
    assert scalar_gates(paper.plan(path).graph) == {}
