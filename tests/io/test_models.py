import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from orchestra.errors import ModelError
from orchestra.io.models import load_model, load_tokenizer, memory_fingerprint, not_finite, resolve_device
from tests import folders, tiny


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return folders.checkpoint(tmp_path / "llama")


def refusal(folder: Path, *, dtype: str = "auto", device: str = "cpu") -> str:
    before = folders.snapshot(folder)
    with pytest.raises(ModelError) as caught:
        load_model(folder, dtype=dtype, device=device)
    assert folders.snapshot(folder) == before
    return str(caught.value).removeprefix(f"{folder}: ")


# -- whole models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_model_comes_back_as_it_was_saved(tmp_path: Path, architecture: str) -> None:
    saved = tiny.model(architecture, dtype=torch.float32)
    loaded = load_model(folders.checkpoint(tmp_path, architecture), dtype="auto", device="auto")
    assert not loaded.training
    assert memory_fingerprint(loaded) == memory_fingerprint(saved)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_auto_keeps_the_checkpoints_dtype_and_a_name_changes_it(tmp_path: Path, stored: torch.dtype) -> None:
    folder = folders.checkpoint(tmp_path, dtype=stored)
    assert load_model(folder, dtype="auto", device="cpu").dtype == stored
    for dtype in ("float32", "bfloat16", "float16", "float64"):
        assert load_model(folder, dtype=dtype, device="cpu").dtype == getattr(torch, dtype)


def test_loading_spends_no_random_numbers(llama: Path) -> None:
    before = torch.get_rng_state()
    load_model(llama, dtype="auto", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_part_that_nobody_asked_for_does_no_harm(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights.update(v_head=torch.ones(3)))
    load_model(llama, dtype="auto", device="cpu")


def test_large_but_finite_weights_are_let_through(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights[folders.UP].fill_(3e38))
    load_model(llama, dtype="auto", device="cpu")


# -- weights that do not fit ----------------------------------------------------------------------------------------


def test_a_missing_weight_is_named(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights.pop(folders.UP))
    assert refusal(llama) == f"the weights do not fit the config: {folders.UP} is missing."


def test_a_weight_of_another_size_is_named_with_both_shapes(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights.update({folders.UP: torch.ones(3, 5)}))
    assert refusal(llama) == f"the weights do not fit the config: {folders.UP} has shape (3, 5), not (29, 28)."


def test_a_config_with_a_layer_too_many_is_refused(llama: Path) -> None:
    folders.edit_json(llama / "config.json", num_hidden_layers=4)
    assert refusal(llama) == (
        "the weights do not fit the config: model.layers.3.input_layernorm.weight is missing; "
        "model.layers.3.mlp.down_proj.weight is missing; model.layers.3.mlp.gate_proj.weight is missing (and 6 more)."
    )


def test_a_config_with_a_layer_too_few_is_refused(llama: Path) -> None:
    folders.edit_json(llama / "config.json", num_hidden_layers=2)
    assert refusal(llama) == (
        "the weights do not fit the config: model.layers.2.input_layernorm.weight is left over; "
        "model.layers.2.mlp.down_proj.weight is left over; model.layers.2.mlp.gate_proj.weight is left over "
        "(and 6 more)."
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    folder = folders.checkpoint(tmp_path / "m", dtype=dtype)
    folders.edit_weights(folder / "model.safetensors", lambda weights: weights[folders.UP][1, 2:3].fill_(value))
    assert refusal(folder) == f"holds NaN or infinity in {folders.UP}."


def test_a_weight_that_is_too_large_for_the_dtype_that_was_asked_for_is_named_with_it(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights[folders.UP].fill_(3e38))
    assert refusal(llama, dtype="float16") == f"holds NaN or infinity in {folders.UP}, held as float16."


@pytest.mark.parametrize("dtype", ["int8", "banana", 7, []])
def test_a_config_whose_dtype_is_none_is_refused(llama: Path, dtype: object) -> None:
    folders.edit_json(llama / "config.json", dtype=dtype)
    assert refusal(llama).startswith("transformers cannot load it: ")


def test_buffers_that_are_saved_are_looked_at_and_empty_ones_are_none() -> None:
    model = tiny.model("llama")
    model.register_buffer("nothing", torch.empty(0))
    model.register_buffer("packed", torch.zeros(3, dtype=torch.float8_e4m3fn))
    assert not_finite(model) is None
    model.register_buffer("scale", torch.tensor(torch.nan))
    assert not_finite(model) == "scale"


# -- what transformers cannot load ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["nosuch", "t5"])
def test_a_type_that_is_no_causal_language_model_is_named(llama: Path, model_type: str) -> None:
    folders.edit_json(llama / "config.json", model_type=model_type)
    assert refusal(llama) == f"transformers knows no causal language model of type {model_type!r}."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"num_attention_heads": 3, "head_dim": ...},
            "StrictDataclassClassValidationError: Class validation error for validator 'validate_architecture': "
            "ValueError: The hidden size (28) is not a multiple of the number of attention heads (3).",
        ),
        (
            {"num_attention_heads": "2"},
            "StrictDataclassFieldValidationError: Validation error for field 'num_attention_heads': "
            "TypeError: Field 'num_attention_heads' expected int, got str (value: '2')",
        ),
        ({"hidden_act": "nosuch"}, "KeyError: 'nosuch'"),
        ({"dtype": "nosuch"}, "AttributeError: module 'torch' has no attribute 'nosuch'"),
    ],
)
def test_what_transformers_says_of_a_config_comes_on_one_line(
    llama: Path, change: dict[str, object], told: str
) -> None:
    folders.edit_json(llama / "config.json", **change)
    assert refusal(llama) == f"transformers cannot load it: {told}"


