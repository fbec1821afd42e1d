"""Training of bridges: `train(source, TrainSpec(...))`. Anchor and augments stay as they are."""

from orchestra.train.run import TrainResult, train
from orchestra.train.spec import TrainSpec

__all__ = ["TrainResult", "TrainSpec", "train"]
