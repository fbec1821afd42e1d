"""Training of bridges: `train(source, TrainSpec(...))`; of controls: `swap`. Anchor and augments stay as they are."""

from orchestra.train.run import TrainResult, train
from orchestra.train.spec import TrainSpec
from orchestra.train.swap_result import SwapResult
from orchestra.train.swap_spec import Swap, SwapSpec
from orchestra.train.swapping import swap

__all__ = ["Swap", "SwapResult", "SwapSpec", "TrainResult", "TrainSpec", "swap", "train"]
