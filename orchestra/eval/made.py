"""Whether what a task says can be made of its records, and what somebody else's errors say."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from lm_eval.evaluator_utils import get_sample_size
from lm_eval.utils import env as templates

from orchestra.errors import EvalError


def why(error: Exception) -> str:
    """What an error of somebody else's says; some say it only together with what they are."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(cause, StopIteration):
        return "there are no records in its data."
    if isinstance(cause, KeyError):
        return f"there is no {cause} in its data."
    said = str(cause).strip()
    return said if said and isinstance(cause, OSError | ValueError) else f"{type(cause).__name__}: {said}"


def check_records(task: Any, limit: float | None) -> None:
    """See that what a task says can be made of every record that will be asked."""
    parts = ["doc_to_text", "doc_to_target"] + ["doc_to_choice"] * bool(task.get_config("doc_to_choice"))
    for number, record in enumerate(islice(task.eval_docs, get_sample_size(task, limit)), start=1):
        try:
            for part in parts:
                _check_part(task, part, record)
        except Exception as error:  # templates and functions raise what they like
            raise EvalError(f"{task.task_name}: record {number}: {why(error)}") from error


def _check_part(task: Any, part: str, record: Mapping[str, Any]) -> None:
    said = task.get_config(part)
    if getattr(task, part)(record) is None:
        raise ValueError(f"{part} ({said}) is missing or null.")
    # In a file of the user's a field that a record lacks is null, and would be written as `None`.
    if isinstance(said, str) and said not in record and "data_files" in (task.get_config("dataset_kwargs") or {}):
        templates.overlay(finalize=_shown).from_string(said).render(**record)


def _shown(value: Any) -> Any:
    if value is None:
        raise ValueError("a field that it shows is missing or null.")
    return value
