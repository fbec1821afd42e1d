"""All that is said to lm-evaluation-harness (0.4): its registry, its few-shot, its metrics and its result files."""

import contextlib
import copy
import difflib
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lm_eval import evaluator
from lm_eval.loggers import EvaluationTracker
from lm_eval.loggers.utils import add_env_info, add_tokenizer_info
from lm_eval.tasks import TaskManager
from lm_eval.utils import simple_parse_args_string
from transformers import GenerationConfig

from orchestra.errors import EvalError, OrchestraError
from orchestra.eval import answers, splits
from orchestra.eval.likelihood import Asked
from orchestra.eval.made import check_records, why
from orchestra.eval.records import FORMS
from orchestra.eval.spec import EvalSpec
from orchestra.eval.splits import TASKS
from orchestra.runtime.model import ComposedModel

Loaded = dict[str, Any]
"""What the harness' `TaskManager.load` gives: tasks, groups, and which group holds which."""
Results = dict[str, Any]
"""What its `evaluate` gives."""
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")


def language_model(model: ComposedModel, spec: EvalSpec) -> Any:
    """The composed model as the harness asks it.

    Raises:
        EvalError: it has no tokenizer, or one without an end of text, or without the chat template that is asked for.
    """
    if model.tokenizer is None:
        raise EvalError("tasks are texts, and this model's anchor has no tokenizer: give it a tokenizer.json.")
    if model.tokenizer.eos_token_id is None:
        raise EvalError("the anchor's tokenizer does not say which token ends a text: name it in `eos_token`.")
    if spec.apply_chat_template and not model.tokenizer.chat_template:
        raise EvalError("--apply-chat-template: the anchor's tokenizer has no chat template.")
    with _silent("lm_eval.models.huggingface", ""):  # it warns of a model that is in memory already, as this one is
        return Asked(pretrained=model, tokenizer=copy.deepcopy(model.tokenizer), batch_size=spec.batch_size)


def load_tasks(spec: EvalSpec) -> Loaded:
    """The tasks that are named, with their data.

    Raises:
        EvalError: a task is not known, its data is not to be had, or a file is not given, or given for nothing; a
            setting does not go with a task, or what it says cannot be made of a record; or it runs programs, which
            nobody has confirmed.
        DataError: a record of a file is malformed.
    """
    names = [name for given in spec.tasks for name in given.split(",") if name]
    manager = _manager(names, spec)
    quiet = _silent("lm_eval.api.task", "Custom kwargs can be passed")
    with seeded(spec.seed), contextlib.redirect_stdout(sys.stderr), quiet:
        loaded = _loaded(manager, _known(manager, names))
    unsafe = sorted(name for name, task in loaded["tasks"].items() if _is_unsafe(task))
    if unsafe and not spec.confirm_run_unsafe_code:
        raise EvalError(
            f"{', '.join(unsafe)}: runs programs that the model writes, on this machine. docs/evaluation.md says what "
            "holds them; to run them, add --confirm-run-unsafe-code."
        )
    _check_files(spec.data, loaded["tasks"])
    _check_metadata(spec.metadata, loaded["tasks"].values())
    for task in loaded["tasks"].values():
        _set(task, spec)
    with seeded(spec.seed), contextlib.redirect_stdout(sys.stderr):
        for task in loaded["tasks"].values():
            check_records(task, spec.limit)
    return loaded


def runs_programs(loaded: Loaded) -> bool:
    """Whether a task of ours runs what the model writes; the harness' own do so by means of their own."""
    return any(_reads(task) and _is_unsafe(task) for task in loaded["tasks"].values())


def ask(model: Any, loaded: Loaded, spec: EvalSpec) -> Results:
    """Every record of every task, with the augments that are on now; equal seeds ask the same.

    Raises:
        EvalError: a task wants more text than the model may write.
    """
    for name, task in loaded["tasks"].items():
        task.set_fewshot_seed(seed=spec.seed)
        asked = (task.get_config("generation_kwargs") or {}).get("max_gen_toks", model.max_gen_toks)
        if task.OUTPUT_TYPE == "generate_until" and asked >= model.max_length:
            raise EvalError(
                f"{name}: writes up to {asked} tokens, and this model reads and writes {model.max_length} at most: "
                "add --gen-kwargs max_gen_toks=NUMBER."
            )
    with seeded(spec.seed), contextlib.redirect_stdout(sys.stderr):
        results: Results = evaluator.evaluate(
            model,
            loaded,
            limit=spec.limit,
            bootstrap_iters=0,
            system_instruction=spec.system_instruction,
            apply_chat_template=spec.apply_chat_template,
            fewshot_as_multiturn=spec.fewshot_as_multiturn,
            confirm_run_unsafe_code=spec.confirm_run_unsafe_code,
        )
    return results


