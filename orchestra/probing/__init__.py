"""Which layers of an augment hold what, before an hour is spent on training bridges between them."""

from orchestra.probing.result import Probed
from orchestra.probing.run import probe
from orchestra.probing.spec import ProbeSpec

__all__ = ["ProbeSpec", "Probed", "probe"]
