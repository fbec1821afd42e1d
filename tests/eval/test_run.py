"""The trio, evaluated: what the harness scores is what the model answers, with every augment on and off."""

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import orchestra
from orchestra import ComposedModel
from orchestra.errors import EvalError
from orchestra.eval import EvalSpec, Evaluation, evaluate, executor, harness, run
from orchestra.eval.result import Score
from orchestra.eval.splits import TASKS
from tests.eval.examples import COMPLETIONS, jsonl
from tests.tiny import generate

ROOT = Path(__file__).parents[2]
ASKED = 16


@pytest.fixture(scope="module")
def trio() -> ComposedModel:
    return orchestra.load(ROOT / "graphs/trio.json")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """What the harness said, by setting."""
    return {}


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_asked(
    trio: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kv-alone").write_text("")
    monkeypatch.setattr(harness, "ask", None)
    message = f"--output {tmp_path}: {tmp_path}/kv-alone: File exists."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        evaluate(trio, EvalSpec(tasks=("trio_kv",), ablate=("each",), limit=2, output=tmp_path))
    message = f"--output {tmp_path}/kv-alone: {tmp_path}/kv-alone/full-composition: Not a directory."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        evaluate(trio, EvalSpec(tasks=("trio_kv",), limit=2, output=tmp_path / "kv-alone"))


def test_a_row_that_is_done_is_kept_when_a_later_one_fails(
    trio: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = harness.ask

    def failing(*given: Any) -> Any:
        if "kv" not in trio.active:
            raise KeyboardInterrupt
        return asked(*given)

    monkeypatch.setattr(harness, "ask", failing)
    monkeypatch.setattr(harness, "add_env_info", lambda results: None)  # it asks every program for its version
    with pytest.raises(KeyboardInterrupt):
        evaluate(trio, EvalSpec(tasks=("trio_kv",), ablate=("kv",), limit=2, output=tmp_path))
    kept = sorted(path.name.split("_20")[0] for path in (tmp_path / "full-composition").iterdir())
    assert kept == ["results", "samples_trio_kv"]


def test_rows_that_are_told_alike_are_kept_apart() -> None:
    names = ["without a, b", "without a-b", "a + b", "a-b alone"]
    assert list(map(run._folder, names)) == ["without-a+b", "without-a-b", "a+b", "a-b-alone"]


@pytest.fixture(scope="module")
def found(trio: ComposedModel, results: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A task to write and one to choose, of mixed questions, with each augment off; and the harness' own samples."""
    folder = tmp_path_factory.mktemp("choices")
    (folder / "choices.yaml").write_text(yaml.safe_dump(choices(folder)))
    spec = EvalSpec(
        tasks=("trio_mixed", "choices"),
        include=(folder,),
        ablate=("each",),
        limit=ASKED,
        batch_size=7,
        output=folder / "out",
    )
    with pytest.MonkeyPatch.context() as patch:
        asked = harness.ask

        def kept(*given: Any) -> Any:
            said = asked(*given)
            results[" + ".join(trio.active)] = copy.deepcopy(said)
            return said

        patch.setattr(harness, "ask", kept)
        patch.setattr(harness, "add_env_info", lambda results: None)  # it asks every program for its version
        return evaluate(trio, spec)


def questions() -> list[dict[str, Any]]:
    lines = (TASKS / "trio/trio_mixed.jsonl").read_text().splitlines()[:ASKED]
    return [json.loads(line) for line in lines]


def choices(folder: Path) -> dict[str, Any]:
    """The same questions, with three answers to choose from."""
    records = [
        {**one, "options": [str(int(one["target"]) + step) for step in (1, 0, -10)], "right": 1} for one in questions()
    ]
    return {
        "task": "choices",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(jsonl(folder / "choices.jsonl", records))},
            "cache_dir": str(folder / "cache"),
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "right",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def of(found: Evaluation, task: str) -> dict[str, Score]:
    return {one.setting: one for one in found.scores if one.task == task}


@pytest.mark.parametrize("on", [("kv", "python", "tetum"), ("kv", "python"), ()])
def test_what_is_scored_is_what_the_model_writes_to_each_question_alone(
    on: tuple[str, ...], trio: ComposedModel, results: dict[str, Any], found: Evaluation
) -> None:
    tokenizer: Any = trio.tokenizer
    samples = results[" + ".join(on)]["samples"]["trio_mixed"]
    assert len(samples) == ASKED
    for one, asked in zip(samples, questions(), strict=True):
        ids = tokenizer(asked["prompt"], return_tensors="pt")["input_ids"]
        with trio.only(*on):
            written = generate(trio, ids, max_new_tokens=16, eos_token_id=tokenizer.eos_token_id)
        alone = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        assert one["resps"] == [[alone.split("\n")[0]]]
        assert one["exact_match"] == float(alone == asked["target"])


def test_what_is_chosen_is_what_the_model_finds_likeliest_alone(
    trio: ComposedModel, results: dict[str, Any], found: Evaluation
) -> None:
    tokenizer: Any = trio.tokenizer
    for on in (("kv", "python", "tetum"), ("python", "tetum")):
        for one, asked in zip(results[" + ".join(on)]["samples"]["choices"], questions(), strict=True):
            for choice, ((said, _),) in zip(one["doc"]["options"], one["resps"], strict=True):
                start = len(tokenizer(asked["prompt"])["input_ids"])
                ids = tokenizer(asked["prompt"] + choice, return_tensors="pt")["input_ids"]
                with trio.only(*on), torch.no_grad():
                    likely = trio(ids, prompt_length=torch.tensor([start])).logits[0, start - 1 : -1].log_softmax(-1)
                alone = float(likely.gather(1, ids[0, start:, None]).sum())
                assert said == pytest.approx(alone, abs=1e-3)


def test_every_setting_is_a_row_of_every_task_with_the_harness_own_score(
    results: dict[str, Any], found: Evaluation
) -> None:
    assert [one.name for one in found.settings] == [
        "full composition",
        *(f"without {name}" for name in ("kv", "python", "tetum")),
        *(f"{name} alone" for name in ("kv", "python", "tetum")),
        "anchor alone",
    ]
    for task, metric in (("trio_mixed", "exact_match"), ("choices", "acc")):
        rows = of(found, task)
        assert list(rows) == [one.name for one in found.settings]
        for row in rows.values():
            assert row.score.value == results[" + ".join(row.on)]["results"][task][f"{metric},none"]
            assert (row.metric, row.records, row.higher_is_better) == (metric, ASKED, True)


def test_a_mix_needs_its_augments_and_the_difference_says_so(found: Evaluation) -> None:
    rows = of(found, "trio_mixed")
    assert rows["full composition"].score.value > 0.9
    assert rows["full composition"].difference is None
    for row in list(rows.values())[1:]:
        assert row.difference is not None
        assert row.difference.value == pytest.approx(row.score.value - rows["full composition"].score.value)
        assert row.difference.low <= row.difference.value <= row.difference.high < 0


def test_the_trio_is_left_as_it_was(trio: ComposedModel, found: Evaluation) -> None:
    assert trio.active == ("kv", "python", "tetum")


def test_the_folder_holds_the_table_and_the_harness_files_of_every_setting(
    found: Evaluation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = next(Path(tmp_path_factory.getbasetemp()).glob("choices*/out"))
    folders = {"anchor-alone", "full-composition", *(f"{name}-alone" for name in ("kv", "python", "tetum"))}
    folders |= {f"without-{name}" for name in ("kv", "python", "tetum")}
    assert {path.name for path in out.iterdir()} == {"table.md", "table.json", *folders}
    assert json.loads((out / "table.json").read_text()) == json.loads(json.dumps(found.record()))
    assert (out / "table.md").read_text().count("\n") == 2 + 16
    for folder in folders:
        names = sorted(path.name.split("_20")[0] for path in (out / folder).iterdir())
        assert names == ["results", "samples_choices", "samples_trio_mixed"]
    samples = next((out / "kv-alone").glob("samples_trio_mixed_*")).read_text().splitlines()
    assert math.fsum(json.loads(line)["exact_match"] for line in samples) == pytest.approx(
        ASKED * of(found, "trio_mixed")["kv alone"].score.value
    )


def test_what_goes_on_is_told_and_programs_only_after_their_risks(
    trio: ComposedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(executor, "check", lambda: ["a program can do this"])
    told: list[str] = []
    spec = EvalSpec(
        tasks=("code_completion",),
        data={"": jsonl(tmp_path / "records", COMPLETIONS)},
        ablate=("kv,python,tetum",),
        gen_kwargs="max_gen_toks=2",
        limit=1,
        confirm_run_unsafe_code=True,
    )
    found = evaluate(trio, spec, told.append)
    assert told == ["warning: a program can do this", "1 of 2: full composition", "2 of 2: anchor alone", "intervals"]
    assert [one.score.value for one in found.scores] == [0.0, 0.0]


def test_without_the_extra_the_error_says_what_to_install(trio: ComposedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "lm_eval" else name)
    with pytest.raises(EvalError, match=r"^evaluation needs lm_eval: pip install 'orchestra-lm\[eval\]'\.$"):
        evaluate(trio, EvalSpec(tasks=("trio",)))
