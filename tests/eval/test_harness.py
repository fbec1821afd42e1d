"""The harness' own registry, few-shot, metrics and files, over local files and without a Hub."""

import json
import logging
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.tasks import TaskManager

from orchestra.errors import DataError, EvalError
from orchestra.eval import harness
from orchestra.eval.harness import ask, language_model, load_tasks, runs_programs, save, seeded
from orchestra.eval.records import FORMS
from orchestra.eval.spec import EvalSpec
from orchestra.eval.splits import TASKS
from tests.eval.examples import COMPLETIONS, DOCSTRINGS, KEYS, PAIRS, PROBLEMS, PROGRAMS, Told, jsonl
from tests.tiny import compose, model, words

OWN = """
task: mine
dataset_path: json
dataset_kwargs:
  data_files: {test: FILE}
  cache_dir: FOLDER
test_split: test
fewshot_split: test
output_type: generate_until
doc_to_text: "{{source}} ="
doc_to_target: english
generation_kwargs: {until: ["\\n"], do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def asked(answer: Any, **given: Any) -> tuple[Told, dict[str, Any]]:
    """What comes of tasks when a model answers by a function."""
    spec = EvalSpec(**given)
    told = Told(answer)
    return told, ask(told, load_tasks(spec), spec)


def scores(results: dict[str, Any], task: str) -> dict[str, float]:
    return {key: value for key, value in results["results"][task].items() if "," in key and "_stderr" not in key}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a task in YAML over a local file."""
    folder = tmp_path / "own"
    folder.mkdir()
    file = jsonl(tmp_path / "pairs.jsonl", PAIRS)
    text = OWN.replace("FILE", str(file)).replace("FOLDER", str(tmp_path / "cache"))
    (folder / "mine.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["mine", "PATH"])
def test_a_task_in_yaml_runs_by_its_name_in_a_folder_or_by_its_path(name: str, own: Path) -> None:
    given = (str(own / "mine.yaml"),) if name == "PATH" else ("mine",)
    told, results = asked(lambda _: "The house is big.", tasks=given, include=(own,) if name == "mine" else ())
    assert told.asked == [f"{pair['source']} =" for pair in PAIRS]
    assert scores(results, "mine") == {"exact_match,none": pytest.approx(1 / 3)}
    assert [one["exact_match"] for one in results["samples"]["mine"]] == [1.0, 0.0, 0.0]


def test_names_may_stand_between_commas_and_twice() -> None:
    loaded = load_tasks(EvalSpec(tasks=("trio_kv,trio_digits", "trio_kv")))
    assert list(loaded["tasks"]) == ["trio_kv", "trio_digits"]


def test_a_name_that_no_task_has_is_answered_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness' own tasks would take long to read."""

    class Small(TaskManager):  # type: ignore[misc]  # the harness has no types
        def __init__(self, include_path: Any, metadata: Any, include_defaults: bool = False) -> None:
            super().__init__(include_path=include_path, include_defaults=False, metadata=metadata)

    monkeypatch.setattr(harness, "TaskManager", Small)
    with pytest.raises(EvalError) as caught:
        load_tasks(EvalSpec(tasks=("trio_kw", "zzzzzz")))
    assert str(caught.value) == "no task is called 'trio_kw'; did you mean 'trio_kv'?\nno task is called 'zzzzzz'."
    assert list(load_tasks(EvalSpec(tasks=("trio_*n",)))["tasks"]) == ["trio_python"]
    with pytest.raises(EvalError, match=r"^no task is named\.$"):
        load_tasks(EvalSpec(tasks=(",",)))


def test_examples_are_other_records_the_same_for_equal_seeds(own: Path) -> None:
    given: dict[str, Any] = {"tasks": ("mine",), "include": (own,), "num_fewshot": 2}
    spec = EvalSpec(**given)
    loaded, first, again = load_tasks(spec), Told(lambda _: ""), Told(lambda _: "")
    ask(first, loaded, spec)
    ask(again, loaded, spec)
    assert first.asked == again.asked
    for pair, prompt in zip(PAIRS, first.asked, strict=True):
        others = [f"{other['source']} = {other['english']}" for other in PAIRS if other is not pair]
        assert sorted(prompt.split("\n\n")) == sorted([*others, f"{pair['source']} ="])
    drawn = [asked(lambda _: "", **given | {"seed": seed})[0].asked for seed in range(4)]
    assert len({tuple(one) for one in drawn}) > 1


def test_more_examples_than_records_are_an_error(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "pairs", PAIRS)
    message = "to_english: 3 examples are asked for; there are 2 other than a question, of 3 records."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("to_english",), data={"": file}, num_fewshot=3))


