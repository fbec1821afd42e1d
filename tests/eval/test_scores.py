from pathlib import Path
from typing import Any

import pytest

from orchestra.eval import harness
from orchestra.eval.result import Score
from orchestra.eval.scores import scores
from orchestra.eval.settings import Setting
from orchestra.eval.spec import EvalSpec
from tests.eval.examples import KEYS, PAIRS, Told, jsonl

FULL, OTHER = Setting(name="full composition", on=("kv",)), Setting(name="anchor alone", on=())
PARTIAL = """
task: partial
custom_dataset: !function orchestra.eval.splits.from_file
dataset_kwargs: {of: to_english}
test_split: test
output_type: generate_until
doc_to_text: source
doc_to_target: english
process_results: !function scoring.partial
generation_kwargs: {until: ["\\n"]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: bypass, aggregation: !function scoring.named, higher_is_better: true}
"""
SCORING = """
def partial(doc, results):
    '''No score of an empty answer, and a second one that comes to no number.'''
    return {"exact_match": float(results[0] == doc["english"]), "bypass": 1.0} if results[0] else {"bypass": 0.0}


def named(items):
    return "no number"
"""


def scored(spec: EvalSpec, *answers: Any, times: int = 200) -> dict[tuple[str, str, str], Score]:
    """By task, metric and setting, what models score that answer by these functions."""
    loaded = harness.load_tasks(spec)
    results = [harness.ask(Told(answer), loaded, spec) for answer in answers]
    found = scores([FULL, OTHER][: len(answers)], results, loaded, times=times, seed=1)
    return {(one.task, one.metric, one.setting): one for one in found}


def test_a_group_has_the_score_and_the_difference_that_its_tasks_make_together(tmp_path: Path) -> None:
    def python(prompt: str) -> str:
        """What Python makes of it: it knows no keys and no Tetum."""
        try:
            return str(eval(prompt.removesuffix("=")))
        except (SyntaxError, NameError):
            return "12"

    keys = {"keys_digits": jsonl(tmp_path / "keys", KEYS)}
    found = scored(EvalSpec(tasks=("trio", "keys_digits"), data=keys, limit=20), python, lambda _: "")
    tasks = [f"trio_{name}" for name in ("digits", "kv", "tetum", "python", "mixed")]
    values = [found[task, "exact_match", FULL.name].score.value for task in tasks]
    group = found["trio", "exact_match", FULL.name]
    assert (values[0], values[3]) == (1.0, 1.0)
    assert group.score.value == pytest.approx(sum(values) / 5)
    assert group.records == 100
    difference = found["trio", "exact_match", OTHER.name].difference
    assert difference is not None
    assert difference.value == pytest.approx(-sum(values) / 5)
    assert difference.low <= difference.value <= difference.high < 0


def test_equal_answers_differ_by_nothing_in_every_draw(tmp_path: Path) -> None:
    """Records are drawn in pairs: drawn apart, the difference would have an interval."""
    spec = EvalSpec(tasks=("to_english",), data={"": jsonl(tmp_path / "pairs", PAIRS)})
    said = {pair["source"]: pair["english"][: 5 + 4 * number] for number, pair in enumerate(PAIRS)}

    def answer(prompt: str) -> str:
        return next(text for source, text in said.items() if source in prompt)

    found = scored(spec, answer, answer)
    for metric in ("chrf", "bleu"):
        difference = found["to_english", metric, OTHER.name].difference
        assert difference is not None
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert found["to_english", "chrf", FULL.name].score.low < found["to_english", "chrf", FULL.name].score.high


def test_scores_of_other_records_have_no_difference_and_words_are_no_score(tmp_path: Path) -> None:
    (tmp_path / "partial.yaml").write_text(PARTIAL)
    (tmp_path / "scoring.py").write_text(SCORING)
    spec = EvalSpec(tasks=("partial",), include=(tmp_path,), data={"": jsonl(tmp_path / "pairs", PAIRS)})
    found = scored(spec, lambda prompt: "", lambda prompt: "x")
    assert found == {}
    found = scored(spec, lambda prompt: "The house is big.", lambda prompt: "" if "libris" in prompt else "x")
    assert {key: one.records for key, one in found.items()} == {
        ("partial", "exact_match", FULL.name): 3,
        ("partial", "exact_match", OTHER.name): 2,
    }
    assert found["partial", "exact_match", OTHER.name].difference is None
