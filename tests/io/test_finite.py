import pytest
import torch

from orchestra.io.finite import finite

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_one_weight_that_is_no_number_is_seen(dtype: torch.dtype) -> None:
    weight = torch.ones(7, 11, dtype=dtype)
    assert finite(weight)
    for strange in ("nan", "inf", "-inf"):
        weight[3, 5] = float(strange)
        assert not finite(weight)
    weight[3, 6] = float("inf")
    assert not finite(weight)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_large_numbers_are_numbers(dtype: torch.dtype) -> None:
    weight = torch.full((7, 11), torch.finfo(dtype).max, dtype=dtype)
    assert finite(weight)
    assert finite(-weight)


def test_what_is_empty_or_no_float_has_nothing_to_hide() -> None:
    assert finite(torch.empty(0))
    assert finite(torch.full((3,), 255, dtype=torch.uint8))
    assert finite(torch.full((3,), 0x7F, dtype=torch.uint8).view(torch.float8_e4m3fn))