def test_records_that_are_alike_are_no_examples_for_each_other(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "pairs", [*PAIRS, PAIRS[0], PAIRS[0]])
    message = "to_english: 3 examples are asked for; there are 2 other than a question, of 5 records."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("to_english",), data={"": file}, num_fewshot=3))
    told, _ = asked(lambda _: "", tasks=("to_english",), data={"": file}, num_fewshot=2)
    for pair, prompt in zip(PAIRS, told.asked, strict=False):
        assert prompt.count(str(pair["source"])) == 1


@pytest.mark.parametrize("task", ["keys_substitution", "keys_digits", "keys_arithmetic"])
def test_no_example_shows_a_key_that_is_asked_about(task: str, tmp_path: Path) -> None:
    keys = [{"key": f"<{letter}>", "value": number} for number, letter in enumerate("abcdefghijk", start=11)]
    given = {"questions": 40}
    told, _ = asked(
        lambda _: "", tasks=(task,), data={"": jsonl(tmp_path / "keys", keys)}, num_fewshot=3, metadata=given
    )
    shown, questions = set[str](), set[str]()
    for prompt in told.asked:
        *examples, question = prompt.split("\n")
        assert len(examples) == 3
        shown |= {part for example in examples for part in example.split(" ")}
        questions |= set(question.split(" "))
    assert shown & questions <= {"+", "-", "*", ":", "="}
    assert len({part for part in questions if part not in {"+", "-", "*", ":", "="}}) == 9


def test_examples_of_drawn_expressions_are_never_the_questions_themselves(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\n"
        "custom_dataset: !function orchestra.eval.splits.from_keys\n"
        "dataset_kwargs: {of: keys_arithmetic}\n"
        "test_split: test\n"
        "fewshot_split: test\n"
        "num_fewshot: 2\n"
        "output_type: generate_until\n"
        "doc_to_text: keys\n"
        "doc_to_target: target\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    message = "mine: fewshot_split is 'test'; it must be 'examples', whose keys are not asked about."
    spec = EvalSpec(tasks=(str(tmp_path / "mine.yaml"),), data={"": jsonl(tmp_path / "keys", KEYS)})
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(spec)


def test_more_examples_than_questions_that_ship_are_an_error() -> None:
    message = "trio_kv: 200 examples are asked for; there are 199 other than a question, of 200 records."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("trio_kv",), num_fewshot=200))


@pytest.mark.parametrize(("given", "odd"), [("max_gen_toks=3,foo", "foo="), ("top_q=1", "top_q=1"), ("=2", "=2")])
def test_what_says_nothing_of_generation_is_an_error(given: str, odd: str, own: Path) -> None:
    with pytest.raises(EvalError, match=f"^--gen-kwargs has '{odd}'; it is NAME=VALUE, several with commas between"):
        load_tasks(EvalSpec(tasks=("mine",), include=(own,), gen_kwargs=given))


@pytest.mark.parametrize("odd", ["abc", "0", "2.5"])
def test_a_number_of_tokens_that_is_none_is_an_error(odd: str, own: Path) -> None:
    shown = repr(odd) if odd == "abc" else odd
    message = f"mine: max_gen_toks is {shown}; it must be a positive number of tokens."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("mine",), include=(own,), gen_kwargs=f"max_gen_toks={odd}"))


