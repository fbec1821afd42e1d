import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from orchestra.runtime import cut
from orchestra.runtime.cut import KEPT, LIMIT, Cutter
from tests.trained import END, KINDS, LLAMA3, SCRIPTS, fast, tokenizer

GPT2, LLAMA2, WORDPIECE, CHARACTERS = "byte-level, GPT-2", "BPE with bytes, Llama 2", "WordPiece, Bert", "characters"


def pairs(*merges: str, vocabulary: str = "abcd ") -> Cutter:
    """A cutter whose tokens are single characters and what these merges make."""
    tokens = [*vocabulary, *("".join(merge.split("|")) for merge in merges)]
    model = models.BPE(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[(left, right) for left, right in (merge.split("|") for merge in merges)],
    )
    return Cutter(fast(Tokenizer(model)))


def test_a_text_is_cut_where_no_token_can_reach_over() -> None:
    cutter = pairs("a|b", "ab|c")
    assert [cutter.cut(held, False) for held in ("a", "ab", "abc", "aba", "d", "da", "dab", "abd")] == [
        *(0, 0, 3, 2, 1, 1, 1, 3)
    ]


def test_where_tokens_overlap_what_all_ways_to_go_on_have_in_common_is_cut_off() -> None:
    cutter = pairs("a|b", "b|a", "ba|c")
    # Over each place of "abab" reaches a token, but it begins with "ab", whether or not "a", "c" or nothing follows.
    assert cutter.cut("abab", False) == 2
    assert [cutter.encode(text, False)[:1] for text in ("abab", "ababa", "ababac")] == [cutter.encode("ab", False)] * 3


def test_a_token_that_begins_inside_a_character_is_followed_back_to_where_a_character_begins() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    first, middle, last = list(pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("\u0e01")[0][0])
    tokens = [*alphabet, last + first, middle + last + first]
    made = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[(last, first), (middle, last + first)],
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cutter = Cutter(fast(made))
    assert cutter.cut("a\u0e01", False) == 1
    assert cutter.cut("a\u0e01\u0e01", False) == 1
    assert cutter.cut("a\u0e01\u0e01a", False) == 4


def test_past_the_limit_some_are_cut_off_anyway_at_a_token_s_end_where_there_is_one() -> None:
    cutter = pairs("a|b", "b|a")
    held = "ab" * (LIMIT // 2)
    assert 0 < cutter.cut(held + "a", False) <= LIMIT
    one = pairs("a|a", *("a" * size + "|" + "a" * size for size in (2, 4, 8, 16, 32, 64)))
    assert one.cut("a" * LIMIT, False) == 0
    assert one.cut("a" * (LIMIT + 1), False) == LIMIT + 1 - KEPT


def byte_level(*merges: str, pattern: str = "") -> Tokenizer:
    """Bytes, what these merges make, and GPT-2's way to part a text, or another."""
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge.split("|")) for merge in merges)]
    made = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[(left, right) for left, right in (merge.split("|") for merge in merges)],
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        inner = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.pre_tokenizer = pre_tokenizers.Sequence([split, inner])
    return made


def test_an_apostrophe_and_a_letter_wait_as_they_may_become_a_contraction() -> None:
    made = byte_level("'|v")
    assert [made.encode(text).tokens for text in ("I'v", "I've")] == [["I", "'", "v"], ["I", "'v", "e"]]
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ("I", "I'", "I'v", "I've", "I'vx")] == [1, 1, 1, 4, 4]


def test_blanks_wait_as_what_comes_after_them_may_part_them() -> None:
    made = byte_level("\u0109|\u010a", pattern=r"\s+(?!\S)|\s+|\S+")  # a tab and the end of a line
    assert [len(made.encode(text).ids) for text in ("a\t\n", "a\t\nb")] == [2, 4]
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ("a\t", "a\t\n", "a\t\nb")] == [1, 1, 4]


def test_blanks_before_a_word_are_parted_as_they_are_in_the_text() -> None:
    made = byte_level("\u0109|\u0109", "\u0120|\u0120", "\u0120|x")
    cutter = Cutter(fast(made))
    assert cutter.cut("\t\tx", False) == 3
    assert cutter.tokens("\t\tx", 2, False) == tuple(made.encode("\t\tx").ids[:2]) != cutter.encode("\t\t", False)
    assert cutter.tokens("\t\t", 2, False) == cutter.tokens("\t\t\n", 2, False) == cutter.encode("\t\t", False)
    assert cutter.tokens("   x", 3, False) == cutter.encode("   ", False)  # here a token reaches over the place


def test_a_token_that_begins_inside_of_a_blank_is_not_parted_from_the_blank() -> None:
    blank, last = "\u3000", pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("\u3000")[0][0][-1]
    cutter = Cutter(fast(byte_level(f"{last}|x", pattern="(?=z)")))
    assert len(cutter.encode(f"{blank}{blank}x", False)) == 6
    assert cutter.tokens(f"{blank}{blank}x", 2, False) == cutter.encode(blank, False) * 2