def environment(model: Any) -> Results:
    """What the harness notes of the machine."""
    found: Results = {}
    add_env_info(found)
    add_tokenizer_info(found, model)
    return found


def save(results: Results, folder: Path, name: str, model: Any, spec: EvalSpec) -> None:
    """Write the harness' own result files: one of results, and one of records per task, below `folder/name`.

    Raises:
        EvalError: a file is not there afterwards; the harness says why in its log.
    """
    samples = results["samples"]
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args(
        model_source="orchestra",
        model_args={"model": name},
        system_instruction=spec.system_instruction,
        chat_template=model.chat_template(True) if spec.apply_chat_template else None,
        fewshot_as_multiturn=spec.fewshot_as_multiturn,
    )
    tracker.save_results_aggregated({key: results[key] for key in results if key != "samples"}, samples)
    for task in samples:
        tracker.save_results_samples(task, samples[task])
    time = getattr(tracker, "date_id", None)
    wanted = [f"results_{time}.json", *(f"samples_{task}_{time}.jsonl" for task in samples)]
    if missing := [file for file in wanted if not (folder / name / file).is_file()]:
        raise EvalError(f"--output {folder}: {name}/{missing[0]} could not be written.")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what tasks and sampling draw from, and put it back afterwards."""
    before, drawn = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
            np.random.set_state(drawn)


@contextlib.contextmanager
def _silent(name: str, words: str) -> Iterator[None]:
    """Keep what a log says with these words in it to itself."""
    log, drop = logging.getLogger(name), lambda record: words not in record.getMessage()
    log.addFilter(drop)
    try:
        yield
    finally:
        log.removeFilter(drop)


def _manager(names: list[str], spec: EvalSpec) -> Any:
    """The registry; the harness' own 14,000 tasks take long to read, and come in only where one is named."""
    if strange := [path for path in spec.include if not path.is_dir()]:
        raise EvalError(f"--include-path {strange[0]}: there is no such folder.")
    files = {name: str(path) for name, path in spec.data.items()}
    given = {"seed": spec.seed, "files": files, "shots": spec.num_fewshot or 0}
    metadata = {**spec.metadata, "orchestra": given}
    folders = [TASKS, *spec.include]
    own = TaskManager(include_path=folders, include_defaults=False, metadata=metadata)
    if all(name in own.all_tasks or Path(name).is_file() for name in names):
        return own
    return TaskManager(include_path=folders, metadata=metadata)


def _known(manager: Any, names: list[str]) -> list[str]:
    """The tasks that names and wildcards mean, each once."""
    found, problems = list[str](), list[str]()
    for name in names:
        matching = [name] if name in manager.all_tasks or Path(name).is_file() else manager.match_tasks([name])
        if not matching:
            close = difflib.get_close_matches(name, manager.all_tasks, n=1)
            problems.append(f"no task is called {name!r}{f'; did you mean {close[0]!r}?' if close else '.'}")
        found += matching
    if problems or not found:
        raise EvalError.listing(problems or ["no task is named."])
    return list(dict.fromkeys(found))


def _loaded(manager: Any, names: Sequence[str]) -> Loaded:
    """The tasks of these names; whatever goes wrong is told with the name that it is of."""
    try:
        loaded: Loaded = manager.load(names)
    except OrchestraError:
        raise
    except Exception as error:  # of YAML, of data sets, of templates, of functions that a task names, of no Hub
        if len(names) > 1:
            for name in names:
                _loaded(manager, [name])
        raise EvalError(f"{', '.join(names)} cannot be loaded: {why(error)}") from error
    return loaded


def _check_metadata(metadata: Mapping[str, Any], tasks: Collection[Any]) -> None:
    """See that what is said to tasks is read, where all are ours."""
    read = splits.DRAWN if any(_draws(task) for task in tasks) else ()
    odd = [name for name in metadata if name not in read]
    if odd and all(map(_ships, tasks)):
        allowed = f"what is read is {', '.join(read)}" if read else "no task that is named reads any"
        raise EvalError(f"--metadata has {odd[0]!r}; {allowed}.")


