import pytest

from orchestra.lab.kv.settings import settings


@pytest.mark.parametrize(("scale", "width"), [("small", 128), ("large", 256)])
def test_a_scale_says_what_is_trained(scale: str, width: int) -> None:
    made = settings(scale)
    assert made.table.size == 25_000
    assert made.anchor.width == width