def test_a_number_waits_for_its_end_where_its_digits_are_grouped_from_its_start() -> None:
    made = byte_level("0|0", "00|0", pattern=LLAMA3)
    assert made.encode("80000").tokens == ["8", "00", "00"] != ["8", *made.encode("0000").tokens]
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ("x8", "x80000", "x80000 ", "x8y")] == [1, 1, 6, 3]


def test_signs_wait_for_what_comes_after_them_where_one_is_kept_with_letters() -> None:
    made = byte_level("_|F", pattern=LLAMA3)
    assert made.encode('"_F').tokens == ['"', "_", "F"] != ['"', *made.encode("_F").tokens]
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ('x"', 'x"_', 'x"_F', "x_F", "x _", "x _F")] == [1, 1, 4, 3, 1, 4]


def test_a_word_s_inside_is_no_place_to_cut_where_tokens_tell_insides_from_starts() -> None:
    cutter = Cutter(tokenizer(WORDPIECE))
    assert [cutter.cut(held, True) for held in ("the", "thexq", "the ", "the v", ".", ". ")] == [0, 0, 3, 3, 0, 1]


def test_only_the_first_stretch_gets_what_stands_before_a_text() -> None:
    cutter, whole = Cutter(tokenizer(LLAMA2)), tokenizer(LLAMA2).backend_tokenizer
    assert cutter.encode("the", True) == tuple(whole.encode("the").ids)
    assert cutter.encode(" the", False) == tuple(whole.encode("the").ids)
    assert cutter.encode("the", True) != cutter.encode("the", False)
    assert cutter.begins_again(f"x{END}")
    assert not cutter.begins_again(f"{END}x")
    assert not any(Cutter(tokenizer(kind)).begins_again(END) for kind in KINDS if kind != LLAMA2)


def test_an_added_token_that_takes_the_blanks_before_it_gets_them() -> None:
    made = Tokenizer(models.BPE(vocab={"a": 0, " ": 1}, merges=[]))
    made.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ("a  <ma", "a  <mask>")] == [1, 9]
    assert cutter.encode("a  <mask>", False) == (0, 2)


def test_marks_wait_for_their_letter_and_the_letter_for_its_marks_where_a_normaliser_joins_them() -> None:
    made = Tokenizer(models.BPE(vocab={"a": 0, "\u00e4": 1, "\u0308": 2}, merges=[]))
    assert Cutter(fast(made)).cut("a", False) == 1
    made.normalizer = normalizers.NFC()
    cutter = Cutter(fast(made))
    assert [cutter.cut(held, False) for held in ("a", "aa", "aa\u0308", "aa\u0308a")] == [0, 1, 1, 3]
    assert cutter.encode("a\u0308", False) == (1,)


def test_a_character_is_lost_only_where_nothing_stands_for_it() -> None:
    assert pairs("a|b").lost("ab dc") is None
    assert pairs("a|b").lost("abxy") == "x"
    assert all(Cutter(tokenizer(kind)).lost("\u16a0\u00df") is None for kind in KINDS)
    tokens = [f"<0x{byte:02X}>" for byte in range(0x80, 0x100)]
    model = models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[], byte_fallback=True)
    cutter = Cutter(fast(Tokenizer(model)))
    assert (cutter.lost("\u00df"), cutter.lost("\u00dfa")) == (None, "a")


def test_blanks_that_a_pre_tokenizer_takes_away_are_not_lost() -> None:
    made = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    assert Cutter(fast(made)).lost("a a\n") is None


def test_no_more_than_so_many_stretches_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "REMEMBERED", 2)
    cutter = pairs("a|b")
    assert [cutter.encode(text, False) for text in ("a", "b", "ab", "a")] == [(0,), (1,), (5,), (0,)]


OTHERS = {
    "RoBERTa": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "T5": pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    ),
    "GPT": pre_tokenizers.BertPreTokenizer(),
    "words": pre_tokenizers.Whitespace(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_are_folded_as_well(name: str) -> None:
    made = Tokenizer(models.BPE(unk_token="?"))
    trainer: trainers.Trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["?"], show_progress=False)
    if name == "GPT":
        made = Tokenizer(models.BPE(unk_token="?", end_of_word_suffix="</w>"))
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=["?"], end_of_word_suffix="</w>", show_progress=False
        )
    if name == "words":
        made = Tokenizer(models.WordLevel(unk_token="?"))
        trainer = trainers.WordLevelTrainer(vocab_size=200, special_tokens=["?"], show_progress=False)
    made.normalizer = normalizers.Strip() if name == "T5" else None
    made.pre_tokenizer = OTHERS[name]
    text = SCRIPTS["english"] + SCRIPTS["code"]
    made.train_from_iterator(text.splitlines(), trainer)
    cutter, held, first = Cutter(fast(made)), "", True
    ids: list[int] = []
    for sign in f"  {text}":
        held += sign
        place = cutter.cut(held, first)
        ids += cutter.tokens(held, place, first)
        held, first = held[place:], first and not place
    assert [*ids, *cutter.encode(held, first)] == made.encode(f"  {text}").ids
