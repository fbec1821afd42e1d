import logging
import sys
from typing import Any

import pytest
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers.utils import logging as transformers_logging

from orchestra.io.foreign import quiet, tokenizers_errors, told


def show(bars: bool) -> None:
    switch: Any = transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar
    switch()


@pytest.mark.parametrize("verbosity", [logging.DEBUG, logging.WARNING, logging.CRITICAL])
@pytest.mark.parametrize("bars", [True, False])
def test_what_the_user_had_set_comes_back(verbosity: int, bars: bool) -> None:
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    try:
        transformers_logging.set_verbosity(verbosity)
        show(bars)
        with pytest.raises(KeyError), quiet():
            raise KeyError(transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled())
        with quiet():
            assert transformers_logging.get_verbosity() == logging.ERROR
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.get_verbosity() == verbosity
        assert transformers_logging.is_progress_bar_enabled() == bars
        assert are_progress_bars_disabled() == (not bars)
    finally:
        transformers_logging.set_verbosity(before[0])
        show(before[1])


def test_bars_are_hidden_where_the_hub_alone_shows_none_and_stay_as_they_were() -> None:
    before = transformers_logging.is_progress_bar_enabled()
    try:
        show(True)
        disable_progress_bars()
        with quiet():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled()
        assert are_progress_bars_disabled()
    finally:
        show(before)


def test_bars_that_the_environment_forbids_are_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    try:
        show(True)
        monkeypatch.setattr(sys.modules[are_progress_bars_disabled.__module__], "HF_HUB_DISABLE_PROGRESS_BARS", True)
        with quiet():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        monkeypatch.undo()
        show(before)


def test_an_error_is_told_on_one_line_of_bounded_length() -> None:
    assert told(ValueError("two\n  lines")) == "ValueError: two lines"
    long = told(KeyError("x" * 400))
    assert len(long) == 300
    assert long.endswith("x...")


def test_what_tokenizers_raises_becomes_an_error_that_can_be_caught() -> None:
    with pytest.raises(ValueError, match=r"^tokenizers says: key must be a string"), tokenizers_errors():
        Tokenizer.from_str("{nope")
    panics = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    panics.pre_tokenizer = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    with pytest.raises(RuntimeError, match=r"^tokenizers breaks off: Onig: Regex search error"), tokenizers_errors():
        panics.encode("a" * 40 + "!")


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_what_others_raise_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, tokenizers_errors():
        raise error
    assert caught.value is error
