import logging
from typing import Any

import pytest
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from transformers.utils import logging as transformers_logging

from orchestra.io.foreign import quiet, told


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


def test_an_error_is_told_on_one_line_of_bounded_length() -> None:
    assert told(ValueError("two\n  lines")) == "ValueError: two lines"
    long = told(KeyError("x" * 400))
    assert len(long) == 300
    assert long.endswith("x...")
