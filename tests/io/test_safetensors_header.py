import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from orchestra.errors import ModelError
from orchestra.io import safetensors_header
from orchestra.io.safetensors_header import all_zero, read_header

WEIGHTS = {"wide": torch.ones(2, 3, 5), "half": torch.ones(7, dtype=torch.bfloat16), "one": torch.zeros(())}
WHOLE = save(WEIGHTS, metadata={"format": "pt"})
ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def file_of(header: object, data: int = 24) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_header(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_whole_file_tells_its_sizes(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(WHOLE)
    header = read_header(tmp_path / "w")
    assert header.shapes == {"wide": (2, 3, 5), "half": (7,), "one": ()}
    assert header.dtypes == {"wide": "F32", "half": "BF16", "one": "F32"}
    assert (header.num_params, header.weight_bytes) == (30 + 7 + 1, 120 + 14 + 4)


def test_a_tensor_is_found_in_its_file_and_zero_only_throughout(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(safetensors_header, "_CHUNK_BYTES", 5)
    late = torch.zeros(7)
    late[6] = 1
    path = tmp_path / "w"
    path.write_bytes(save({**WEIGHTS, "late": late, "none": torch.zeros(3, 2)}))
    header = read_header(path)
    assert {name for name in header.shapes if all_zero(path, header, name)} == {"one", "none"}
    assert not all_zero(path, header, "other")
    path.unlink()
    with pytest.raises(ModelError, match=r"w: cannot be read: No such file or directory\.$"):
        all_zero(path, header, "one")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_every_dtype_that_torch_writes_is_known(tmp_path: Path, dtype: torch.dtype) -> None:
    (tmp_path / "w").write_bytes(save({"a": torch.zeros(3, dtype=dtype)}))
    assert read_header(tmp_path / "w").weight_bytes == 3 * dtype.itemsize


def test_a_file_without_tensors_is_whole(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(file_of({}, 0))
    assert read_header(tmp_path / "w").num_params == 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(f'{tmp_path}/w: cannot be read: No such file or directory.')}$"):
        read_header(tmp_path / "w")


@pytest.mark.parametrize("content", [b"", b"\x01", struct.pack("<Q", 1), struct.pack("<Q", 1 << 63), b"\xff" * 40])
def test_a_file_shorter_than_its_header_is_not_whole(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path / "w", content) == "is not a whole safetensors file; fetch or save it again."


def test_an_absurd_header_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestra.io.safetensors_header.MAX_HEADER_BYTES", 50)
    assert refusal(tmp_path / "w", WHOLE) == "is not a whole safetensors file; fetch or save it again."


def test_a_truncated_file_is_named_with_both_lengths(tmp_path: Path) -> None:
    message = f"is {len(WHOLE) - 5} bytes long, but its header announces {len(WHOLE)}; fetch or save it again."
    assert refusal(tmp_path / "w", WHOLE[:-5]) == message


def test_a_file_that_is_too_long_is_named_with_both_lengths(tmp_path: Path) -> None:
    message = f"is {len(WHOLE) + 1} bytes long, but its header announces {len(WHOLE)}; fetch or save it again."
    assert refusal(tmp_path / "w", WHOLE + b"\0") == message


def entry(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ENTRY, **changes}.items() if value is not None}


DAMAGED = {
    "not JSON": b"{nope",
    "not UTF-8": b'{"\xff": 1}',
    "a list": [],
    "nested without end": b"[" * 100_000,
    "metadata that are no strings": {"__metadata__": {"format": 1}},
    "metadata that are no object": {"__metadata__": "pt"},
    "an entry that is no object": {"a": 3},
    "no dtype": {"a": entry(dtype=None)},
    "no shape": {"a": entry(shape=None)},
    "no offsets": {"a": entry(data_offsets=None)},
    "an unknown dtype": {"a": entry(dtype="F31")},
    "a dtype that is a list": {"a": entry(dtype=["F32"])},
    "a negative shape": {"a": entry(shape=[-2, -3])},
    "a boolean shape": {"a": entry(shape=[True, 6])},
    "a fractional shape": {"a": entry(shape=[2.0, 3])},
    "a shape in words": {"a": entry(shape="23")},
    "a shape of astronomic size": {"a": entry(shape=[1 << 63, 0], data_offsets=[0, 0])},
    "more dimensions than torch has": {"a": entry(shape=[1] * 65, data_offsets=[0, 4])},
    "a number too long to read": b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 24]}}',
    "negative offsets": {"a": entry(data_offsets=[-24, 0])},
    "offsets the wrong way round": {"a": entry(data_offsets=[24, 0])},
    "three offsets": {"a": entry(data_offsets=[0, 24, 24])},
    "offsets that do not hold the shape": {"a": entry(shape=[2, 5])},
    "offsets with a gap before": {"a": entry(data_offsets=[4, 28])},
    "a gap between tensors": {"a": entry(), "b": entry(data_offsets=[28, 52])},
    "an overlap between tensors": {"a": entry(), "b": entry(data_offsets=[20, 44])},
    "one place for two tensors": {"a": entry(), "b": entry()},
    "a name that is no text": {"\ud800": entry()},
}


@pytest.mark.parametrize("header", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_header_is_refused(tmp_path: Path, header: object) -> None:
    told = refusal(tmp_path / "w", file_of(header, 60))
    assert told == "has a damaged safetensors header; fetch or save it again."


@given(content=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    held_to_safetensors(tmp_path / "w", content)


MUTATION = st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=4), st.integers(0, 4))


@given(mutations=st.lists(MUTATION, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_a_mutated_file_is_read_or_refused(tmp_path: Path, mutations: list[tuple[int, bytes, int]]) -> None:
    content = WHOLE
    for place, put, dropped in mutations:
        content = content[:place] + put + content[place + dropped :]
    held_to_safetensors(tmp_path / "w", content)


def test_a_flipped_bit_in_any_byte_of_a_header_is_read_or_refused(tmp_path: Path) -> None:
    for place in range(8 + int.from_bytes(WHOLE[:8], "little")):
        flipped = WHOLE[place] ^ 1 << place % 8
        held_to_safetensors(tmp_path / "w", WHOLE[:place] + bytes([flipped]) + WHOLE[place + 1 :])


def held_to_safetensors(path: Path, content: bytes) -> None:
    """Nothing but a ModelError is raised, and what is let through holds for safetensors too."""
    path.write_bytes(content)
    try:
        header = read_header(path)
    except ModelError:
        return
    assert header.weight_bytes <= len(content)
    assert {name: tuple(tensor.shape) for name, tensor in load(content).items()} == header.shapes
