"""Converts a GGUF file into a model folder, once, and keeps it in Orchestra's cache.

The folder is named by the SHA-256 of the file and the conversion, so that a changed file is converted anew. It appears
whole or not at all. A file of numbers in half precision keeps them; blocks are unpacked to float32, in which they are
exact.
"""

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

from orchestra.errors import ModelError
from orchestra.io.checkpoint import cache_folder, remembered_sha256, weight_files
from orchestra.io.foreign import UNLOADABLE, misfits, quiet, tokenizers_errors, told
from orchestra.io.gguf_facts import CONVERSION, gguf_config, gguf_tokenizer
from orchestra.io.gguf_header import HALVES, GgufHeader, read_gguf
from orchestra.io.room import check_room
from orchestra.io.safetensors_header import read_header
from orchestra.problems import printable

_NEEDED = ("gguf", "accelerate")
_SOURCE = "source.gguf"


def converted(path: Path) -> Path:
    """The model folder that a GGUF file was converted into; it is converted now if it never was.

    Raises:
        ModelError: the file is damaged, its model cannot be converted, a package is missing, or the disk refuses.
    """
    folder = cache_folder() / "converted" / f"{remembered_sha256(path)}-{CONVERSION.replace('@', '-')}"
    if _whole(folder):
        return folder
    _check_packages(path)
    header = read_gguf(path)
    gguf_config(path, header)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # of several processes one converts, and the others wait for it
            if not _whole(folder):
                _convert(path, header, folder)
    except OSError as error:
        raise ModelError(f"{path}: cannot be converted in {folder.parent}: {error.strerror or error}.") from error
    return folder


def _convert(path: Path, header: GgufHeader, folder: Path) -> None:
    """Convert beside the folder, and rename; what an earlier attempt left there goes."""
    partial = folder.with_name(f".{folder.name}")
    _say(f"Converting {path.name} ({path.stat().st_size / 1e6:.0f} MB) once, into {folder} ...")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        _write(path, header, partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _say(f"Converted {path.name}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.0f} MB.")


def _write(path: Path, header: GgufHeader, folder: Path) -> None:
    """Have transformers read the file alone, away from what lies beside it, and write what it read."""
    source = folder / "source"
    source.mkdir()
    (source / _SOURCE).symlink_to(path.resolve())
    try:
        with quiet(), tokenizers_errors():
            config = AutoConfig.from_pretrained(source, gguf_file=_SOURCE, local_files_only=True)
            check_room(path, config, [header])
            model, report = _model(source, header)
            wrong = [*misfits(report, model), *_left_over(model, header)]
            if wrong:
                more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
                raise ModelError(f"{path}: its tensors do not fit its header: {'; '.join(wrong[:3])}{more}.")
            model.save_pretrained(folder)
            if gguf_tokenizer(header) is not None:
                _tokenizer(source).save_pretrained(folder)
    except (*UNLOADABLE, NotImplementedError) as error:
        raise ModelError(f"{path}: transformers cannot convert it: {told(error)}") from error
    shutil.rmtree(source)


def _model(source: Path, header: GgufHeader) -> tuple[PreTrainedModel, dict[str, Any]]:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=_SOURCE,
        dtype=_dtype(header),
        local_files_only=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,  # they are refused, by name
        output_loading_info=True,
    )
    model, report = loaded
    # It is plain from here on; transformers 5.23 still holds it for quantized and would refuse to save it.
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    return model, report


def _tokenizer(source: Path) -> Any:
    tokenizer: Any = AutoTokenizer.from_pretrained(
        source, gguf_file=_SOURCE, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def _left_over(model: Any, header: GgufHeader) -> Iterator[str]:
    """The tensors that no weight of the model takes: transformers 5.23 passes over them in silence."""
    taken = get_gguf_hf_weights_map(model, TensorProcessor())
    for name in sorted(header.shapes.keys() - taken.keys()):
        yield f"{printable(name)} is left over"


def _dtype(header: GgufHeader) -> torch.dtype:
    """The dtype that holds what the file holds: its own half precision, else float32."""
    kinds = {header.types[name] for name, shape in header.shapes.items() if len(shape) > 1}
    name = HALVES.get(min(kinds), "float32") if len(kinds) == 1 else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _whole(folder: Path) -> bool:
    """Whether a converted folder is there and its weights are as long as they should be."""
    try:
        return bool([read_header(file) for file in weight_files(folder)])
    except ModelError:
        return False


def _check_packages(path: Path) -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{path}: converting a GGUF file needs {' and '.join(missing)}: pip install 'orchestra-lm[gguf]'."
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
