import pytest
from transformers import PreTrainedTokenizerFast

from orchestra.lab import tetum, tokenizer
from orchestra.lab.pieces import pieces


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    return tokenizer.build()


@pytest.fixture(scope="session")
def characters() -> PreTrainedTokenizerFast:
    return tokenizer.characters()


@pytest.fixture(scope="session")
def word_pieces() -> PreTrainedTokenizerFast:
    return pieces(tetum.DOMAIN)
