"""A few records in the form of each data set, a model that says what it is told, and ways to write files."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import TemplateLM

KEYS = [{"key": "<kqz>", "value": 34}, {"key": "<ab>", "value": 7}, {"key": "<xyz>", "value": -2}]
PAIRS = [
    {"source": "La cjase e je grande.", "english": "The house is big."},
    {"source": "O ai doi libris.", "english": "I have two books."},
    {"source": "Il gjat al duar sul jet.", "english": "The cat sleeps on the bed."},
]
PROBLEMS = [
    {
        "question": "Nora picked 48 apples in April, and half as many in May. How many did she pick altogether?",
        "answer": "In May she picked 48/2 = <<48/2=24>>24 apples.\nBoth are 48+24 = <<48+24=72>>72.\n#### 72",
    },
    {
        "question": "A farm sells 600 crates at $2 each, and pays $200 for a van. How much is left?",
        "answer": "It earns 600*2 = $<<600*2=1200>>1200.\nLeft are 1200-200 = $<<1200-200=1000>>1,000.\n#### 1,000",
    },
]
COMPLETIONS = [
    {
        "task_id": "HumanEval/901",
        "prompt": 'def fraction(number: float) -> float:\n    """The part behind the point.\n    >>> fraction(3.5)\n'
        '    0.5\n    """\n',
        "canonical_solution": "    return number % 1.0\n",
        "test": "\n\nMETADATA = {'author': 'none', 'dataset': 'test'}\n\n\ndef check(candidate):\n"
        "    assert candidate(3.5) == 0.5\n    assert abs(candidate(1.33) - 0.33) < 1e-6\n",
        "entry_point": "fraction",
    },
    {
        "task_id": "HumanEval/902",
        "prompt": 'from typing import List\n\n\ndef longest(strings: List[str]) -> str:\n    """The longest."""\n',
        "canonical_solution": "    return max(strings, key=len)\n",
        "test": "\n\ndef check(candidate):\n    assert candidate(['a', 'bbb', 'cc']) == 'bbb'\n",
        "entry_point": "longest",
    },
]
PROGRAMS = [
    {
        "task_id": 901,
        "text": "Write a function to find the shared elements of two tuples.",
        "code": "def shared(one, two):\r\n  return tuple(sorted(set(one) & set(two))) ",
        "test_list": ["assert shared((3, 4, 5), (5, 7, 4)) == (4, 5)", "assert shared((1,), (2,)) == ()"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    {  # as the sanitized half has it
        "source_file": "Benchmark Questions Verification V2.ipynb",
        "task_id": 902,
        "prompt": "Write a python function to find the square root, rounded down.",
        "code": "import math\ndef root(n):\n    return math.isqrt(n)",
        "test_imports": ["import math"],
        "test_list": ["assert root(17) == math.isqrt(17)"],
    },
]
DOCSTRINGS = [
    {
        "repo": "none/none",
        "path": "none/roots.py",
        "func_name": "root",
        "original_string": 'def root(n):\n    """Return the root of n."""\n    return n ** 0.5',
        "language": "python",
        "code": 'def root(n):\n    """Return the root of n."""\n    return n ** 0.5',
        "code_tokens": ["def", "root", "(", "n", ")", ":", "return", "n", "**", "0.5"],
        "docstring": "Return the root of n.",
        "docstring_tokens": ["Return", "the", "root", "of", "n", "."],
        "sha": "0" * 40,
        "url": "none",
        "partition": "test",
    },
    {
        "code": "def ids(self):\n    return [one.id for one in self]",
        "code_tokens": [
            "def",
            "ids",
            "(",
            "self",
            ")",
            ":",
            "return",
            "[",
            "one",
            ".",
            "id",
            "for",
            "one",
            "in",
            "self",
            "]",
        ],
        "docstring": "[internal] all ids [sic]",
        "docstring_tokens": ["[internal]", "all", "\n", "ids", "[sic]"],
    },
]


def jsonl(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


class Told(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """Answers prompts by a function, and keeps what it was asked."""

    max_length, max_gen_toks, eot_token_id = 4096, 256, 0

    def __init__(self, answer: Callable[[str], str]) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[str] = []
        self.wanted: list[dict[str, Any]] = []

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        prompts = [request.args[0] for request in requests]
        self.asked += prompts
        self.wanted += [request.args[1] for request in requests]
        return [self.answer(prompt) for prompt in prompts]

    def tok_encode(self, string: str, **_: Any) -> list[int]:
        raise NotImplementedError

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
        raise NotImplementedError
