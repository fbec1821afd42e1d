"""Whether an adapter is plain LoRA that fits a model: its config and its header, and no weight. No torch, no peft.

Only what `add_adapter` computes is taken. Whatever else a config asks for is refused by name: some of its fields change
the model itself, and some name code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestra.errors import ModelError
from orchestra.io.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json
from orchestra.io.headers import kept_headers
from orchestra.io.places import Found
from orchestra.io.safetensors_header import FLOATS, Tensors, read_header
from orchestra.merging.groups import layer_of
from orchestra.problems import printable, show

_PREFIX, _SUFFIXES = "base_model.model.", (".lora_A.weight", ".lora_B.weight")
_UNREAD = frozenset(
    [
        *("auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "init_lora_weights"),
        *("layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core", "peft_version"),
        *("qalora_group_size", "revision", "target_modules", "task_type"),
    ]
)
"""Fields that say how an adapter was made, and nothing of what it adds."""
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")
"""Of `init_lora_weights`; the others change the model's own weights when training begins."""
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What is added to each weight of some: `scale * B @ A`.

    Attributes:
        transposed: whether the weights are held the other way round, inputs first.
        names: of the weights.
    """

    rank: int
    scale: float
    transposed: bool
    names: tuple[str, ...]


def check_adapter(found: Found, shapes: Mapping[str, tuple[int, ...]]) -> Adapter:
    """Read what an adapter says of itself.

    Args:
        shapes: of the tensors of the model that it is for.

    Raises:
        ModelError: it is damaged, not plain LoRA, or for another model; every problem is listed.
    """
    config = read_json(found.path / ADAPTER_CONFIG)
    problems = list(_strange(config))
    if problems:
        raise ModelError.listing(f"{found.path}: its {ADAPTER_CONFIG} has {line}" for line in problems)
    rank, alpha, transposed = config["r"], config["lora_alpha"], config.get("fan_in_fan_out") is True
    header = _header(found)
    names = tuple(dict.fromkeys(_weight(name) or name for name in header.shapes))
    wrong = [line for name in names for line in _misfits(name, rank, transposed, header, shapes)]
    if not names:
        wrong = ["holds no tensors."]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more."] if len(wrong) > _SHOWN else []
        raise ModelError.listing(f"{found.path}/{ADAPTER_WEIGHTS}: {line}" for line in (*wrong[:_SHOWN], *more))
    scale = alpha / (rank**0.5 if config.get("use_rslora") is True else rank)
    return Adapter(rank=rank, scale=scale, transposed=transposed, names=names)


def halves(name: str) -> tuple[str, str]:
    """The tensors A and B of an adapter, for a weight of the model."""
    first, second = (f"{_PREFIX}{name.removesuffix('.weight')}{suffix}" for suffix in _SUFFIXES)
    return first, second


def _strange(config: Mapping[str, Any]) -> Iterator[str]:
    """What a config asks for that is not plain LoRA."""
    if config.get("peft_type") != "LORA":
        yield f'peft_type {show(config.get("peft_type"))}; "LORA" is merged.'
        return
    for field, value in config.items():
        if field == "r":
            fits = type(value) is int and value > 0
        elif field == "lora_alpha":
            fits = type(value) in (int, float) and abs(value) < float("inf")
        elif field in ("fan_in_fan_out", "use_rslora"):
            fits = isinstance(value, bool)
        elif field == "bias":
            fits = value == "none"
        elif field == "init_lora_weights":
            fits = any(value is plain or (isinstance(value, str) and value == plain) for plain in _PLAIN_STARTS)
        else:
            fits = field in _UNREAD or field == "peft_type" or not value
        if not fits:
            yield f"{printable(field)} {show(value)}; plain LoRA alone is merged."
    yield from (f"no {field}." for field in ("r", "lora_alpha") if field not in config)


def _header(found: Found) -> Tensors:
    path = found.path / ADAPTER_WEIGHTS
    if found.origin is not None and not path.is_file():
        return (kept_headers(found.origin, [ADAPTER_WEIGHTS]) or [read_header(path)])[0]
    return read_header(path)


def _weight(tensor: str) -> str | None:
    """The weight of the model that a tensor of an adapter is for."""
    suffix = next((suffix for suffix in _SUFFIXES if tensor.endswith(suffix)), None)
    if suffix is None or not tensor.startswith(_PREFIX):
        return None
    return f"{tensor.removeprefix(_PREFIX).removesuffix(suffix)}.weight"


def _misfits(
    name: str, rank: int, transposed: bool, header: Tensors, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    if name in header.shapes:
        yield f"{printable(name)} is no part of plain LoRA."
        return
    missing = [half for half in halves(name) if half not in header.shapes]
    if missing:
        yield f"{printable(missing[0])} is missing."
        return
    first, second = (header.shapes[half] for half in halves(name))
    if name not in shapes or layer_of(name) is None:
        yield f"{printable(name)} is no weight of a layer of the model."
        return
    wide = shapes[name][::-1] if transposed else shapes[name]
    if len(wide) != 2 or first != (rank, wide[1]) or second != (wide[0], rank):
        yield (
            f"{printable(name)}: A {list(first)} and B {list(second)} of rank {rank} do not fit {list(shapes[name])}."
        )
    strange = [header.dtypes[half] for half in halves(name) if header.dtypes[half] not in FLOATS]
    if strange:
        yield f"{printable(name)}: is held in {strange[0]}; allowed: {', '.join(FLOATS)}."
