"""Tokenizers for the tiny models, of which no two part a text alike: every id of the models' vocabulary is a token."""

import random
from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.configs import VOCAB

LETTERS = "abcdeé '1"
SPECIALS = ("<pad>", "<begin>", "<unk>")


def _merged(seed: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of letters and of pieces made of them, two of which make a longer one."""
    rng = random.Random(seed)
    pieces, merges = list(LETTERS), []
    while len(SPECIALS) + len(pieces) < VOCAB:
        left, right = rng.choice(pieces), rng.choice(pieces)
        if left + right not in pieces and len(left + right) < 4:
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
def pieces(seed: int) -> PreTrainedTokenizerFast:
    """Pieces that reach over blanks; what they are is drawn."""
    vocabulary, merges = _merged(seed)
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
