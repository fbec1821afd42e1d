import importlib.resources
import typing
import warnings
from typing import Any

import pytest

from orchestra.merging.methods import CHAT_TEMPLATES, METHODS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # mergekit 0.1.5 reaches for numpy.core
    from mergekit._data import chat_templates
    from mergekit.merge_methods import registered_methods

SCOPES = {"shared": "merge", "input": "model", "non_base": "not base"}
KINDS = {float: "number", int: "whole number", bool: "true or false"}


def kind(value_type: Any) -> str:
    return KINDS[next((arm for arm in typing.get_args(value_type) if arm is not type(None)), value_type)]


def test_the_methods_are_mergekits() -> None:
    assert set(METHODS) == {method.spec.name for method in registered_methods()}


@pytest.mark.parametrize("method", registered_methods(), ids=lambda method: method.spec.name)
def test_a_methods_models_and_parameters_are_mergekits(method: Any) -> None:
    ours, spec = METHODS[method.spec.name], method.spec
    contract = spec.contract
    assert ours.base == contract.base.value
    assert ours.models == (contract.min_inputs, contract.max_inputs)
    assert ours.others == (contract.min_non_base or 0, contract.max_non_base)
    assert {name: (one.kind, one.scope, one.required) for name, one in ours.parameters.items()} == {
        one.name: (kind(one.value_type), SCOPES[one.scope.value], one.required) for one in spec.parameters
    }


def test_the_chat_templates_are_mergekits() -> None:
    files = importlib.resources.files(chat_templates).iterdir()
    assert sorted(CHAT_TEMPLATES) == sorted(file.name[:-6] for file in files if file.name.endswith(".jinja"))
