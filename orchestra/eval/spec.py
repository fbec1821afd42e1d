"""What is evaluated, and how: the settings of one evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSpec:
    """Settings of one evaluation. Names and meanings are the harness' own wherever it has them.

    Attributes:
        tasks: the harness' names of tasks, groups and tags, with wildcards; those that ship with Orchestra; YAML files.
        data: the file that a shipped task reads, by the task's name; under '' that of all others.
        ablate: `each`, `subsets`, or names of augments that are switched off together, separated by commas.
        include: folders of more tasks in YAML.
        num_fewshot: None is what each task says.
        limit: records per task; a share of them below 1.
        batch_size: a number, or `auto`.
        gen_kwargs: put over what tasks say of generation, as `max_gen_toks=64`.
        metadata: handed to tasks that make their records by rules.
        confirm_run_unsafe_code: run the programs that the model writes.
        bootstrap: how often records are drawn again for the intervals.
        output: where tables and the harness' result files go; None writes nothing.
    """

    tasks: tuple[str, ...]
    data: Mapping[str, Path] = field(default_factory=dict)
    ablate: tuple[str, ...] = ()
    include: tuple[Path, ...] = ()
    num_fewshot: int | None = None
    limit: float | None = None
    batch_size: int | str = 1
    seed: int = 0
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = False
    system_instruction: str | None = None
    gen_kwargs: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    confirm_run_unsafe_code: bool = False
    bootstrap: int = 1000
    output: Path | None = None
