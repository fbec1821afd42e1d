"""Compositions of tiny models whose tokenizers part a text each in its own way."""

import random
from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from orchestra import ComposedModel
from tests.configs import VOCAB
from tests.tiny import ARCHITECTURES, compose, model

LETTERS = "abcdeé '1-"
SPECIALS = ("<pad>", "<begin>", "<unk>")


def _merged(seed: int, longest: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of letters and of pieces made of them, as many as the models have room for."""
    rng = random.Random(seed)
    pieces, merges = list(LETTERS), []
    while len(SPECIALS) + len(pieces) < VOCAB:
        left, right = rng.choice(pieces), rng.choice(pieces)
        if left + right not in pieces and len(left + right) <= longest:
            pieces.append(left + right)
            merges.append((left, right))
    return {piece: index for index, piece in enumerate([*SPECIALS, *pieces])}, merges


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<begin>",
        unk_token="<unk>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


@cache
def pieces(seed: int, longest: int = 5) -> PreTrainedTokenizerFast:
    """Pieces that reach over blanks; what they are is drawn, and every id of the models is one."""
    vocabulary, merges = _merged(seed, longest)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    return _fast(tokenizer)


@cache
def characters() -> PreTrainedTokenizerFast:
    """One token for each letter."""
    vocabulary = {piece: index for index, piece in enumerate([*SPECIALS, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    return _fast(tokenizer)


@cache
def word_pieces() -> PreTrainedTokenizerFast:
    """Words and their insides, blanks left out."""
    signs = LETTERS.replace(" ", "")
    insides = [f"##{left}{right}" for left in ("", *signs) for right in signs]
    vocabulary = {piece: index for index, piece in enumerate([*SPECIALS, *signs, *insides][:VOCAB])}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _fast(tokenizer)


def anchors() -> PreTrainedTokenizerFast:
    """The anchor's: letters and pairs of them."""
    return pieces(0, longest=2)


def streaming(index: int, *, fresh: bool = False, **near: Any) -> ComposedModel:
    """A graph whose augments read streams; together they have each architecture once in each place."""
    first, second, third = (ARCHITECTURES[(index + step) % 8] for step in (0, 1, 3))
    return compose(
        model(first),
        fresh=fresh,
        tokenizers={
            "anchor": anchors(),
            "near": pieces(1),
            "far": characters() if index % 2 else word_pieces(),
        },
        near=(model(second, seed=1), near),
        far=model(third, seed=2),
    )