def test_a_quantizer_that_is_not_installed_is_named(llama: Path) -> None:
    folders.edit_json(llama / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    told = refusal(llama)
    assert told.startswith("transformers cannot load it: ")
    assert "\n" not in told


def test_a_long_complaint_is_cut(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def complains(*_: object, **__: object) -> None:
        raise ValueError("no! " * 200)

    monkeypatch.setattr("orchestra.io.models.AutoModelForCausalLM.from_pretrained", complains)
    told = refusal(llama)
    assert told.endswith("no! no! n...")
    assert len(told) == len("transformers cannot load it: ") + 300


def test_a_truncated_file_is_refused_here_too(llama: Path) -> None:
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert "/model.safetensors: is " in refusal(llama)


def test_a_pickle_is_never_opened(llama: Path) -> None:
    torch.save({}, llama / "pytorch_model.bin")
    (llama / "model.safetensors").unlink()
    assert refusal(llama) == (
        "holds only pickled weights (pytorch_model.bin), which are never loaded; save it as safetensors."
    )


# -- tokenizers -----------------------------------------------------------------------------------------------------


def test_a_tokenizer_is_loaded_with_its_model(llama: Path) -> None:
    tokenizer = load_tokenizer(llama)
    assert tokenizer is not None
    assert tokenizer("w3 w5 unheard")["input_ids"] == [3, 5, 0]


def test_a_folder_without_a_tokenizer_gives_none(tmp_path: Path) -> None:
    assert load_tokenizer(tmp_path) is None


def test_a_damaged_tokenizer_is_refused(llama: Path) -> None:
    (llama / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match=f"^{re.escape(f'{llama}: transformers cannot load its tokenizer: ')}"):
        load_tokenizer(llama)


# -- devices --------------------------------------------------------------------------------------------------------


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    assert resolve_device("cpu") == torch.device("cpu")
    asked: list[str] = []
    empty = torch.empty

    def seen(size: int, *, device: str) -> torch.Tensor:
        asked.append(device)
        return empty(size)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", seen)
    resolve_device("auto")
    assert asked == ["cuda"]


@pytest.mark.parametrize("device", ["banana", "", "cpu:x", "cuda:97", "mps:97"])
def test_a_device_that_is_not_there_is_refused_before_loading(llama: Path, device: str) -> None:
    (llama / "config.json").write_text("{nope")  # would be the next thing to go wrong
    assert refusal(llama, device=device) == f"device is {device!r}; torch has no such device here."


def test_the_device_of_no_values_is_refused(llama: Path) -> None:
    assert refusal(llama, device="meta") == "device is 'meta'; it holds no values."


# -- fingerprints of models in memory -------------------------------------------------------------------------------


def test_the_same_weights_have_one_fingerprint() -> None:
    assert memory_fingerprint(tiny.model("gpt2")) == memory_fingerprint(tiny.model("gpt2"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_one_bit_changes_the_fingerprint(dtype: torch.dtype) -> None:
    model = tiny.model("gpt2", dtype=dtype)  # with tied embeddings
    before = memory_fingerprint(model)
    weight = next(weight for name, weight in model.named_parameters() if name.endswith("mlp.c_fc.bias"))
    weight.data.view(torch.uint8)[-1] ^= 1
    assert memory_fingerprint(model) != before


def test_dtype_and_shape_and_names_are_part_of_the_fingerprint() -> None:
    def of(**buffers: torch.Tensor) -> str:
        model = tiny.model("llama")
        for name, value in buffers.items():
            model.register_buffer(name, value)
        return memory_fingerprint(model)

    values = torch.zeros(2, 3)
    others = [{"a": values}, {"b": values}, {"a": values.T}, {"a": values.view(torch.int32)}, {"a": values[0, 0]}]
    assert len({of(**buffers) for buffers in others}) == len(others)


def test_the_layout_in_memory_does_not_matter() -> None:
    model, other = tiny.model("llama"), tiny.model("llama")
    values = torch.arange(6.0).reshape(2, 3)
    model.register_buffer("a", values)
    other.register_buffer("a", values.T.contiguous().T)
    assert memory_fingerprint(model) == memory_fingerprint(other)


# -- silence --------------------------------------------------------------------------------------------------------


def test_importing_and_loading_print_nothing(llama: Path) -> None:
    folders.edit_weights(llama / "model.safetensors", lambda weights: weights.update(v_head=torch.ones(3)))
    code = (
        "import sys; from pathlib import Path; import orchestra; import orchestra.api\n"
        "from orchestra.io.models import load_model, load_tokenizer\n"
        "load_model(Path(sys.argv[1]), dtype='auto', device='cpu'); load_tokenizer(Path(sys.argv[1]))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(llama)],
        env={**os.environ, "PYTHONPATH": str(root), "TRANSFORMERS_VERBOSITY": "warning"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_config_on_disk_is_not_rewritten(llama: Path) -> None:
    before = json.loads((llama / "config.json").read_text())
    load_model(llama, dtype="auto", device="cpu")
    assert json.loads((llama / "config.json").read_text()) == before
    assert before["transformers_version"] == transformers.__version__
