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
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

from orchestra.errors import ModelError
from orchestra.io.checkpoint import cache_folder, remembered_sha256
from orchestra.io.foreign import UNLOADABLE, misfits, quiet, tokenizers_errors, told
from orchestra.io.gguf_facts import CONVERSION, gguf_config, gguf_tokenizer
from orchestra.io.gguf_header import HALVES, GgufHeader, read_gguf
from orchestra.io.kept import is_whole, kept
from orchestra.io.room import check_room
from orchestra.problems import printable

_NEEDED = ("gguf", "accelerate")
_SOURCE = "source.gguf"


def converted(path: Path) -> Path:
    """The model folder that a GGUF file was converted into; it is converted now if it never was.

    Raises:
        ModelError: the file is damaged, its model cannot be converted, a package is missing, or the disk refuses.
    """
    folder = cache_folder() / "converted" / f"{remembered_sha256(path)}-{CONVERSION.replace('@', '-')}"
    if is_whole(folder):
        return folder
    _check_packages(path)
    header = read_gguf(path)
    gguf_config(path, header)
    try:
        return kept(folder, lambda partial: _convert(path, header, folder, partial))
    except OSError as error:
        raise ModelError(f"{path}: cannot be converted in {folder.parent}: {error.strerror or error}.") from error


def _convert(path: Path, header: GgufHeader, folder: Path, partial: Path) -> None:
    _say(f"Converting {path.name} ({path.stat().st_size / 1e6:.0f} MB) once, into {folder} ...")
    _write(path, header, partial)
    _say(f"Converted {path.name}: {sum(file.stat().st_size for file in partial.iterdir()) / 1e6:.0f} MB.")


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


def _check_packages(path: Path) -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{path}: converting a GGUF file needs {' and '.join(missing)}: pip install 'orchestra-lm[gguf]'."
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
