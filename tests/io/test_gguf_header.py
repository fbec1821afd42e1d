import re
import struct
import tracemalloc
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestra.errors import ModelError
from orchestra.io import gguf_header
from orchestra.io.gguf_header import read_gguf
from tests import ggufs

NOT_WHOLE = "is not a whole GGUF file; fetch or save it again."


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a tiny model."""
    return ggufs.write(tmp_path_factory.mktemp("gguf") / "w.gguf", ggufs.llama(), tokens=5).read_bytes()


def text(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(raw)) + raw


def field(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...] = (3,), kind: int = 0, begin: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, begin)


def file_of(*, fields: tuple[bytes, ...] = (), tensors: tuple[bytes, ...] = (), version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(fields)) + b"".join(fields + tensors)
    return head + bytes(-len(head) % 32) + bytes(64)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_of_the_package_is_read_as_the_package_reads_it(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "w").write_bytes(whole)
    header, reader = read_gguf(tmp_path / "w"), gguf.GGUFReader(tmp_path / "w")
    assert header.shapes == {t.name: tuple(map(int, reversed(t.shape))) for t in reader.tensors}
    assert header.weight_bytes == sum(int(t.n_bytes) for t in reader.tensors)
    assert header.num_params == ggufs.llama().num_parameters()
    assert set(header.fields) == {key for key in reader.fields if not key.startswith("GGUF.")}
    assert header.fields["llama.block_count"] == 3
    assert header.fields["tokenizer.ggml.model"] == "llama"
    tokens = header.fields["tokenizer.ggml.tokens"]
    assert isinstance(tokens, gguf_header.Array)
    assert tokens.count == 5


def test_every_type_of_tensor_has_the_size_that_the_package_gives_it() -> None:
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == gguf_header._BLOCKS
    assert {gguf.GGMLQuantizationType(kind).name: name for kind, name in gguf_header.HALVES.items()} == {
        "F16": "float16",
        "BF16": "bfloat16",
    }


def test_a_file_with_nothing_in_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(file_of(version=2))
    assert read_gguf(tmp_path / "w").num_params == 0


def test_values_of_every_type_are_read(tmp_path: Path) -> None:
    forms = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
    fields = tuple(field(str(kind), kind, struct.pack(form, 1)) for kind, form in forms.items())
    (tmp_path / "w").write_bytes(file_of(fields=(*fields, field("8", 8, text("é")))))
    assert read_gguf(tmp_path / "w").fields == {**{str(kind): 1 for kind in forms}, "8": "é"}


def test_arrays_are_told_apart_by_type_count_and_content(tmp_path: Path) -> None:
    arrays = [struct.pack("<IQ", kind, 2) + content for kind, content in ((0, b"ab"), (1, b"ab"), (0, b"ac"))]
    arrays += [struct.pack("<IQ", 8, 2) + text("a") + text("b"), struct.pack("<IQ", 8, 1) + text("ab")]
    digests = set()
    for array in arrays:
        (tmp_path / "w").write_bytes(file_of(fields=(field("a", 9, array),)))
        digests.add(read_gguf(tmp_path / "w").fields["a"])
    assert len(digests) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(f'{tmp_path}/w: cannot be read: No such file or directory.')}$"):
        read_gguf(tmp_path / "w")


@pytest.mark.parametrize("content", [b"", b"GGU", b"GGML" + bytes(60)])
def test_another_file_is_none(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path / "w", content) == "is not a GGUF file; fetch or save it again."


@pytest.mark.parametrize("version", [1, 4, 3 << 24], ids=["older", "newer", "big-endian"])
def test_a_version_that_is_not_known_is_named(tmp_path: Path, version: int) -> None:
    told = refusal(tmp_path / "w", file_of(version=version))
    assert told == f"is GGUF of version {version}; this version of Orchestra reads 2 and 3."


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "w").write_bytes(whole)
    data = len(whole) - read_gguf(tmp_path / "w").weight_bytes - 2000
    for length in range(4, data, 7):
        assert refusal(tmp_path / "w", whole[:length]) == NOT_WHOLE


def test_a_file_without_its_last_bytes_is_named_with_both_lengths(tmp_path: Path) -> None:
    content = file_of(tensors=(tensor("a", (17,)),))[:-1]
    told = f"is {len(content)} bytes long, but its header announces {len(content) + 5}; fetch it again."
    assert refusal(tmp_path / "w", content) == told


HUGE = struct.pack("<Q", 1 << 62)
DAMAGED = {
    "more tensors than bytes": b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 0) + bytes(64),
    "more fields than bytes": b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 62) + bytes(64),
    "an endless key": file_of(fields=(HUGE,)),
    "a long key": file_of(fields=(field("k" * 70_000, 0, b"\0"),)),
    "an endless text": file_of(fields=(field("a", 8, HUGE),)),
    "a text that is none": file_of(fields=(field("a", 8, text(b"\xff")),)),
    "an unknown type": file_of(fields=(field("a", 13, bytes(8)),)),
    "an endless array of numbers": file_of(fields=(field("a", 9, struct.pack("<I", 4) + HUGE),)),
    "an endless array of texts": file_of(fields=(field("a", 9, struct.pack("<I", 8) + HUGE),)),
    "an array of arrays": file_of(fields=(field("a", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 0, 0)),)),
    "one key twice": file_of(fields=(field("a", 0, b"\1"), field("a", 0, b"\2"))),
    "an alignment of nothing": file_of(fields=(field("general.alignment", 4, bytes(4)),)),
    "an alignment in words": file_of(fields=(field("general.alignment", 8, text("32")),)),
    "no dimension": file_of(tensors=(tensor("a", ()),)),
    "five dimensions": file_of(tensors=(tensor("a", (1,) * 5),)),
    "endless dimensions": file_of(tensors=(text("a") + b"\xff" * 20,)),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_header_is_refused_and_takes_no_memory(tmp_path: Path, content: bytes) -> None:
    tracemalloc.start()
    try:
        assert refusal(tmp_path / "w", content) == NOT_WHOLE
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


TENSORS: dict[str, tuple[tuple[bytes, ...], str]] = {
    "an unknown type": (
        (tensor("a", kind=4),),
        "holds tensors of type 4, which this version of Orchestra does not know.",
    ),
    "one name twice": (
        (tensor("a"), tensor("a", begin=32)),
        "has a damaged GGUF header: two tensors of one name; fetch or save it again.",
    ),
    "half a block": ((tensor("a", (33,), kind=8),), "has a damaged GGUF header: 'a' has no whole blocks."),
    "an overlap": ((tensor("a"), tensor("b", begin=8)), "has a damaged GGUF header: 'b' lies in another tensor."),
}


@pytest.mark.parametrize(("tensors", "told"), TENSORS.values(), ids=TENSORS.keys())
def test_tensors_that_cannot_be_are_refused(tmp_path: Path, tensors: tuple[bytes, ...], told: str) -> None:
    assert refusal(tmp_path / "w", file_of(tensors=tensors)) == told


@pytest.mark.parametrize(("limit", "value"), [("_MAX_FIELDS", 7), ("_MAX_TENSORS", 7), ("_MAX_HEADER_BYTES", 500)])
def test_a_header_past_any_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes, limit: str, value: int
) -> None:
    monkeypatch.setattr(gguf_header, limit, value)
    assert refusal(tmp_path / "w", whole) == NOT_WHOLE


MUTATION = st.tuples(st.integers(4, 1999), st.binary(max_size=9), st.integers(0, 9))


@given(mutations=st.lists(MUTATION, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_a_mutated_file_is_read_or_refused(
    tmp_path: Path, whole: bytes, mutations: list[tuple[int, bytes, int]]
) -> None:
    content = whole
    for place, put, dropped in mutations:
        content = content[:place] + put + content[place + dropped :]
    (tmp_path / "w").write_bytes(content)
    try:
        header = read_gguf(tmp_path / "w")
    except ModelError:
        return
    assert header.weight_bytes <= len(content)
