import random
import string
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given
from transformers import PreTrainedTokenizerFast

from orchestra.lab import recital, tetum
from orchestra.lab.pieces import pieces
from orchestra.lab.tokenizer import NUMBERS, UNKNOWN

WORD_PIECES = pieces(tetum.DOMAIN)


@given(text=st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " ", max_size=40))
def test_no_printable_character_is_unknown_and_only_spaces_go(text: str) -> None:
    tokens = WORD_PIECES.tokenize(text)
    assert UNKNOWN not in tokens
    assert "".join(token.removeprefix("##") if len(token) > 2 else token for token in tokens) == text.replace(" ", "")


def test_words_of_numerals_are_whole_and_other_words_are_not() -> None:
    numerals = {word for number in range(100) for word in tetum.numeral(number).split(" ")}
    assert [word for word in numerals if WORD_PIECES.tokenize(word) != [word]] == []
    assert WORD_PIECES.tokenize("istoria") == ["i", "##s", "##tor", "##i", "##a"]
    assert len(WORD_PIECES) < 500


def test_a_number_below_a_hundred_is_one_piece() -> None:
    assert [number for number in NUMBERS if WORD_PIECES.tokenize(number) != [number]] == []
    assert WORD_PIECES.tokenize("396") == ["39", "##6"]


def test_the_pieces_are_the_same_in_every_run(word_pieces: PreTrainedTokenizerFast) -> None:
    program = (
        "from orchestra.lab import pieces, tetum; print(pieces.pieces(tetum.DOMAIN).backend_tokenizer.to_str(), end='')"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout == word_pieces.backend_tokenizer.to_str()


def test_the_first_piece_joins_the_two_that_are_together_most_often() -> None:
    signs, joined = pieces(tetum.DOMAIN, 0), pieces(tetum.DOMAIN, 1)
    rng = random.Random("tetum pieces")
    tokens = [signs.tokenize("".join(text for text, _ in recital.recite(rng, tetum.DOMAIN))) for _ in range(2000)]
    pairs = Counter(pair for row in tokens for pair in pairwise(row) if len(pair[1]) == 3)
    [(most, _)] = pairs.most_common(1)
    assert joined.get_vocab().keys() - signs.get_vocab().keys() == {most[0] + most[1].removeprefix("##")}
