import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError

from orchestra.errors import ModelError
from orchestra.graph import Origin
from orchestra.io import hub_headers
from orchestra.io.headers import kept_headers
from orchestra.io.hub_headers import fetch_headers
from tests.hubserver import OWNER, STRANGER, Hub, _Handler


def weights(*shape: int, name: str = "weight", more: int = 0, **extra: str) -> bytes:
    """A safetensors file of one tensor of zeros, padded with some metadata."""
    count = 4
    for each in shape:
        count *= each
    header: dict[str, Any] = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, count]}}
    text = json.dumps({**header, "__metadata__": {"padding": "x" * more, **extra}}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(count)


def fetch(hub: Hub, **files: bytes) -> Origin:
    """Put files on the Hub, and read their headers."""
    names = [f"{name}.safetensors" for name in files]
    origin = Origin(repo="acme/kv", commit=hub.add("acme/kv", dict(zip(names, files.values(), strict=True))))
    fetch_headers(origin, names, token=None)
    return origin


def asked(hub: Hub) -> list[str | None]:
    """The parts of the contents that were asked for."""
    return [part for _, path, part in hub.asked if path.startswith("/content/")]


def test_a_header_is_read_and_no_weight(hub: Hub, own_cache: Path) -> None:
    origin = fetch(hub, m=weights(503, 701))
    (found,) = kept_headers(origin, ["m.safetensors"]) or []
    assert found.shapes == {"weight": (503, 701)}
    assert asked(hub) == ["bytes=0-65535"]
    assert not [*own_cache.rglob("m.safetensors")]


def test_a_header_longer_than_the_first_part_is_read_to_its_end(hub: Hub) -> None:
    origin = fetch(hub, m=weights(3, more=200_000))
    (found,) = kept_headers(origin, ["m.safetensors"]) or []
    assert found.shapes == {"weight": (3,)}
    assert [part.split("-")[0] for part in asked(hub) if part] == ["bytes=0", "bytes=65536"]


def refused(hub: Hub, message: str, **files: bytes) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        fetch(hub, **files)


def test_a_header_that_announces_gigabytes_is_refused_after_its_first_bytes(hub: Hub) -> None:
    monstrous = (3 << 30).to_bytes(8, "little") + b" " * 100_000
    refused(hub, "acme/kv: m.safetensors is not a whole safetensors file; the repository is damaged.", m=monstrous)
    assert asked(hub) == ["bytes=0-65535"]


def test_a_header_over_the_limit_is_refused_however_long_the_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_headers, "MAX_HEADER_BYTES", 70_000)
    long = weights(3, more=70_000)
    length = int.from_bytes(long[:8], "little")
    refused(hub, f"acme/kv: m.safetensors announces a header of {length:,} bytes; 70,000 are read at most.", m=long)
    assert asked(hub) == ["bytes=0-65535"]


def test_the_headers_of_all_files_together_are_bounded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_headers, "MAX_HEADER_BYTES", 70_000)
    half = weights(3, more=40_000)
    length = int.from_bytes(half[:8], "little")
    told = f"acme/kv: b.safetensors announces a header of {length:,} bytes; 70,000 are read at most, of all files"
    refused(hub, f"{told} together.", a=half, b=half)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 100])
def test_a_file_that_is_none_is_refused(hub: Hub, content: bytes) -> None:
    refused(hub, "acme/kv: m.safetensors is not a whole safetensors file; the repository is damaged.", m=content)


def test_a_file_that_is_longer_than_its_header_says_is_refused(hub: Hub) -> None:
    told = len(whole := weights(3))
    message = f"acme/kv: m.safetensors: is {told + 1} bytes long, but its header announces {told}; fetch or save it "
    refused(hub, f"{message}again.", m=whole + b"x")


def test_of_an_answer_that_is_longer_than_asked_no_more_is_taken(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def endless(self: _Handler, content: bytes, headers: dict[str, str]) -> None:
        """Answer as a server that knows no parts, until the client hangs up."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            for begin in range(0, len(content), 1 << 16):
                sent.append(self.wfile.write(content[begin : begin + (1 << 16)]))
        self.close_connection = True

    monkeypatch.setattr(_Handler, "_part", endless)
    origin = fetch(hub, m=weights(5003, 2003))
    assert kept_headers(origin, ["m.safetensors"])
    assert sum(sent) < 20_000_000


def test_a_file_that_ends_before_its_header_does_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: _Handler, content: bytes, headers: dict[str, str]) -> None:
        """Say that there is more, and send none of it."""
        begin = int((self.headers.get("Range") or "=0-")[6:].split("-")[0])
        part = content[: 1 << 16] if begin == 0 else b""
        self._send(part, 206, {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"})

    monkeypatch.setattr(_Handler, "_part", short)
    message = "acme/kv: m.safetensors ends before its header does; the repository is damaged."
    refused(hub, message, m=weights(3, more=100_000))


def test_an_answer_that_does_not_say_how_long_the_file_is_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def vague(self: _Handler, content: bytes, headers: dict[str, str]) -> None:
        self._send(content[: 1 << 16], 206, {"Content-Range": "bytes 0-65535/*"})

    monkeypatch.setattr(_Handler, "_part", vague)
    with pytest.raises(OSError, match=r"^the answer does not say how long m\.safetensors is$"):
        fetch(hub, m=weights(3))


def test_who_may_not_read_a_repository_reads_no_header(hub: Hub) -> None:
    hub.add("acme/kv", {})
    with pytest.raises(EntryNotFoundError):
        fetch_headers(Origin(repo="acme/kv", commit=hub.repositories["acme/kv"].at("main")), ["m"], token=None)
    commit = hub.add("acme/gated", {"m.safetensors": weights(3)}, gated=True)
    origin = Origin(repo="acme/gated", commit=commit)
    with pytest.raises(GatedRepoError):
        fetch_headers(origin, ["m.safetensors"], token=STRANGER)
    fetch_headers(origin, ["m.safetensors"], token=OWNER)
    assert kept_headers(origin, ["m.safetensors"])
