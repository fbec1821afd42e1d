"""What the append-only stream costs: tokens that differ from those of the whole text, characters held, time.

Texts are what a Debian system has: licences, Python's own sources, and the translations of programs. Tokenizers are
trained on the spot, on other parts of the same texts.

    python -m benchmarks.stream

Where `make real` has put real models, the tokenizers of these are measured as well, with SmolLM2's as the anchor's.
"""

import argparse
import gettext
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from orchestra.io.models import load_tokenizer
from orchestra.lab.weights import fetch
from orchestra.runtime.stream import Reading, Stream, differing
from tests.trained import KINDS, fast, train

LOCALES = {"Chinese": "zh_CN", "Japanese": "ja", "Thai": "th", "Hindi": "hi", "Arabic": "ar", "Russian": "ru"}


def translations(code: str) -> str:
    """All long translations of one language that are installed."""
    texts: dict[str, None] = {}
    for path in sorted(Path("/usr/share/locale", code, "LC_MESSAGES").glob("*.mo")):
        try:
            catalogue = gettext.GNUTranslations(path.open("rb"))
        except (OSError, UnicodeDecodeError, ValueError):
            continue
        entries = catalogue._catalog.items()  # type: ignore[attr-defined]
        texts |= {text: None for key, text in entries if key and len(text) > 30 and text != key}
    return "\n".join(texts)


def corpora() -> Iterator[tuple[str, str]]:
    """Each kind of text, by name."""
    licences = sorted(Path("/usr/share/common-licenses").iterdir())
    yield "English", "\n".join(path.read_text("utf-8", "ignore") for path in licences if not path.is_symlink())
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    yield "Python", "\n".join(path.read_text("utf-8", "ignore") for path in library)
    for name, code in LOCALES.items():
        yield name, translations(code)


def halves(text: str, most: int) -> tuple[str, str]:
    """Every second stretch of a text for training, and what lies between them to measure with."""
    stretches = [text[at : at + 2000] for at in range(0, len(text), 2000)]
    return "".join(stretches[::2])[:most], "".join(stretches[1::2])[:most]


def real(name: str) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a real model that `make real` has fetched."""
    folder = fetch.folder(name)
    return load_tokenizer(folder) if folder.is_dir() else None


def measure(label: str, stream: Stream, anchor: Tokenizer, augment: Tokenizer, texts: Mapping[str, str]) -> None:
    """Print a row per text."""
    front = len(augment.encode("").ids)
    for name, text in texts.items():
        ids = anchor.encode(text, add_special_tokens=False).ids
        reading = Reading(stream)
        started = time.process_time()
        reading.read(ids)
        took = time.process_time() - started
        held = [len(state.held) for state in reading._states]
        reading.close()
        whole = augment.encode(text, add_special_tokens=False).ids
        share = differing(reading.ids[front:], whole) / max(1, len(whole))
        print(
            f"{label:34}{name:10}{len(whole):7}{share:8.2%}{sum(held) / len(held):11.1f}{max(held):5}"
            f"{took / len(ids) * 1e6:13.1f}",
            flush=True,
        )


def main() -> None:
    """Print a table: tokenizers that are trained here, and those of the real models that are there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", type=int, default=6000)
    parser.add_argument("--characters", type=int, default=20000, help="measured per text")
    parser.add_argument("--train", type=int, default=100000, help="characters per text to train on")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--real", nargs="*", default=["gemma3", "minimind2", "stories"], help="read from SmolLM2's")
    parser.add_argument("--texts", nargs="*")
    options = parser.parse_args()
    parts = {name: halves(text, options.train) for name, text in corpora()}
    texts = {
        name: text[: options.characters]
        for name, (_, text) in parts.items()
        if not options.texts or name in options.texts
    }
    print(f"{'augment':34}{'text':10}{'tokens':>7}{'differ':>8}{'held mean':>11}{'max':>5}{'ms per 1000':>13}")
    if options.kinds:
        lines = [line for train_on, _ in parts.values() for line in train_on.splitlines(keepends=True)]
        anchor = fast(train("byte-level, GPT-2", lines, options.vocabulary))
        for kind in options.kinds:
            augment = fast(train(kind, lines, options.vocabulary))
            backends = anchor.backend_tokenizer, augment.backend_tokenizer
            measure(kind, Stream(anchor, augment), *backends, texts)
    if (smollm := real("smollm2")) is not None:
        for name in options.real:
            if (own := real(name)) is not None:
                measure(name, Stream(smollm, own), smollm.backend_tokenizer, own.backend_tokenizer, texts)


if __name__ == "__main__":
    main()
