"""Code that lies beside a model is never run, and nobody is asked whether it should be."""

import builtins
import re
from pathlib import Path

import pytest

from orchestra.errors import ModelError
from orchestra.io.models import load_model, load_tokenizer
from tests import folders


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code of its own, which leaves a mark when it is run; a question to the user is an error."""
    llama = folders.checkpoint(tmp_path / "llama")

    def asks(prompt: str = "") -> str:
        pytest.fail(f"asked: {prompt}")

    monkeypatch.setattr(builtins, "input", asks)
    (llama / "foreign.py").write_text(f"open({str(llama / 'sprung')!r}, 'w')\n")
    (llama / "custom_generate").mkdir()
    (llama / "custom_generate" / "generate.py").write_text(f"open({str(llama / 'sprung')!r}, 'w')\n")
    code = {"AutoConfig": "foreign.C", "AutoModelForCausalLM": "foreign.M", "AutoTokenizer": ["foreign.T", None]}
    folders.edit_json(llama / "config.json", auto_map=code)
    folders.edit_json(llama / "tokenizer_config.json", auto_map=code)
    return llama


def test_a_model_that_needs_code_of_its_own_is_refused_without_a_question(trapped: Path) -> None:
    folders.edit_json(trapped / "config.json", model_type="foreign")
    message = f"{trapped}: its model type 'foreign' needs code of its own (auto_map), which is never run."
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(trapped, dtype="auto", device="cpu")
    assert not (trapped / "sprung").exists()


def test_code_beside_a_model_that_transformers_knows_is_not_run(trapped: Path) -> None:
    assert type(load_model(trapped, dtype="auto", device="cpu")).__module__.startswith("transformers.")
    assert load_tokenizer(trapped) is not None
    assert not (trapped / "sprung").exists()


def test_a_tokenizer_that_needs_code_of_its_own_is_refused_without_a_question(trapped: Path) -> None:
    folders.edit_json(trapped / "config.json", model_type="foreign")
    folders.edit_json(trapped / "tokenizer_config.json", tokenizer_class="ForeignTokenizer")
    with pytest.raises(ModelError, match=f"^{re.escape(f'{trapped}: transformers cannot load its tokenizer: ')}"):
        load_tokenizer(trapped)
    assert not (trapped / "sprung").exists()
