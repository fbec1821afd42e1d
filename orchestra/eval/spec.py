"""What is evaluated, and how: the settings of one evaluation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra.errors import EvalError

_SEEDS = 2**32


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

    Raises:
        EvalError: a value is none of those that are allowed; all such are listed.
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

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise EvalError.listing(problems)

    def _problems(self) -> Iterator[str]:
        if self.num_fewshot is not None and self.num_fewshot < 0:
            yield f"num_fewshot is {self.num_fewshot}; it must be 0 or more."
        if self.limit is not None and not (0 < self.limit < 1 or (self.limit >= 1 and self.limit % 1 == 0)):
            yield f"limit is {self.limit:g}; it must be a whole number of records, or a share of them below 1."
        if self.batch_size != "auto" and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            yield f"batch_size is {self.batch_size!r}; it must be a positive number, or auto."
        if not 0 <= self.seed < _SEEDS:
            yield f"seed is {self.seed}; it must be from 0 to {_SEEDS - 1}."
        if self.bootstrap < 100:
            yield f"bootstrap is {self.bootstrap}; it must be at least 100."
        if "orchestra" in self.metadata:
            yield "metadata has 'orchestra', which is kept for what tasks are told of files and seeds."