def _check_files(data: Mapping[str, Path], tasks: Mapping[str, Any]) -> None:
    reading = {name for task in tasks.values() if (name := _reads(task))}
    unused = [name for name in data if (name not in reading if name else reading <= data.keys())]
    if unused:
        wanted = f"{unused[0]}={data[unused[0]]}" if unused[0] else data[""]
        others = " that has no file of its own" if reading and not unused[0] else ""
        told = f"no task that is named{others} reads it; files are read by {', '.join(FORMS)}."
        raise EvalError(f"--data {wanted}: {told}")


def _reads(task: Any) -> str | None:
    """Whose records a task reads from a file of the user's."""
    name = (task.get_config("dataset_kwargs") or {}).get("of")
    return name if name in FORMS else None


def _ships(task: Any) -> bool:
    """Whether its records are made by us."""
    return task.get_config("custom_dataset") in (splits.from_file, splits.from_keys, splits.shipped)


def _draws(task: Any) -> bool:
    return task.get_config("custom_dataset") is splits.from_keys


def _generation(given: str) -> dict[str, Any]:
    """What is said of generation, as the harness reads it.

    Raises:
        EvalError: it is no list of NAME=VALUE, or a name is none of transformers' or the harness'.
    """
    found: dict[str, Any] = simple_parse_args_string(given)
    known = {*GenerationConfig().to_dict(), "max_gen_toks", "until"}
    if odd := [f"{name}={value}" for name, value in found.items() if name not in known or value == ""]:
        raise EvalError(
            f"--gen-kwargs has {odd[0]!r}; it is NAME=VALUE, several with commas between them, of max_gen_toks, until "
            "and what transformers' GenerationConfig has."
        )
    return found


def _is_unsafe(task: Any) -> bool:
    """Whether a task runs what a model writes: it says so, or is scored by one of our functions that do."""
    scored = task.get_config("process_results")
    return getattr(task, "UNSAFE_CODE", False) or scored in (answers.completes, answers.solves)


def _set(task: Any, spec: EvalSpec) -> None:
    """Put the user's settings over the task's, as the harness does.

    Raises:
        EvalError: one of them does not go with the task.
    """
    if task.OUTPUT_TYPE == "generate_until":
        given = _generation(spec.gen_kwargs or "")
        if given:
            task.set_config(key="generation_kwargs", value=given, update=True)
        _check_generation(task, given)
    if task.get_config("num_fewshot") is None or (spec.num_fewshot is not None and task.get_config("num_fewshot") != 0):
        task.set_config(key="num_fewshot", value=spec.num_fewshot or 0)
    if shots := task.get_config("num_fewshot"):
        _check_examples(task, shots)


def _check_generation(task: Any, given: Mapping[str, Any]) -> None:
    """See that the harness can make something of what is said, and that what the user says is not ignored."""
    said = task.get_config("generation_kwargs") or {}
    most = said.get("max_gen_toks", 1)
    if type(most) is not int or most < 1:
        raise EvalError(f"{task.task_name}: max_gen_toks is {most!r}; it must be a positive number of tokens.")
    idle = [f"{name}={given[name]}" for name in _SAMPLING if given.get(name)]
    if idle and not said.get("do_sample", said.get("temperature")):
        raise EvalError(f"--gen-kwargs {idle[0]}: {task.task_name} is answered greedily; add do_sample=True.")


def _check_examples(task: Any, shots: int) -> None:
    """See that there are so many examples, and that none is about what is asked."""
    split, asked = task.fewshot_cfg.split if hasattr(task, "fewshot_cfg") else None, task.get_config("test_split")
    if split is None:  # the harness takes what it finds
        return
    if _draws(task) and split == asked:
        raise EvalError(
            f"{task.task_name}: fewshot_split is {split!r}; it must be 'examples', whose keys are not asked about."
        )
    alike, found = 0, len(task.sampler.df)
    if split == asked:  # records that are like the one that is asked are no examples for it
        alike = max(Counter(json.dumps(record, default=str) for record in task.sampler.df).values(), default=0)
    if shots > found - alike:
        besides = f" other than a question, of {found} records" if split == asked else ""
        raise EvalError(f"{task.task_name}: {shots} examples are asked for; there are {found - alike}{besides}.")
