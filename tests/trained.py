"""Tokenizers of the kinds that models come with, trained on the spot."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
END = "<|endoftext|>"
SCRIPTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "texts").iterdir())}
ODD = (
    "I've it'd they'll 'tis 'twas' ''s",
    "a  b   c \n\n  d\t\te \n \n\n\n x\r\n  y   ",
    "e\u0301a\u0300\u0323 \u1112\u1161\u11ab \u304b\u3099 n\u0303",
    "\U0001f469\u200d\U0001f4bb\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1f9\U0001f1f1\u2764\ufe0f!",
    "\U0001f44d\U0001f3fd",
    "see <|endoftext|> and <|endof text|> <|endoftext",
    "0x80000 12345678 3.14159,26 1,000,000",
    '_Feature __init__ "_x" ...and (so) -- on ==>',
    "antidisestablishmentarianism" * 5,
    "=" * 150 + "\n" + " " * 90 + "x",
)


def _byte_level(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=[END], show_progress=False)
    return tokenizer, trainer


def gpt2(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer, trainer = _byte_level(size)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer, trainer


def llama3(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    """Groups of three digits; and, as Qwen has it, NFC."""
    tokenizer, trainer = _byte_level(size)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer, trainer


def _unigram(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<unk>", END, *BYTES], unk_token="<unk>", show_progress=False
    )
    return Tokenizer(models.Unigram()), trainer


def metaspace(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer, trainer = _unigram(size)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return tokenizer, trainer


def unigram(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    """No pre-tokenizer at all, and so tokens that reach over blanks."""
    tokenizer, trainer = _unigram(size)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer, trainer


def llama2(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    """Trained on words, as sentencepiece does, and used without a pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<unk>", END, *BYTES], limit_alphabet=size // 3, show_progress=False
    )
    return tokenizer, trainer


def wordpiece(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[UNK]", END], limit_alphabet=size // 3, show_progress=False
    )
    return tokenizer, trainer


def characters(size: int) -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=1, special_tokens=["<unk>", END, *BYTES], limit_alphabet=size // 3, show_progress=False
    )
    return tokenizer, trainer


KINDS: dict[str, Callable[[int], tuple[Tokenizer, trainers.Trainer]]] = {
    "byte-level, GPT-2": gpt2,
    "byte-level, Llama 3, NFC": llama3,
    "unigram, Metaspace": metaspace,
    "unigram, no pre-tokenizer": unigram,
    "BPE with bytes, Llama 2": llama2,
    "WordPiece, Bert": wordpiece,
    "characters": characters,
}


def train(kind: str, lines: Iterable[str], size: int) -> Tokenizer:
    """Train a tokenizer of a kind."""
    tokenizer, trainer = KINDS[kind](size)
    tokenizer.train_from_iterator(lines, trainer)
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model["type"] == "Unigram":
        model["byte_fallback"] = True
    # Trainers make special tokens of all that they are told of; bytes are ordinary ones.
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in BYTES]
    if kind == "BPE with bytes, Llama 2":
        content["pre_tokenizer"] = None
        content["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        }
    return Tokenizer.from_str(json.dumps(content))


@cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A small one, trained on a page of each script."""
    return fast(train(kind, [line for text in SCRIPTS.values() for line in text.splitlines(keepends=True)], 900))


def fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)
