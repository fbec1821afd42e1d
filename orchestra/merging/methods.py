"""mergekit's methods: how many models each takes, and its parameters. A test holds this table to mergekit's own."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["number", "whole number", "true or false"]
Scope = Literal["merge", "model", "not base"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        scope: one value for the whole merge, one for each model, or one for each model but the base.
    """

    kind: Kind
    scope: Scope = "merge"
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What a method takes.

    Attributes:
        base: whether it reads a base model. Where it is ignored, a base model is merged as any other.
        models: how few and how many it merges, the base among them; None: any number.
        others: likewise without the base.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    base: Literal["required", "optional", "ignored"] = "required"
    models: tuple[int, int | None] = (1, None)
    others: tuple[int, int | None] = (0, None)


_FRACTION = Parameter("number", "not base")
_WEIGHT = Parameter("number", "not base", required=True)
_NUMBER = Parameter("number")
_SWITCH = Parameter("true or false")
_ARITHMETIC = {
    "int8_mask": _SWITCH,
    "normalize": _SWITCH,
    "rescale": _SWITCH,
    "lambda": _NUMBER,
    "weight": _WEIGHT,
    "density": _FRACTION,
}
_T = {"t": Parameter("number", required=True)}

METHODS = {
    "linear": Method(
        base="ignored", parameters={"weight": Parameter("number", "model", required=True), "normalize": _SWITCH}
    ),
    "slerp": Method(models=(2, 2), parameters=_T),
    "nuslerp": Method(
        base="optional",
        others=(2, 2),
        parameters={"weight": _WEIGHT, "nuslerp_row_wise": _SWITCH, "nuslerp_flatten": _SWITCH},
    ),
    "multislerp": Method(
        base="optional",
        others=(1, None),
        parameters={"weight": _WEIGHT, "normalize_weights": _SWITCH, "eps": _NUMBER},
    ),
    "karcher": Method(base="ignored", parameters={"max_iter": Parameter("whole number"), "tol": _NUMBER}),
    "nearswap": Method(models=(2, 2), parameters=_T),
    "passthrough": Method(base="ignored", models=(1, 1), parameters={"scale": Parameter("number", "model")}),
    "task_arithmetic": Method(parameters=_ARITHMETIC),
    "ties": Method(parameters=_ARITHMETIC),
    "dare_linear": Method(parameters=_ARITHMETIC),
    "dare_ties": Method(parameters=_ARITHMETIC),
    "breadcrumbs": Method(parameters={**_ARITHMETIC, "gamma": _FRACTION}),
    "breadcrumbs_ties": Method(parameters={**_ARITHMETIC, "gamma": _FRACTION}),
    "della": Method(parameters={**_ARITHMETIC, "epsilon": _FRACTION}),
    "della_linear": Method(parameters={**_ARITHMETIC, "epsilon": _FRACTION}),
    "model_stock": Method(models=(3, None), parameters={"filter_wise": _SWITCH}),
    "sce": Method(parameters={"int8_mask": _SWITCH, "select_topk": _NUMBER}),
    "arcee_fusion": Method(models=(2, 2)),
    "ram": Method(parameters={"epsilon": _NUMBER}),
    "ramplus_tl": Method(parameters={"r": _NUMBER, "alpha": _NUMBER, "epsilon": _NUMBER}),
}
"""By mergekit's names."""

EPSILON = 0.15
"""What `epsilon` is for della where a recipe says nothing."""

CHAT_TEMPLATES = ("alpaca", "chatml", "exaone", "llama3", "mistral")
"""mergekit's chat templates, by name."""
