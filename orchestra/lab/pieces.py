"""A tokenizer of word pieces, trained on what the lab draws: words, code and numbers, as a BERT would read them."""

import itertools
import random
import string
from collections import Counter
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from orchestra.lab import recital
from orchestra.lab.domain import Domain
from orchestra.lab.tokenizer import BEGIN, END, NUMBERS, PAD, UNKNOWN, finished

_INSIDE = "##"
_TEXTS = 2000


def pieces(domain: Domain, merges: int = 200) -> PreTrainedTokenizerFast:
    """Make a WordPiece tokenizer of single signs, the numbers 0 to 99, and the pieces that a domain's words need most.

    The trainer of the tokenizers package is not used: what it finds differs from run to run.

    Args:
        merges: how many pieces are joined of two others.
    """
    splitter = pre_tokenizers.BertPreTokenizer()
    rng = random.Random(f"{domain.name} pieces")
    texts = ("".join(text for text, _ in recital.recite(rng, domain)) for _ in range(_TEXTS))
    counts = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(text))
    joined = _joined({word: count for word, count in counts.items() if count > 1}, merges)
    inside = (_INSIDE + sign for sign in string.digits + string.ascii_letters)
    tokens = dict.fromkeys([PAD, BEGIN, END, UNKNOWN, *NUMBERS, *map(chr, range(33, 127)), *inside, *joined])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=_INSIDE))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece(prefix=_INSIDE, cleanup=False)
    return finished(tokenizer)


def _joined(counts: dict[str, int], merges: int) -> Iterator[str]:
    """Join the most frequent pair of neighbouring pieces, again and again; of several, the last in the alphabet."""
    words = {word: [word[0], *(_INSIDE + sign for sign in word[1:])] for word in counts}
    for _ in range(merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in words.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            return
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        yield (whole := best[0] + best[1].removeprefix(_INSIDE))
        for parts in words.values():
            while best in (inside := list(itertools.pairwise(parts))):
                at = inside.index(best)
                parts[at : at + 2] = [whole]
