"""Records in tokens: what is read, what carries the loss, what is refused before a weight is loaded."""

import re

import pytest
from transformers import PreTrainedTokenizerFast

from orchestra.errors import DataError
from orchestra.train.encode import Example, context_limit, read_examples
from tests.train.conftest import WORDS, Write

VOCABULARY = len(WORDS)
BOS, EOS, A, B, C = 1, 2, 3, 4, 5


def test_the_prompt_is_read_as_for_generation_and_the_completion_ends_with_eos(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = write({"prompt": "a b", "completion": "c"}, {"text": "c a"}, {"prompt": "", "completion": "b"})
    assert read_examples(path, tokenizer, max_length=None, vocab_size=VOCABULARY) == (
        Example(ids=(BOS, A, B, C, EOS), num_prompt=3),
        Example(ids=(BOS, C, A, EOS), num_prompt=0),
        Example(ids=(BOS, B, EOS), num_prompt=1),
    )
    assert tokenizer("a b")["input_ids"] == [BOS, A, B]


def test_an_eos_that_the_record_brings_is_not_doubled(write: Write, tokenizer: PreTrainedTokenizerFast) -> None:
    path = write({"prompt": "a", "completion": "b <eos>"})
    (example,) = read_examples(path, tokenizer, max_length=None, vocab_size=VOCABULARY)
    assert example.ids == (BOS, A, B, EOS)


def test_records_too_long_empty_or_out_of_vocabulary_are_listed_with_the_malformed(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.add_tokens(["zz"])
    path = write(
        {"prompt": "a b c", "completion": "a b c"},
        {"prompt": "a", "completion": "  "},
        {"prompt": 7, "completion": "a"},
        {"text": "a zz"},
        {"prompt": "a b c", "completion": "a b"},
    )
    message = (
        f"{path}: line 1: has 8 tokens, and max_length is 7: shorten it, or raise the limit.\n"
        f"{path}: line 2: 'completion' has no tokens; there is nothing to learn.\n"
        f"{path}: line 3: 'prompt' is 7; it must be a string.\n"
        f"{path}: line 4: has token {VOCABULARY}, and the anchor's vocabulary ends at {VOCABULARY - 1}."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_examples(path, tokenizer, max_length=7, vocab_size=VOCABULARY)


def test_a_record_without_a_prompt_is_refused_where_an_augment_reads_nothing_else(
    write: Write, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = write({"prompt": "", "completion": "b"}, {"text": "c a"}, {"prompt": "a", "completion": "b"})
    for readers, names in ((("kv",), "kv reads"), (("kv", "tetum"), "kv, tetum read")):
        message = f"{path}: line 2: has no prompt, and {names} the prompt only: give it as {{'prompt', 'completion'}}."
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            read_examples(path, tokenizer, max_length=None, vocab_size=VOCABULARY, prompt_readers=readers)


def test_a_file_without_records_is_refused(write: Write, tokenizer: PreTrainedTokenizerFast) -> None:
    path = write("", "  ")
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: holds no record.')}$"):
        read_examples(path, tokenizer, max_length=None, vocab_size=VOCABULARY)


def test_a_tokenizer_without_eos_is_refused(write: Write, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.eos_token = None
    path = write({"text": "a"})
    message = f"{path}: the anchor's tokenizer has no eos_token, and a completion ends with it: give it one."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_examples(path, tokenizer, max_length=None, vocab_size=VOCABULARY)


def test_the_shortest_model_sets_the_limit() -> None:
    texts = {"text_config": {"max_position_embeddings": 13}, "max_position_embeddings": 5}
    assert context_limit([{"max_position_embeddings": 17}, texts, {"n_positions": 19}, {"vocab_size": 2}]) == 13
    assert context_limit([{"vocab_size": 2}]) is None
