from collections.abc import Sequence
from typing import Any

import pytest

from orchestra.lab.kv import scoring
from orchestra.lab.kv.keys import UniqueTable
from orchestra.lab.kv.working import restated, working


def test_questions_are_the_same_each_time_and_over_the_keys_asked_for(table: UniqueTable) -> None:
    asked = scoring.over_keys(50, table)
    assert asked == scoring.over_keys(50, table)
    for seen, allowed in ((False, table.unseen), (True, table.seen)):
        for text, expression in scoring.over_keys(50, table, seen=seen):
            keys = [part.split("/>")[0] for part in text.split("<")[1:]]
            assert set(keys) <= set(allowed)
            assert tuple(table.values[key] for key in keys) == expression.numbers
            assert 3 <= len(keys) <= 6


def test_questions_in_digits_are_those_of_their_expressions() -> None:
    assert all(eval(text[:-1]) == expression.value for text, expression in scoring.over_digits(50))


def test_substitution_and_answer_are_scored_apart_and_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scoring.over_digits(40)
    said = {one.text: "".join(working(one.expression)) for one in asked}
    said[asked[0].text] = "".join(restated(asked[0].expression))
    said[asked[1].text] = ""

    def answers(model: Any, words: Any, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        assert all(len(said[text]) == 0 or max_new_tokens >= 20 for text in questions)
        return [said[text] for text in questions]

    monkeypatch.setattr(scoring, "answers", answers)
    found = scoring.score(None, None, asked)  # type: ignore[arg-type]
    assert (found["substitution"]["right"], found["answer"]["right"]) == (39, 38)
    for kind in ("by_operands", "by_products"):
        assert sum(part["asked"] for part in found[kind].values()) == 40
        assert sum(part["right"] for part in found[kind].values()) == 38
    assert set(found["by_operands"]) == {"3", "4", "5", "6"}


def test_right_answers_and_substitutions_are_told_question_by_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scoring.over_digits(4)
    said = {one.text: "".join(working(one.expression)) for one in asked}
    said[asked[1].text] = "".join(restated(asked[1].expression))
    said[asked[2].text] = said[asked[0].text]
    monkeypatch.setattr(scoring, "answers", lambda model, words, questions, **_: [said[text] for text in questions])
    assert scoring.substitutes(None, None, asked) == [True, True, False, True]  # type: ignore[arg-type]
    assert scoring.right(None, None, asked) == [True, False, False, True]  # type: ignore[arg-type]
