import pytest
from transformers import PreTrainedTokenizerFast

from orchestra.lab.kv import words as made
from orchestra.lab.kv.keys import UniqueTable


@pytest.fixture(scope="session")
def words() -> PreTrainedTokenizerFast:
    return made.build()


@pytest.fixture(scope="session")
def table() -> UniqueTable:
    return UniqueTable(size=211)
