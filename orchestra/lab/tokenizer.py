"""The demo's tokenizers.

That of the anchor reads bytes, and every run of up to three digits as one token. Grouping digits by threes is Llama 3's
choice; it lets a number of the demo stand at one place, and be answered in one. An augment may read characters instead,
or word pieces (`lab.pieces`); for a number it then has one token of its own to answer with.
"""

import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from orchestra.lab.expressions import MAX_VALUE

PAD, BEGIN, END, UNKNOWN = "<|pad|>", "<|begin|>", "<|end|>", "<|unknown|>"
PAD_ID, BEGIN_ID, END_ID = 0, 1, 2
NUMBERS = tuple(str(number) for number in range(MAX_VALUE + 1))
SAID = tuple(f"<|{number}|>" for number in NUMBERS)  # what answers a number where digits are read one by one


def build() -> PreTrainedTokenizerFast:
    """Make the anchor's: byte-level BPE whose only merges build the numbers 00 to 99 and 000 to 999."""
    specials = [PAD, BEGIN, END]
    digits = string.digits
    merges = [(a, b) for a in digits for b in digits]
    merges += [(a + b, c) for a in digits for b in digits for c in digits]
    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return finished(tokenizer)


def characters() -> PreTrainedTokenizerFast:
    """Make one that reads printable ASCII character by character; its answers are tokens that no text holds."""
    tokens = [PAD, BEGIN, END, UNKNOWN, *SAID, *map(chr, range(32, 127))]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    return finished(tokenizer)


def finished(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Give a tokenizer its special tokens; any text then begins with one."""
    tokenizer.add_special_tokens([PAD, BEGIN, END])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, BEGIN_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
