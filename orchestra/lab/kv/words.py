"""The tokenizer of the anchor and its augments, and what each token is made of.

Numbers are cut into groups of three digits from the right (`12345` is `12`, `345`), keys into letters, and a working
into its tokens (`lab.kv.working`), each whole.
"""

import string
from itertools import product

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from orchestra.lab.kv.working import CARRIED, CARRIES, KEPT, OVER, PLACES, names
from orchestra.lab.tokenizer import BEGIN, END, PAD, UNKNOWN, finished

_SPLIT = (
    r"\{[^}]*\}|\[[^\]]*\]|·\d\d[a-f]|=[+-]|~-?\d|\*\d[a-e]"
    rf"|\d[{CARRIES}{KEPT}{CARRIED}][a-e]|\d[a-fA-E]"
    r"|\d{1,3}(?=(?:\d{3})*(?!\d))|."
)
_CARRIED = f"{CARRIES}{KEPT}{CARRIED}"  # in tens, with KEPT for 0 and CARRIED for 1
_RUN_OVER = 6  # the most that six operands can run over a limb


def build() -> PreTrainedTokenizerFast:
    """Make the tokenizer."""
    vocabulary = {token: i for i, token in enumerate(tokens())}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_SPLIT), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return finished(tokenizer)


def tokens() -> list[str]:
    """All tokens: those of workings first, those that only questions hold after them."""
    return [PAD, BEGIN, END, UNKNOWN, *_worked(), *string.ascii_lowercase, *"<>/+-*=", *groups()]


def groups() -> list[str]:
    """All groups of digits."""
    return ["".join(found) for size in (1, 2, 3) for found in product(string.digits, repeat=size)]


def features(token: str) -> list[str]:
    """What a token of a working or a group of digits is made of; tokens that share a feature begin alike."""
    if token in (PAD, BEGIN, END, UNKNOWN) or (len(token) == 1 and not token.isdigit()):
        return [token]
    if token.isdigit():
        return [f"group {place} {digit}" for place, digit in enumerate(reversed(token.zfill(3)))]
    if token[0] in "{[":
        return [
            f"name {token[0]}",
            *(
                f"{place} {part}"
                for place, part in zip(("limb", "letter", "sign"), reversed(token[1:-1]), strict=False)
            ),
        ]
    if token[0] in "=~":
        return [token]
    if token[0] == "·":
        return ["times", f"tens {token[1]}", f"digit {token[2]}", f"place {token[3]}"]
    if token[0] == "*":
        return ["row", f"digit {token[1]}", f"place {token[2]}"]
    if len(token) == 2:
        kind = "copied" if token[1].isupper() else "plain"
        return [kind, f"digit {token[0]}", f"place {token[1].lower()}"]
    kind = "product" if token[1] in CARRIES else "sum"
    return [kind, f"digit {token[0]}", f"carry {token[1]}", f"place {token[2]}"]


def value(token: str) -> int | None:
    """The number that a token of a working says, with what it carries; None where it says none."""
    if token.startswith("·"):
        return int(token[1:3])
    if token.startswith("*") and len(token) == 3:
        return int(token[1])
    if token[0].isdigit() and not token.isdigit():
        return int(token[0]) + 10 * (_CARRIED.index(token[1]) % 10 if len(token) == 3 else 0)
    return None


def _worked() -> list[str]:
    """The tokens of workings."""
    made = [f"{digit}{place}" for digit in string.digits for place in PLACES + OVER + PLACES.upper()]
    made += [f"*{digit}{place}" for digit in string.digits for place in PLACES]
    made += [f"{d}{carry}{place}" for d in string.digits for carry in CARRIES + KEPT + CARRIED for place in PLACES]
    products = sorted({a * b for a in range(10) for b in range(10)})
    made += [f"·{product:02d}{place}" for product in products for place in PLACES] + [f"·00{OVER}"]
    return [*names(), *made, *(f"~{over}" for over in range(-_RUN_OVER, _RUN_OVER + 1)), "=+", "=-"]
