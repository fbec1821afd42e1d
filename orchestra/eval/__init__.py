"""Evaluation of compositions, and of what is left without some of their augments: `evaluate(model, EvalSpec(...))`."""

from orchestra.eval.result import Evaluation
from orchestra.eval.run import evaluate
from orchestra.eval.spec import EvalSpec

__all__ = ["EvalSpec", "Evaluation", "evaluate"]