def test_sampling_is_not_asked_for_in_vain(own: Path) -> None:
    message = "--gen-kwargs temperature=0.7: mine is answered greedily; add do_sample=True."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("mine",), include=(own,), gen_kwargs="temperature=0.7"))
    for given in ("temperature=0", "temperature=0.7,do_sample=True"):
        load_tasks(EvalSpec(tasks=("mine",), include=(own,), gen_kwargs=given))


def test_a_folder_of_tasks_that_is_none_is_an_error(tmp_path: Path) -> None:
    message = f"--include-path {tmp_path}/none: there is no such folder."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("trio_kv",), include=(tmp_path / "none",)))


def test_metadata_that_no_task_reads_is_an_error(own: Path, tmp_path: Path) -> None:
    keys = {"": jsonl(tmp_path / "keys", KEYS)}
    message = "--metadata has 'question'; what is read is questions, operands, signs."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("keys_digits", "trio_kv"), data=keys, metadata={"signs": "+", "question": 3}))
    message = "--metadata has 'signs'; no task that is named reads any."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=("trio_kv",), metadata={"signs": "+"}))
    load_tasks(EvalSpec(tasks=("keys_digits", "mine"), include=(own,), data=keys, metadata={"other": 3}))


def test_generation_goes_as_the_user_says_over_what_the_task_says(own: Path) -> None:
    told, _ = asked(lambda _: "", tasks=("mine",), include=(own,), gen_kwargs="max_gen_toks=5", limit=2)
    assert told.wanted == [{"until": ["\n"], "do_sample": False, "max_gen_toks": 5}] * 2


def test_a_task_that_writes_more_than_the_model_can_says_what_to_add(own: Path) -> None:
    spec = EvalSpec(tasks=("mine",), include=(own,), gen_kwargs="max_gen_toks=4096")
    message = (
        "mine: writes up to 4096 tokens, and this model reads and writes 4096 at most: add --gen-kwargs "
        "max_gen_toks=NUMBER."
    )
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        ask(Told(str), load_tasks(spec), spec)


