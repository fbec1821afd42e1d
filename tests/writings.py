"""Texts that are hard to cut: made-up ones, and places in a text with what may come after them."""

import itertools

from hypothesis import strategies as st

from tests.trained import END, SCRIPTS

SIGNS = [" ", "  ", "\n", "\t", "'", "e", "s", "v", "t", "re", "the", "\u0301", "\u00e9", "1", "12", "_", '"', ".", "("]
SIGNS += [
    "\u5929",
    "\u4eca\u5929",
    "\u0e01",
    "\u0e35",
    "\U0001f469",
    "\u200d",
    "\U0001f4bb",
    END,
    "<|",
    "endof",
    "\u092a",
]
SIGNS += ["\u0440", " def", "\ufb01", "\u1112", "\u1161", "\u11ab", "\u0644", "x" * 40]
WORDS = st.sampled_from(" ".join(SCRIPTS.values()).split(" "))
TEXT = st.lists(st.sampled_from(SIGNS) | WORDS | st.text(max_size=3), max_size=11).map("".join)

SITUATIONS = (
    *("I'", "I'v", "I'll", "they'r", "''", "\"'", " '", "don't"),
    *("a ", "a  ", "a\n", "a \n", "a\n\n", "a\n  ", "a\t\t", "x = 1\n\n    ", ",  "),
    *("e", "re\u0301", "\u1112", "\u1112\u1161", "\u304b", "n\u0303o"),
    *("\U0001f469", "\U0001f469\u200d", "\U0001f469\u200d\U0001f4bb", "\U0001f1f9\U0001f1f1", "\u2764"),
    *("<", "see <|endof", "see <|endoftext", f"see {END}", f"{END} the"),
    *("1", "12", "123", "1234", "0x80", "3.", "12,5"),
    *("the win", "the winter", "the winter w", "antidis", "_", "__in", "._F", '("x', "self.entries.g"),
    *(
        "\u5929",
        "\u4eca\u5929\u5929",
        "\u6e2f\u53e3\u7ed3",
        "\u0e17\u0e48\u0e32\u0e40\u0e23",
        "\u0905\u0928\u093e\u091c",
        "\u0627\u0644\u0645",
    ),
)
CONTINUATIONS = ("", *SIGNS, *map("".join, itertools.product(SIGNS[:20], SIGNS[:12])))
