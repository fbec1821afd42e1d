import pytest
from transformers import PreTrainedTokenizerFast

from orchestra.lab import tokenizer


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    return tokenizer.build()