def test_data_that_is_not_to_be_had_is_one_error(own: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(EvalError, match=r"^mine cannot be loaded: Unable to find"):
        load_tasks(EvalSpec(tasks=("trio_kv", "mine"), include=(own,)))


RECORD = '{"source": "a", "english": "b"}\n'


@pytest.mark.parametrize(
    ("records", "change", "message"),
    [
        ("", ("", ""), "FILE cannot be loaded: there are no records in its data."),
        (RECORD + "{oops\n", ("", ""), "FILE cannot be loaded: JSON parse error: "),
        (RECORD, ("test_split: test", "test_split: validation"), "FILE cannot be loaded: there is no 'validation' in"),
        (RECORD, ("{{source}}", "{{suorce}}"), "FILE cannot be loaded: UndefinedError: 'suorce' is undefined"),
        (RECORD, ("task: mine", "task: mine\n  bad: ["), "FILE cannot be loaded: ScannerError: "),
        (RECORD + '{"source": "c"}\n', ("", ""), "mine: record 2: doc_to_target (english) is missing or null."),
        (RECORD + '{"english": "c"}\n', ("", ""), "mine: record 2: a field that it shows is missing or null."),
        (RECORD, ("{{source}}", "{{source[7]}}"), "FILE cannot be loaded: UndefinedError: "),
        (RECORD * 2 + RECORD.replace("a", ""), ("{{source}}", "{{[4][source == '']}}"), "mine: record 3: UndefinedE"),
    ],
)
def test_a_mistake_in_a_task_of_ones_own_is_one_error_that_names_it(
    records: str, change: tuple[str, str], message: str, own: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs.jsonl").write_text(records)
    path = own / "mine.yaml"
    path.write_text(path.read_text().replace(*change) if change[0] else path.read_text())
    with pytest.raises(EvalError, match=f"^{re.escape(message.replace('FILE', str(path)))}"):
        load_tasks(EvalSpec(tasks=("trio_kv", str(path))))


def test_a_record_that_is_not_asked_may_lack_what_it_likes(own: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(RECORD + '{"source": "c"}\n')
    told, _ = asked(lambda _: "b", tasks=("mine",), include=(own,), limit=1)
    assert told.asked == ["a ="]


# -- the tasks that ship ----------------------------------------------------------------------------------------------


def test_keys_are_asked_for_their_numbers_and_for_what_they_come_to(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "keys", KEYS)
    values = {str(record["key"]): str(record["value"]) for record in KEYS}

    def answer(prompt: str) -> str:
        digits = " ".join(values.get(part, part) for part in prompt.split(" ")[:-1])
        return f" {eval(digits)}\n" if prompt.endswith("=") else digits

    told, results = asked(answer, tasks=("keys",), data={"": file}, metadata={"questions": 11})
    assert len(told.asked) == 33
    for task in ("keys_substitution", "keys_digits", "keys_arithmetic"):
        assert scores(results, task) == {"exact_match,none": 1.0}
    _, results = asked(lambda _: "0", tasks=("keys_arithmetic",), data={"": file}, limit=5)
    assert scores(results, "keys_arithmetic")["exact_match,none"] < 1.0
    assert results["n-samples"]["keys_arithmetic"] == {"original": 1000, "effective": 5}


def test_translations_are_scored_by_chrf_and_bleu(tmp_path: Path) -> None:
    right = {f"Sentence: {pair['source']}\nEnglish:": f" {pair['english']}" for pair in PAIRS}
    given: dict[str, Any] = {"tasks": ("to_english",), "data": {"to_english": jsonl(tmp_path / "pairs", PAIRS)}}
    told, results = asked(lambda prompt: right[prompt].strip(), **given)
    assert told.asked == list(right)
    assert scores(results, "to_english") == {"chrf,none": pytest.approx(100), "bleu,none": pytest.approx(100)}
    _, results = asked(lambda prompt: "The dog is big.", **given)
    assert 0 < scores(results, "to_english")["chrf,none"] < 60


def test_word_problems_are_scored_by_their_final_number(tmp_path: Path) -> None:
    answers = iter(["48 and 24, so she picked 72.", "It is $1,001"])
    given: dict[str, Any] = {"tasks": ("word_problems",), "data": {"": jsonl(tmp_path / "problems", PROBLEMS)}}
    told, results = asked(lambda _: next(answers), **given)
    assert told.asked[0] == f"Question: {PROBLEMS[0]['question']}\nAnswer:"
    assert scores(results, "word_problems") == {"exact_match,none": 0.5}
    shown, _ = asked(lambda _: "", **given, num_fewshot=1)
    assert shown.asked[0].startswith(f"Question: {PROBLEMS[1]['question']}\nAnswer: {PROBLEMS[1]['answer']}\n\n")


def test_completions_and_programs_are_run_and_pass(tmp_path: Path) -> None:
    completions, programs = jsonl(tmp_path / "completions", COMPLETIONS), jsonl(tmp_path / "programs", PROGRAMS)
    right = {record["prompt"]: record["canonical_solution"] for record in COMPLETIONS}

    def answer(prompt: str) -> str:
        if prompt in right:
            return right[prompt]
        return str(PROGRAMS[0]["code"]) if "shared elements" in prompt else "def root(n): return 3"

    told, results = asked(
        answer,
        tasks=("code_completion", "text_to_code"),
        data={"code_completion": completions, "text_to_code": programs},
        confirm_run_unsafe_code=True,
    )
    assert scores(results, "code_completion") == {"pass@1,none": 1.0}
    assert scores(results, "text_to_code") == {"pass@1,none": 0.5}
    assert told.asked[2] == (
        "You are an expert Python programmer, and here is your task: Write a function to find the shared elements of "
        "two tuples. Your code should pass these tests:\n\nassert shared((3, 4, 5), (5, 7, 4)) == (4, 5)\n"
        "assert shared((1,), (2,)) == ()\n[BEGIN]\n"
    )


@pytest.mark.parametrize("task", ["code_completion", "text_to_code"])
def test_no_program_is_run_that_nobody_has_confirmed(task: str, tmp_path: Path) -> None:
    records = COMPLETIONS if task == "code_completion" else PROGRAMS
    message = (
        f"{task}: runs programs that the model writes, on this machine. docs/evaluation.md says what holds them; to "
        "run them, add --confirm-run-unsafe-code."
    )
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        load_tasks(EvalSpec(tasks=(task,), data={"": jsonl(tmp_path / "records", records)}))


def test_a_task_of_ones_own_that_runs_programs_needs_the_same_whether_it_says_so_or_not(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\n"
        "custom_dataset: !function orchestra.eval.splits.from_file\n"
        "dataset_kwargs: {of: code_completion}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        "doc_to_text: prompt\n"
        "doc_to_target: canonical_solution\n"
        "process_results: !function orchestra.eval.answers.completes\n"
        "metric_list: [{metric: 'pass@1', aggregation: mean, higher_is_better: true}]\n"
    )
    spec = EvalSpec(tasks=(str(tmp_path / "mine.yaml"),), data={"": jsonl(tmp_path / "records", COMPLETIONS)})
    with pytest.raises(EvalError, match=r"^mine: runs programs that the model writes, on this machine\."):
        load_tasks(spec)
    assert runs_programs(load_tasks(replace(spec, confirm_run_unsafe_code=True)))


def test_docstrings_are_scored_by_chrf(tmp_path: Path) -> None:
    """The second one looks like a list in Python, which the harness would read as several references."""
    answers = iter(["Return the root of n .", "[internal] all ids [sic]"])
    file = jsonl(tmp_path / "docstrings", DOCSTRINGS)
    told, results = asked(lambda _: next(answers), tasks=("code_to_text",), data={"": file})
    assert told.asked[0] == "Code: def root ( n ) : return n ** 0.5\nDocstring:"
    assert scores(results, "code_to_text") == {"chrf,none": pytest.approx(100)}


def test_a_file_that_no_task_reads_is_an_error(tmp_path: Path) -> None:
    read = (
        "files are read by keys_substitution, keys_arithmetic, keys_digits, to_english, word_problems, "
        "code_completion, text_to_code, code_to_text."
    )
    file = jsonl(tmp_path / "pairs", PAIRS)
    for data, wanted in (({"": file}, file), ({"to_english": file}, f"to_english={file}")):
        message = f"--data {wanted}: no task that is named reads it; {read}"
        with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
            load_tasks(EvalSpec(tasks=("trio_kv",), data=data))


def test_a_file_for_all_others_where_there_are_none_is_an_error(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "pairs", PAIRS)
    message = f"--data {file}: no task that is named that has no file of its own reads it; files are read by keys_"
    with pytest.raises(EvalError, match=f"^{re.escape(message)}"):
        load_tasks(EvalSpec(tasks=("to_english",), data={"to_english": file, "": file}))


def test_a_task_says_nothing_that_its_user_cannot_use(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    given = EvalSpec(tasks=("trio", "keys"), data={"": jsonl(tmp_path / "keys", KEYS)}, metadata={"questions": 2})
    load_tasks(given)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == []


@pytest.mark.slow
def test_no_task_of_ours_hides_one_of_the_harness() -> None:
    own = set(TaskManager(include_path=str(TASKS), include_defaults=False).all_tasks)
    assert {"trio", "keys", *FORMS} <= own
    assert own & set(TaskManager().all_tasks) == set()


def test_a_malformed_record_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: 'source' is missing"):
        load_tasks(EvalSpec(tasks=("to_english",), data={"": jsonl(tmp_path / "pairs", [{"english": "a"}])}))


# -- the model --------------------------------------------------------------------------------------------------------


def test_the_model_keeps_its_tokenizer_and_the_harness_its_tongue(caplog: pytest.LogCaptureFixture) -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    composed.tokenizer = made = words()
    made.pad_token, made.eos_token = None, "w96"
    asked = language_model(composed, EvalSpec(tasks=(), batch_size=3))
    assert (asked.batch_size, asked.max_length) == (3, 64)
    assert made.pad_token is None
    assert caplog.records == []
    assert logging.getLogger("lm_eval.models.huggingface").filters == []


def test_a_model_without_a_tokenizer_or_the_template_that_is_asked_for_is_an_error() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    message = "tasks are texts, and this model's anchor has no tokenizer: give it a tokenizer.json."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        language_model(composed, EvalSpec(tasks=()))
    composed.tokenizer = words()
    message = "the anchor's tokenizer does not say which token ends a text: name it in `eos_token`."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        language_model(composed, EvalSpec(tasks=()))
    composed.tokenizer.eos_token = "w96"
    message = "--apply-chat-template: the anchor's tokenizer has no chat template."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        language_model(composed, EvalSpec(tasks=(), apply_chat_template=True))


def test_the_chat_template_is_the_anchors() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    composed.tokenizer = words()
    composed.tokenizer.eos_token = "w96"
    composed.tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}w1"
    spec = EvalSpec(
        tasks=("trio_kv",),
        apply_chat_template=True,
        limit=2,
        batch_size=2,
        system_instruction="w2",
        gen_kwargs="max_gen_toks=2",
    )
    results = ask(language_model(composed, spec), load_tasks(spec), spec)
    prompts = [one["arguments"][0][0] for one in results["samples"]["trio_kv"]]
    assert prompts == [f"system w2 user {one['doc']['prompt']} w1" for one in results["samples"]["trio_kv"]]


def test_random_states_are_put_back() -> None:
    def drawn() -> tuple[Any, ...]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = drawn()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    with seeded(5):
        inside = drawn()
    assert drawn() == expected
    with seeded(5):
        assert drawn() == inside != expected


def test_the_harness_writes_its_own_result_files(own: Path, tmp_path: Path) -> None:
    spec = EvalSpec(tasks=("mine",), include=(own,))
    told, results = asked(lambda _: "The house is big.", tasks=spec.tasks, include=spec.include)
    save(results | {"config": {}}, tmp_path / "out", "kv-alone", told, spec)
    aggregated, samples = sorted((tmp_path / "out/kv-alone").iterdir())
    assert re.fullmatch(r"results_[\dT.-]+\.json", aggregated.name)
    assert re.fullmatch(r"samples_mine_[\dT.-]+\.jsonl", samples.name)
    found = json.loads(aggregated.read_text())
    assert found["results"]["mine"]["exact_match,none"] == pytest.approx(1 / 3)
    assert found["model_name"] == "kv-alone"
    assert [json.loads(line)["exact_match"] for line in samples.read_text().splitlines()] == [1.0, 0.0, 0.0]


def test_a_result_file_that_is_not_there_afterwards_is_an_error(own: Path, tmp_path: Path) -> None:
    spec = EvalSpec(tasks=("mine",), include=(own,))
    told, results = asked(lambda _: "", tasks=spec.tasks, include=spec.include)
    (tmp_path / "kv-alone").write_text("")
    message = f"--output {tmp_path}: kv-alone/results_"
    with pytest.raises(EvalError, match=rf"^{re.escape(message)}[\w.-]+ could not be written\.$"):
        save(results | {"config": {}}, tmp_path, "kv-alone", told, spec)
